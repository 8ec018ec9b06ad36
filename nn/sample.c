/* sample.c - drawing one token id from logits.
 *
 * Reads: decode.h.
 * Temperature, then top-k, then top-p (nucleus: Holtzman et al. 2019, arXiv:1904.09751, sec. 3.1), then one draw. No
 * sort: candidates wait in a heap and leave it in order only as far as the cuts reach. Equal probabilities leave by id,
 * so a draw has one value on every machine.
 */
#include "nn/decode.h"
#include <string.h>

/* Below this the scaled logits would overflow, and the draw is the maximum anyway. */
#define COLDEST 1e-5f

nn_sampler nn_sampler_default(void)
{
    const nn_sampler s = {.temperature = 1.0f, .top_k = 0, .top_p = 1.0f, .ban_below = 0, .stop = -1};

    return s;
}

size_t nn_sample_scratch(size_t V)
{
    return V * (sizeof(float) + sizeof(int32_t));
}

static bool allowed(const nn_sampler *s, size_t id)
{
    return (int32_t)id >= s->ban_below || (int32_t)id == s->stop;
}

/* The largest allowed logit; the first of equals. */
static int32_t greedy(const nn_sampler *s, const float *logits, size_t V)
{
    int32_t best = -1;

    for (size_t i = 0; i < V; i++)
        if (allowed(s, i) && (best < 0 || logits[i] > logits[best])) best = (int32_t)i;
    NN_ASSERT(best >= 0);
    return best;
}

/* Candidates: p[j] belongs to id[j]. Heap order is over (p descending, id ascending). */
typedef struct {
    float *p;
    int32_t *id;
    size_t n;
} candidates;

static bool before(const candidates *c, size_t a, size_t b)
{
    return c->p[a] > c->p[b] || (c->p[a] == c->p[b] && c->id[a] < c->id[b]);
}

static void swap(candidates *c, size_t a, size_t b)
{
    const float p = c->p[a];
    const int32_t id = c->id[a];

    c->p[a] = c->p[b];
    c->id[a] = c->id[b];
    c->p[b] = p;
    c->id[b] = id;
}

/* Lets entry i sink within the first n entries. */
static void sink(candidates *c, size_t i, size_t n)
{
    for (;;) {
        size_t best = i;

        if (2 * i + 1 < n && before(c, 2 * i + 1, best)) best = 2 * i + 1;
        if (2 * i + 2 < n && before(c, 2 * i + 2, best)) best = 2 * i + 2;
        if (best == i) return;
        swap(c, i, best);
        i = best;
    }
}

/* Moves the best candidates to the end, the best last: at most `most` of them, and no more than it takes for their sum
 * to reach `mass`. Returns how many; *sum gets theirs. */
static size_t take_best(candidates *c, size_t most, double mass, double *sum)
{
    size_t kept = 0;

    for (size_t i = c->n / 2; i-- > 0;) sink(c, i, c->n);
    for (*sum = 0.0; kept < c->n && kept < most && (kept == 0 || *sum < mass); kept++) {
        const size_t last = c->n - 1 - kept;

        swap(c, 0, last);
        sink(c, 0, last);
        *sum += (double)c->p[last];
    }
    return kept;
}

/* The candidate where the running sum passes u; entries [first, n) are visited from the last to the first. Rounding may
 * leave u at the very end: then the last one visited that can be drawn. */
static int32_t pick(const candidates *c, size_t first, double u)
{
    double sum = 0.0;
    size_t at = c->n - 1;

    for (size_t j = c->n; j-- > first;) {
        if (c->p[j] == 0.0f) continue;
        sum += (double)c->p[j];
        at = j;
        if (u < sum) break;
    }
    return c->id[at];
}

static int32_t draw(const nn_exec *x, const nn_sampler *s, const float *logits, size_t V, nn_rng *rng, void *scratch)
{
    candidates c = {scratch, (int32_t *)(void *)((char *)scratch + V * sizeof(float)), 0};
    size_t first = 0;
    double sum = 0.0;

    for (size_t i = 0; i < V; i++) {
        if (!allowed(s, i)) continue;
        c.p[c.n] = logits[i];
        c.id[c.n++] = (int32_t)i;
    }
    NN_ASSERT(c.n > 0);
    x->k->softmax_row(c.p, c.p, 1.0f / s->temperature, c.n, NULL);
    if (s->top_k > 0 && s->top_k < c.n) {
        first = c.n - take_best(&c, s->top_k, 2.0, &sum);
        memmove(c.p, c.p + first, (c.n - first) * sizeof *c.p);
        memmove(c.id, c.id + first, (c.n - first) * sizeof *c.id);
        c.n -= first;
        first = 0;
    } else {
        for (size_t j = 0; j < c.n; j++) sum += (double)c.p[j];
    }
    if (s->top_p < 1.0f) first = c.n - take_best(&c, c.n, (double)s->top_p * sum, &sum);
    const double u = (double)nn_rng_float(rng);
    return pick(&c, first, u * sum);
}

int32_t nn_sample(const nn_exec *x, const nn_sampler *s, const float *logits, size_t V, nn_rng *rng, float *logprob,
                  void *scratch)
{
    const bool cold = !(s->temperature >= COLDEST);
    const int32_t id = cold ? greedy(s, logits, V) : draw(x, s, logits, V, rng, scratch);

    if (logprob) (void)nn_xent(x, logprob, scratch, logits, &id, NULL, 1, V);
    return id;
}
