/* decimal.h - a number written in decimal to the double nearest to it.
 *
 * Read next: json_scan.c (its user).
 * Why: strtod reads the decimal point of the program's locale, and tokenizer scores must be the same on every machine.
 */
#ifndef NN_DECIMAL_H
#define NN_DECIMAL_H
#include <stddef.h>
#include <stdint.h>

/* Digits that decide the nearest double: no point halfway between two doubles has more than 767 (Clinger 1990, How to
 * Read Floating Point Numbers Accurately); whoever cuts longer numbers here puts a 1 behind when what went is not 0. */
#define NN_DECIMAL_DIGITS 768u

/* digit[0] .. digit[n - 1] (characters '0' to '9', n <= NN_DECIMAL_DIGITS + 1, read as an integer) times 10^exp10,
 * rounded to nearest, ties to even; infinity beyond the largest double. */
double nn_decimal_f64(const char *digit, size_t n, int64_t exp10);
#endif
