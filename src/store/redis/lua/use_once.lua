local name, expires, most = arg(), arg(), tonumber(arg())
local use = use_of(name, most)
if use == 'first' then
  use_up(name, expires)
end
return use
