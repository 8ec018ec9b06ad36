#!/bin/sh
# cross.sh [BUILD] - the same bytes on other machines: builds tests/kern_driver.c with every compiler at hand, for this
# machine and for AArch64 (static, run by qemu), and compares the hashes. A missing tool is said and counted, not hidden.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${1:-build/cross}
mkdir -p "$build"
flags="-std=c99 -I. -ffp-contract=off -fno-math-errno -fno-trapping-math"
sources="nn/kern_pick.c nn/err.c nn/mathf.c nn/sha256.c nn/sha256_x86.c tests/kern_driver.c"
passed=0 failed=0 skipped=0
: >"$build/hashes"

# one NAME COMPILER AVX2-FLAGS RUNNER...: compiles the kernels at -O3, the rest at -O2, and runs the driver
one() {
    name=$1 compiler=$2 avx2=$3
    shift 3
    for tool in "$compiler" "$@"; do
        if ! command -v "$tool" >/dev/null 2>&1; then
            echo "skip: $name: no $tool" >&2
            skipped=$((skipped + 1))
            return
        fi
    done
    dir=$build/$name
    mkdir -p "$dir"
    # shellcheck disable=SC2086
    if $compiler $flags -O3 -c nn/kern_base.c -o "$dir/base.o" && $compiler $flags -O3 $avx2 -c nn/kern_avx2.c -o "$dir/avx2.o" &&
        $compiler $flags -O3 -c nn/kern_neon.c -o "$dir/neon.o" &&
        $compiler $flags -O2 -static $sources "$dir/base.o" "$dir/avx2.o" "$dir/neon.o" -lm -o "$dir/driver" &&
        "$@" "$dir/driver" >"$dir/out"; then
        sed "s/^/$name /" "$dir/out" | tee -a "$build/hashes"
        passed=$((passed + 1))
    else
        echo "$name failed" >&2
        cat "$dir/out" >&2
        failed=$((failed + 1))
    fi
}

case $(uname -m) in
x86_64 | amd64) avx2="-mavx2 -mfma -mf16c" ;;
*) avx2= ;;
esac
one gcc gcc "$avx2" env
one clang clang "$avx2" env
one aarch64 aarch64-linux-gnu-gcc "" qemu-aarch64

if [ "$(awk '{print $3}' "$build/hashes" | sort -u | wc -l)" != 1 ]; then
    echo "the hashes differ" >&2
    failed=$((failed + 1))
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
