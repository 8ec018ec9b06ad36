-- 01_real_data.lua - the whole loop on public data, evaluated on sets that nothing was trained, chosen or calibrated on.
--
--     parapet run scripts/experiments/01_real_data.lua --set data=FOLDER --out runs/real
--
-- FOLDER holds train/*.jsonl.gz (rows with text, label, source, sometimes response) and dev/*.jsonl.gz (evaluation only). At most 12,000
-- rows of a file, a guard of at most 3M weights, one to two passes. What to expect: a linear model on such text reaches M = 0.71
-- (mean of average precision on toxicchat, wildguard, openai_moderation and ROC AUC on xstest, jailbreakbench).
local templates = require "templates"
local curation  = require "curation"
local adversary = require "adversary"
local public    = require "public"

local run = parapet.run { seed = 1, taxonomy = require "taxonomy",
                          tokens = { guards = 3.2e7, judges = 2e6, generator = 4e6, adversary = 1e6 } }

-- 1. What people wrote: the public rows, and this project's seeds.
local files = {}
for i, name in ipairs(public.train) do files[i] = run:load(parapet.set.data .. "/train/" .. name .. ".jsonl.gz", { cap = 12000 }) end
local human = files[1]:concat(table.unpack(files, 2)):where(function(row) return row.label ~= nil end, "labelled")
local people, people_valid = human:split { by = "id", parts = { 0.93, 0.07 } }
local seeds, seeds_valid = run:load("data/seeds.jsonl"):split { by = "concept", parts = { 0.8, 0.2 } }
local written = people:concat(seeds):column("wide_weight", public.wide_weight)
local valid   = people_valid:concat(seeds_valid)
run:train_tokenizer(written:sample(40000), { vocab = 6144 })

-- 2.5M weights, most of them n-gram memory: one layer over it serves as well in the sum as several, and trains three times as fast.
local function small_guard(t)
    return run:train_guard(t.train, valid, {
        name = t.name, tokens = t.tokens, epochs = 2, init = t.init, wide = t.wide, focus = t.focus, replay = t.replay, lr = t.lr or 1e-3,
        wide_bits = 18, wide_weight_column = "wide_weight", layers = 1, width = 96, heads = 4, kv_heads = 2, ff = 256, memory = 16384,
        batch_tokens = 4096, budget = "guards" })
end

local on_people = small_guard { name = "public rows", train = written, tokens = 8e6 }

-- 2. and 3. Augmentation of the seeds, curation against everything that people wrote.
local synthetic = run:augment(seeds, { lexicon = templates.lexicon, structures = templates.structures, styles = templates.styles,
                                       per_seed = { concept = 8, structure = 2, style = 1 }, style_share = 0.35, max_rows = 24000 })
local sample = people:sample(8000):concat(seeds)
local judges = run:train_judges(sample, valid, { layers = 1, width = 64, heads = 2, kv_heads = 1, ff = 176, memory = 8192, tokens = 1e6, budget = "judges" })
synthetic = run:curate(synthetic, { human = sample, judges = judges, folds = 5, keep = curation.keep })
local corpus = written:concat(synthetic:column("wide_weight", public.wide_weight))
local guard  = small_guard { name = "with synthetic rows", train = corpus, tokens = 1.0e7 }
local alone  = small_guard { name = "decoder alone", train = corpus, tokens = 1.0e7, wide = false }

-- 4. and 5. Selection, generator, one adversarial round.
local scored    = run:score(synthetic, { early = on_people, late = guard })
local hard      = scored:where(curation.hard_but_learnable, "hard_but_learnable")
local generator = run:train_generator(synthetic, hard, { layers = 3, width = 128, heads = 4, kv_heads = 2, ff = 352, max_tokens = 64,
                                                         batch_tokens = 1024, tokens = 2e6, budget = "generator" })
generator = run:attack(generator, { guard = guard, judges = judges, human = seeds, reward = adversary.reward, watch = adversary.watch,
                                    steps = 30, rollouts = 128, max_new = 40, tokens = 7e5, budget = "adversary" })
local found = run:harvest(generator, { round = 1, n = 3000, max_new = 40, guard = guard, judges = judges, human = seeds,
                                       tokens = 1.2e5, budget = "adversary" }):where(adversary.hard_negative, "hard_negative")
local grown     = corpus:concat(found:column("wide_weight", public.wide_weight))
local candidate = small_guard { name = "round 1", train = grown, init = guard, tokens = 2e6, lr = 3e-4, focus = "round", replay = 20 }
local last = run:accept(candidate, guard, valid, { target_fpr = 0.05 }) and candidate or guard

-- 6. Every evaluation set, the floor first.
local sets = {}
for _, name in ipairs(public.dev) do
    sets[#sets + 1] = { name, run:load(parapet.set.data .. "/dev/" .. name .. "_dev.jsonl.gz") }
end
run:evaluate({ { "wide alone", guard:only("wide", valid) }, { "decoder alone", alone }, { "public rows", on_people },
               { "with synthetic", guard }, { "after round 1", last } }, sets, { target_fpr = 0.05, bootstrap = 200 })
run:ship(last, { name = "real data" })
run:report()
