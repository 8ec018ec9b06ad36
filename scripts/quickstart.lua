-- quickstart.lua - the whole study at the size of a laptop: about 3M tokens of training for models of about one
-- million weights, minutes on two cores. Every line that decides something is here or in a file it requires.
--
--     parapet run scripts/quickstart.lua --out runs/quickstart        (make demo)

local taxonomy  = require "taxonomy"
local templates = require "templates"
local curation  = require "curation"
local adversary = require "adversary"

local run = parapet.run { seed = 1, taxonomy = taxonomy,
                          tokens = { guards = 1.2e6, judges = 0.75e6, generator = 0.6e6, adversary = 0.45e6 } }

-- 1. Human seeds, split by concept: what the test asks about was never seen in training, not even reworded.
local seeds = run:load "data/seeds.jsonl"
local train, valid, test = seeds:split { by = "concept", parts = { 0.6, 0.2, 0.2 } }
run:train_tokenizer(train, { vocab = 2048 })

-- The small decoder-only guard: a linear wide part plus a decoder that learns its residual.
local function small_guard(t)
    return run:train_guard(t.train, valid, {
        name = t.name, tokens = t.tokens, init = t.init, wide = t.wide, focus = t.focus, replay = t.replay, lr = t.lr or 2e-3,
        layers = 2, width = 64, heads = 4, kv_heads = 2, ff = 176, memory = 16384, batch_tokens = 2048, budget = "guards" })
end

local on_seeds = small_guard { name = "seeds", train = train, tokens = 1.5e5 }

-- 2. Tiered augmentation: concept expansion, query structures, style mutations, each with safe twins.
local corpus       = run:augment(train, templates)
local on_augmented = small_guard { name = "augmented", train = corpus, tokens = 2.5e5 }

-- 3. Curation: held-out loss over folds, similarity to what humans wrote, and three judges with a majority vote.
local judges = run:train_judges(train, valid, { layers = 2, width = 64, heads = 2, kv_heads = 1, ff = 128,
                                                tokens = 4e5, budget = "judges" })
corpus = run:curate(corpus, { human = train, judges = judges, folds = 5, keep = curation.keep })
local on_curated = small_guard { name = "curated", train = corpus, tokens = 3e5 }
local alone      = small_guard { name = "decoder alone", train = corpus, tokens = 2.5e5, wide = false }

-- 4. The small guard picks the hard-but-learnable rows; the generator is fine-tuned on them.
local scored   = run:score(corpus, { early = on_seeds, late = on_curated })
local hard     = scored:where(curation.hard_but_learnable, "hard_but_learnable")
local generator = run:train_generator(corpus, hard, { layers = 3, width = 128, heads = 4, kv_heads = 2, ff = 352,
                                                      batch_tokens = 512, tokens = 6e5, budget = "generator" })

-- 5. Reinforcement learning turns the generator against the guard. What fools it comes back as hard negatives, beside
-- replayed old rows; a new guard is accepted only if it loses nothing on the validation rows at the same false-positive rate.
local guard, rounds = on_curated, {}
for round = 1, 2 do
    generator = run:attack(generator, { guard = guard, judges = judges, human = train, reward = adversary.reward, watch = adversary.watch,
                                        steps = 12, rollouts = 96, max_new = 40, lr = 1e-4, kl = 0.1, tokens = 1.8e5, budget = "adversary" })
    local found = run:harvest(generator, { round = round, n = 600, max_new = 40, guard = guard, judges = judges, human = train,
                                           tokens = 3e4, budget = "adversary" })
    found = found:where(adversary.hard_negative, "hard_negative")
    local grown     = corpus:concat(found)
    local candidate = small_guard { name = "round " .. round, train = grown, init = guard, tokens = 1e5,
                                    focus = "round", replay = adversary.replay, lr = 5e-4 }
    if run:accept(candidate, guard, valid, { target_fpr = 0.05 }) then guard, corpus = candidate, grown end
    rounds[round] = guard
end

-- 6. Evaluation on held-out concepts, from the floor upwards, and the report.
run:evaluate({ { "wide alone", on_curated:only("wide", valid) }, { "decoder alone", alone }, { "guard, seeds", on_seeds },
               { "guard, augmented", on_augmented }, { "guard, curated", on_curated },
               { "guard, round 1", rounds[1] }, { "guard, round 2", rounds[2] } }, { { "test", test } }, { target_fpr = 0.05 })
run:ship(guard, { name = "quickstart", licence = "CC-BY-4.0" })
run:verdicts(guard, test, 3)
run:report()
