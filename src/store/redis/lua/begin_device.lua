local device, fields, user_code, most = key(), row(), key(), tonumber(arg())
if redis.call('ZCARD', DEVICE) >= most then
  return 'full'
end
local other = redis.call('GET', user_code)
local expires = other and redis.call('HGET', DEVICE .. ':' .. other, 'expires')
if expires and not is_over(expires) then
  return 'taken'
end
put(device, DEVICE, fields)
redis.call('SET', user_code, name_of(device, DEVICE))
local life = life_of(fields.expires)
if life then
  redis.call('PEXPIRE', user_code, life)
end
return 'begun'
