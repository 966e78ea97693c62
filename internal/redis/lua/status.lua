-- status tells how the server is.
--
-- ARGV[1]  an identity for a server that has none
--
-- Returns the identity; the position before which everything is acknowledged; how
-- many entries are not, about how many votes these are, and for how long the
-- oldest of them is in the stream, in milliseconds; then a list of the rounds that
-- are not final, each with the number of confirmed votes taken; a list of workers,
-- each with its last batch; and the version of the definitions, 0 for none.

-- votes returns about how many votes so many entries from a position on hold.
local function votes(entries, from)
  local sample = call('XRANGE', VOTES, from, '+', 'COUNT', '20')
  local count = 0
  for _, entry in ipairs(sample) do
    local format, n = string.byte(named(entry[2], 'v') or '', 1, 2)
    count = count + (format == 1 and n or 1)
  end
  return math.ceil(entries * count / math.max(1, #sample))
end

local last, pending, first, waiting = group()
local recorded, entries, from = '0-0', 0, nil
if last then
  local ms, seq = parts(last)
  recorded, entries = digits(ms) .. '-' .. digits(seq + 1), pending + waiting
  if pending > 0 then
    recorded = first
  end
  if entries > 0 then
    from = pending > 0 and first or (call('XRANGE', VOTES, recorded, '+', 'COUNT', '1')[1] or {})[1]
  end
end

local accepted, rounds = {}, call('HGETALL', '{popeye}:rounds')
for i = 1, #rounds, 2 do
  if rounds[i + 1] ~= 'final' and rounds[i + 1] ~= 'gone' then
    local facts = call('HMGET', '{popeye}:round:' .. rounds[i], 'marks', 'more')
    accepted[#accepted + 1] = rounds[i]
    accepted[#accepted + 1] = digits((facts[1] or 0) + (facts[2] or 0))
  end
end

local progress = call('HGETALL', '{popeye}:progress')
for i = 2, #progress, 2 do
  progress[i] = string.match(progress[i], '^%d+')
end

return {
  identity(ARGV[1]), recorded, entries, from and votes(entries, from) or 0,
  from and math.floor(micros() / 1000) - parts(from) or 0,
  accepted, progress, call('HGET', '{popeye}:catalog', 'version') or '0',
}
