/* kern_pick.c - which table of kernels this CPU gets; the only file that asks about the CPU, but for sha256_x86.c.
 *
 * Reads: kern_impl.h.   Read next: exec.c.
 * Order of preference: the last supported table of the list. NN_KERNELS=name in the environment forces one.
 */
#include "nn/kern_impl.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Haswell (2013) and Excavator (2015) onwards. The table is also built with -mf16c, which clang 14 has no name to ask
 * for: every CPU with AVX2 has it. */
static bool cpu_has_avx2(void)
{
#if (defined(__x86_64__) || defined(__i386__)) && (defined(__GNUC__) || defined(__clang__))
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return false;
#endif
}

/* Ice Lake (2019) and Zen 4 (2022) onwards. Skylake-X, without VNNI, runs avx2. */
static bool cpu_has_avx512(void)
{
#if (defined(__x86_64__) || defined(__i386__)) && (defined(__GNUC__) || defined(__clang__))
    return cpu_has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vnni");
#else
    return false;
#endif
}

const nn_kern *nn_kern_at(size_t i, bool *supported)
{
    const nn_kern *compiled[4] = {nn_kern_base, NULL, NULL, NULL};
    bool runs[4] = {true, false, false, false};
    size_t n = 1;

    if (nn_kern_avx2) {
        compiled[n] = nn_kern_avx2;
        runs[n++] = cpu_has_avx2();
    }
    if (nn_kern_avx512) {
        compiled[n] = nn_kern_avx512;
        runs[n++] = cpu_has_avx512();
    }
    if (nn_kern_neon) {
        compiled[n] = nn_kern_neon; /* only compiled for AArch64, where it is never missing */
        runs[n++] = true;
    }
    if (i >= n) return NULL;
    if (supported) *supported = runs[i];
    return compiled[i];
}

/* "base, avx2": what NN_KERNELS may say here. */
static void list_supported(char *out, size_t cap)
{
    const nn_kern *k;
    bool supported = false;
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; (k = nn_kern_at(i, &supported)) != NULL; i++) {
        if (!supported) continue;
        const int wrote = snprintf(out + used, cap - used, "%s%s", used ? ", " : "", k->name);
        if (wrote < 0 || (size_t)wrote >= cap - used) return;
        used += (size_t)wrote;
    }
}

nn_status nn_kern_pick(const nn_kern **out, const char *name, nn_err *err)
{
    const char *origin = name ? "kernels" : "NN_KERNELS";
    const nn_kern *k;
    bool supported = false, known = false;
    char would_do[64];

    *out = NULL;
    if (!name) name = getenv("NN_KERNELS");
    if (name && name[0] == '\0') name = NULL;
    for (size_t i = 0; (k = nn_kern_at(i, &supported)) != NULL; i++) {
        const bool wanted = !name || strcmp(name, k->name) == 0;
        if (wanted && supported) *out = k;
        if (wanted && name) known = true;
    }
    if (*out) return NN_OK;
    list_supported(would_do, sizeof would_do);
    return nn_fail(err, NN_USAGE, "%s=%s: %s, want one of %s", origin, name ? name : "",
                   known ? "this CPU lacks its instructions" : "no such table of kernels", would_do);
}
