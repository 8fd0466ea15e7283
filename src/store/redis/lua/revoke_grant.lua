-- Revokes a grant, or that of a record.
local record, is_grant = key(), flag()
local id = is_grant and name_of(record, GRANT) or redis.call('HGET', record, 'grant')
local grant = id and grant_of(id)
if not grant then
  return {}
end
revoke({ grant })
return { id }
