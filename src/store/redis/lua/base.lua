-- What every script begins with.
--
-- KEYS and ARGV are taken one by one, in the order in which the caller lists them. ARGV starts with
-- when it is too late for all of it (in milliseconds, by the clock of Redis), what all keys of the
-- deployment start with, and what time it is (empty where nobody says).
--
-- A script reads all it needs before it writes: an error stops a script where it stands, and what
-- it has written stays. Where writes can fail all the same (keys on the way to another node of a
-- cluster), those that do no harm by themselves come first.

-- By now whoever asked was told that it failed, and may have asked again.
local moment = redis.call('TIME')
local millisecond = string.format('%.0f', moment[1] * 1000 + math.floor(moment[2] / 1000))
if tonumber(millisecond) >= tonumber(ARGV[1]) then
  return redis.error_reply('LATE ' .. millisecond)
end

local P, NOW_TEXT = ARGV[2], ARGV[3]
local NOW = tonumber(NOW_TEXT)

-- As large as numbers get without losing precision; the caller cuts off what is larger.
local FOREVER = 9007199254740991
-- What nobody swept is forgotten by Redis itself, a day late: by then it has expired by every clock.
local SLACK = 86400
local MARGIN = 3600000
-- What lives longer than a century stays.
local LONG = 3155760000

-- Each kind of record has an index of that name: a sorted set of names by expiry. The record is at
-- the index' key, a colon and the name.
local ACCESS, CLIENT, CODE, CONSENT = P .. 'access', P .. 'client', P .. 'code', P .. 'consent'
local DEVICE, GRANT, KEY, PENDING = P .. 'device', P .. 'grant', P .. 'key', P .. 'pending'
local REFRESH, USED = P .. 'refresh', P .. 'used'

local keys_taken, args_taken = 0, 3

local function key()
  keys_taken = keys_taken + 1
  return KEYS[keys_taken]
end

local function arg()
  args_taken = args_taken + 1
  return ARGV[args_taken]
end

local function flag()
  return arg() == '1'
end

-- A record to store, field by field.
local function row()
  local fields = {}
  for _ = 1, tonumber(arg()) do
    local field = arg()
    fields[field] = arg()
  end
  return fields
end

local function name_of(record, index)
  return string.sub(record, #index + 2)
end

local function later(a, b)
  return tonumber(a) < tonumber(b) and b or a
end

local function is_over(expires)
  return NOW >= tonumber(expires)
end

-- A whole number as text: Lua writes large ones with an exponent.
local function text_of(number)
  return string.format('%.0f', number)
end

-- How many milliseconds Redis keeps what expires then; nil for ever.
local function life_of(expires)
  if not NOW or not expires then
    return nil
  end
  local seconds = math.max(tonumber(expires) - NOW, 0) + SLACK
  return seconds < LONG and text_of(seconds * 1000) or nil
end

-- Adds a name to an index, which Redis keeps for as long as anything that is in it, and longer: so
-- that it need not be told at each change.
local function list(index, score, name, life)
  local left = redis.call('PTTL', index)
  redis.call('ZADD', index, score, name)
  if not life then
    redis.call('PERSIST', index)
  elseif left == -2 or (left >= 0 and left < tonumber(life)) then
    redis.call('PEXPIRE', index, text_of(life + MARGIN))
  end
end

-- Notes when a record expires.
local function keep(record, index, expires)
  local life = life_of(expires)
  list(index, expires or '+inf', name_of(record, index), life)
  if life then
    redis.call('PEXPIRE', record, life)
  else
    redis.call('PERSIST', record)
  end
end

-- Stores a record, whether or not there was one before.
local function put(record, index, fields)
  local flat = {}
  for field, value in pairs(fields) do
    flat[#flat + 1] = field
    flat[#flat + 1] = value
  end
  -- A server that is full refuses this, and would not refuse anything after what removes something.
  redis.call('SETRANGE', P .. 'nothing', 0, '')
  redis.call('DEL', record)
  redis.call('HSET', record, unpack(flat))
  keep(record, index, fields.expires)
end

local function drop(record, index)
  redis.call('DEL', record)
  redis.call('ZREM', index, name_of(record, index))
end
