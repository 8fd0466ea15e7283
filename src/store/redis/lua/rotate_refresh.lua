local presented = key()
local successor = { key = key(), fields = row() }
local access, access_life = { key = key(), fields = row() }, tonumber(arg())
local derived_with, too_early, most = arg(), tonumber(arg()), tonumber(arg())
local renewal = flag() and arg()

local found = redis.call(
  'HMGET', presented, 'grant', 'generation', 'expires', 'used_at', 'used_key', 'used_tokens'
)
local grant = found[1] and grant_of(found[1])
if not grant then
  return { 'unknown' }
end
if grant.revoked then
  return { 'revoked' }
end
if is_over(found[3]) then
  return { 'expired' }
end
local generation = tonumber(found[2])
local next = text_of(math.min(generation + 1, 4294967295))
local first_used = found[4]
local is_stored = redis.call('EXISTS', access.key) == 1

if not first_used then
  outlive(grant, successor.fields.expires)
  outlive(grant, access.fields.expires)
  if renewal then
    renew(CLIENT .. ':' .. grant.client, renewal)
  end
  redis.call('HSET', presented, 'used_at', NOW_TEXT, 'used_key', derived_with, 'used_tokens', 1)
  redis.call('HSET', grant.key, 'generation', next)
  successor.fields.grant = grant.id
  successor.fields.generation = next
  put(successor.key, REFRESH, successor.fields)
  -- One that is stored may have been revoked: it is never stored again.
  if not is_stored then
    put(access.key, ACCESS, access.fields)
  end
  return { 'rotated' }
end

if tonumber(first_used) < too_early or grant.generation ~= next then
  revoke({ grant })
  return { 'replayed', grant.id }
end
if found[5] ~= derived_with then
  return { 'other_key', first_used, found[5] }
end
if is_stored then
  return { 'repeated', first_used }
end
if tonumber(found[6]) >= most then
  return { 'too_many' }
end
-- It dies no later than one of the first use, even if the caller read the records before that.
local dies = math.min(tonumber(access.fields.expires), tonumber(first_used) + access_life)
access.fields.expires = text_of(dies)
outlive(grant, access.fields.expires)
redis.call('HINCRBY', presented, 'used_tokens', 1)
put(access.key, ACCESS, access.fields)
return { 'repeated', first_used }
