-- 07_storage.lua - what storing a guard in fewer bits costs: one guard, written as f32, to be written again by `parapet quantize`.
--
--     parapet run scripts/experiments/07_storage.lua --set data=FOLDER --out runs/storage
--     parapet quantize runs/storage/guard.gguf int8.gguf            (also: --type q8_0, q4_0, bf16)
--     parapet eval --model int8.gguf FOLDER/dev/toxicchat_dev.jsonl.gz
--
-- or all of it as one table: sh bench/storage.sh FOLDER runs/storage
--
-- FOLDER as in 01_real_data.lua. The decoder alone: the wide part is the same in every type but f32, and would hide what the decoder loses.
local run = parapet.run { seed = 1, taxonomy = require "taxonomy", tokens = { guard = 2.5e6 } }

local files = {}
for i, name in ipairs { "aart", "advbench", "benign_awesome_prompts", "benign_clinc", "benign_gpteacher", "benign_self_instruct", "benign_web_queries",
                        "convabuse", "deepset_injection", "red_instruct", "sap", "toxigen" } do
    files[i] = run:load(parapet.set.data .. "/train/" .. name .. ".jsonl.gz", { cap = 4000 })
end
local rows = files[1]:concat(table.unpack(files, 2)):where(function(row) return row.label ~= nil end, "labelled")
local train, valid = rows:split { by = "id", parts = { 0.93, 0.07 } }
run:train_tokenizer(train:sample(20000), { vocab = 4096 })
local guard = run:train_guard(train, valid, { name = "storage", wide = false, layers = 4, width = 128, heads = 4, kv_heads = 2, ff = 384, memory = 16384,
                                              tokens = 2.4e6, batch_tokens = 4096, store = "f32", budget = "guard" })
run:ship(guard, { name = "storage", store = "f32" })
run:report()
