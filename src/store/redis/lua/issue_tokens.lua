local grant, tokens = new_grant(), first_tokens()
local used = flag() and { name = arg(), expires = arg() }
local most = tonumber(arg())
local renewal = flag() and { client = key(), expires = arg() }

if used then
  local use = use_of(used.name, most)
  if use ~= 'first' then
    return use
  end
end
if renewal then
  renew(renewal.client, renewal.expires)
end
if used then
  use_up(used.name, used.expires)
end
put_grant(grant)
put_tokens(tokens)
return 'first'
