-- The records that a list names, in its order.
local list_of_names, index = key(), key()
local rows = {}
for _, name in ipairs(redis.call('ZRANGE', list_of_names, 0, -1)) do
  local found = redis.call('HGETALL', index .. ':' .. name)
  if #found > 0 then
    rows[#rows + 1] = found
  end
end
return rows
