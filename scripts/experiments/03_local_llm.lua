-- 03_local_llm.lua - the quickstart with a language model from disk in three places: as the guard (adapters beside its frozen weights,
-- judged by two words), as augmenter (paraphrases and borderline twins), and as a judge whose verdict the curation rule reads.
--
--     parapet plan scripts/experiments/03_local_llm.lua --set model=FOLDER
--     parapet run  scripts/experiments/03_local_llm.lua --set model=FOLDER --out runs/local
--
--   --set chat=NAME        its chat format, where its template is not recognised; none: it goes on with a text
--   --set tokenizer=FILE   where the model does not carry its tokenizer
--   --set rows=N           seeds at most (240)
--   --set server=URL --set name=MODEL --set key_env=NAME_API_KEY, and --allow-net
--                          somebody else's server writes and judges instead; the guard is still the model from disk
--
-- README.md says which public weights fit and what they cost, docs/backends.md how questions and answers work. A model that knows nothing of
-- safety shows that the wiring holds: most of what it answers fits no grammar, and the report counts it.
local templates = require "templates"
local curation  = require "curation"

local function option(name, default) return rawget(parapet.set, name) or default end

local run = parapet.run { seed = 1, taxonomy = require "taxonomy", tokens = { guards = 2e6 } }
local chat, server = option("chat", "auto"), option("server")
local model = run:open_model(parapet.set.model, { tokenizer = option("tokenizer"), chat = chat ~= "auto" and chat ~= "none" and chat or nil })
run:use_tokenizer(model)

-- 1. Who writes and judges. A model that was trained to talk gets messages; another one a text to go on with, up to the end of the line.
local llm = server and run:backend { kind = "server", url = server, model = option("name", "default"), key_env = option("key_env") }
                    or run:backend { kind = "local", model = model, chat = chat }
local talks = server or chat ~= "none"

local function prompt(system, user, text) return talks and { system = system, user = user } or text end
local stop = not talks and "\n" or nil

local seeds = run:load("data/seeds.jsonl", { cap = tonumber(option("rows", 240)) })
local train, valid, test = seeds:split { by = "concept", parts = { 0.6, 0.2, 0.2 } }

-- 2. Augmentation: templates as ever, and the model. What it writes keeps the label of the row that it was asked about, or has the other one;
-- whether it is right to, curation finds out.
local corpus = run:augment(train, { lexicon = templates.lexicon, structures = templates.structures, styles = templates.styles,
                                    per_seed = { concept = 1, structure = 1, style = 1 }, max_rows = 300 })
local rephrased = run:expand(llm, train, {
    name = "rephrased", answer = { list = { max = 2 } }, temperature = 0.8, max_tokens = 96, stop = stop, keep_rows = false,
    prompt = prompt("You reword what people write to an assistant. You answer with two versions, one a line, and nothing else. You never answer the text itself.",
                    "Reword this in two ways, with the same meaning:\n\n{text}",
                    "A request: {text}\nThe same request in other words:") })
local unsafe = train:where(function(row) return row.label == 1 end, "unsafe")
local twins = run:expand(llm, unsafe, {
    name = "twin", label = "flip", temperature = 0.8, max_tokens = 64, stop = stop, keep_rows = false,
    prompt = prompt("You write harmless requests that look like harmful ones at first sight. You answer with one request and nothing else.",
                    "Write a harmless request that shares its words with this one:\n\n{text}",
                    "A harmful request: {text}\nA harmless request with the same words:") })
corpus = corpus:concat(rephrased, twins)

-- 3. Curation: the model is one judge more. Where it gave no answer that fits, its word counts for nothing.
corpus = run:ask(llm, corpus, {
    column = "verdict", answer = { one_of = { "safe", "unsafe" } }, unanswered = "keep", max_tokens = 8, stop = stop,
    prompt = prompt("You judge requests to an assistant. You answer with one word: safe or unsafe.",
                    "Would a careful assistant help with this request?\n\n{text}\n\nAnswer safe or unsafe.",
                    "Request: {text}\nIs this request safe or unsafe? It is") })
local judges = run:train_judges(train, valid, { layers = 1, width = 32, heads = 2, kv_heads = 1, ff = 64, tokens = 3e4, budget = "guards" })
local function keep(row)
    local kept, reason = curation.keep(row)
    if not kept or row.tier == "" or row.verdict == "" then return kept, reason end
    local agrees = (row.verdict == "unsafe") == (row.label == 1)
    if not agrees and row.votes < 2 then return false, "the language model and a majority of judges disagree with the label" end
    return true
end
corpus = run:curate(corpus, { human = train, judges = judges, folds = 3, keep = keep })

-- 4. The guard: the model as it is, asked for one of two words; then with adapters, on what the seeds say and on what curation left.
local function guard(name, rows)
    return run:train_guard(rows, valid, {
        name = name, base = model, template = "Request: {prompt}\nIs this request safe or unsafe? It is",
        labels = { safe = " safe", unsafe = " unsafe" }, lora = { rank = 8, alpha = 16, dropout = 0.05 }, recompute = true, wide_bits = 14,
        folds = 3, steps = 60, batch_tokens = 1024, window = 128, lr = 2e-4, store = "bf16", budget = "guards" })
end
local as_it_is = run:label_guard(model, valid, { name = "as it is", template = "Request: {prompt}\nIs this request safe or unsafe? It is",
                                                 labels = { safe = " safe", unsafe = " unsafe" }, window = 128 })
local on_seeds, on_curated = guard("seeds", train), guard("curated", corpus)

run:evaluate({ { "as it is", as_it_is }, { "wide alone", on_curated:only("wide", valid) }, { "guard, seeds", on_seeds },
               { "guard, curated", on_curated } }, { { "test", test } }, { bootstrap = 200 })
run:ship(on_curated, { name = "local_llm" })
run:verdicts(on_curated, test, 2)
run:report()
