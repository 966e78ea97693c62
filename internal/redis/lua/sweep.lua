-- sweep deletes the consumers that were not heard of for long and hold nothing,
-- and forgets how far those had come that are long gone.
--
-- ARGV[1]  since when a consumer was not heard of, in milliseconds
-- ARGV[2]  how long ago the last batch of one that is gone was, in microseconds
--
-- Returns how many consumers it deleted.

local PROGRESS = '{popeye}:progress'

local present, deleted = {}, 0
local consumers = group() and call('XINFO', 'CONSUMERS', VOTES, 'workers') or {}
for _, c in ipairs(consumers) do
  local name = named(c, 'name')
  if named(c, 'pending') == 0 and named(c, 'idle') > tonumber(ARGV[1]) then
    call('XGROUP', 'DELCONSUMER', VOTES, 'workers', name)
    deleted = deleted + 1
  else
    present[name] = true
  end
end

local progress, old = call('HGETALL', PROGRESS), micros() - ARGV[2]
for i = 1, #progress, 2 do
  if not present[progress[i]] and tonumber(string.match(progress[i + 1], '%d+$')) < old then
    call('HDEL', PROGRESS, progress[i])
  end
end
return deleted
