-- A model of another family that writes: trained on requests, one round of the adversary, another one on plain text.
local adversary = require "adversary"

local run = parapet.run { seed = 4, taxonomy = require "taxonomy", tokens = { guards = 1e5, generator = 1e5, adversary = 1e5 } }
local model = run:open_model(parapet.set.model)
run:use_tokenizer(model)

local seeds = run:load("data/seeds.jsonl", { cap = 90 })
local train, valid = seeds:split { by = "concept", parts = { 0.6, 0.4 } }

local small = { layers = 1, width = 16, heads = 2, kv_heads = 1, ff = 32, tokens = 2e3, budget = "guards" }
local judges = run:train_judges(train, valid, small)
local guard = run:train_guard(train, valid, { base = model, wide_bits = 10, folds = 2, steps = 2, batch_tokens = 512, window = 128,
                                              budget = "guards" })
run:pretrain(train, { base = model, steps = 3, batch_tokens = 256, max_tokens = 32 })
local generator = run:train_generator(train, valid, { base = model, prompt = "stone {label} river {category}: ", steps = 4,
                                                      batch_tokens = 256, max_tokens = 32, lr = 1e-3 })
generator = run:attack(generator, { guard = guard, judges = judges, human = train, reward = adversary.reward,
                                    watch = function() return true end, steps = 2, rollouts = 8, max_new = 8, budget = "adversary" })
run:harvest(generator, { n = 8, max_new = 8, guard = guard, judges = judges, human = train, budget = "adversary" })
run:accept(guard, guard, valid)
run:ship(guard, { name = "foreign" })
