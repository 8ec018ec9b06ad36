-- A server judges and rewrites. --set name=value of the tests: url, and whatever else a back-end may be told.
local function given(name, default) return tonumber(rawget(parapet.set, name) or default) end
local run = parapet.run { seed = 2, taxonomy = require "taxonomy" }
local seeds = run:load("data/seeds.jsonl", { cap = 30 })
local llm = run:backend { kind = "server", url = parapet.set.url, model = "stub", endpoint = rawget(parapet.set, "endpoint"),
                          key_env = rawget(parapet.set, "key_env"), concurrency = given("concurrency", 4), attempts = given("attempts", 3),
                          backoff = 0.01, deadline = 20 }
local more = run:expand(llm, seeds, { prompt = "Say it in another way: {text}", name = "reworded" })
run:ask(llm, more, { prompt = "safe or unsafe? {text}", answer = { one_of = { "safe", "unsafe" } }, column = "verdict", max_tokens = 4 })
run:report()
