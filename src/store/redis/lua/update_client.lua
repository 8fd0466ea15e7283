local client, fresh = key(), row()
local expires = redis.call('HGET', client, 'expires')
if not expires or is_over(expires) then
  return 0
end
-- It may have been moved later since the caller read it.
fresh.expires = later(fresh.expires, expires)
put(client, CLIENT, fresh)
return 1
