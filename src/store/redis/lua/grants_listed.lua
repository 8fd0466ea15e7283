-- The listed grants that live, of one client only if told.
local grants, client = key(), flag() and arg()
local live = {}
for _, id in ipairs(redis.call('ZRANGE', grants, 0, -1)) do
  local grant = grant_of(id)
  if grant and not grant.revoked and not is_over(grant.expires) then
    if not client or grant.client == client then
      live[#live + 1] = redis.call('HGETALL', grant.key)
    end
  end
end
return live
