local device, tokens = key(), first_tokens()
local jkt, renewal = flag() and arg(), flag() and arg()

local found = redis.call('HMGET', device, 'expires', 'decision', 'code')
if not found[1] or is_over(found[1]) or not found[2] or found[2] == 'denied' then
  return 'gone'
end
local grant = grant_of(found[2])
if not grant then
  return 'gone'
end
if grant.revoked then
  return 'revoked'
end
outlive(grant, tokens.expires)
if renewal then
  renew(CLIENT .. ':' .. grant.client, renewal)
end
drop_device(device, found[3])
endow(grant, tokens, jkt)
put_tokens(tokens)
return 'redeemed'
