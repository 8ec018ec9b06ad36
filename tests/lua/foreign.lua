-- A model of another family in every role of a run: asked in a conversation, trained twice over, its tokenizer shared.
local run = parapet.run { seed = 3, taxonomy = require "taxonomy", tokens = { guards = 1e5 } }
local model = run:open_model(parapet.set.model, { chat = "chatml" })
run:use_tokenizer(model)

local seeds = run:load("data/seeds.jsonl", { cap = 90 })
local train, valid, test = seeds:split { by = "concept", parts = { 0.6, 0.2, 0.2 } }

local asked = run:label_guard(model, valid, {
    messages = { { role = "user", text = "stone {prompt}" } },
    response_messages = { { role = "user", text = "stone {prompt}" }, { role = "assistant", text = "{response}" }, { role = "user", text = "river" } },
    labels = { safe = "safe", unsafe = "unsafe" }, window = 160 })
local parts = { { special = "<|im_start|>" }, "stone {prompt}", { special = "<|im_end|>" } }
local options = { base = model, template = parts, wide_bits = 10, folds = 2, steps = 2, batch_tokens = 512, window = 160, budget = "guards" }
local first = run:train_guard(train, valid, options)
options.init, options.name = first, "again"
local again = run:train_guard(train, valid, options)
local ours = run:train_guard(train, valid, { name = "ours", layers = 1, width = 16, heads = 2, kv_heads = 1, ff = 32, wide_bits = 10, folds = 2,
                                             steps = 2, batch_tokens = 512, window = 160, budget = "guards" })

run:evaluate({ { "asked", asked }, { "again", again }, { "alone", again:only("decoder", valid) }, { "ours", ours } }, { { "test", test } },
             { bootstrap = 10 })
run:ship(again, { name = "foreign" })
