-- ack says that entries are recorded and seals followed, and up to which batch a
-- worker has come with this server's data.
--
-- ARGV[1]   the worker
-- ARGV[2]   its batch, 0 for none
-- ARGV[3]   the identity of the data that it means
-- ARGV[4]   how many entries there are
-- ARGV[5..] the entries; then the rounds of seals, each with the name of its
--           handing out behind it

local SEALS, PROGRESS = '{popeye}:seals', '{popeye}:progress'
local RESEAL = 30 * 1000000

local last = 4 + tonumber(ARGV[4])
for i = 5, last, 1000 do
  call('XACK', VOTES, 'workers', unpack(ARGV, i, math.min(i + 999, last)))
end

-- The seal of a closed round comes again in a while, as long as the round is not
-- published as final: its acknowledgement may be what the store has lost.
for i = last + 1, #ARGV, 2 do
  local position, due = string.match(call('HGET', SEALS, ARGV[i]) or '', '^(%S+) (%S+)')
  if due == ARGV[i + 1] then
    if call('HGET', '{popeye}:rounds', ARGV[i]) == 'closed' then
      call('HSET', SEALS, ARGV[i], position .. ' ' .. digits(micros() + RESEAL) .. ' 1')
    else
      call('HDEL', SEALS, ARGV[i])
    end
  end
end

if ARGV[2] ~= '0' and call('GET', '{popeye}:server') == ARGV[3] then
  local batch = string.match(call('HGET', PROGRESS, ARGV[1]) or '0', '^%d+')
  if tonumber(batch) < tonumber(ARGV[2]) then
    call('HSET', PROGRESS, ARGV[1], ARGV[2] .. ' ' .. digits(micros()))
  end
end
return 1
