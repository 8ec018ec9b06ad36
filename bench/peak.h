/* peak.h - what the machine can do at most, measured in the run that compares with it.
 *
 * Products: loops of the one instruction, on 12 independent accumulators in registers, no memory. Reads: sums over a
 * buffer, one or four streams a thread, whichever is faster. All on the threads of x; the best of several tries.
 */
#ifndef BENCH_PEAK_H
#define BENCH_PEAK_H
#include "nn/exec.h"

double peak_fma_gflops(const nn_exec *x); /* fp32; 0: not known for this CPU */
double peak_i8_gops(const nn_exec *x);    /* vpdpbusd; 0 without the instruction */
double peak_read_gbs(const nn_exec *x, const void *bytes, size_t len);
#endif
