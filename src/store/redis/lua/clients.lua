-- Moves a client's expiry later, where there is such a client. Does no harm by itself.
local function renew(client, expires)
  local now = redis.call('HGET', client, 'expires')
  if now and tonumber(now) < tonumber(expires) then
    keep(client, CLIENT, expires)
    redis.call('HSET', client, 'expires', expires)
  end
end
