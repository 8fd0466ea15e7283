-- Stores records as they are.
for _ = 1, tonumber(arg()) do
  local kind = arg()
  if kind == 'used' then
    local name = arg()
    use_up(name, arg())
  elseif kind == 'grant' then
    local grant = new_grant()
    remove(grant.key, GRANT)
    put_grant(grant)
  elseif kind == 'consent' then
    local consent = new_consent()
    forget_consent(consent.key)
    put_consent(consent)
  else
    local record, index = { key = key(), fields = row() }, P .. kind
    remove(record.key, index)
    put(record.key, index, record.fields)
    if index == KEY then
      local purpose, id = string.match(name_of(record.key, KEY), '^(.*):(%d+)$')
      list(P .. 'keys:' .. purpose, id, id, nil)
    elseif index == REFRESH then
      -- Grants that were written before they counted generations do not know the newest.
      local grant = grant_of(record.fields.grant)
      if grant and tonumber(grant.generation) < tonumber(record.fields.generation) then
        redis.call('HSET', grant.key, 'generation', record.fields.generation)
      end
    end
  end
end
return 0
