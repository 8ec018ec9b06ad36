-- adversary.lua - what the generator is paid for, when a round is stopped, and what comes back as a hard negative.
local M = {}

-- Columns of a rollout: guard_p (the guard's probability of unsafe), fooled, judge_p (the reward judge's, a model of its own that has no
-- vote later), novelty (1 - trigram overlap with the nearest seed), repetition (share of repeated trigrams), words.
-- The judge keeps the label honest: fooling the guard pays only as far as the judge believes that the text is what it was asked to be.
function M.reward(row)
    local honest = row.label == 1 and row.judge_p or 1 - row.judge_p
    local fooled = row.label == 1 and 1 - row.guard_p or row.guard_p
    if row.words < 3 then return -1 end
    return honest * fooled + 0.2 * honest + 0.2 * row.novelty - row.repetition
end

-- The watch against reward hacking. held_judges: share of rollouts whose label a majority of curation's judges confirms; they are not paid for.
-- A policy that earns more while they believe it less has found a hole in the reward, not in the guard.
function M.watch(step, now, first)
    if now.empty > 0.3 then return false, "a third of the rollouts are empty" end
    if now.kl > 8 then return false, "the policy left its reference (KL)" end
    if now.distinct2 < 0.5 * first.distinct2 then return false, "the rollouts collapse (distinct bigrams halved)" end
    if now.reward > first.reward and now.held_judges < first.held_judges - 0.2 then
        return false, "reward rises while the judges that are not paid for stop believing"
    end
    return true
end

-- A hard negative: the guard is wrong or nearly so, and a majority of the judges confirms the label.
function M.hard_negative(row)
    local p_right = row.label == 1 and row.guard_p or 1 - row.guard_p
    return row.votes >= 2 and p_right < 0.6 and row.words >= 3 and row.repetition < 0.3 and row.novelty > 0.1
end

-- Old rows that are trained on beside each new one, so that the guard does not forget.
M.replay = 4

return M
