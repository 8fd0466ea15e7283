local token = key()
local found = redis.call('HMGET', token, 'expires', 'revoked')
if not found[1] then
  return 0
end
if not found[2] then
  redis.call('HSET', token, 'revoked', NOW_TEXT)
end
return 1
