local device, client, slow_down = key(), arg(), tonumber(arg())
local found = redis.call('HMGET', device, 'client', 'expires', 'decision', 'interval', 'last_poll')
if found[1] ~= client then
  return { 'unknown', {}, {} }
end
if is_over(found[2]) then
  return { 'expired', {}, {} }
end
local decision = found[3]
if decision == 'denied' then
  return { 'denied', {}, {} }
end
if decision then
  local grant = redis.call('HGETALL', GRANT .. ':' .. decision)
  if #grant == 0 then
    return { 'unknown', {}, {} }
  end
  return { 'approved', redis.call('HGETALL', device), grant }
end
local interval, last = tonumber(found[4]), found[5]
redis.call('HSET', device, 'last_poll', NOW_TEXT)
if last and NOW < tonumber(last) + interval then
  local longer = text_of(math.min(interval + slow_down, FOREVER))
  redis.call('HSET', device, 'interval', longer)
  return { 'slow_down', { 'interval', longer }, {} }
end
return { 'pending', {}, {} }
