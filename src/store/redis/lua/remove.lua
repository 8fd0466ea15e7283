-- Removes a record with everything that names it.
local function remove(record, index)
  if index == GRANT then
    local grant = grant_of(name_of(record, GRANT))
    for _, list_of_grants in ipairs(grant and grant.lists or {}) do
      redis.call('ZREM', list_of_grants, grant.id)
    end
  elseif index == CONSENT then
    forget_consent(record)
  elseif index == DEVICE then
    drop_device(record, redis.call('HGET', record, 'code'))
  elseif index == KEY then
    local purpose, id = string.match(name_of(record, KEY), '^(.*):(%d+)$')
    redis.call('ZREM', P .. 'keys:' .. purpose, id)
  end
  drop(record, index)
end
