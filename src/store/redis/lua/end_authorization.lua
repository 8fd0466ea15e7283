local pending = key()
local found = redis.call('HGETALL', pending)
drop(pending, PENDING)
return found
