-- styles.lua - style mutations (tier 3): the surface of a text, never what it asks for. rate: share of the letters it could change
-- that are touched, at least one. words: whole words, the longest first, all of them. pieces: one, the same for a pair.
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
        ["want to"] = "wish to", ["help me"] = "kindly help me", ["tell me"] = "kindly inform me", ["show me"] = "kindly show me",
        ["give me"] = "kindly provide me with", ["need"] = "require", ["needs"] = "requires", ["need to"] = "must", ["needs to"] = "must",
        ["buy"] = "purchase", ["start"] = "commence", ["find out"] = "ascertain", ["get rid of"] = "dispose of", ["enough"] = "sufficient",
        ["maybe"] = "perhaps", ["a lot of"] = "a great deal of", ["kid"] = "child", ["kids"] = "children", ["don't"] = "do not",
        ["can't"] = "cannot", ["won't"] = "will not", ["isn't"] = "is not", ["aren't"] = "are not", ["doesn't"] = "does not",
        ["i'm"] = "I am", ["i'll"] = "I shall", ["i'd"] = "I would", ["it's"] = "it is", ["what's"] = "what is", ["that's"] = "that is",
        ["thanks"] = "thank you", ["hi"] = "good day", ["hey"] = "good day" } },
    { name = "opening", kind = "prefix", weight = 2, pieces = {
        "ok so ", "Hello, ", "quick question: ", "hey, ", "Sorry to bother you. ", "Dear assistant, ", "be honest: ", "Listen, ", "Right, " } },
    { name = "closing", kind = "suffix", weight = 2, pieces = {
        " Thanks in advance!", " asap", " :)", " I appreciate it.", " (just curious)", " Keep it short.", " no pressure lol", " Cheers." } },
}
