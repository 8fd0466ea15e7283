-- An access token, and whether its grant vouches for it.
local token = redis.call('HGETALL', key())
for at = 1, #token, 2 do
  if token[at] == 'grant' then
    local grant = redis.call('HMGET', GRANT .. ':' .. token[at + 1], 'expires', 'revoked')
    return { token, grant[1] and not grant[2] and 1 or 0 }
  end
end
return { {}, 0 }
