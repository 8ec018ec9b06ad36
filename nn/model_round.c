/* model_round.c - what enters a product, rounded as ggml's kernels round it.
 *
 * Reads: model_impl.h, dtype.h.   Users: model_body.c, model_state.c, decode.c.
 * ggml multiplies weights in F16 or BF16 with rows brought to that type, and weights in blocks with rows in blocks of
 * 8-bit integers (ggml-cpu.c, type_traits_cpu, vec_dot_type): Q8_0 or Q8_1 of 32 numbers, their scale an F16, or Q8_K
 * of 256; its caches hold keys and values in F16. We round nothing unless asked, so our results are those of the
 * weights alone. Where numbers are to be compared with llama.cpp's, this rounding is most of the difference: the
 * perplexity of a 280k-parameter Llama in Q5_0 is 163.94 without it, 166.81 with it, and 166.66 there
 * (docs/numbers.md).
 */
#include "nn/model_impl.h"
#include "nn/op_impl.h"
#include <math.h>

typedef struct {
    const nn_exec *x;
    float *in;
    size_t K;
    nn_dtype type;
} rounding;

static void round_plain(float *row, size_t n, nn_dtype type, float *room)
{
    unsigned char *bytes = (unsigned char *)room;

    nn_dtype_from_f32(bytes, type, row, n);
    const nn_status st = nn_dtype_to_f32(row, type, bytes, n, NULL);
    NN_ASSERT(st == NN_OK);
    (void)st;
}

/* q = rint(127 x / max|x|); the number that is read back is q d, d the scale in the type it is kept in. */
static void round_block(float *x, size_t n, bool f16_scale)
{
    unsigned char half[2];
    float top = 0.0f;

    for (size_t i = 0; i < n; i++) top = fabsf(x[i]) > top ? fabsf(x[i]) : top;
    const float exact = top / 127.0f;
    float d = exact;
    if (f16_scale) {
        nn_dtype_from_f32(half, NN_F16, &exact, 1);
        const nn_status st = nn_dtype_to_f32(&d, NN_F16, half, 1, NULL);
        NN_ASSERT(st == NN_OK);
        (void)st;
    }
    for (size_t i = 0; i < n; i++) x[i] = exact > 0.0f ? d * rintf(x[i] / exact) : 0.0f;
}

static void round_rows(void *ctx, size_t first, size_t last, size_t thread)
{
    const rounding *o = ctx;
    const size_t block = nn_dtype_block(o->type);

    for (size_t r = first; r < last; r++) {
        float *row = o->in + r * o->K;

        if (block == 1) round_plain(row, o->K, o->type, nn_exec_scratch(o->x, thread));
        else
            for (size_t i = 0; i < o->K; i += block) round_block(row + i, block, block == 32);
    }
}

static bool rounds(const nn_body *b, const nn_matrix *w)
{
    return b->round_inputs && w->bytes && w->type != NN_F32;
}

static void round_all(const nn_exec *x, float *in, size_t K, nn_dtype type, size_t R)
{
    rounding o = {x, in, K, type};

    NN_ASSERT(K <= x->scratch_len);
    nn_par_run(&x->par, R, nn_grain(K), round_rows, &o);
}

void nn_round_inputs(const nn_body *b, const nn_exec *x, float *in, const nn_matrix *w, size_t R)
{
    if (rounds(b, w)) round_all(x, in, w->K, w->type, R);
}

void nn_round_cached(const nn_body *b, const nn_exec *x, const nn_block *a, const nn_layer_matrices *w, size_t R)
{
    if (!rounds(b, &w->k)) return;
    round_all(x, a->k, w->k.N, NN_F16, R);
    round_all(x, a->v, w->v.N, NN_F16, R);
}
