-- Sends the caller a message of its own, with the number of the last revocation.
local beat, channel = arg(), key()
local number = redis.call('GET', P .. 'revocations') or '0'
redis.call('PUBLISH', channel, number .. ' beat ' .. beat)
return 0
