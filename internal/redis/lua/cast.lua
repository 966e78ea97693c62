-- cast decides casts as popeye.Mark.Decide and popeye.Cast.Begin say, and makes
-- what is new durable: one entry in the stream for all of them, and their marks.
--
-- KEYS      the rounds, each once; see publish.lua for what they hold
-- ARGV[1]   a byte: 1 if there is room for new votes, else 0; then for each round
--           its number (8 bytes) and how many of the casts are its (1 byte)
-- ARGV[2..] the casts, round by round: a byte: 1 for a copy, else 0; the stamp
--           that the cast follows (7 bytes); then a record, as it stands in an entry
--
-- An entry is FORMAT, the number of votes (1 byte), and for each round its number
-- (8 bytes), how many records follow (1 byte), and these. A record is its length
-- behind this byte, the voter (16 bytes) and the mark. A mark is the stamp (7
-- bytes), a byte with twice the serial, plus 1 when unconfirmed; where the serial
-- is 127 or more, 127 stands there and the serial follows (6 bytes); then the
-- choices. All numbers have their highest byte first. The choices are nobody's
-- business here but to be compared; numbers are doubles in Lua, so 53 bits is
-- all that can be reckoned with.
--
-- Returns for each cast a letter, and where others than its own choices may
-- stand, or its own with another serial, the mark, behind its length (1 byte).
--
-- The entry is written before the marks: should this script ever fail between
-- the two, a repeated cast is delivered twice, which changes nothing, and not
-- taken for one that was delivered.

local VOTES, FORMAT, NEVER = '{popeye}:votes', '\1', '9007199254740992'
local ACCEPTED, CHANGED, REPEATED, ALREADY, CONFLICT = 'a', 'g', 'r', 'y', 'x'
local UNKNOWN, CLOSED, FULL = 'u', 'c', 'f'

local call, byte, char, sub = redis.call, string.byte, string.char, string.sub

-- read returns stamp, serial, whether it is unconfirmed, and choices of a mark.
local function read(mark)
  local stamp, head = struct.unpack('>I7B', mark)
  local serial, from = math.floor(head / 2), 9
  if serial == 127 then
    serial, from = struct.unpack('>I6', mark, 9), 15
  end
  return stamp, serial, head % 2 == 1, sub(mark, from)
end

local function write(stamp, serial, unconfirmed, choices)
  local flag = unconfirmed and 1 or 0
  if serial < 127 then
    return struct.pack('>I7B', stamp, 2 * serial + flag) .. choices
  end
  return struct.pack('>I7BI6', stamp, 254 + flag, serial) .. choices
end

-- decide returns what becomes of a cast where a mark is, and the mark then.
local function decide(policy, old, cast)
  local stamp, serial, unconfirmed, choices = read(old)
  local newStamp, newSerial, newUnconfirmed, newChoices = read(sub(cast, 26))
  if stamp == newStamp and choices == newChoices then
    if unconfirmed and not newUnconfirmed then
      return REPEATED, write(stamp, serial, false, choices)
    end
    return REPEATED, old
  end
  if policy == 'first' then
    return choices == newChoices and REPEATED or ALREADY, old
  end
  local copy, after = struct.unpack('>BI7', cast)
  if copy == 0 and choices == newChoices and stamp >= after then
    return REPEATED, old
  end
  if stamp >= newStamp or copy == 0 and after ~= 0 and stamp > after then
    return CONFLICT, old
  end
  local votes = copy == 1 and choices == newChoices and serial or serial + 1
  return CHANGED, write(newStamp, math.max(votes, newSerial), newUnconfirmed, newChoices)
end

-- takesVotes reports whether a round does, by this server's clock.
local function takesVotes(opens, closes)
  if opens == '0' and closes == NEVER then
    return true
  end
  local time = call('TIME')
  local now = time[1] * 1000000 + time[2]
  return now >= tonumber(opens) and now < tonumber(closes)
end

-- judge decides the casts ARGV[from..to] of a round, writes down the answers, and
-- returns what is new.
local function judge(round, from, to, room, answers)
  local new = { round = round, begun = 0, confirmed = 0, keys = {}, voters = {}, marks = {}, records = {} }
  local facts = call('HMGET', round, 'opens', 'closes', 'policy', 'marks')
  local refusal = not facts[1] and UNKNOWN or not takesVotes(facts[1], facts[2]) and CLOSED
  if refusal then
    for i = from, to do
      answers[i - 1] = refusal
    end
    return new
  end
  new.before = tonumber(facts[4])
  local buckets, power = extent(new.before)
  local seen = {}
  for i = from, to do
    local cast = ARGV[i]
    local voter = sub(cast, 10, 25)
    local key = bucket(round, home(voter, buckets, power))
    local old = seen[voter] or call('HGET', key, voter)
    local outcome, mark, record = ACCEPTED, nil, nil
    if old then
      outcome, mark = decide(facts[3], old, cast)
    else
      mark, record = sub(cast, 26), sub(cast, 9)
    end
    if mark ~= old and not room then
      answers[i - 1] = FULL
    else
      answers[i - 1] = record and outcome or outcome .. char(#mark) .. mark
    end
    if mark ~= old and room then
      local n = #new.keys + 1
      seen[voter] = mark
      new.keys[n], new.voters[n], new.marks[n] = key, voter, mark
      new.records[n] = record or char(16 + #mark) .. voter .. mark
      if not old then
        new.begun = new.begun + 1
      end
      if byte(mark, 8) % 2 == 0 then
        new.confirmed = new.confirmed + 1
      end
    end
  end
  return new
end

-- judgeAll decides all casts. It returns the answers, what is new in each round,
-- and the entry that holds it, nil when nothing is.
local function judgeAll(room)
  local answers, news, groups, count = {}, {}, {}, 0
  local head, last = ARGV[1], 1
  for r, round in ipairs(KEYS) do
    local at = 9 * r - 7
    local from = last + 1
    last = last + byte(head, at + 8)
    local new = judge(round, from, last, room, answers)
    local n = #new.records
    if n > 0 then
      news[#news + 1] = new
      groups[#groups + 1] = sub(head, at, at + 7) .. char(n) .. table.concat(new.records)
      count = count + n
    end
  end
  if count == 0 then
    return answers, news, nil
  end
  return answers, news, FORMAT .. char(count) .. table.concat(groups)
end

-- split gives a round one bucket more, and that the marks which are at home there.
local function split(round, buckets, power)
  local from = bucket(round, buckets - power)
  local all = call('HGETALL', from)
  local moved, left = {}, {}
  for i = 1, #all, 2 do
    if home(all[i], buckets + 1, power) == buckets then
      left[#left + 1] = all[i]
      moved[#moved + 1] = all[i]
      moved[#moved + 1] = all[i + 1]
    end
  end
  for i = 1, #left, 1000 do
    call('HSET', bucket(round, buckets), unpack(moved, 2 * i - 1, math.min(2 * i + 1998, #moved)))
    call('HDEL', from, unpack(left, i, math.min(i + 999, #left)))
  end
end

-- keep writes down the marks of what is new in a round.
local function keep(new)
  for i, key in ipairs(new.keys) do
    call('HSET', key, new.voters[i], new.marks[i])
  end
  if new.begun > 0 then
    call('HINCRBY', new.round, 'marks', new.begun)
  end
  if new.confirmed ~= new.begun then
    call('HINCRBY', new.round, 'more', new.confirmed - new.begun)
  end
  local buckets, power = extent(new.before)
  for n = buckets, extent(new.before + new.begun) - 1 do
    if n == 2 * power then
      power = n
    end
    split(new.round, n, power)
  end
end

local answers, news, entry = judgeAll(byte(ARGV[1]) == 1)
if entry then
  local written = redis.pcall('XADD', VOTES, '*', 'v', entry)
  if type(written) == 'table' and written.err then
    if not string.find(written.err, 'OOM', 1, true) then
      return written
    end
    answers, news = judgeAll(false)
  end
  for _, new in ipairs(news) do
    keep(new)
  end
end
return table.concat(answers)
