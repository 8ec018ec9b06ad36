#!/bin/sh
# fuzz.sh BUILD SECONDS TARGET... - runs BUILD/fuzz on each target of tests/fuzz.h for SECONDS, from the repository
# root. A line a target: edges that the seeds of tests/corpus/TARGET reach, edges reached in the end, executions,
# executions a second. New inputs stay in BUILD/found/TARGET, where the next run begins; libFuzzer's words are
# BUILD/TARGET.log.
# The exit status is not 0 when an input broke something: it is BUILD/TARGET-{crash,oom,timeout,leak}-HASH then.
set -u
build=$1
seconds=$2
shift 2
# Scratch files are written thousands of times a second: in memory where there is such a place.
scratch=$(mktemp -d -p /dev/shm parapet-fuzz-XXXXXX 2>/dev/null) || scratch=$(mktemp -d "$build/scratch-XXXXXX")
trap 'rm -rf "$scratch"' EXIT
export TMPDIR="$scratch" ASAN_OPTIONS=allocator_may_return_null=1
status=0

for target in "$@"; do
    export PARAPET_FUZZ="$target"
    found=$build/found/$target
    log=$build/$target.log
    seeds=tests/corpus/$target
    [ -d "$seeds" ] || { echo "no seeds in $seeds" >&2; exit 2; }
    mkdir -p "$found"
    before=$("$build/fuzz" -runs=0 "$seeds" 2>&1 | sed -n 's/.*INITED cov: \([0-9]*\).*/\1/p')
    if "$build/fuzz" -max_total_time="$seconds" -rss_limit_mb=2048 -malloc_limit_mb=64 -timeout=10 -max_len=16384 \
        -print_final_stats=1 -artifact_prefix="$build/$target-" "$found" "$seeds" >"$log" 2>&1; then :; else
        grep -E 'ERROR|SUMMARY|fuzz:|runtime error|Test unit written' "$log" >&2
        status=1
    fi
    awk -v t="$target" -v before="${before:-0}" '/ cov: /  {sub(/.* cov: /, ""); after = $1}
        /number_of_executed_units/ {n = $2} /average_exec_per_sec/ {rate = $2}
        END {printf "%-14s edges %5d -> %5d  executions %9d  a second %6d\n", t, before, after, n, rate}' "$log"
done
exit $status
