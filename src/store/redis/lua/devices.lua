-- A device goes with its user code, unless another device has that by now.
local function drop_device(device, code)
  local user_code = P .. 'user-code:' .. (code or '')
  if redis.call('GET', user_code) == name_of(device, DEVICE) then
    redis.call('DEL', user_code)
  end
  drop(device, DEVICE)
end
