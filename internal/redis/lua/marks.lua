-- A round's marks are spread over hashes ("buckets") that stay so small that
-- Redis keeps them packed. Their number grows with that of the marks, one bucket
-- at a time (linear hashing; W. Litwin, VLDB 1980): buckets hold LOAD to twice
-- LOAD marks, and the address of a voter follows from the number of marks alone.
-- So LOAD must never change while there are rounds.

local LOAD = 24

-- extent returns how many buckets there are for so many marks, and the highest
-- power of two in that number.
local function extent(marks)
  local buckets = math.floor(marks / LOAD) + 1
  local _, bits = math.frexp(buckets)
  return buckets, 2 ^ (bits - 1)
end

-- home returns the number of the bucket where a voter's mark is, from 0. Voters
-- are random numbers, in at least a part of their bytes.
local function home(voter, buckets, power)
  local a, b, c, d = struct.unpack('>I4I4I4I4', voter)
  local n = (a + b + c + d) % (2 * power)
  if n >= buckets then
    n = n - power
  end
  return n
end

-- bucket returns the key of bucket number n of the round whose key is given.
local function bucket(round, n)
  return round .. ':' .. n
end
