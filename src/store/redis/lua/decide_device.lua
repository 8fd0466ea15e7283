local user_code, decision = key(), arg()
local grant = flag() and new_grant()
local consent, most_scopes = flag() and new_consent(), tonumber(arg())

local name = redis.call('GET', user_code)
if not name then
  return 0
end
local device = DEVICE .. ':' .. name
local found = redis.call('HMGET', device, 'expires', 'decision')
if not found[1] or is_over(found[1]) or found[2] then
  return 0
end
if grant then
  -- Nobody may sweep it before the device comes for its tokens.
  grant.fields.expires = later(grant.fields.expires, found[1])
  put_grant(grant)
end
if consent then
  remember(consent, most_scopes)
end
redis.call('HSET', device, 'decision', decision)
return 1
