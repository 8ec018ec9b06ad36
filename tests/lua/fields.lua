-- fields.lua - fields of a file that become columns, and phrases of a lexicon as rows: rules read both, in both passes.
local run = parapet.run { seed = 1, taxonomy = {{ name = "violence", domain = "d", severity = 1, definition = "one" }} }
local function all() return true end
local rows = run:load("data/corpus/violence.jsonl", { fields = { structure = "string", severity = "number" } })
local grave = rows:count(function(row) return row.structure == "direct" and row.severity == 3 end)
local phrases = run:phrases "data/lexicon/concepts.jsonl"
local twins = phrases:count(function(row) return row.source == "lexicon/twin" end)
if not run.planning then
    assert(grave > 10 and grave < rows:count(all) / 2)
    assert(twins > 1000 and phrases:count(all) >= 2 * twins)
end
