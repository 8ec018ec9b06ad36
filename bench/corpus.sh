#!/bin/sh
# corpus.sh DATA OUT [PARAPET] - what the written corpus is worth: scripts/experiments/04_corpus.lua with seeds 1, 2, 3 into OUT/1, OUT/2, OUT/3
# (those that are not there yet, or not finished). Means over the seeds, in percent, and M with its least and greatest value, as a table in
# Markdown: OUT/table.md and standard output. From the repository root.
#
# M: mean of average precision on toxicchat, wildguard, openai_moderation and of ROC AUC on xstest, jailbreakbench. The other columns are at the
# threshold of 5% false positives on validation rows.
set -eu
[ $# -ge 2 ] || { echo "usage: sh bench/corpus.sh DATA OUT [PARAPET]" >&2; exit 2; }
data=$1 out=$2 parapet=${3:-build/parapet}
mkdir -p "$out"
for seed in 1 2 3; do
    [ -f "$out/$seed/report.json" ] && continue
    resume=; [ ! -d "$out/$seed" ] || resume=--resume
    "$parapet" run scripts/experiments/04_corpus.lua --set data="$data" --set seed=$seed --out "$out/$seed" $resume >/dev/null
done

# One result a line: seed, guard, set, average precision, ROC AUC, recall, false-positive rate; "null" where undefined.
for seed in 1 2 3; do
    tr '{' '\n' <"$out/$seed/report.json" | sed 's/^/{/' | awk -v seed=$seed '
        function field(name,   at, s) {
            at = index($0, "\"" name "\":")
            s = substr($0, at + length(name) + 3)
            sub(/[,}].*/, "", s)
            gsub(/"/, "", s)
            return at ? s : "null"
        }
        /^\{"guard":/ && /"average_precision":/ {
            print seed "\t" field("guard") "\t" field("set") "\t" field("average_precision") "\t" field("roc_auc") "\t" field("recall") "\t" field("fpr")
        }'
done >"$out/results.tsv"

awk -F '\t' '
    BEGIN {
        n = split("toxicchat wildguard openai_moderation xstest jailbreakbench", two, " ")
        m = split("jailbreakbench notinject", safe, " ")
        k = split("ailuminate harmbench jbb_attacks xsafety_multilingual", harm, " ")
        line = "| trained on"; rule = "|---"
        for (i = 1; i <= n; i++) { line = line " | " (i <= 3 ? "AP " : "AUC ") two[i]; rule = rule "|---" }
        line = line " | M (least to greatest)"; rule = rule "|---"
        for (i = 1; i <= m; i++) { line = line " | FPR " safe[i]; rule = rule "|---" }
        for (i = 1; i <= k; i++) { line = line " | recall " harm[i]; rule = rule "|---" }
        print line " |"; print rule "|"
    }
    {
        if (!($2 in seen)) { order[++guards] = $2; seen[$2] = 1 }
        seeds[$1] = 1
        ap[$1, $2, $3] = $4; auc[$1, $2, $3] = $5; recall[$1, $2, $3] = $6; fpr[$1, $2, $3] = $7
    }
    function score(s, g, i) { return i <= 3 ? ap[s, g, two[i]] : auc[s, g, two[i]] }
    END {
        for (s in seeds) count++
        for (g = 1; g <= guards; g++) {
            name = order[g]; line = "| " name; total = 0; least = 2; most = -1
            for (i = 1; i <= n; i++) { sum = 0; for (s in seeds) sum += score(s, name, i); line = line sprintf(" | %.1f", 100 * sum / count) }
            for (s in seeds) {
                here = 0
                for (i = 1; i <= n; i++) here += score(s, name, i) / n
                total += here; if (here < least) least = here; if (here > most) most = here
            }
            line = line sprintf(" | **%.3f** (%.3f to %.3f)", total / count, least, most)
            for (i = 1; i <= m; i++) { sum = 0; for (s in seeds) sum += fpr[s, name, safe[i]]; line = line sprintf(" | %.1f", 100 * sum / count) }
            for (i = 1; i <= k; i++) { sum = 0; for (s in seeds) sum += recall[s, name, harm[i]]; line = line sprintf(" | %.1f", 100 * sum / count) }
            print line " |"
        }
    }' "$out/results.tsv" >"$out/table.md"
cat "$out/table.md"
