local client, fresh, most = key(), row(), tonumber(arg())
local old = redis.call('HMGET', client, 'expires', 'json')
if old[1] and not is_over(old[1]) then
  -- A program that registers again is in use. Most repeats write nothing.
  if tonumber(old[1]) - NOW < math.max(tonumber(fresh.expires) - NOW, 0) / 2 then
    old[1] = fresh.expires
    keep(client, CLIENT, fresh.expires)
    redis.call('HSET', client, 'expires', fresh.expires)
  end
  return { 'exists', { 'expires', old[1], 'json', old[2] } }
end
-- One that has expired gives its place up: there are no more clients than before.
local listed = redis.call('ZSCORE', CLIENT, name_of(client, CLIENT))
if not listed and redis.call('ZCARD', CLIENT) >= most then
  return { 'full', {} }
end
put(client, CLIENT, fresh)
return { 'created', {} }
