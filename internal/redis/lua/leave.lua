-- leave deletes a consumer that holds nothing. Of one that does, others may claim
-- what it holds at once.
--
-- ARGV[1]  the consumer
-- ARGV[2]  the lease, in milliseconds
--
-- Returns how many entries it holds, at most 1000.

local held = excused(redis.pcall('XPENDING', VOTES, 'workers', '-', '+', '1000', ARGV[1]), 'NOGROUP')
if not held then
  return 0
end
if #held == 0 then
  call('XGROUP', 'DELCONSUMER', VOTES, 'workers', ARGV[1])
end
for _, h in ipairs(held) do
  call('XCLAIM', VOTES, 'workers', ARGV[1], '0', h[1], 'IDLE', ARGV[2], 'JUSTID')
end
return #held
