-- seals hands out the seals that are due: of closed rounds of which every vote is
-- acknowledged. Whoever gets one has it for a while; then it is due again.
--
-- ARGV[1]  for how long, in microseconds
-- ARGV[2]  an identity for a server that has none
-- ARGV[3]  how many seals at most
--
-- In the hash of seals a round has "position due acknowledged": the position in
-- the stream behind which there is no vote of it, the time from which on the seal
-- may be handed out, and 1 if it was acknowledged, else 0. That time also names
-- one handing out: the acknowledgement of an earlier one does not count.
--
-- Returns the server's identity, then the rounds, each with that name behind it.

local SEALS = '{popeye}:seals'

local found = { identity(ARGV[2]) }
local all = call('HGETALL', SEALS)
local last, pending, first = group()
if #all == 0 or not last then
  return found
end
local now = micros()
local due = digits(now + ARGV[1])
for i = 1, #all, 2 do
  local position, from, acknowledged = string.match(all[i + 1], '^(%S+) (%S+) (%S+)$')
  local isPassed = not isBefore(last, position) and (pending == 0 or isBefore(position, first))
  if tonumber(from) <= now and isPassed and #found < 2 * ARGV[3] then
    call('HSET', SEALS, all[i], position .. ' ' .. due .. ' ' .. acknowledged)
    found[#found + 1] = all[i]
    found[#found + 1] = due
  end
end
return found
