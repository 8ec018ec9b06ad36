-- A model in this process answers, as a text that goes on and in a conversation.
local run = parapet.run { seed = 3, taxonomy = require "taxonomy" }
local model = run:open_model(parapet.set.model)
local seeds = run:load("data/seeds.jsonl", { cap = 40 })
local goes_on = run:backend { kind = "local", model = model, chat = "none", slots = 3, context = 128 }
local talks = run:backend { kind = "local", model = model, chat = "chatml", context = 160 }

local more = run:expand(goes_on, seeds, { prompt = "stone {label}", name = "more", per_row = 3, temperature = 1, max_tokens = 24 })
run:ask(talks, more, { prompt = { system = "river", user = "bread" }, answer = { one_of = { "safe", "unsafe" } }, unanswered = "keep", max_tokens = 12 })
