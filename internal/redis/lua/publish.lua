-- publish replaces the definitions, unless the server has them or newer ones.
--
-- ARGV[1]   the catalog's version
-- ARGV[2]   the catalog as poll reads it
-- ARGV[3]   an identity for a server that has none
-- ARGV[4..] for each round: its number, its state, its policy, and when it opens
--           and closes, in microseconds since 1970
--
-- The hash of a round holds opens, closes and policy, by which casts are decided;
-- marks, the number of voters; and more, what to add to that for the number of
-- confirmed votes. Once a round was closed, it closes at 0 for good. A round that
-- is published no more is gone: it loses opens, and is unknown to casts.
--
-- What is closed gets a seal: a position in the stream behind which there is no
-- vote of it, noted in the same step as the closing. See seals.lua.
--
-- Returns 1, or 0 when there was nothing to do.

local CATALOG, ROUNDS, SEALS, ENDED = '{popeye}:catalog', '{popeye}:rounds', '{popeye}:seals', '{popeye}:ended'
local RESEAL = 30 * 1000000

local known = call('HGET', CATALOG, 'version')
if known and tonumber(known) >= tonumber(ARGV[1]) then
  return 0
end

identity(ARGV[3])
excused(redis.pcall('XGROUP', 'CREATE', VOTES, 'workers', '0', 'MKSTREAM'), 'BUSYGROUP')
local now, position = micros(), named(call('XINFO', 'STREAM', VOTES), 'last-generated-id')

local function seal(round, due)
  call('HSET', SEALS, round, position .. ' ' .. digits(due) .. ' 0')
end

local function note(round, facts)
  local key = '{popeye}:round:' .. round
  call('HSET', key, 'opens', facts.opens, 'closes', facts.closes, 'policy', facts.policy)
  call('HSETNX', key, 'marks', '0')
end

-- close ends a round that was in the state was. It got its seal before when it
-- was gone or closed, and gets it again in a while, should nobody know any more.
local function close(round, was)
  call('ZREM', ENDED, round)
  if was ~= 'gone' and was ~= 'closed' then
    seal(round, now)
  elseif call('HEXISTS', SEALS, round) == 0 then
    seal(round, now + RESEAL)
  end
end

local function finish(round)
  call('HDEL', SEALS, round)
  call('ZADD', ENDED, 'NX', digits(now), round)
end

-- leave sees off a round that is published no more. It may have votes, for which
-- a seal is due, unless that was acknowledged.
local function leave(round, was)
  if was == 'open' then
    seal(round, now)
  elseif was == 'closed' and string.find(call('HGET', SEALS, round) or '', ' 1$') then
    call('HDEL', SEALS, round)
  end
  call('HSET', '{popeye}:round:' .. round, 'closes', '0')
  call('HDEL', '{popeye}:round:' .. round, 'opens')
  call('ZADD', ENDED, 'NX', digits(now), round)
end

-- enter takes over what is published of a round that was in the state was, and
-- returns the state that it is in now.
local function enter(round, state, was, facts)
  local isEnded = was == 'closed' or was == 'final' or was == 'gone'
  if isEnded and (state == 'draft' or state == 'open') then
    state = was == 'final' and 'final' or 'closed'
  end
  if state == 'closed' or state == 'final' then
    facts.closes = '0'
  end
  if state ~= was or not isEnded then
    note(round, facts)
  end
  if state == 'closed' then
    close(round, was)
  elseif state == 'final' and was ~= 'final' then
    finish(round)
  end
  return state
end

local states, before = {}, call('HGETALL', ROUNDS)
for i = 1, #before, 2 do
  states[before[i]] = before[i + 1]
end
for i = 4, #ARGV, 5 do
  local round, facts = ARGV[i], { policy = ARGV[i + 2], opens = ARGV[i + 3], closes = ARGV[i + 4] }
  local state = enter(round, ARGV[i + 1], states[round], facts)
  if state ~= states[round] then
    call('HSET', ROUNDS, round, state)
  end
  states[round] = nil
end
for round, was in pairs(states) do
  if was ~= 'gone' then
    leave(round, was)
    call('HSET', ROUNDS, round, 'gone')
  end
end
call('HSET', CATALOG, 'version', ARGV[1], 'json', ARGV[2])
return 1
