/* sample.c - drawing one token id from logits.
 *
 * Reads: decode.h.   Read next: sample_cut.c (top-k and top-p).
 * Temperature, then top-k, then top-p (nucleus: Holtzman et al. 2019, arXiv:1904.09751, sec. 3.1), then one draw. The
 * draw is defined by chains: add the probabilities one by one, in double; u times the whole is passed at one of them.
 * Equal probabilities go by id, so a draw has one value on every machine.
 * WHY not the chains: 8192 dependent additions, and again up to the place, were most of a draw's 27 us; now 11. Sums in
 * any order tell the place too, except where u falls within their rounding of a border (nn_chain_slack); there the
 * chains decide. At n = 8192 all borders together are 10^-7 of the range of u.
 */
#include "nn/decode.h"
#include "nn/sample_impl.h"
#include <string.h>

/* Below this the scaled logits would overflow, and the draw is the maximum anyway. */
#define COLDEST 1e-5f

enum { BLOCK = 128 }; /* probabilities that are passed by together */

nn_sampler nn_sampler_default(void)
{
    const nn_sampler s = {.temperature = 1.0f, .top_k = 0, .top_p = 1.0f, .ban_below = 0, .stop = -1};

    return s;
}

size_t nn_sample_scratch(size_t V)
{
    return V * (sizeof(float) + sizeof(int32_t));
}

/* --- who may be drawn ------------------------------------------------------------------------- */

/* Candidate j, ascending by id: `stop` when it lies below the ban, then all ids from `first` on. */
typedef struct {
    size_t first, n;
    int32_t stop; /* -1: none */
} allowed;

static allowed allowed_of(const nn_sampler *s, size_t V)
{
    const size_t ban = s->ban_below > 0 ? (size_t)s->ban_below : 0, first = ban < V ? ban : V;
    const bool before = s->stop >= 0 && (size_t)s->stop < first;
    const allowed a = {first, V - first + before, before ? s->stop : -1};

    NN_ASSERT(a.n > 0);
    return a;
}

static int32_t id_of(const allowed *a, size_t j)
{
    if (a->stop < 0) return (int32_t)(a->first + j);
    return j == 0 ? a->stop : (int32_t)(a->first + j - 1);
}

/* The largest allowed logit; the first of equals. */
static int32_t greedy(const nn_kern *k, const allowed *a, const float *logits, size_t V)
{
    size_t at = a->first;

    if (at == V) return a->stop;
    const float most = k->max(logits + at, V - at);
    while (at + 1 < V && !(logits[at] >= most)) at++;
    return a->stop >= 0 && !(logits[at] > logits[a->stop]) ? a->stop : (int32_t)at;
}

/* --- a draw from all of them --------------------------------------------------------------------- */

double nn_sum_by_eight(const float *p, size_t n)
{
    double acc[8] = {0};
    size_t j = 0;

    for (; j + 8 <= n; j += 8)
        for (size_t i = 0; i < 8; i++) acc[i] += (double)p[j + i];
    for (; j < n; j++) acc[0] += (double)p[j];
    return ((acc[0] + acc[1]) + (acc[2] + acc[3])) + ((acc[4] + acc[5]) + (acc[6] + acc[7]));
}

/* The place where the sum from the last to the first passes u times the whole; n when rounding could decide. */
static size_t place_by_blocks(const float *p, size_t n, double u)
{
    const double whole = nn_sum_by_eight(p, n), slack = nn_chain_slack(n, whole), goal = u * whole;
    double sum = 0.0;
    size_t end = n; /* [end, n) are passed by */

    if (!(goal > slack)) return n;
    while (end > 0) {
        const size_t size = end % BLOCK ? end % BLOCK : BLOCK;
        const double more = nn_sum_by_eight(p + end - size, size);
        if (!(sum + more < goal - slack)) break;
        sum += more;
        end -= size;
    }
    while (end-- > 0) {
        sum += (double)p[end];
        if (sum < goal - slack) continue;
        return sum > goal + slack ? end : n;
    }
    return n;
}

/* The same by the chains, which define it. Rounding may leave u at the very end: then the last one visited that can be
 * drawn. */
static size_t place_by_chain(const float *p, size_t n, double u)
{
    double whole = 0.0, sum = 0.0;
    size_t at = n - 1;

    for (size_t j = 0; j < n; j++) whole += (double)p[j];
    for (size_t j = n; j-- > 0;) {
        if (p[j] == 0.0f) continue;
        sum += (double)p[j];
        at = j;
        if (u * whole < sum) break;
    }
    return at;
}

/* --- together ---------------------------------------------------------------------------------- */

/* p [n] = softmax(logits / temperature) over the candidates */
static void probabilities(const nn_kern *k, float *p, const allowed *a, const float *logits, float temperature,
                          float *log_sum_exp)
{
    const float *from = logits + a->first;

    if (a->stop >= 0) {
        p[0] = logits[a->stop];
        memcpy(p + 1, from, (a->n - 1) * sizeof *p);
        from = p;
    }
    k->softmax_row(p, from, 1.0f / temperature, a->n, log_sum_exp);
}

int32_t nn_sample(const nn_exec *x, const nn_sampler *s, const float *logits, size_t V, nn_rng *rng, float *logprob,
                  void *scratch)
{
    const allowed a = allowed_of(s, V);
    const bool cold = !(s->temperature >= COLDEST), plain = a.n == V && s->temperature == 1.0f;
    float *p = scratch, log_sum_exp = 0.0f;
    int32_t id = 0;

    if (cold) {
        id = greedy(x->k, &a, logits, V);
    } else {
        probabilities(x->k, p, &a, logits, s->temperature, &log_sum_exp);
        const double u = (double)nn_rng_float(rng);
        size_t j = a.n;
        if ((s->top_k > 0 && s->top_k < a.n) || s->top_p < 1.0f) {
            j = nn_sample_cut(s, p, (uint32_t *)(void *)(p + V), a.n, u);
        } else {
            j = place_by_blocks(p, a.n, u);
            if (j == a.n) j = place_by_chain(p, a.n, u);
        }
        id = id_of(&a, j);
    }
    if (logprob) {
        if (cold || !plain) x->k->softmax_row(p, logits, 1.0f, V, &log_sum_exp);
        *logprob = logits[id] - log_sum_exp; /* nn_xent's expression */
    }
    return id;
}
