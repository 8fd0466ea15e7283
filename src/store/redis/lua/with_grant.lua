-- A record and its grant.
local record = key()
local found = redis.call('HGETALL', record)
local grant = redis.call('HGET', record, 'grant')
if not grant then
  return { {}, {} }
end
return { found, redis.call('HGETALL', GRANT .. ':' .. grant) }
