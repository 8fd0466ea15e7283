-- Of the listed grants those that live, some at a time. Answers how far it came: the last name, and
-- nothing at the end.
local grants, limit, position = key(), tonumber(arg()), arg()
local from = position == '' and '-' or '(' .. position
local found = redis.call('ZRANGEBYLEX', grants, from, '+', 'LIMIT', 0, limit)
local live = {}
for _, id in ipairs(found) do
  local grant = grant_of(id)
  if grant and not grant.revoked and not is_over(grant.expires) then
    live[#live + 1] = redis.call('HGETALL', grant.key)
  end
end
return { #found == limit and found[#found] or '', live }
