#!/bin/sh
# llama_cpp.sh - files that `parapet convert --for llama.cpp` writes, as llama.cpp itself reads them: perplexity of a text
# and tokens of the tokenizer suites, beside ours. Prints the tables of docs/numbers.md.
#
#   LLAMA=folder-of-its-programs sh bench/llama_cpp.sh [PARAPET] [SHARED]
#
# LLAMA holds llama-perplexity and llama-tokenize; without it this says so and does nothing.
set -eu
parapet=${1:-build/parapet}
fixtures=${2:-../shared}/fixtures
if [ -z "${LLAMA:-}" ] || [ ! -x "$LLAMA/llama-perplexity" ]; then
    echo "skip: LLAMA names no folder with llama-perplexity and llama-tokenize"
    exit 0
fi
[ -d "$fixtures/llama2xs" ] || { echo "skip: no fixtures in $fixtures"; exit 0; }
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
text=$fixtures/llama2xs/ppl_text.txt

# MODEL CONTEXT: a row for each type
perplexities() {
    for type in f32 f16 bf16 q8_0 q4_0; do
        "$parapet" convert "$1" "$out/m.gguf" --type $type --for llama.cpp --force >"$out/log" 2>&1
        theirs=$("$LLAMA/llama-perplexity" -m "$out/m.gguf" -f "$text" -c "$2" -t 1 2>&1 |
            sed -n 's/^Final estimate: PPL = \([0-9.]*\).*/\1/p')
        ours=$("$parapet" perplexity --model "$out/m.gguf" --context "$2" "$text" 2>/dev/null |
            sed 's/.*perplexity \([0-9.]*\).*/\1/')
        echo "$theirs $ours" | awk -v m="$(basename "$1")" -v t=$type \
            '{ d = ($2 - $1) / $1 * 100; printf "| %s | %s | %s | %s | %.2f%% |\n", m, t, $1, $2, d < 0 ? -d : d }'
    done
}

# MODEL: the same tokens of the whole text; one id a line
tokens() {
    "$parapet" convert "$1" "$out/m.gguf" --type f16 --for llama.cpp --force >"$out/log" 2>&1
    "$LLAMA/llama-tokenize" -m "$out/m.gguf" -f "$text" --ids --no-bos --no-parse-special --log-disable 2>/dev/null |
        tr -d '[] \n' | tr ',' '\n' >"$out/theirs"
    "$parapet" tokenize --model "$out/m.gguf" --ids - <"$text" | tr ' ' '\n' | sed '/^$/d' >"$out/ours"
    echo >>"$out/theirs"
    echo "$(basename "$1"): $(wc -l <"$out/ours") tokens of $(basename "$text")," \
        "$(cmp -s "$out/ours" "$out/theirs" && echo the same || echo others) in llama.cpp"
}

echo "| model | type | llama.cpp | ours | apart |"
echo "|---|---|---|---|---|"
perplexities "$fixtures/llama2xs/llama2xs_f32.gguf" 256
perplexities "$fixtures/stories260K/stories260K.gguf" 256
tokens "$fixtures/llama2xs/llama2xs_f32.gguf"
tokens "$fixtures/stories260K/stories260K.gguf"
"$parapet" convert "$fixtures/llama2xs/llama2xs_f32.gguf" "$out/folder" >"$out/log" 2>&1
tokens "$out/folder" # by way of tokenizer.json
