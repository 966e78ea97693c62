-- What several scripts share.

local VOTES = '{popeye}:votes'
local call = redis.call

-- identity returns the random name of this server's data, and gives it the one
-- proposed if it has none.
local function identity(proposed)
  local name = call('GET', '{popeye}:server')
  if not name then
    name = proposed
    call('SET', '{popeye}:server', name)
  end
  return name
end

-- micros returns this server's clock, in microseconds since 1970.
local function micros()
  local time = call('TIME')
  return time[1] * 1000000 + time[2]
end

-- digits writes out a number that tostring would round.
local function digits(number)
  return string.format('%.0f', number)
end

-- named returns the value behind a name, where names and values take turns.
local function named(list, name)
  for i = 1, #list, 2 do
    if list[i] == name then
      return list[i + 1]
    end
  end
end

-- parts returns the two numbers of a position in the stream.
local function parts(position)
  local ms, seq = string.match(position, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end

local function isBefore(a, b)
  local ams, aseq = parts(a)
  local bms, bseq = parts(b)
  return ams < bms or ams == bms and aseq < bseq
end

-- excused returns a reply, and nil for an error that says no more than it may. Any
-- other error ends the script.
local function excused(reply, excuse)
  if type(reply) ~= 'table' or not reply.err then
    return reply
  end
  if not string.find(reply.err, excuse, 1, true) then
    error(reply)
  end
end

-- group returns up to where the workers' group was given entries, how many of
-- them are pending, the first of these, and how many it was not given yet; nil
-- when there is no group.
local function group()
  for _, g in ipairs(excused(redis.pcall('XINFO', 'GROUPS', VOTES), 'no such key') or {}) do
    if named(g, 'name') == 'workers' then
      local pending = call('XPENDING', VOTES, 'workers')
      return named(g, 'last-delivered-id'), pending[1], pending[2], named(g, 'lag') or 0
    end
  end
end
