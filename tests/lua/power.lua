-- power.lua - '^' in a comment, in "^a", in [[ ^ ]] is none; the one in line 8 is told.
--[==[ 2 ^ 3
]] still a comment ^ ]==]
local taxonomy = { { name = "a", domain = "d", severity = 1, definition = "one" } }
local run = parapet.run { taxonomy = taxonomy }
local text = "a^" .. 'b\'^' .. [[ ^ ]] .. [=[ ]] ^ ]=]

local eight = 2 ^ 3
assert(run ~= nil and #text > 0 and eight == 8)
