-- The next records of one kind after a name, in the order of its index. A name that is gone leaves
-- where it was to its score: then some records come twice.
local index, limit, score, name = key(), tonumber(arg()), arg(), arg()
local start = 0
if name ~= '' then
  local rank = redis.call('ZRANK', index, name)
  start = rank and rank + 1 or redis.call('ZCOUNT', index, '-inf', '(' .. score)
end
local found = redis.call('ZRANGE', index, start, start + limit - 1, 'WITHSCORES')
local rows = {}
for at = 1, #found, 2 do
  rows[#rows + 1] = { found[at], found[at + 1], redis.call('HGETALL', index .. ':' .. found[at]) }
end
return rows
