-- Forgets listed consents, then revokes listed grants, some at a time. Answers how far it came in
-- both lists, and which grants are revoked. In this order: what is issued by a consent between two
-- steps would be passed over.
local END = '~'
local grants, limit, client, session = key(), tonumber(arg()), flag() and arg(), flag() and arg()
local consents, forgotten = flag() and key(), flag() and key()
local grant_position, consent_position = arg(), arg()

local function next_of(index, position)
  local from = position == '' and '-' or '(' .. position
  local found = redis.call('ZRANGEBYLEX', index, from, '+', 'LIMIT', 0, limit)
  return found, #found == limit and found[#found] or END
end

if forgotten then
  drop(forgotten, CLIENT)
end
local found, reached, ids = nil, {}, {}
if not consents then
  consent_position = END
elseif consent_position ~= END then
  found, consent_position = next_of(consents, consent_position)
  for _, name in ipairs(found) do
    local consent = CONSENT .. ':' .. name
    if not client or redis.call('HGET', consent, 'client') == client then
      forget_consent(consent)
    end
  end
end
if consent_position ~= END then
  return { grant_position, consent_position, ids }
end
found, grant_position = next_of(grants, grant_position)
for _, id in ipairs(found) do
  local grant = grant_of(id)
  if not grant then
    redis.call('ZREM', grants, id)
  elseif not client or grant.client == client then
    if not session or redis.call('HGET', grant.key, 'session') == session then
      reached[#reached + 1] = grant
      ids[#ids + 1] = id
    end
  end
end
if #reached > 0 then
  revoke(reached)
end
return { grant_position, consent_position, ids }
