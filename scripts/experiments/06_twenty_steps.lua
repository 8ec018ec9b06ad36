-- 06_twenty_steps.lua - how much memory and time the first steps with a model on disk take, as a guard and as a generator. Its numbers say
-- nothing else: 20 steps of 128 tokens teach a model of this size nothing.
--
--     tests/gen/hf_random.py FOLDER          a model of 301M random weights, or any other folder or file
--     /usr/bin/time -v parapet run scripts/experiments/06_twenty_steps.lua --set model=FOLDER --set tokenizer=FILE --out DIR
--
-- --set part=guard or part=generator: only one of them. --set lora=8: adapters of that rank beside the frozen weights. timing.jsonl in the run's folder has the seconds of each stage.
local run = parapet.run { seed = 1, taxonomy = require "taxonomy", tokens = { guards = 1e5 } }
local model = run:open_model(parapet.set.model, { tokenizer = rawget(parapet.set, "tokenizer") })
local part, rank = rawget(parapet.set, "part"), rawget(parapet.set, "lora")
local lora = rank and { rank = tonumber(rank) }

local seeds = run:load("data/seeds.jsonl", { cap = 60 })
local train, valid = seeds:split { by = "concept", parts = { 0.8, 0.2 } }

if part ~= "generator" then
    local guard = run:train_guard(train, valid, { base = model, template = "Request: {prompt}\nThis request is", wide = false, steps = 20,
                                                  batch_tokens = 128, window = 64, store = "bf16", budget = "guards",
                                                  lora = lora, recompute = lora ~= nil })
    run:evaluate({ { "20 steps", guard } }, { { "valid", valid } }, { bootstrap = 10 })
end
if part ~= "guard" then
    run:pretrain(train, { base = model, steps = 20, batch_tokens = 128, max_tokens = 64, lora = lora, recompute = lora ~= nil })
end
