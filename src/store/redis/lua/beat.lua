-- Sends the caller a message of its own, with the number of the last revocation.
--
-- From a server that takes writes only: one that was put aside hears of no more revocations. Nothing
-- is there to be removed, so that nothing is written either.
local beat, channel = arg(), key()
redis.call('DEL', P .. 'nothing')
local number = redis.call('GET', P .. 'revocations') or '0'
redis.call('PUBLISH', channel, number .. ' beat ' .. beat)
return 0
