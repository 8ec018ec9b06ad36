-- curation.lua - which synthetic rows stay, and which of them are hard but learnable. Rules read columns by name;
-- a rule returns a verdict and, when it drops a row, the reason that stands in the corpus beside it.
local M = {}

-- Columns: tier ("" for a human seed), loss (held-out, over folds), sim (to the nearest human row of the same label), sim_other (of
-- the other label), dup (trigram share with an earlier row), votes (judges that agree with the label, 0 to 3). A few hundred seeds make weak
-- judges: on their word alone half of the right rows would go, so a row goes when a majority AND the held-out loss speak against it.
function M.keep(row)
    if row.tier == "" then return true end                      -- human seeds always stay
    if row.dup > 0.9 then return false, "repeats an earlier row" end
    if row.votes < 2 and row.loss > 1 then return false, "a majority of judges and the held-out loss disagree with the label" end
    if row.loss > 3.5 then return false, "held-out loss says the label is wrong" end
    if row.sim < 0.15 then return false, "unlike anything people wrote" end
    if row.sim_other - row.sim > 0.25 then return false, "closer to the other label" end
    return true
end

-- Hard: the guard is not sure yet. Learnable: its loss fell between an early and a late guard.
-- Our choice of bounds: rows in the middle half of what a guard at its threshold still gets wrong or barely right.
function M.hard_but_learnable(row)
    return row.loss_late > 0.15 and row.loss_late < 2.5 and row.loss_late <= row.loss_early + 0.05
end

return M
