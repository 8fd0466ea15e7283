local code, tokens = key(), first_tokens()
local jkt, renewal = flag() and arg(), flag() and arg()

local found = redis.call('HMGET', code, 'grant', 'expires', 'redeemed')
local grant = found[1] and grant_of(found[1])
if not grant then
  return { 'unknown', '' }
end
-- Before the expiry: a second use is a replay for as long as the code is remembered.
if found[3] then
  revoke({ grant })
  return { 'replayed', grant.id }
end
if is_over(found[2]) then
  return { 'expired', '' }
end
if grant.revoked then
  return { 'revoked', '' }
end
outlive(grant, tokens.expires)
if renewal then
  renew(CLIENT .. ':' .. grant.client, renewal)
end
redis.call('HSET', code, 'redeemed', NOW_TEXT)
endow(grant, tokens, jkt)
put_tokens(tokens)
return { 'redeemed', '' }
