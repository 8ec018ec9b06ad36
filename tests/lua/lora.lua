-- Adapters beside a model of another family: a guard's and a generator's.
local run = parapet.run { seed = 3, taxonomy = require "taxonomy", tokens = { guards = 1e5, generator = 3e4 } }
local model = run:open_model(parapet.set.model)
run:use_tokenizer(model)

local seeds = run:load("data/seeds.jsonl", { cap = 90 })
local train, valid, test = seeds:split { by = "concept", parts = { 0.6, 0.2, 0.2 } }
local guard = run:train_guard(train, valid, {
    base = model, template = "stone {prompt} river", labels = { safe = "safe", unsafe = "unsafe" }, wide = false, recompute = true,
    lora = { rank = 4, alpha = 8, dropout = 0.1, targets = { "q_proj", "v_proj", "down_proj" } },
    steps = 12, batch_tokens = 512, window = 160, store = "f32", budget = "guards" })
run:train_generator(train, valid, { base = model, lora = { rank = 2 }, steps = 3, batch_tokens = 256, max_tokens = 32,
                                    tokens = 2e4, budget = "generator" })
run:evaluate({ { "adapted", guard } }, { { "test", test } }, { bootstrap = 10 })
