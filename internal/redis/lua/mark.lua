-- mark returns the mark of a voter, as cast.lua writes it, nil when there is none.
--
-- KEYS[1]  the round
-- ARGV[1]  the voter

local marks = redis.call('HGET', KEYS[1], 'marks')
if not marks then
  return nil
end
return redis.call('HGET', bucket(KEYS[1], home(ARGV[1], extent(tonumber(marks)))), ARGV[1])
