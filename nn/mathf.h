/* mathf.h - exp, log, pow, sin, cos, tanh that give the same bits everywhere.
 *
 * Why: libm's last bits change with the library and with the CPU's FMA flag; a
 * verdict must not. Everything here uses only + - * /, fma, sqrt, rint, ldexp on IEEE
 * types, in one written order. Bounds below are measured by tests/test_mathf.c against long double
 * over the whole range (sampled; the float exp exhaustively with PARAPET_EXHAUSTIVE=1).
 * The float exp that kernels inline is the same text, nn/expf_body.h, and equals nn_expf bit for bit.
 */
#ifndef NN_MATHF_H
#define NN_MATHF_H

float nn_expf(float x);  /* <= 1.0 ulp; 0 below -103.97, inf above 88.72 */
float nn_logf(float x);  /* <= 0.501 ulp; -inf at 0, NaN below */
float nn_powf(float x, float y); /* like logf: the double one, rounded (<= 0.501 ulp) */
float nn_sinf(float x);
float nn_cosf(float x);
float nn_tanhf(float x);

double nn_exp(double x); /* <= 1.5 ulp */
double nn_log(double x); /* <= 1.5 ulp */
double nn_pow(double x, double y); /* exp(y log x) in double-double: <= 2 ulp for |y log x| < 700 */
double nn_sin(double x); /* <= 1.5 ulp for |x| < 2^50, NaN beyond */
double nn_cos(double x);
double nn_tanh(double x);    /* <= 2.5 ulp */
double nn_log1p(double x);   /* <= 2 ulp */
double nn_sigmoid(double x); /* 1/(1+exp(-x)) without overflow: <= 2.5 ulp */
double nn_softplus(double x); /* log(1+exp(x)) without overflow: <= 2.5 ulp */
#endif
