-- corpus.lua - what this repository knows about harm, as rows: the texts written by hand, and what the factory makes of them and of the lexicons.
--
--     local texts   = require "corpus"
--     local written = texts.written(run)             -- data/corpus: unsafe requests, twins, ordinary ones, responses, other languages
--     local made    = texts.factory(run, written)    -- tiers 1 to 3 over these rows, the seeds and the lexicons; without `written` itself
local templates = require "templates"
local languages = require "templates.languages"

local texts = {}

texts.files = { "violence", "weapons", "extremism", "hate", "harassment", "self_harm", "sexual", "child_safety", "sexual_crime", "fraud", "cyber",
    "drugs", "property_crime", "privacy", "deception", "bad_advice", "ip", "injection", "ordinary", "responses", "languages" }

-- Structures of data/corpus that put something around a request.
texts.wrapped = { justified = true, roleplay = true, multistep = true, buried = true, dialogue = true, continuation = true, form = true, wrapper = true }

-- All frames: the quickstart's and the many more of wrappers.lua.
texts.structures = {}
for _, list in ipairs { templates.structures, require "templates.wrappers" } do
    for _, frame in ipairs(list) do texts.structures[#texts.structures + 1] = frame end
end

local function concat(list) return list[1]:concat(table.unpack(list, 2)) end

-- Rows with a label, of files in one folder.
function texts.load(run, names, before, after, options)
    local files = {}
    for i, name in ipairs(names) do files[i] = run:load(before .. name .. after, options) end
    return concat(files):where(function(row) return row.label ~= nil end, "labelled")
end

function texts.written(run)
    return texts.load(run, texts.files, "data/corpus/", ".jsonl", { fields = { structure = "string" } })
end

-- What augment adds to the seeds it was given.
local function made(run, seeds, lexicon, structures, per_seed)
    local all = run:augment(seeds, { lexicon = lexicon, structures = structures, styles = templates.styles, per_seed = per_seed, style_share = 0.35 })
    return all:where(function(row) return row.tier ~= "" end, "made")
end

-- The seeds' concepts and the bank of acts poured into frames, ordinary acts in the same frames, frames around the written rows, and the concepts that
-- every language has in ten languages. `seeds`: rows of data/seeds.jsonl; all of them when absent.
function texts.factory(run, written, seeds)
    seeds = seeds or run:load "data/seeds.jsonl"
    local bank, ordinary = run:phrases "data/lexicon/acts.jsonl", run:phrases "data/lexicon/ordinary.jsonl"
    local named = seeds:where(languages.has, "concepts in every language")
    local parts = { seeds, bank, ordinary,
        made(run, seeds, templates.lexicon, texts.structures, { concept = 8, structure = 2, style = 1 }),
        made(run, bank, "data/lexicon/acts.jsonl", texts.structures, { concept = 3, structure = 0, style = 0 }),
        made(run, ordinary, "data/lexicon/ordinary.jsonl", texts.structures, { concept = 3, structure = 0, style = 0 }),
        made(run, written, templates.lexicon, texts.structures, { concept = 0, structure = 3, style = 1 }) }
    for _, lang in ipairs(languages.order) do
        parts[#parts + 1] = made(run, named, languages[lang].lexicon, languages[lang].structures, { concept = 10, structure = 0, style = 0 })
    end
    return concat(parts)
end

return texts
