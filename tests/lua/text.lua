-- text.lua - values as text show no address, which would differ in every process. Run by tests/test_host.c; it asserts.
assert(tostring({}) == "table" and tostring(print) == "function" and tostring(function() end) == "function")
assert(tostring(nil) == "nil" and tostring(1.5) == "1.5" and tostring(3) == "3" and tostring("x") == "x")
assert(tostring(setmetatable({}, { __tostring = function() return "mine" end })) == "mine")
assert(tostring(setmetatable({}, { __name = "thing" })) == "thing")
assert(string.format("%s %s %d", {}, print, 3) == "table function 3")
assert(("%s"):format(setmetatable({}, { __tostring = function() return "mine" end })) == "mine")

local function message(f, ...)
    local _, text = pcall(f, ...)
    return tostring(text)
end
for _, text in ipairs { message(function() return {} .. "" end), message(function() return {} < {} end),
                        message(function() return print + 1 end), message(function() return ({}).x.y end),
                        message(table.concat, { {} }), message(string.rep, {}), message(pairs, { [print] = 1 }),
                        message(function() error({}) end) } do
    assert(not text:find("0x"), text)
end
