-- claim takes over entries that somebody has held for longer than the lease. An
-- entry in a format that the claimer cannot read stays with its holder, for one
-- who can.
--
-- ARGV[1]  the claimer
-- ARGV[2]  the lease, in milliseconds
-- ARGV[3]  how many entries to look at
-- ARGV[4]  the formats that it can read, a byte each
-- ARGV[5]  the entry behind which to look, empty for all
--
-- Returns the entry behind which to go on, empty when there are no more, and the
-- entries.

local after = ARGV[5]
local held = call('XPENDING', VOTES, 'workers', 'IDLE', ARGV[2], after == '' and '-' or '(' .. after, '+', ARGV[3])
local claimed = {}
for _, h in ipairs(held) do
  local entry = call('XRANGE', VOTES, h[1], h[1])[1]
  local value = entry and named(entry[2], 'v') or ''
  if not entry then
    call('XACK', VOTES, 'workers', h[1])
  elseif value ~= '' and string.find(ARGV[4], string.sub(value, 1, 1), 1, true) then
    call('XCLAIM', VOTES, 'workers', ARGV[1], ARGV[2], h[1], 'JUSTID')
    claimed[#claimed + 1] = entry
  end
  after = h[1]
end
return { #held < tonumber(ARGV[3]) and '' or after, claimed }
