-- public.lua - which public files the experiments read, and how much a linear model should believe each.
local public = {}

public.train = { "aart", "advbench", "benign_arena", "benign_awesome_prompts", "benign_clinc", "benign_gpteacher", "benign_gsm8k",
    "benign_mobileaibench", "benign_self_instruct", "benign_web_queries", "convabuse", "cyberseceval", "davidson", "deepset_injection",
    "diasafety", "dices", "gptfuzz_responses", "implicit_hate", "jailbreak_templates", "paradetox", "red_instruct", "sap",
    "toxic_spans", "toxigen" }

-- Evaluation only: nothing is trained, stopped, calibrated or chosen on these.
public.dev = { "toxicchat", "wildguard", "openai_moderation", "xstest", "jailbreakbench", "jbb_attacks", "harmbench", "ailuminate",
    "notinject", "diasafety", "gptfuzz_responses", "xsafety_multilingual" }

-- A linear model learns each source's style faster than a network: these weights are for the wide part alone.
local source_weight = { aart = 0.3, cyberseceval = 0.3, mobileaibench = 0.3, red_instruct = 0.5 }
local profane = { davidson = true, toxic_spans = true, paradetox = true }

function public.wide_weight(row)
    local source = row.source:match("^[^/]*")
    if profane[source] and row.label == 0 then return 0.15 end
    return source_weight[source] or 1
end

return public
