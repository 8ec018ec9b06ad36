#!/bin/sh
# run.sh BUILD [PATTERN] - runs BUILD/test_all from the repository root and ends with the line
# "N passed, N failed, N skipped". The exit status is not 0 when a test failed or crashed, when the
# runner itself broke, or when a sanitizer wrote anything (leaks do not fail a Criterion test).
set -u
build=$1
pattern=${2:-}
out=$build/test-out
rm -rf "$out"
mkdir -p "$out/tmp" "$out/san"
: >"$out/skips"

export PARAPET_SKIPS="$PWD/$out/skips" TMPDIR="$PWD/$out/tmp" PARAPET_BIN="$PWD/$build/parapet"
case $out in /*) PARAPET_SKIPS=$out/skips TMPDIR=$out/tmp PARAPET_BIN=$build/parapet ;; esac
export ASAN_OPTIONS="log_path=$out/san/asan:allocator_may_return_null=1"
export LSAN_OPTIONS="suppressions=$out/lsan.supp:print_suppressions=0"
echo leak:criterion_handle_args >"$out/lsan.supp" # Criterion keeps its argument strings
export UBSAN_OPTIONS="log_path=$out/san/ubsan:print_stacktrace=1"

case $pattern in
'') set -- ;;
*/*) set -- --filter="$pattern" ;;
*) set -- --filter="$pattern/*" ;;
esac
"$build/test_all" "$@" --jobs 2 --output=tap:"$out/result.tap"
status=$?

# TAP: "ok - suite::test", "not ok - suite::test"; what the pattern leaves out and what skips itself is
# "ok ... # SKIP", and only the latter wrote to the skips file.
skipped=$(wc -l <"$out/skips")
passed=$(grep '^ok' "$out/result.tap" | grep -vc '# SKIP')
failed=$(grep -c '^not ok' "$out/result.tap")

for log in "$out"/san/*; do
    [ -e "$log" ] || continue
    echo "sanitizer report $log:" >&2
    head -40 "$log" >&2
    status=1
done
[ "$failed" = 0 ] || status=1
[ "$((passed + failed + skipped))" != 0 ] || { echo "no test matches '$pattern'" >&2; status=1; }
echo "$passed passed, $failed failed, $skipped skipped"
exit "$status"
