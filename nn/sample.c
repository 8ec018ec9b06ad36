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
    const nn_sampler s = {.temperature = 1.0f, .top_k = 0, .top_p = 1.0f, .banned = NULL, .stop = -1};

    return s;
}

size_t nn_sample_scratch(size_t V)
{
    return V * (sizeof(float) + sizeof(int32_t));
}

/* --- who may be drawn ------------------------------------------------------------------------- */

/* Candidates are the allowed ids, ascending: runs [first, end) between banned ones. */
typedef struct {
    const unsigned char *banned; /* NULL: none */
    size_t V, stop;              /* stop: SIZE_MAX when it needs no exception */
    size_t first, end;           /* the run at hand */
} allowed;

/* The first id from `at` on with a ban. */
static size_t next_ban(const allowed *a, size_t at)
{
    uint64_t w[8] = {0};

    if (!a->banned) return a->V;
    for (; at + sizeof w <= a->V; at += sizeof w) {
        memcpy(w, a->banned + at, sizeof w);
        if (w[0] | w[1] | w[2] | w[3] | w[4] | w[5] | w[6] | w[7]) break;
    }
    while (at < a->V && !a->banned[at]) at++;
    return at;
}

/* Moves to the next run, from the beginning when end is 0; false: there is none. */
static bool next_run(allowed *a)
{
    size_t at = a->end;

    while (at < a->V && a->banned && a->banned[at] && at != a->stop) at++;
    a->first = at;
    a->end = next_ban(a, at == a->stop ? at + 1 : at);
    return a->first < a->end;
}

static allowed allowed_of(const nn_sampler *s, size_t V)
{
    const bool known = s->stop >= 0 && (size_t)s->stop < V, but = known && s->banned && s->banned[s->stop];

    return (allowed){.banned = s->banned, .V = V, .stop = but ? (size_t)s->stop : SIZE_MAX};
}

/* The id of candidate j. */
static int32_t id_of(allowed a, size_t j)
{
    for (; next_run(&a); j -= a.end - a.first)
        if (j < a.end - a.first) break;
    return (int32_t)(a.first + j);
}

/* The largest allowed logit; the first of equals. */
static int32_t greedy(const nn_kern *k, allowed a, const float *logits)
{
    size_t best = a.V;

    while (next_run(&a)) {
        const float most = k->max(logits + a.first, a.end - a.first);
        size_t at = a.first;

        while (at + 1 < a.end && !(logits[at] >= most)) at++;
        if (best == a.V || logits[at] > logits[best]) best = at;
    }
    NN_ASSERT(best < a.V);
    return (int32_t)best;
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

/* p [n] = softmax(logits / temperature) over the candidates; returns n. */
static size_t probabilities(const nn_kern *k, float *p, allowed a, const float *logits, float temperature,
                            float *log_sum_exp)
{
    const float *from = p;
    size_t n = 0;

    for (; next_run(&a); n += a.end - a.first) {
        if (n == 0 && a.end == a.V) from = logits + a.first; /* the only run */
        else memcpy(p + n, logits + a.first, (a.end - a.first) * sizeof *p);
    }
    NN_ASSERT(n > 0);
    k->softmax_row(p, from, 1.0f / temperature, n, log_sum_exp);
    return n;
}

int32_t nn_sample(const nn_exec *x, const nn_sampler *s, const float *logits, size_t V, nn_rng *rng, float *logprob,
                  void *scratch)
{
    const allowed a = allowed_of(s, V);
    const bool cold = !(s->temperature >= COLDEST);
    float *p = scratch, log_sum_exp = 0.0f;
    size_t n = 0;
    int32_t id = 0;

    if (cold) {
        id = greedy(x->k, a, logits);
    } else {
        n = probabilities(x->k, p, a, logits, s->temperature, &log_sum_exp);
        const double u = (double)nn_rng_float(rng);
        size_t j = n;
        if ((s->top_k > 0 && s->top_k < n) || s->top_p < 1.0f) {
            j = nn_sample_cut(s, p, (uint32_t *)(void *)(p + V), n, u);
        } else {
            j = place_by_blocks(p, n, u);
            if (j == n) j = place_by_chain(p, n, u);
        }
        id = id_of(a, j);
    }
    if (logprob) {
        if (n < V || s->temperature != 1.0f) x->k->softmax_row(p, logits, 1.0f, V, &log_sum_exp);
        *logprob = logits[id] - log_sum_exp; /* nn_xent's expression */
    }
    return id;
}
