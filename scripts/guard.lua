-- guard.lua - the guard that this repository ships, data/guard.gguf: trained on all the texts of data/ and on nothing else.
--
--     parapet run scripts/guard.lua --out runs/guard        (make ship; two minutes on two cores)
--
-- The quickstart shows the whole study on the seeds alone; here the knowledge is what counts: the written corpus, and what the factory makes of it.
local texts = require "corpus"

local run = parapet.run { seed = 1, taxonomy = require "taxonomy", tokens = { guard = 3e6 } }

-- Concepts held out: the second part chooses threshold and stopping, the third is asked once, at the end.
local written, valid, test = texts.written(run):split { by = "concept", parts = { 0.8, 0.1, 0.1 } }
local seeds, seeds_valid, seeds_test = run:load("data/seeds.jsonl"):split { by = "concept", parts = { 0.8, 0.1, 0.1 } }
local corpus = written:concat(texts.factory(run, written, seeds))
valid, test = valid:concat(seeds_valid), test:concat(seeds_test)

run:train_tokenizer(written:sample(20000), { vocab = 4096 })
local guard = run:train_guard(corpus, valid, { name = "parapet", wide_bits = 18, layers = 1, width = 64, heads = 4, kv_heads = 2, ff = 176,
                                               memory = 8192, batch_tokens = 4096, tokens = 3e6, budget = "guard" })

run:evaluate({ { "wide alone", guard:only("wide", valid) }, { "guard", guard } }, { { "test", test } }, { target_fpr = 0.05 })
run:ship(guard, { name = "parapet", licence = "CC-BY-4.0" })
run:verdicts(guard, test, 3)
run:report()
