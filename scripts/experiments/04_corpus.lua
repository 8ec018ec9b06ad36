-- 04_corpus.lua - what the written corpus is worth to a linear guard: public rows alone, with a quarter, a half and all of the corpus, with what the
-- factory makes of it, and without the public rows; then the corpus without its twins, without its ordinary rows, without its wrappers, and its
-- unsafe rows alone.
--
--     parapet run scripts/experiments/04_corpus.lua --set data=FOLDER --set seed=1 --out runs/corpus_1
--
-- FOLDER as in 01_real_data.lua. Wide parts alone: minutes, and the measure of text, not of models. Thresholds come from held-out public rows and corpus
-- concepts, the same for every guard. `sh bench/corpus.sh FOLDER OUT` runs it with three seeds and prints means.
local sources = require "public"
local texts = require "corpus"

local run = parapet.run { seed = tonumber(parapet.set.seed), taxonomy = require "taxonomy" }

local function weighted(corpus) return corpus:column("wide_weight", sources.wide_weight) end

local public, public_valid = weighted(texts.load(run, sources.train, parapet.set.data .. "/train/", ".jsonl.gz", { cap = 12000 })):split { by = "id", parts = { 0.93, 0.07 } }
local corpus, corpus_valid = weighted(texts.written(run)):split { by = "concept", parts = { 0.9, 0.1 } }
local first, second = corpus:split { by = "concept", parts = { 0.25, 0.25, 0.5 } }
local valid = public_valid:concat(corpus_valid)
local factory = weighted(texts.factory(run, corpus))

run:train_tokenizer(public:concat(corpus):sample(20000), { vocab = 4096 })

local guards = {}
local function add(name, rows)
    guards[#guards + 1] = { name, run:train_guard(rows, valid, { name = name, decoder = false, wide_bits = 20, wide_weight_column = "wide_weight" }) }
end
local function without(name, keep) return public:concat(corpus:where(keep, name)) end

add("public", public)
add("public + 1/4", public:concat(first))
add("public + 1/2", public:concat(first, second))
add("public + corpus", public:concat(corpus))
add("public + factory", public:concat(factory))
add("public + corpus + factory", public:concat(corpus, factory))
add("corpus", corpus)
add("corpus + factory", corpus:concat(factory))
add("no twins", without("no twins", function(row) return row.source ~= "corpus/twin" end))
add("no ordinary", without("no ordinary", function(row) return row.source ~= "corpus/ordinary" end))
add("no wrappers", without("no wrappers", function(row) return not texts.wrapped[row.structure] end))
add("unsafe only", without("unsafe only", function(row) return row.label == 1 end))

local sets = {}
for _, name in ipairs(sources.dev) do sets[#sets + 1] = { name, run:load(parapet.set.data .. "/dev/" .. name .. "_dev.jsonl.gz") } end
run:evaluate(guards, sets, { target_fpr = 0.05, bootstrap = 100 })
run:report()
