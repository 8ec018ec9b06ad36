-- order.lua - walks and sorts give one order in every process. Run by tests/test_host.c; it asserts.
local function keys(t)
    local out = {}
    for k in pairs(t) do out[#out + 1] = tostring(k) end
    return table.concat(out, " ")
end

-- false, true, numbers (whole and broken by size), then strings by byte
assert(keys { b = 1, a = 1, [2] = 1, [1] = 1, [1.5] = 1, [-3] = 1, [true] = 1, [false] = 1, B = 1, ["10"] = 1 }
       == "false true -3 1 1.5 2 10 B a b")
assert(keys {} == "")
assert(keys { 5, 6, 7 } == "1 2 3")
assert(not pcall(pairs, { [{}] = 1 }))
assert(not pcall(pairs, nil))

-- tables in tables, walked at once
local seen = {}
for k, v in pairs { z = { y = 1, x = 2 }, a = { c = 3, b = 4 } } do
    for l, w in pairs(v) do seen[#seen + 1] = k .. l .. w end
end
assert(table.concat(seen, " ") == "ab4 ac3 zx2 zy1")

-- what is removed during a walk is passed over, what is added is not visited
local t, walked = { a = 1, b = 2, c = 3 }, {}
for k in pairs(t) do
    walked[#walked + 1] = k
    t.b, t.d = nil, 4
end
assert(table.concat(walked, " ") == "a c")

-- next walks the same way
assert(next({}) == nil and next { b = 1, a = 2 } == "a" and next({ b = 1, a = 2 }, "a") == "b")
assert(next({ b = 1, a = 2 }, "b") == nil)

-- sort is stable: ties keep their order
local rows = {}
for i = 1, 100 do rows[i] = { key = i % 7, place = i } end
table.sort(rows, function(x, y) return x.key < y.key end)
for i = 2, 100 do
    local x, y = rows[i - 1], rows[i]
    assert(x.key < y.key or x.key == y.key and x.place < y.place)
end
local words = { "pear", "fig", "apple", "Fig" }
table.sort(words)
assert(table.concat(words, " ") == "Fig apple fig pear")

-- a comparator that contradicts itself gives some order of the same values
local numbers, sum = {}, 0
for i = 1, 33 do numbers[i] = i end
table.sort(numbers, function() return true end)
table.sort(numbers, function(x, y) return (x * y) % 3 ~= 1 end)
for i = 1, 33 do sum = sum + numbers[i] end
assert(#numbers == 33 and sum == 33 * 34 / 2)

-- so does one that empties the table; values of two kinds are an error
local gone = { 3, 2, 1 }
assert(not pcall(table.sort, gone, function(x, y)
    gone[1], gone[2], gone[3] = nil, nil, nil
    return x < y
end) or true)
assert(not pcall(table.sort, { 1, "a" }))
assert(not pcall(table.sort, { 1, 2 }, 3))
table.sort({})
table.sort { 1 }
