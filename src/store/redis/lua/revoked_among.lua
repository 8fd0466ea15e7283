-- Which of these grants and access tokens are good no longer.
local grants, tokens = {}, {}
for _ = 1, tonumber(arg()) do
  local found = redis.call('HMGET', key(), 'expires', 'revoked')
  grants[#grants + 1] = found[1] and not found[2] and 0 or 1
end
for _ = 1, tonumber(arg()) do
  local token = redis.call('HMGET', key(), 'grant', 'revoked')
  local is_good = token[1] and not token[2]
  if is_good then
    local grant = redis.call('HMGET', GRANT .. ':' .. token[1], 'expires', 'revoked')
    is_good = grant[1] and not grant[2]
  end
  tokens[#tokens + 1] = is_good and 0 or 1
end
return { grants, tokens }
