-- trim drops entries from the beginning of the stream that are acknowledged and
-- older than the retention: never one that is pending or was not delivered, for
-- then Redis could not tell any more how many wait.
--
-- ARGV[1]  the retention, in milliseconds
-- ARGV[2]  how many entries to drop at most
--
-- Returns how many it dropped. A few that could go stay, so as not to take apart
-- the blocks in which Redis keeps them.

local last, pending, first = group()
if not last then
  return 0
end
local keep = digits(math.max(0, math.floor(micros() / 1000) - ARGV[1])) .. '-0'
if isBefore(last, keep) then
  keep = last
end
if pending > 0 and isBefore(first, keep) then
  keep = first
end
return call('XTRIM', VOTES, 'MINID', '~', keep, 'LIMIT', ARGV[2])
