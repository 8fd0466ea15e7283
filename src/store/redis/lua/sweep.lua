-- Removes what has expired, up to a limit, and answers how much that was.
local limit = tonumber(arg())
local removed = 0

-- Consents go with their client, since nobody can ask for them again; the client goes last.
local function consents_to(client)
  local names = redis.call('ZRANGE', P .. 'consents-to:' .. client, 0, limit - removed - 1)
  for _, name in ipairs(names) do
    forget_consent(CONSENT .. ':' .. name)
    removed = removed + 1
  end
end

for _, index in ipairs({ ACCESS, REFRESH, CODE, PENDING, DEVICE, GRANT, USED, KEY, CLIENT }) do
  if removed == limit then
    break
  end
  local due =
    redis.call('ZRANGEBYSCORE', index, '-inf', NOW_TEXT, 'LIMIT', 0, text_of(limit - removed))
  for _, name in ipairs(due) do
    if index == CLIENT and removed < limit then
      consents_to(name)
    end
    if removed < limit then
      remove(index .. ':' .. name, index)
      removed = removed + 1
    end
  end
end
return removed
