-- Grants, which are listed by client and, where a user gave them, by user.

-- A new grant, from the arguments.
local function new_grant()
  local grant = { key = key(), fields = row(), lists = { key() } }
  if flag() then
    grant.lists[2] = key()
  end
  return grant
end

local function list_grant(record, lists, expires)
  local life = life_of(expires)
  for _, index in ipairs(lists) do
    list(index, 0, name_of(record, GRANT), life)
  end
end

local function put_grant(grant)
  put(grant.key, GRANT, grant.fields)
  list_grant(grant.key, grant.lists, grant.fields.expires)
end

-- What is known of a stored grant, nil where there is none.
local function grant_of(id)
  local record = GRANT .. ':' .. id
  local found = redis.call('HMGET', record, 'expires', 'revoked', 'generation', 'client', 'subject')
  if not found[1] then
    return nil
  end
  local lists = { P .. 'grants-to:' .. found[4] }
  if found[5] then
    lists[2] = P .. 'grants-of:' .. found[5]
  end
  return {
    id = id,
    key = record,
    expires = found[1],
    revoked = found[2],
    generation = found[3],
    client = found[4],
    lists = lists,
  }
end

-- A grant is kept at least as long as anything that came of it. Does no harm by itself.
local function outlive(grant, expires)
  if tonumber(grant.expires) < tonumber(expires) then
    list_grant(grant.key, grant.lists, expires)
    keep(grant.key, GRANT, expires)
    redis.call('HSET', grant.key, 'expires', expires)
    grant.expires = expires
  end
end

-- Revokes grants, and says so to whoever listens. Those that were revoked before are announced too:
-- whoever asks again may do so because the first attempt got stuck.
local function revoke(grants)
  local number = begin_announcement()
  local ids = {}
  for _, grant in ipairs(grants) do
    if not grant.revoked then
      redis.call('HSET', grant.key, 'revoked', NOW_TEXT)
    end
    ids[#ids + 1] = grant.id
  end
  announce(number, 'grants', ids)
end
