-- Things good once: the index is all there is of them.

-- What became of one: 'first', 'again', 'full'. Changes nothing yet.
local function use_of(name, most)
  local expires = redis.call('ZSCORE', USED, name)
  if expires and not is_over(expires) then
    return 'again'
  end
  -- One that has expired gives its place up.
  if not expires and redis.call('ZCARD', USED) >= most then
    return 'full'
  end
  return 'first'
end

local function use_up(name, expires)
  list(USED, expires, name, life_of(expires))
end
