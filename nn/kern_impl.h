/* kern_impl.h - the kernel tables; for kern_pick.c, the instance files and tests of them only.
 *
 * Reads: kern.h.   Read next: kern_pick.c.
 * Why pointers: an instance file compiled for another machine, or without its -m flags, publishes NULL. So one list of
 * sources builds everywhere.
 */
#ifndef NN_KERN_IMPL_H
#define NN_KERN_IMPL_H
#include "nn/kern.h"

extern const nn_kern *const nn_kern_base;   /* never NULL */
extern const nn_kern *const nn_kern_avx2;   /* needs -mavx2 -mfma -mf16c */
extern const nn_kern *const nn_kern_avx512; /* needs the flags named in kern_avx512.c */
extern const nn_kern *const nn_kern_neon;   /* needs AArch64 */
#endif
