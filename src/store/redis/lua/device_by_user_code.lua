local device = redis.call('GET', key())
return device and redis.call('HGETALL', DEVICE .. ':' .. device) or {}
