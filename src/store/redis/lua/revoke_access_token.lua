local token = key()
local found = redis.call('HMGET', token, 'expires', 'revoked')
if not found[1] then
  return 0
end
local number = begin_announcement()
if not found[2] then
  redis.call('HSET', token, 'revoked', NOW_TEXT)
end
announce(number, 'tokens', { name_of(token, ACCESS) })
return 1
