local pending, fields, most = key(), row(), tonumber(arg())
if redis.call('ZCARD', PENDING) >= most then
  return 0
end
put(pending, PENDING, fields)
return 1
