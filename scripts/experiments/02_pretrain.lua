-- 02_pretrain.lua - does next-token training on plain text help the small guard? The same guard twice on the same rows, once from
-- random weights, once from a language model of the same body trained on FOLDER/pretrain. Long: leave it in the background.
--
--     parapet run scripts/experiments/02_pretrain.lua --set data=FOLDER --set tokens=7000000 --out runs/pretrain
--
-- Measured before, elsewhere: 7M tokens of pretraining gained nothing for such models.
local run = parapet.run { seed = 1, taxonomy = require "taxonomy", tokens = { pretrain = 1e9, guards = 2e7 } }
local data, tokens = parapet.set.data, assert(tonumber(parapet.set.tokens), "--set tokens=N: want a number")

local train_files = { "advbench", "aart", "benign_clinc", "benign_gpteacher", "benign_self_instruct", "benign_web_queries", "davidson",
    "deepset_injection", "implicit_hate", "jailbreak_templates", "paradetox", "red_instruct", "sap", "toxic_spans", "toxigen" }
local dev_files = { "toxicchat", "wildguard", "openai_moderation", "xstest", "jailbreakbench" }

local files = {}
for i, name in ipairs(train_files) do files[i] = run:load(data .. "/train/" .. name .. ".jsonl.gz", { cap = 4000 }) end
local rows = files[1]:concat(table.unpack(files, 2)):where(function(row) return row.label ~= nil end, "labelled")
local train, valid = rows:split { by = "id", parts = { 0.93, 0.07 } }

local plain = run:load(data .. "/pretrain/t0.jsonl.gz", { cap = 60000 }):concat(run:load(data .. "/pretrain/novels.jsonl.gz", { cap = 20000 }))
run:train_tokenizer(train:concat(plain:sample(20000)), { vocab = 6144 })

local body = { layers = 3, width = 128, heads = 4, kv_heads = 2, ff = 352, batch_tokens = 4096 }
local function with(extra)
    local o = {}
    for k, v in pairs(body) do o[k] = v end
    for k, v in pairs(extra) do o[k] = v end
    return o
end

local lm   = run:pretrain(plain, with { max_tokens = 248, epochs = 4, tokens = tokens, budget = "pretrain" })
local cold = run:train_guard(train, valid, with { name = "from random", tokens = 5e6, memory = 8192, lr = 1e-3, budget = "guards" })
local warm = run:train_guard(train, valid, with { name = "pretrained", tokens = 5e6, memory = 8192, lr = 1e-3, warm = lm, budget = "guards" })

local sets = {}
for i, name in ipairs(dev_files) do sets[i] = { name, run:load(data .. "/dev/" .. name .. "_dev.jsonl.gz") } end
run:evaluate({ { "wide alone", cold:only("wide", valid) }, { "decoder alone, random", cold:only("decoder", valid) },
               { "decoder alone, pretrained", warm:only("decoder", valid) }, { "from random", cold }, { "pretrained", warm } }, sets,
             { bootstrap = 200 })
run:ship(warm, { name = "pretrained" })
run:report()
