-- Revocations are counted, so that whoever listens notices when one is missing. The number comes
-- first: should a script get stuck later, a number without a message makes everybody ask.
--
-- A server that is full refuses what would store something, until a script has removed something:
-- rights end there, too.
local function begin_announcement()
  redis.call('DEL', P .. 'nothing')
  return redis.call('INCR', P .. 'revocations')
end

local function announce(number, what, names)
  local message = text_of(number) .. ' ' .. what .. ' ' .. table.concat(names, ' ')
  redis.call('PUBLISH', P .. 'revoked', message)
end
