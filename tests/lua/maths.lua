-- maths.lua - what is left of math, and draws. Run by tests/test_host.c; it asserts.
assert(math.exp(0) == 1 and math.log(1) == 0 and math.sin(0) == 0 and math.cos(0) == 1 and math.log(8, 2) == 3)
for name, want in pairs { pow = 1024, tanh = 0 } do
    assert(math[name](name == "pow" and 2 or 0, 10) == want) -- names that plain Lua 5.4 lacks
end
assert(math.sqrt(2) == 0x1.6a09e667f3bcdp+0 and math.floor(-1.5) == -2 and math.tointeger(3.0) == 3)
assert(not pcall(function() return math.random(3) end))

-- parapet.draw is a function of its arguments
local a, b = parapet.draw("s", "row 1"), parapet.draw("s", "row 2")
assert(a == parapet.draw("s", "row 1") and a ~= b and a ~= parapet.draw("t", "row 1"))
assert(a >= 0 and a < 1)
local seen = {}
for i = 1, 60 do seen[parapet.draw("dice", tostring(i), 6)] = true end
assert(#seen == 6 and seen[0] == nil and seen[7] == nil)
assert(not pcall(parapet.draw, "s", "row", 0))
assert(not pcall(parapet.draw))
