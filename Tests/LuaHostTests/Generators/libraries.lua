-- Writes what Lua's own string and table functions answer, one "expression<TAB>answer" a line:
--     lua5.4 Tests/LuaHostTests/Generators/libraries.lua > Tests/LuaHostTests/Fixtures/libraries.txt     (Lua 5.4.4)
math.randomseed(5)

local function pick(list) return list[math.random(#list)] end

local texts = { '', 'a', 'aab', 'hello world', '  two  words ', 'key = value, other=1', '(a(b)c)d)', 'x\\0y', 'THE (quick) fox', 'äöü', 'f(a,b)', '0x1F -12.5', 'aXbXc', '\\n\\t', ']]' }
local items = { 'a', 'b', '.', '%a', '%d', '%s', '%w', '%u', '%l', '%p', '%x', '%c', '%g', '%A', '%S', '%D', '[abc]', '[^a]', '[a-f]', '[%w_]', '[^%s]', '[]]', '[^]]', '[a-]', '[%-x]', '%.', '%(', '%%', 'X', '=', ' ', '\\0' }
local others = { '()', '%b()', '%f[%w]', '%f[^%w]', '%f[%z]', '(a)', '(%w+)', '(.-)', '(%s*)', '((a)b)', '%bxy' }
local repeats = { '', '', '', '*', '+', '-', '?' }

local function pattern()
  local parts, closed = { pick { '', '', '', '^' } }, 0
  for _ = 1, math.random(1, 4) do
    if math.random() < 0.3 then
      local other = pick(others)
      parts[#parts + 1] = other
      if other:find('^%(') then closed = closed + select(2, other:gsub('%(', '')) end
    else
      parts[#parts + 1] = pick(items) .. pick(repeats)
    end
    if closed > 0 and math.random() < 0.1 then parts[#parts + 1] = '%' .. math.random(closed) end
  end
  parts[#parts + 1] = pick { '', '', '', '$' }
  return table.concat(parts)
end

local rows = {}
local function add(format, ...) rows[#rows + 1] = format:format(...) end

for _ = 1, 120 do
  add("('%s'):find('%s'%s)", pick(texts), pattern(), pick { '', '', ', 2', ', -2', ', 100', ', 0' })
  add("('%s'):match('%s'%s)", pick(texts), pattern(), pick { '', '', ', 2', ', -3' })
  add("all(('%s'):gmatch('%s'%s))", pick(texts), pattern(), pick { '', '', ', 3' })
  add("('%s'):gsub('%s', '%s'%s)", pick(texts), pattern(), pick { '<%0>', '', '%1', '%%', 'x%1y' }, pick { '', '', ', 1', ', 0', ', -1' })
  add("('%s'):gsub('%s', %s)", pick(texts), pattern(), pick { "{ a = 'A', b = false }", 'string.upper', 'function(...) return select("#", ...) end', 'function() end' })
end
for _, row in ipairs {
  "('a.b'):find('.', 1, true)", "('a'):find('')", "(''):find('')", "('abc'):find('', 10)", "('abc'):find('', 4)", "('a\\0b'):find('\\0')", "('abc'):find('b', -1)", "('a+b'):find('+', 1, true)",
  "('abc'):gsub('', '-')", "('abc'):gsub('%w', '%0%0', 2)", "('hello world'):gsub('o', '0', 1)", "('abc'):gsub('b*', 'x')", "all(('abc'):gmatch(''))", "all(('a,b,,c'):gmatch('([^,]*)'))", "all(('^a^a'):gmatch('^a'))",
  "('$x'):match('%$x')", "('a$'):match('a$')", "('a$b'):match('a$b')", "(123):rep(2)", "('x'):find(1)", "('1'):find(1)", "('abc'):match('()b()')", "('THE (quick) fox'):find('%((%a+)%)')",
  "('x'):rep(3)", "('x'):rep(3, ',')", "('ab'):rep(1, ',')", "('ab'):rep(0)", "('ab'):rep(-5)", "('ab'):rep(1000):len()", "(''):rep(3, 'ab')", "('abc'):rep(7, '--')",
  "table.concat({1, 2, 'x', 2.5}, ', ')", "table.concat({}, 'x')", "table.concat({1, 2, 3}, '-', 2)", "table.concat({1, 2, 3}, '-', 2, 3)", "table.concat({1, 2, 3}, '-', 3, 2)", "table.concat({'a'}, '-', 1, 1)",
  "list(function(t) table.insert(t, 4) end)", "list(function(t) table.insert(t, 1, 4) end)", "list(function(t) table.insert(t, 4, 9) end)", "list(function(t) table.insert(t, 2, 9) end)", "list(function(t) return table.remove(t) end)",
  "list(function(t) return table.remove(t, 1) end)", "list(function(t) return table.remove(t, 4) end)", "list(function(t) return table.remove(t, 3) end)", "table.remove({})", "table.remove({}, 0)", "table.remove({[0] = 'z'}, 0)",
  "list(function(t) table.move(t, 1, 3, 2) end)", "list(function(t) table.move(t, 2, 3, 1) end)", "list(function(t) return #table.move(t, 1, 3, 1, {}) end)", "list(function(t) table.move(t, 3, 1, 5) end)", "list(function(t) return table.concat(table.move({7, 8}, 1, 2, 3, t), ' ') end)",
  "list(function(t) table.sort(t, function(a, b) return a > b end) end)", "sorted(1)", "sorted(2)", "sorted(3)", "sorted(10)", "sorted(97)", "sorted(1000)", "words('the quick brown fox jumps over the lazy dog')",
  "logged(function(t) table.insert(t, 'x') end)", "logged(function(t) return table.remove(t, 1) end)", "logged(function(t) return table.concat(t, '+') end)", "logged(function(t) table.move(t, 1, 2, 2) end)",
  "xpcall(function(...) return ... end, print, 1, nil, 3)", "xpcall(error, function(e) return e .. '!' end, 'x', 0)", "xpcall(error, function() return 1, 2 end)", "pcall(xpcall)", "all(coroutine.wrap(function(...) coroutine.yield(...) coroutine.yield(2) end))",
  "pcall(coroutine.wrap(function() error({}) end)) == false", "select('#', coroutine.wrap(function() return end)())", "coroutine.wrap(function() return xpcall(coroutine.yield, print, 1) end)()", "resumed()", "load('return ...')(5)", "load(function() end) ~= nil", "loaded { 'return ', '1', ' + 2' }", "load('x = 1', 'c', 't', { })()",
  "load('return x', 'c', 't', { x = 3 })()", "(load('x ='))", "getmetatable(setmetatable({}, { __metatable = 7 }))", "setmetatable({}, nil) ~= nil",
} do rows[#rows + 1] = row end

local prelude = [[
local function all(next)
  local found = {}
  for _ = 1, 50 do
    local row = table.pack(next())
    if row.n == 0 or row[1] == nil then break end
    for i = 1, row.n do row[i] = tostring(row[i]) end
    found[#found + 1] = table.concat(row, ':')
  end
  return table.concat(found, '|')
end
local function list(change)
  local t = { 10, 20, 30 }
  local result = tostring((change(t)))
  for i = 1, 6 do t[i] = tostring(t[i]) end
  return result .. ' ' .. table.concat(t, ' ', 1, 6)
end
local function sorted(count)
  local t, state = {}, 7
  for i = 1, count do state = (state * 1103515245 + 12345) % 2147483648 t[i] = state end
  table.sort(t)
  for i = 2, count do if t[i] < t[i - 1] then return 'wrong' end end
  return t[1] .. ' ' .. t[count]
end
local function words(text)
  local t = {}
  for word in text:gmatch('%a+') do t[#t + 1] = word end
  table.sort(t)
  return table.concat(t, ' ')
end
local function logged(change)
  local data, log = { 'a', 'b', 'c' }, {}
  local proxy = setmetatable({}, {
    __index = function(_, k) log[#log + 1] = 'get ' .. tostring(k) return data[k] end,
    __newindex = function(_, k, v) log[#log + 1] = 'set ' .. tostring(k) .. '=' .. tostring(v) data[k] = v end,
    __len = function() return #data end,
  })
  return tostring((change(proxy))) .. ' ' .. table.concat(log, ',')
end
local function resumed()
  local co = coroutine.wrap(function(a) local ok, b = xpcall(function() return coroutine.yield(a + 1) end, print) return ok, b end)
  return co(1), co(5)
end
local function loaded(parts)
  local i = 0
  return load(function() i = i + 1 return parts[i] end)()
end
local function answer(...)
  local values = table.pack(...)
  for i = 1, values.n do values[i] = ('%q'):format(values[i]):gsub('\n', 'n') end
  return table.concat(values, ' ', 1, values.n)
end
]]

-- Shared with the test.
io.write(prelude, '----\n')
for _, row in ipairs(rows) do
  local run = assert(load(prelude .. 'return answer(' .. row .. ')'))
  local ok, result = pcall(run)
  -- What Lua notices only where it gets so far is left out: here a malformed pattern is an error everywhere.
  if ok then io.write(row, '\t', result, '\n') end
end
