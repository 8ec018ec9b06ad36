-- 00_small.lua - every stage of the quickstart at the smallest size that still does its work: seconds, not minutes. The tests run
-- it for same bytes over threads, compilers, kills and processes; its numbers mean nothing.
local templates = require "templates"
local curation  = require "curation"
local adversary = require "adversary"

local run = parapet.run { seed = 1, taxonomy = require "taxonomy", tokens = { guards = 2e5, generator = 6e4, adversary = 6e4 } }

local seeds = run:load("data/seeds.jsonl", { cap = 360 })
local train, valid, test = seeds:split { by = "concept", parts = { 0.6, 0.2, 0.2 } }
run:train_tokenizer(train, { vocab = 512 })

local function small_guard(t)
    return run:train_guard(t.train, valid, { name = t.name, tokens = 1.6e4, init = t.init, focus = t.focus, wide_bits = 12, folds = 3,
                                             layers = 1, width = 32, heads = 2, kv_heads = 1, ff = 64, memory = 512, batch_tokens = 1024,
                                             lr = 3e-3, budget = "guards" })
end

local on_seeds = small_guard { name = "seeds", train = train }
local corpus   = run:augment(train, { lexicon = templates.lexicon, structures = templates.structures, styles = templates.styles,
                                      per_seed = { concept = 1, structure = 1, style = 1 }, max_rows = 300 })
local judges   = run:train_judges(train, valid, { layers = 1, width = 32, heads = 2, kv_heads = 1, ff = 64, tokens = 1.6e4, budget = "guards" })
corpus = run:curate(corpus, { human = train, judges = judges, folds = 3, keep = curation.keep })
local guard = small_guard { name = "curated", train = corpus }

local hard = run:score(corpus, { early = on_seeds, late = guard }):where(curation.hard_but_learnable, "hard_but_learnable")
local generator = run:train_generator(corpus, hard, { layers = 1, width = 32, heads = 2, kv_heads = 1, ff = 64, max_tokens = 48, tokens = 4e4,
                                                      budget = "generator" })
generator = run:attack(generator, { guard = guard, judges = judges, human = train, reward = adversary.reward, watch = adversary.watch,
                                    steps = 2, rollouts = 16, max_new = 16, tokens = 1.5e4, budget = "adversary" })
local found = run:harvest(generator, { n = 48, max_new = 16, guard = guard, judges = judges, human = train, tokens = 1e3, budget = "adversary" })
local grown = corpus:concat(found:where(adversary.hard_negative, "hard_negative"))
local candidate = small_guard { name = "round 1", train = grown, init = guard, focus = "round" }
if run:accept(candidate, guard, valid) then guard = candidate end

run:evaluate({ { "wide alone", on_seeds:only("wide", valid) }, { "guard", guard } }, { { "test", test } }, { bootstrap = 50 })
run:ship(guard, { name = "small" })
run:verdicts(guard, test, 2)
run:report()
