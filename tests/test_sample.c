/* Tests of nn_sample (nn/decode.h): what the cuts keep, how often, and that the place found is the defined one. */
#include "nn/decode.h"
#include "nn/mathf.h"
#include "tests/support.h"
#include "tests/test_model_support.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 6, DRAWS = 4000 };
static const float logits[N] = {0.5f, 2.0f, -1.0f, 2.0f, 1.0f, -0.5f};

/* How often each id comes in DRAWS draws. */
static void frequencies(size_t count[N], const nn_sampler *s)
{
    nn_exec x = tiny_exec(1);
    nn_rng rng = nn_rng_at(1, "draws", 0);
    float scratch[4 * N];

    cr_assert(nn_sample_scratch(N) <= sizeof scratch);
    memset(count, 0, N * sizeof *count);
    for (size_t i = 0; i < DRAWS; i++) {
        const int32_t id = nn_sample(&x, s, logits, N, &rng, NULL, scratch);
        cr_assert(id >= 0 && id < N);
        count[id]++;
    }
    cr_expect_eq(rng.pos, (uint64_t)DRAWS, "one position a draw");
    nn_exec_free(&x);
}

/* Each id comes as often as softmax over the ids of `kept` at this temperature says, within five deviations. */
static void expect_frequencies(const nn_sampler *s, const char *kept)
{
    size_t count[N];
    double p[N], sum = 0.0;

    frequencies(count, s);
    for (size_t i = 0; i < N; i++) {
        p[i] = kept[i] == '1' ? nn_exp((double)logits[i] / (double)s->temperature) : 0.0;
        sum += p[i];
    }
    for (size_t i = 0; i < N; i++) {
        const double want = DRAWS * p[i] / sum;
        cr_expect(fabs((double)count[i] - want) <= 5.0 * sqrt(want), "id %zu: %zu draws, want about %.0f", i, count[i],
                  want);
    }
}

Test(sample, draws_follow_the_softmax_of_what_the_cuts_keep)
{
    nn_sampler s = nn_sampler_default();

    expect_frequencies(&s, "111111");
    s.temperature = 0.5f;
    expect_frequencies(&s, "111111");
    s.top_k = 3;
    expect_frequencies(&s, "010110");
    s.top_k = 1; /* two are equal: the smaller id */
    expect_frequencies(&s, "010000");
    s = nn_sampler_default();
    s.top_p = 0.8f; /* 0.37 + 0.37 do not reach it, + 0.14 do */
    expect_frequencies(&s, "010110");
    s.top_k = 2; /* of the two that are left each has half */
    s.top_p = 0.5f;
    expect_frequencies(&s, "010000");
    s = nn_sampler_default();
    s.banned = (const unsigned char[N]){1, 1, 1, 1};
    expect_frequencies(&s, "000011");
    s.stop = 1;
    expect_frequencies(&s, "010011");
    s.banned = (const unsigned char[N]){0, 1, 0, 7, 0, 1};
    expect_frequencies(&s, "111010");
    s.stop = 5;
    s.top_p = 0.9f; /* 0.52, 0.32 and 0.12; the others go */
    expect_frequencies(&s, "100011");
}

Test(sample, greedy_takes_the_first_maximum_that_is_allowed)
{
    nn_sampler s = nn_sampler_default();
    nn_exec x = tiny_exec(1);
    nn_rng rng = nn_rng_at(1, "draws", 0);
    float scratch[4 * N];

    s.temperature = 0.0f;
    cr_expect_eq(nn_sample(&x, &s, logits, N, &rng, NULL, scratch), 1);
    s.banned = (const unsigned char[N]){1, 1};
    cr_expect_eq(nn_sample(&x, &s, logits, N, &rng, NULL, scratch), 3);
    s.banned = (const unsigned char[N]){0, 0, 1};
    cr_expect_eq(nn_sample(&x, &s, logits, N, &rng, NULL, scratch), 1, "of two that are equal");
    s.banned = (const unsigned char[N]){0, 1, 0, 1, 1};
    cr_expect_eq(nn_sample(&x, &s, logits, N, &rng, NULL, scratch), 0);
    s.banned = (const unsigned char[N]){1, 1, 1, 1};
    s.stop = 0;
    cr_expect_eq(nn_sample(&x, &s, logits, N, &rng, NULL, scratch), 4);
    s.stop = 1;
    cr_expect_eq(nn_sample(&x, &s, logits, N, &rng, NULL, scratch), 1);
    cr_expect_eq(rng.pos, 0u, "greedy draws nothing");
    nn_exec_free(&x);
}

Test(sample, logprob_has_the_bytes_of_the_cross_entropy)
{
    const nn_sampler s = {.temperature = 0.7f, .top_k = 4, .top_p = 0.9f, .banned = NULL, .stop = -1};
    nn_exec x = tiny_exec(1);
    nn_rng rng = nn_rng_at(1, "draws", 0);
    float scratch[4 * N];

    for (size_t i = 0; i < 20; i++) {
        float got = 0.0f, want = 0.0f, weight = 1.0f, dlogits[N];
        const int32_t id = nn_sample(&x, &s, logits, N, &rng, &got, scratch);

        nn_xent(&x, &want, dlogits, logits, &id, &weight, 1, N);
        expect_same_floats("logprob", &got, &want, 1);
    }
    nn_exec_free(&x);
}

/* --- the definition, spelled out --------------------------------------------------------------- */

enum { MANY = 700 };

typedef struct {
    float p;
    int32_t id;
} candidate;

static int best_first(const void *a, const void *b)
{
    const candidate *x = a, *y = b;

    if (x->p != y->p) return x->p > y->p ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* Where the chain of p in this order passes u times the sum. */
static int32_t pass(const candidate *c, size_t n, double whole, double u)
{
    double sum = 0.0;
    int32_t id = -1;

    for (size_t j = 0; j < n; j++) {
        if (c[j].p == 0.0f) continue;
        sum += (double)c[j].p;
        id = c[j].id;
        if (u * whole < sum) break;
    }
    return id;
}

static double chain_of(const candidate *c, size_t n)
{
    double sum = 0.0;

    for (size_t j = 0; j < n; j++) sum += (double)c[j].p;
    return sum;
}

/* Without cuts the candidates are passed from the last id to the first, with cuts from the best on. */
static int32_t defined_draw(const nn_exec *x, const nn_sampler *s, const float *z, size_t n_id, double u)
{
    static candidate c[MANY], turned[MANY];
    static float p[MANY];
    size_t n = 0;

    for (size_t i = 0; i < n_id; i++) {
        if (s->banned && s->banned[i] && (int32_t)i != s->stop) continue;
        p[n] = z[i];
        c[n++].id = (int32_t)i;
    }
    x->k->softmax_row(p, p, 1.0f / s->temperature, n, NULL);
    for (size_t j = 0; j < n; j++) c[j].p = p[j];
    double whole = chain_of(c, n);
    if ((s->top_k == 0 || s->top_k >= n) && !(s->top_p < 1.0f)) {
        for (size_t j = 0; j < n; j++) turned[j] = c[n - 1 - j];
        return pass(turned, n, whole, u);
    }
    qsort(c, n, sizeof *c, best_first);
    if (s->top_k > 0 && s->top_k < n) whole = chain_of(c, n = s->top_k);
    if (s->top_p < 1.0f) {
        const double mass = (double)s->top_p * whole;
        size_t kept = 0;
        for (whole = 0.0; kept < n && (kept == 0 || whole < mass);) whole += (double)c[kept++].p;
        n = kept;
    }
    return pass(c, n, whole, u);
}

static void fill_logits(float *z, size_t n, size_t shape, uint64_t row)
{
    static const double spread[] = {0.1, 2.0, 12.0, 2.0, 0.0};
    nn_rng rng = nn_rng_at(2, "logits", row);

    for (size_t i = 0; i < n; i++) {
        const double value = spread[shape] * nn_rng_normal(&rng);
        z[i] = (float)(shape == 3 ? floor(value) : value); /* 3: many are equal; 4: all are */
    }
}

static void expect_the_definition(const nn_exec *x, const nn_sampler *s, size_t n, size_t shape)
{
    static float z[MANY], scratch[2 * MANY];

    cr_assert(nn_sample_scratch(n) <= sizeof scratch);
    for (uint64_t row = 0; row < 12; row++) {
        nn_rng rng = nn_rng_at(3, "u", row), same = rng;

        fill_logits(z, n, shape, row);
        const double u = (double)nn_rng_float(&same);
        const int32_t got = nn_sample(x, s, z, n, &rng, NULL, scratch), want = defined_draw(x, s, z, n, u);
        cr_expect_eq(got, want, "%zu ids, shape %zu, top_k %zu, top_p %g: %d, want %d", n, shape, s->top_k,
                     (double)s->top_p, (int)got, (int)want);
    }
}

/* The first ids; the last; some here and there; all but one. */
static const unsigned char *bans_of(size_t n, size_t kind)
{
    static unsigned char banned[MANY];

    for (size_t i = 0; i < n; i++)
        banned[i] = kind == 0 ? i < 5 : kind == 1 ? i + 3 >= n : kind == 2 ? (i * 7) % 11 < 3 : i != 6;
    return banned;
}

Test(sample, finds_the_place_that_the_chain_of_sums_defines)
{
    static const size_t n[] = {1, 2, 9, 128, 130, MANY}, top_k[] = {0, 1, 5, 40, 0, 0, 0, 60};
    static const float top_p[] = {1.0f, 1.0f, 1.0f, 1.0f, 0.9f, 0.5f, 0.999f, 0.7f};
    nn_exec x = tiny_exec(1);

    for (size_t i = 0; i < sizeof n / sizeof *n; i++)
        for (size_t shape = 0; shape < 5; shape++)
            for (size_t cut = 0; cut < sizeof top_k / sizeof *top_k; cut++) {
                nn_sampler s = nn_sampler_default();

                s.temperature = cut % 2 ? 1.0f : 0.7f;
                s.top_k = top_k[cut];
                s.top_p = top_p[cut];
                expect_the_definition(&x, &s, n[i], shape);
                if (n[i] < 9) continue;
                for (size_t bans = 0; bans < 4; bans++) {
                    s.banned = bans_of(n[i], bans);
                    s.stop = -1;
                    expect_the_definition(&x, &s, n[i], shape);
                    s.stop = 2;
                    expect_the_definition(&x, &s, n[i], shape);
                    s.stop = (int32_t)n[i] - 1;
                    expect_the_definition(&x, &s, n[i], shape);
                }
            }
    nn_exec_free(&x);
}
