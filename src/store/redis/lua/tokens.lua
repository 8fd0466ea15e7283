-- The first tokens of a grant, from the arguments.
local function first_tokens()
  local tokens = { access = { key = key(), fields = row() } }
  tokens.expires = tokens.access.fields.expires
  if flag() then
    tokens.refresh = { key = key(), fields = row() }
    tokens.expires = later(tokens.expires, tokens.refresh.fields.expires)
  end
  return tokens
end

local function put_tokens(tokens)
  put(tokens.access.key, ACCESS, tokens.access.fields)
  if tokens.refresh then
    put(tokens.refresh.key, REFRESH, tokens.refresh.fields)
  end
end

-- Makes a stored grant know of its first tokens, and of the key that they are bound to.
local function endow(grant, tokens, jkt)
  if tokens.refresh then
    redis.call('HSET', grant.key, 'generation', tokens.refresh.fields.generation)
  end
  if jkt then
    redis.call('HSET', grant.key, 'jkt', jkt)
  end
end
