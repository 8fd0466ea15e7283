-- The version of the layout: the one that is there, else the caller's.
local schema, current = key(), arg()
local found = redis.call('GET', schema)
if not found then
  redis.call('SET', schema, current)
end
return found or current
