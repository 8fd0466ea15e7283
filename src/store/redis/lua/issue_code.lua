local pending = flag() and key()
local code = { key = key(), fields = row() }
local grant = new_grant()
local consent, most_scopes = flag() and new_consent(), tonumber(arg())
local renewal = flag() and { client = key(), expires = arg() }

if pending then
  local expires = redis.call('HGET', pending, 'expires')
  if not expires or is_over(expires) then
    return 0
  end
end
if renewal then
  renew(renewal.client, renewal.expires)
end
if pending then
  drop(pending, PENDING)
end
put(code.key, CODE, code.fields)
put_grant(grant)
if consent then
  remember(consent, most_scopes)
end
return 1
