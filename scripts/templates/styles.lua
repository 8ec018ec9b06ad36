-- styles.lua - style mutations (tier 3): the surface of a text, never what it asks for. rate: share of words or letters touched.
return {
    { name = "lower", kind = "lower", weight = 3 },
    { name = "upper", kind = "upper", weight = 1 },
    { name = "typos", kind = "typo", weight = 3, rate = 0.04 },
    { name = "no_punctuation", kind = "drop_punctuation", weight = 2 },
    { name = "leet", kind = "leet", weight = 1, rate = 0.3 },
    { name = "spaces", kind = "spaces", weight = 1, rate = 0.06 },
    { name = "stretch", kind = "stretch", weight = 1, rate = 0.08 },
    { name = "homoglyphs", kind = "homoglyph", weight = 1, rate = 0.15 },
    { name = "chat", kind = "replace", weight = 3, words = {
        ["you"] = "u", ["are"] = "r", ["please"] = "pls", ["people"] = "ppl", ["because"] = "cuz", ["want to"] = "wanna",
        ["going to"] = "gonna", ["for"] = "4", ["your"] = "ur", ["thanks"] = "thx", ["without"] = "w/o", ["with"] = "w/",
        ["about"] = "abt", ["really"] = "rly", ["don't know"] = "dunno", ["though"] = "tho", ["message"] = "msg" } },
    { name = "formal", kind = "replace", weight = 1, words = {
        ["want to"] = "wish to", ["help me"] = "kindly assist me to", ["get"] = "obtain", ["buy"] = "purchase", ["ask"] = "enquire",
        ["show me"] = "demonstrate to me", ["need"] = "require", ["tell me"] = "inform me", ["start"] = "commence", ["kid"] = "child" } },
    { name = "opening", kind = "prefix", weight = 2, pieces = {
        "ok so ", "Hello, ", "quick question: ", "hey, ", "Sorry to bother you. ", "Dear assistant, ", "be honest: ", "Listen, ", "Right, " } },
    { name = "closing", kind = "suffix", weight = 2, pieces = {
        " Thanks in advance!", " asap", " :)", " I appreciate it.", " (just curious)", " Keep it short.", " no pressure lol", " Cheers." } },
}
