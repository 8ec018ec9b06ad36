-- five.lua - prints what a careless script would: walks of tables, sorts with ties, values as text, draws, and what the
-- quickstart's rules say about made-up rows. tests/test_host.c runs it in five processes and compares the bytes.
local curation  = require "curation"
local adversary = require "adversary"
local run = parapet.run { taxonomy = require "taxonomy" }

local function show(t, depth)
    local parts = {}
    for k, v in pairs(t) do
        parts[#parts + 1] = tostring(k) .. "=" .. (type(v) == "table" and depth < 4 and show(v, depth + 1) or tostring(v))
    end
    return "{" .. table.concat(parts, " ") .. "}"
end

print("five: begin")
print(show(require "templates.styles", 0))
print(show(require "taxonomy", 0))
local words = {}
for i = 1, 40 do words[i] = { key = parapet.draw("keys", tostring(i), 5), name = "row" .. i } end
table.sort(words, function(a, b) return a.key < b.key end)
print(show(words, 0))

local function draw(name, i) return parapet.draw(name, tostring(i)) end
local step = { reward = 0, kl = 0, distinct2 = 1, held_judges = 1, empty = 0 }
for i = 1, 60 do
    local row = { tier = i % 9 == 0 and "" or "concept", label = i % 2, text = "made-up row " .. i, words = i % 12,
                  dup = draw("dup", i), votes = parapet.draw("votes", tostring(i), 4) - 1, loss = 5 * draw("loss", i),
                  sim = draw("sim", i), sim_other = draw("other", i), loss_late = 3 * draw("late", i),
                  loss_early = 3 * draw("early", i), guard_p = draw("p", i), judge_p = draw("judge", i),
                  novelty = draw("novelty", i), repetition = draw("repetition", i) }
    local now = { reward = draw("reward", i), kl = 10 * draw("kl", i), distinct2 = draw("distinct", i),
                  held_judges = draw("held", i), empty = 0.5 * draw("empty", i) }
    print(i, curation.keep(row))
    print(i, curation.hard_but_learnable(row), adversary.hard_negative(row), string.format("%.17g", adversary.reward(row)))
    print(i, adversary.watch(i, now, step))
    print(string.format("%.17g %.17g %.17g", math.exp(row.loss), math.log(row.sim), math.sin(row.loss_late)), print, row)
end
print("five: end")
run:load("data/seeds.jsonl", { cap = 20 })
