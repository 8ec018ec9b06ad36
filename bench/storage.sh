#!/bin/sh
# storage.sh DATA OUT [PARAPET] - what storing a guard in fewer bits costs: trains the guard of
# scripts/experiments/07_storage.lua into OUT/run (unless it is there), writes it in every storage type and measures each on
# every set in DATA/dev. The table, in Markdown, goes to OUT/table.md and to standard output. From the repository root.
#
# Average precision where a set has both classes; else recall of the unsafe rows, or the share of safe rows that were
# flagged, at the threshold chosen on validation rows of the guard as it was trained. Percent. Results in full: OUT/TYPE.jsonl.
set -eu
[ $# -ge 2 ] || { echo "usage: sh bench/storage.sh DATA OUT [PARAPET]" >&2; exit 2; }
data=$1 out=$2 parapet=${3:-build/parapet}
types="f32 bf16 q8_0 q4_0 int8"
mkdir -p "$out"
[ -f "$out/run/guard.gguf" ] || "$parapet" run scripts/experiments/07_storage.lua --set data="$data" --out "$out/run" >&2

for type in $types; do
    "$parapet" quantize "$out/run/guard.gguf" "$out/$type.gguf" --type "$type" >&2
    (
        "$parapet" eval --model "$out/$type.gguf" --bootstrap 0 --json "$data"/dev/*_dev.jsonl.gz >"$out/$type.jsonl" 2>/dev/null
        times >"$out/$type.time" # its second line: of children, user and system
    )
    wc -c <"$out/$type.gguf" >"$out/$type.bytes"
done

{
    echo "| set | rows | measure | $(echo "$types" | sed 's/ / | /g') |"
    echo "|---|---|---|---|---|---|---|---|"
    for type in $types; do sed "s/^/$type /" "$out/$type.jsonl"; done | awk -v types="$types" '
        function field(name,   at, s) { # of a line of JSON, "" for null
            at = index($0, "\"" name "\":")
            s = substr($0, at + length(name) + 3)
            sub(/[,}].*/, "", s)
            return at && s != "null" ? s : ""
        }
        {
            set = field("set"); gsub(/"|_dev\.jsonl\.gz/, "", set)
            if (!(set in rows)) { order[++n] = set; rows[set] = field("n") }
            ap = field("average_precision"); recall = field("recall"); fpr = field("fpr")
            measure[set] = ap != "" ? "average precision" : recall != "" ? "recall" : "flagged, safe"
            value[set, $1] = sprintf("%.1f", 100 * (ap != "" ? ap : recall != "" ? recall : fpr))
        }
        END {
            split(types, type, " ")
            for (i = 1; i <= n; i++) {
                line = "| " order[i] " | " rows[order[i]] " | " measure[order[i]]
                for (k = 1; k in type; k++) line = line " | " value[order[i], type[k]]
                print line " |"
            }
        }'
    printf '| all | | bytes'
    for type in $types; do printf ' | %s' "$(tr -d ' ' <"$out/$type.bytes")"; done
    printf ' |\n| all | | eval, CPU seconds'
    for type in $types; do printf ' | %s' "$(awk 'NR == 2 {gsub("s", ""); split($1, u, "m"); split($2, k, "m"); printf "%.0f", 60 * (u[1] + k[1]) + u[2] + k[2]}' "$out/$type.time")"; done
    echo " |"
} >"$out/table.md"
cat "$out/table.md"
