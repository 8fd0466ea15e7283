-- Consents, which are listed by user and by client and never expire by themselves.

-- A new consent, from the arguments.
local function new_consent()
  return { key = key(), fields = row(), lists = { key(), key() } }
end

local function put_consent(consent)
  put(consent.key, CONSENT, consent.fields)
  for _, index in ipairs(consent.lists) do
    list(index, 0, name_of(consent.key, CONSENT), nil)
  end
end

-- Adds a consent to what is remembered already for the same destination. A set of more than `most`
-- scopes could not be read back: then what was consented to last is what counts.
local function remember(consent, most)
  local old = redis.call('HGET', consent.key, 'scopes')
  if old then
    local seen, all = {}, {}
    for scope in string.gmatch(consent.fields.scopes .. ' ' .. old, '[^ ]+') do
      if not seen[scope] then
        seen[scope] = true
        all[#all + 1] = scope
      end
    end
    if #all <= most then
      consent.fields.scopes = table.concat(all, ' ')
    end
  end
  put_consent(consent)
end

local function forget_consent(consent)
  local of = redis.call('HMGET', consent, 'subject', 'client')
  local name = name_of(consent, CONSENT)
  if of[1] then
    redis.call('ZREM', P .. 'consents-of:' .. of[1], name)
    redis.call('ZREM', P .. 'consents-to:' .. of[2], name)
  end
  drop(consent, CONSENT)
end
