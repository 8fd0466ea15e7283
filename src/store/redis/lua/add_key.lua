local numbers, purpose, id = key(), arg(), arg()
local fresh, retired_expires = { key = key(), fields = row() }, arg()

local stored = redis.call('ZRANGE', numbers, 0, -1)
local next = #stored == 0 and 0 or tonumber(stored[#stored]) + 1
if tonumber(id) == next then
  for _, number in ipairs(stored) do
    local old = KEY .. ':' .. purpose .. ':' .. number
    if redis.call('HEXISTS', old, 'json') == 1 and redis.call('HEXISTS', old, 'retires') == 0 then
      keep(old, KEY, retired_expires)
      redis.call('HSET', old, 'retires', NOW_TEXT, 'expires', retired_expires)
    end
  end
  put(fresh.key, KEY, fresh.fields)
  list(numbers, id, id, nil)
  stored[#stored + 1] = id
end
local alive = {}
for _, number in ipairs(stored) do
  local old = KEY .. ':' .. purpose .. ':' .. number
  local expires = redis.call('HGET', old, 'expires')
  if not expires or not is_over(expires) then
    local found = redis.call('HGETALL', old)
    if #found > 0 then
      alive[#alive + 1] = found
    end
  end
end
return alive
