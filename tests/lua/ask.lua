-- Rules as a language model: every kind of prompt and answer, and what becomes of them.
local run = parapet.run { seed = 5, taxonomy = require "taxonomy" }
local seeds = run:load("data/seeds.jsonl", { cap = 24 })

local polite = run:backend { kind = "grammar", rules = { start = { "Please {verb}: {prompt}", { "Would you {verb}? {prompt}", weight = 2 }, "no", "{{{prompt}" },
                                                         verb = { "read", "explain", "look at" } } }
local judge = run:backend { kind = "grammar", start = "s", rules = { s = { "{word}.", "Unclear", "{word}" }, word = { "safe", "unsafe" } } }
local scores = run:backend { kind = "grammar", rules = { start = { '{{"label": "{w}", "score": {n}, "sure": true}', "none" }, w = { "a", "b" }, n = { "0.25", "3" } } }
local listed = run:backend { kind = "grammar", rules = { start = { "1. {x} one\n2. {x} two\n3. {prompt}\n4. a" }, x = { "river", "garden" } } }

local more = run:expand(polite, seeds, { prompt = "{text}", name = "polite", per_row = 2 })
if not run.planning then
    assert(more:count(function(row) return row.tier == "" end) == seeds:size())
    assert(more:count(function(row) return row.text == "no" end) == 0, "too short")
    assert(more:count(function(row) return row.tier == "polite" and row.source ~= "backend/polite" end) == 0)
    assert(more:count(function(row) return row.text:sub(1, 1) == "{" and row.tier == "polite" end) > 0)
end
local twins = run:expand(listed, seeds, { prompt = "{text}", answer = { list = { max = 3 } }, name = "twin", label = "flip", keep_rows = false, min_bytes = 2 })
if not run.planning then
    assert(twins:size() == 2 * seeds:size(), "the third item is what was asked about, the fourth is over the bound")
    assert(twins:count(function(row) return row.label == 1 end) == 2 * seeds:count(function(row) return row.label == 0 end))
end

local asked = run:ask(judge, more, {
    prompt = function(row) return { { role = "system", text = "Judge {text}." }, { role = "user", text = row.text } } end,
    answer = { one_of = { "safe", "unsafe" } }, column = "verdict", temperature = 0.5 })
local kept = run:ask(scores, asked, { prompt = { system = "{verdict} {label}", user = "{text} {{ {kept}" }, column = "it", unanswered = "keep",
                                      answer = { json = { label = "string", score = "number", sure = "boolean" } } })
local why = run:ask(judge, kept, { prompt = "{it_score} {it_label} {it_sure}", column = "why", unanswered = "keep" })
local curated = why:where(function(row) return row.verdict == "unsafe" or (row.it_score or 0) > 1 end, "by_answer")
if not run.planning then
    assert(asked:size() < more:size(), "some never say safe or unsafe")
    assert(kept:size() == asked:size() and why:size() == asked:size())
    assert(kept:count(function(row) return row.it_score == 0.25 and row.it_sure and row.it_label ~= "" end) > 0)
    assert(kept:count(function(row) return row.it_score == nil and row.it_label == "" end) > 0, "unanswered ones are kept")
    assert(curated:size() > 0)
end
run:report()
