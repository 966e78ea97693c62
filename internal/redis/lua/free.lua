-- free drops the marks of rounds that are final or gone for long, and what is
-- known of those that are gone, a part at a time.
--
-- ARGV[1]  for how long, in microseconds
-- ARGV[2]  how many buckets to drop at most
--
-- Returns how many buckets it dropped.

local ENDED, ROUNDS = '{popeye}:ended', '{popeye}:rounds'

local most, dropped = tonumber(ARGV[2]), 0

-- drop returns whether all marks of a round are gone now.
local function drop(key)
  local facts = call('HMGET', key, 'marks', 'freed')
  local buckets, freed = extent(tonumber(facts[1] or 0)), tonumber(facts[2] or 0)
  local upto = math.min(buckets, freed + most - dropped)
  for n = freed, upto - 1 do
    call('UNLINK', bucket(key, n))
  end
  dropped = dropped + upto - freed
  call('HSET', key, 'freed', upto)
  return upto == buckets
end

local ended = call('ZRANGE', ENDED, '-inf', digits(micros() - ARGV[1]), 'BYSCORE', 'LIMIT', '0', '100')
for _, round in ipairs(ended) do
  local key = '{popeye}:round:' .. round
  if not drop(key) then
    break
  end
  call('ZREM', ENDED, round)
  if call('HGET', ROUNDS, round) == 'gone' then
    call('DEL', key)
    call('HDEL', ROUNDS, round)
  else
    call('HSET', key, 'marks', '0')
    call('HDEL', key, 'freed', 'more')
  end
end
return dropped
