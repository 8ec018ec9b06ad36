-- bad_rule.lua - a rule that forgets itself on the second row of the real pass. tests/test_host.c expects the complaint.
local run = parapet.run { taxonomy = require "taxonomy" }
local seeds = run:load("data/seeds.jsonl", { cap = 20 })
local calls = 0
seeds:where(function(row)
    calls = calls + 1
    if calls > 1 then return 3 end
    return row.label == 1
end, "half")
