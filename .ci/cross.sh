#!/bin/sh
# cross.sh [BUILD] - the same bytes on other machines: builds tests/kern_driver.c with every compiler at hand, for this
# machine and for AArch64, RISC-V and S/390 (static, run by qemu), and compares the hashes. A missing tool is said and
# counted, not hidden.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${1:-build/cross}
mkdir -p "$build"
flags="-std=c99 -I. -ffp-contract=off -fno-math-errno -fno-trapping-math"
sources="nn/kern_pick.c nn/dtype.c nn/err.c nn/mathf.c nn/quantize.c nn/sha256.c nn/sha256_x86.c tests/kern_driver.c"
passed=0 failed=0 skipped=0
: >"$build/hashes"

# one NAME COMPILER X86 RUNNER...: compiles the kernels at -O3, the rest at -O2, and runs the driver
one() {
    name=$1 compiler=$2 avx2= avx512=
    if [ "$3" = x86 ]; then
        avx2="-mavx2 -mfma -mf16c"
        avx512="-mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mfma -mf16c -mprefer-vector-width=512"
    fi
    shift 3
    case $name in
    s390x) extra=-fexcess-precision=fast ;; # see FP in the Makefile
    aarch64-dot) extra=-march=armv8.2-a+dotprod ;; # sdot for int8
    *) extra= ;;
    esac
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
    if $compiler $flags $extra -O3 -c nn/kern_base.c -o "$dir/base.o" && $compiler $flags $extra -O3 $avx2 -c nn/kern_avx2.c -o "$dir/avx2.o" &&
        $compiler $flags $extra -O3 $avx512 -c nn/kern_avx512.c -o "$dir/avx512.o" &&
        $compiler $flags $extra -O3 -c nn/kern_neon.c -o "$dir/neon.o" &&
        $compiler $flags $extra -O2 -static $sources "$dir/base.o" "$dir/avx2.o" "$dir/avx512.o" "$dir/neon.o" -lm -o "$dir/driver" &&
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
x86_64 | amd64) here=x86 ;;
*) here=other ;;
esac
one gcc gcc $here env
one clang clang $here env
one aarch64 aarch64-linux-gnu-gcc other qemu-aarch64
one aarch64-dot aarch64-linux-gnu-gcc other qemu-aarch64
one riscv64 riscv64-linux-gnu-gcc other qemu-riscv64
one s390x s390x-linux-gnu-gcc other qemu-s390x # big-endian

if [ "$(awk '{print $3}' "$build/hashes" | sort -u | wc -l)" != 1 ]; then
    echo "the hashes differ" >&2
    failed=$((failed + 1))
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
