-- templates - the three tiers of augmentation as data. Tier 1 pours phrases into frames: for each concept of the lexicon,
-- acts nobody should help with and their safe twins. Tier 2 wraps whole texts. Tier 3 touches the surface. An unsafe
-- row and its twin draw the same frame and the same style, so neither can betray the label.
return {
    lexicon    = "data/lexicon/concepts.jsonl",
    structures = require "templates.structures",
    styles     = require "templates.styles",
    per_seed   = { concept = 3, structure = 1, style = 1 },
    style_share = 0.35,
    max_rows   = 12000,
}
