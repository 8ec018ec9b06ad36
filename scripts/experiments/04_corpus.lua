-- 04_corpus.lua - what the written corpus is worth to a linear guard: public rows alone, with a quarter, a half and all of the corpus, and the
-- corpus alone; then the corpus without its twins, without its ordinary rows, and its unsafe rows with neither.
--
--     parapet run scripts/experiments/04_corpus.lua --set data=FOLDER --set seed=1 --out runs/corpus
--
-- FOLDER as in 01_real_data.lua. Wide parts alone: minutes, and the measure of text, not of models. Thresholds come from held-out public rows and corpus
-- concepts, the same for every guard.
local sources = require "public"

local run = parapet.run { seed = tonumber(parapet.set.seed), taxonomy = require "taxonomy" }

local corpus_files = { "violence", "weapons", "extremism", "hate", "harassment", "self_harm", "sexual", "child_safety", "sexual_crime", "fraud", "cyber",
    "drugs", "property_crime", "privacy", "deception", "bad_advice", "ip", "injection", "ordinary", "responses", "languages" }

local function load_all(names, before, after, options)
    local files = {}
    for i, name in ipairs(names) do files[i] = run:load(before .. name .. after, options) end
    return files[1]:concat(table.unpack(files, 2)):where(function(row) return row.label ~= nil end, "labelled"):column("wide_weight", sources.wide_weight)
end

local public, public_valid = load_all(sources.train, parapet.set.data .. "/train/", ".jsonl.gz", { cap = 12000 }):split { by = "id", parts = { 0.93, 0.07 } }
local corpus, corpus_valid = load_all(corpus_files, "data/corpus/", ".jsonl"):split { by = "concept", parts = { 0.9, 0.1 } }
local first, second = corpus:split { by = "concept", parts = { 0.25, 0.25, 0.5 } }
local valid = public_valid:concat(corpus_valid)
run:train_tokenizer(public:concat(corpus):sample(20000), { vocab = 4096 })

local guards = {}
local function add(name, rows)
    guards[#guards + 1] = { name, run:train_guard(rows, valid, { name = name, decoder = false, wide_bits = 18, wide_weight_column = "wide_weight" }) }
end
add("public", public)
add("public + 1/4", public:concat(first))
add("public + 1/2", public:concat(first, second))
add("public + corpus", public:concat(corpus))
add("corpus", corpus)
add("no twins", public:concat(corpus:where(function(row) return row.source ~= "corpus/twin" end, "no twins")))
add("no ordinary", public:concat(corpus:where(function(row) return row.source ~= "corpus/ordinary" end, "no ordinary")))
add("unsafe only", public:concat(corpus:where(function(row) return row.label == 1 end, "unsafe only")))

local sets = {}
for _, name in ipairs(sources.dev) do sets[#sets + 1] = { name, run:load(parapet.set.data .. "/dev/" .. name .. "_dev.jsonl.gz") } end
run:evaluate(guards, sets, { target_fpr = 0.05, bootstrap = 100 })
run:report()
