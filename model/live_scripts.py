"""What the live log's Redis server runs for each change, in Lua, so that a change is there as a whole or not at all.

Keys: sequence, log, state, metadata, inputs, and for an upsert codes and leaves of its ID space
(:mod:`model.live_redis`). Arguments: how many changes the log keeps, the floor, the item and its standing; then for a
mark its name, and for an upsert the ID space, digest, metadata, inputs, whether this is the last attempt, and for each
modality the leaf to share, how many are offered, and those. An upsert without a digest claims codes and changes nothing
else.
"""

_COMMON = """
local function read(item, standing)
  local state = redis.call('HGET', KEYS[3], item) or standing
  local sequence, digest, deleted, available = string.match(state, '^(%d+) (%S+) ([01]) ([01])$')
  return tonumber(sequence), digest, deleted, available
end
local function write(kind, item, digest, deleted, available, floor, ...)
  local last = redis.call('GET', KEYS[1]) or '0'
  local sequence = math.max(tonumber(last), tonumber(floor)) + 1
  local number = string.format('%.0f', sequence)
  redis.call('SET', KEYS[1], number)
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[1], number .. '-0', 'last', last, 'kind', kind, 'item', item, ...)
  redis.call('HSET', KEYS[3], item, number .. ' ' .. digest .. ' ' .. deleted .. ' ' .. available)
  return sequence
end
"""
UPSERT = (
    _COMMON
    + """
local _, floor, item, standing, space, digest, metadata, inputs, last = unpack(ARGV, 1, 9)
local sequence, before, deleted, available = read(item, standing)
local codes = redis.call('HGET', KEYS[6], item)
if codes and (digest == '' or digest == before) then return {sequence, 0, codes} end
if not codes then
  local chosen, at, modality = {}, 10, 0
  while ARGV[at] do
    local shared, count, found = ARGV[at], tonumber(ARGV[at + 1]), nil
    for i = at + 2, at + 1 + count do
      local holder = redis.call('HGET', KEYS[7], modality .. ':' .. ARGV[i])
      if not holder or holder == item then found = ARGV[i] break end
    end
    if not found and last == '0' then return {0, 0, false} end
    chosen[#chosen + 1] = found or shared
    at, modality = at + 2 + count, modality + 1
  end
  for i, leaf in ipairs(chosen) do redis.call('HSETNX', KEYS[7], (i - 1) .. ':' .. leaf, item) end
  codes = table.concat(chosen)
  redis.call('HSET', KEYS[6], item, codes)
end
if digest == '' then return {sequence, 1, codes} end
if deleted == '1' then available = '1' end
redis.call('HSET', KEYS[4], item, metadata)
redis.call('HSET', KEYS[5], item, inputs)
return {write('upsert', item, digest, '0', available, floor, 'space', space, 'codes', codes), 1, codes}
"""
)
MARK = (
    _COMMON
    + """
local _, floor, item, standing, mark = unpack(ARGV)
if standing == '' and redis.call('HEXISTS', KEYS[3], item) == 0 then return false end
local sequence, digest, deleted, available = read(item, standing)
if mark == 'delete' then
  if deleted == '1' then return {sequence, 0} end
  redis.call('HDEL', KEYS[4], item)
  redis.call('HDEL', KEYS[5], item)
  return {write(mark, item, '-', '1', '1', floor), 1}
end
if deleted == '1' then return false end
local wanted = mark == 'show' and '1' or '0'
if available == wanted then return {sequence, 0} end
return {write(mark, item, digest, '0', wanted, floor), 1}
"""
)
