/* Tests of nn/decode.h: cached decoding equals prefill, neighbours do not matter. */
#include "nn/decode.h"
#include "tests/support.h"
#include "tests/test_model_support.h"
#include <string.h>

enum { ROWS = 7, MAX_NEW = 18, V = 37 };

/* Rows of different prompts and lengths; the same for every call. */
typedef struct {
    int32_t prompt[ROWS][6], out[ROWS][MAX_NEW];
    float logprob[ROWS][MAX_NEW];
    nn_decode_row row[ROWS];
} rollout;

static void fill_rollout(rollout *o)
{
    nn_rng rng = nn_rng_at(9, "prompts", 0);

    memset(o, 0, sizeof *o);
    for (size_t i = 0; i < ROWS; i++) {
        nn_decode_row *r = o->row + i;

        r->n_prompt = 1 + i % 6;
        for (size_t j = 0; j < r->n_prompt; j++) o->prompt[i][j] = (int32_t)nn_rng_below(&rng, V);
        r->prompt = o->prompt[i];
        r->max_new = i == 3 ? 0 : MAX_NEW - 2 * i;
        r->rng = nn_rng_at(9, "rollout", i);
        r->out = o->out[i];
        r->logprob = o->logprob[i];
    }
}

static void run(rollout *o, const nn_model *m, size_t slots, size_t threads, const nn_sampler *s)
{
    nn_decoder *d = NULL;
    nn_exec x = tiny_exec(threads);
    nn_err err = {NN_OK, ""};

    fill_rollout(o);
    expect_ok(nn_decoder_build(&d, m, slots, &err), &err);
    nn_decode_batch(m, d, &x, o->row, ROWS, s, NULL, NULL);
    nn_decoder_free(d);
    nn_exec_free(&x);
}

Test(decode, cached_decoding_gives_the_bits_of_prefill)
{
    for (int k = TINY_LLAMA; k <= TINY_QWEN; k++) {
        nn_model *m = tiny_model((tiny_kind)k, 31);
        const nn_sampler s = nn_sampler_default();
        nn_state *state = NULL;
        nn_exec x = tiny_exec(1);
        static rollout o;

        cr_assert(nn_state_build(&state, m, 24, 1, NULL) == NN_OK);
        run(&o, m, 3, 1, &s);
        for (size_t i = 0; i < ROWS; i++) {
            const nn_decode_row *r = o.row + i;
            int32_t ids[24];
            float logprob[24];
            const size_t n = r->n_prompt + r->n_out, start[2] = {0, n};
            const nn_batch b = {ids, {start, 1}, NULL, NULL};

            memcpy(ids, r->prompt, r->n_prompt * sizeof *ids);
            memcpy(ids + r->n_prompt, r->out, r->n_out * sizeof *ids);
            nn_state_logprob(m, state, &x, &b, logprob);
            expect_same_floats("logprob", r->logprob, logprob + r->n_prompt, r->n_out);
            cr_expect_eq(r->n_out, r->max_new);
        }
        nn_exec_free(&x);
        nn_state_free(state);
        nn_model_free(m);
    }
}

Test(decode, slots_threads_and_neighbours_change_nothing)
{
    static const size_t slots[] = {2, 3, ROWS, 20};
    nn_model *m = tiny_model(TINY_QWEN, 31);
    nn_sampler s = {.temperature = 0.8f, .top_k = 20, .top_p = 0.9f, .banned = NULL, .stop = -1};
    static rollout one, many;
    size_t stopped = 0;

    run(&one, m, 1, 1, &s);
    s.stop = one.out[0][9]; /* a token that comes */
    run(&one, m, 1, 1, &s);
    for (size_t i = 0; i < sizeof slots / sizeof *slots; i++) {
        run(&many, m, slots[i], 1 + i % 3, &s);
        for (size_t r = 0; r < ROWS; r++) {
            cr_expect(many.row[r].n_out == one.row[r].n_out && many.row[r].stopped == one.row[r].stopped);
            cr_expect(memcmp(many.out[r], one.out[r], sizeof one.out[r]) == 0, "row %zu, %zu slots", r, slots[i]);
            expect_same_floats("logprob", many.logprob[r], one.logprob[r], MAX_NEW);
        }
    }
    for (size_t r = 0; r < ROWS; r++) {
        const nn_decode_row *row = one.row + r;
        stopped += row->stopped;
        cr_expect(row->stopped == (row->n_out > 0 && row->out[row->n_out - 1] == s.stop));
        cr_expect(row->stopped || row->n_out == row->max_new);
    }
    cr_expect(stopped > 0 && stopped < ROWS, "%zu of %d rows met the stop token", stopped, (int)ROWS);
    nn_model_free(m);
}

Test(decode, a_packed_model_gives_the_same)
{
    nn_model *m = tiny_model(TINY_QWEN, 31);
    const nn_sampler s = nn_sampler_default();
    nn_exec x = tiny_exec(1);
    static rollout plain, packed;

    run(&plain, m, 3, 1, &s);
    cr_assert(nn_model_pack(m, &x, NULL) == NN_OK);
    run(&packed, m, 3, 1, &s);
    cr_expect(memcmp(packed.out, plain.out, sizeof plain.out) == 0);
    cr_expect(memcmp(packed.logprob, plain.logprob, sizeof plain.logprob) == 0);
    nn_exec_free(&x);
    nn_model_free(m);
}

/* --- prompts longer than a round, caches that fill up ------------------------------------------- */

enum { LONG_T = 290, LONG_ROWS = 24, LONG_NEW = 20 };

typedef struct {
    int32_t prompt[LONG_ROWS][LONG_T], out[LONG_ROWS][LONG_NEW];
    float logprob[LONG_ROWS][LONG_NEW];
    nn_decode_row row[LONG_ROWS];
} long_rollout;

static nn_model *long_model(size_t window)
{
    nn_config c = tiny_config(TINY_LLAMA);
    nn_model *m = NULL;

    c.max_t = LONG_T;
    c.sliding_window = window;
    cr_assert(nn_model_build(&m, &c, NULL) == NN_OK);
    nn_model_init(m, 5);
    for (size_t i = 0; i < nn_model_tensors(m); i++) { /* larger weights: logits that differ */
        const nn_tensor t = nn_model_tensor(m, i);
        for (size_t j = 0; j < t.rows * t.cols; j++) t.data[j] *= t.rows == 1 ? 1.0f : 12.0f;
    }
    return m;
}

static nn_exec long_exec(size_t threads)
{
    nn_exec x;

    cr_assert(nn_exec_open(&x, NULL, threads, LONG_T, NULL) == NN_OK);
    return x;
}

static void run_long(long_rollout *o, const nn_model *m, size_t slots, size_t threads)
{
    static const size_t prompt[] = {1, 200, 2, 128, 127, 129, 1, 290, 283, 17, 64, 1};
    static const unsigned char banned[V] = {1, 1};
    const nn_sampler s = {.temperature = 0.9f, .top_k = 0, .top_p = 1.0f, .banned = banned, .stop = 1};
    nn_rng rng = nn_rng_at(4, "long", 0);
    nn_decoder *d = NULL;
    nn_exec x = long_exec(threads);

    memset(o, 0, sizeof *o);
    for (size_t i = 0; i < LONG_ROWS; i++) {
        nn_decode_row *r = o->row + i;

        r->n_prompt = prompt[i % (sizeof prompt / sizeof *prompt)];
        for (size_t j = 0; j < r->n_prompt; j++) o->prompt[i][j] = (int32_t)nn_rng_below(&rng, V);
        r->prompt = o->prompt[i];
        r->max_new = i == 4 ? 0 : LONG_NEW - i % 9;
        r->rng = nn_rng_at(4, "long", i);
        r->out = o->out[i];
        r->logprob = o->logprob[i];
    }
    cr_assert(nn_decoder_build(&d, m, slots, NULL) == NN_OK);
    nn_decode_batch(m, d, &x, o->row, LONG_ROWS, &s, NULL, NULL);
    nn_decoder_free(d);
    nn_exec_free(&x);
}

static void expect_prefill(const nn_model *m)
{
    nn_exec x = long_exec(1);
    nn_state *state = NULL;
    static long_rollout o;
    size_t full = 0, stopped = 0;

    run_long(&o, m, 5, 1);
    cr_assert(nn_state_build(&state, m, LONG_T + 1, 1, NULL) == NN_OK);
    for (size_t i = 0; i < LONG_ROWS; i++) {
        const nn_decode_row *r = o.row + i;
        int32_t ids[LONG_T + LONG_NEW];
        float logprob[LONG_T];
        /* The token drawn with a full cache has no position of its own. */
        const size_t n = r->n_prompt + r->n_out, fits = n < LONG_T ? n : LONG_T, start[2] = {0, fits};
        const nn_batch b = {ids, {start, 1}, NULL, NULL};

        memcpy(ids, r->prompt, r->n_prompt * sizeof *ids);
        memcpy(ids + r->n_prompt, r->out, r->n_out * sizeof *ids);
        nn_state_logprob(m, state, &x, &b, logprob);
        expect_same_floats("logprob", r->logprob, logprob + r->n_prompt, fits - r->n_prompt);
        cr_expect(r->stopped || r->n_out == r->max_new || n == LONG_T + 1, "row %zu: %zu tokens", i, r->n_out);
        full += n == LONG_T + 1;
        stopped += r->stopped;
    }
    cr_expect(full > 0 && stopped > 0, "%zu rows filled their cache, %zu met the stop token", full, stopped);
    nn_state_free(state);
    nn_exec_free(&x);
}

Test(decode, prompts_of_any_length_give_the_bits_of_prefill)
{
    for (size_t window = 0; window < 60; window += 29) { /* none, less and more than a tile of rows */
        nn_model *m = long_model(window);

        expect_prefill(m);
        nn_model_free(m);
    }
}

Test(decode, the_same_rows_in_any_slots_and_threads)
{
    static const size_t slots[] = {2, 3, 7, 16, 20};
    nn_model *m = long_model(0);
    static long_rollout one, many;

    run_long(&one, m, 1, 1);
    for (size_t i = 0; i < sizeof slots / sizeof *slots; i++) {
        run_long(&many, m, slots[i], 1 + i % 3);
        for (size_t r = 0; r < LONG_ROWS; r++) {
            cr_expect(many.row[r].n_out == one.row[r].n_out && many.row[r].stopped == one.row[r].stopped);
            cr_expect(memcmp(many.out[r], one.out[r], sizeof one.out[r]) == 0, "row %zu, %zu slots", r, slots[i]);
            expect_same_floats("logprob", many.logprob[r], one.logprob[r], LONG_NEW);
        }
    }
    nn_model_free(m);
}

Test(decode, many_slots_draw_in_pieces)
{
    enum { N = 140, EACH = 3 };
    nn_model *m = tiny_model(TINY_QWEN, 31);
    const nn_sampler s = nn_sampler_default();
    static int32_t prompt[N], out[2][N][EACH];
    static nn_decode_row row[N];

    for (size_t k = 0; k < 2; k++) {
        nn_decoder *d = NULL;
        nn_exec x = tiny_exec(1 + k);

        for (size_t i = 0; i < N; i++) {
            prompt[i] = (int32_t)(i % V);
            row[i] = (nn_decode_row){.prompt = prompt + i, .n_prompt = 1, .max_new = 1 + i % EACH, .out = out[k][i],
                                     .rng = nn_rng_at(9, "pieces", i)};
        }
        cr_assert(nn_decoder_build(&d, m, k ? N : 1, NULL) == NN_OK);
        nn_decode_batch(m, d, &x, row, N, &s, NULL, NULL);
        nn_decoder_free(d);
        nn_exec_free(&x);
    }
    cr_expect(memcmp(out[0], out[1], sizeof out[0]) == 0, "140 slots and one give the same tokens");
    nn_model_free(m);
}

Test(decode, a_draw_belongs_to_its_position)
{
    nn_model *m = tiny_model(TINY_LLAMA, 31);
    const nn_sampler s = nn_sampler_default();
    nn_decoder *d = NULL;
    nn_exec x = tiny_exec(1);
    static rollout o;
    int32_t longer[16], out[4];

    run(&o, m, 2, 1, &s);
    cr_assert(nn_decoder_build(&d, m, 1, NULL) == NN_OK);
    /* Row 1 again, from its fifth new token on. */
    memcpy(longer, o.prompt[1], 2 * sizeof *longer);
    memcpy(longer + 2, o.out[1], 4 * sizeof *longer);
    nn_decode_row rest = {.prompt = longer, .n_prompt = 6, .max_new = 4, .rng = nn_rng_at(9, "rollout", 1), .out = out};
    rest.rng.pos = 4;
    nn_decode_batch(m, d, &x, &rest, 1, &s, NULL, NULL);
    cr_expect(memcmp(out, o.out[1] + 4, sizeof out) == 0);
    nn_decoder_free(d);
    nn_exec_free(&x);
    nn_model_free(m);
}

Test(decode, a_full_cache_ends_the_row)
{
    nn_model *m = tiny_model(TINY_LLAMA, 31); /* max_t 24 */
    const nn_sampler s = nn_sampler_default();
    nn_decoder *d = NULL;
    nn_exec x = tiny_exec(1);
    int32_t prompt[24] = {1, 2, 3}, out[60];
    nn_decode_row row[2] = {{.prompt = prompt, .n_prompt = 3, .max_new = 60, .out = out},
                            {.prompt = prompt, .n_prompt = 24, .max_new = 2, .out = out + 30}};

    cr_assert(nn_decoder_build(&d, m, 1, NULL) == NN_OK);
    nn_decode_batch(m, d, &x, row, 2, &s, NULL, NULL);
    cr_expect(row[0].n_out == 22 && !row[0].stopped, "24 tokens are fed, the last one drawn is not");
    cr_expect(row[1].n_out == 1);
    nn_decoder_free(d);
    nn_exec_free(&x);
    nn_model_free(m);
}

typedef struct {
    size_t n[ROWS];
    int32_t id[ROWS][MAX_NEW];
} heard;

static void listen(void *ctx, size_t row, size_t pos, int32_t id)
{
    heard *h = ctx;

    cr_expect_eq(pos, h->n[row], "positions come in order");
    h->id[row][h->n[row]++] = id;
}

Test(decode, every_token_is_told_once_in_order)
{
    nn_model *m = tiny_model(TINY_LLAMA, 31);
    const nn_sampler s = nn_sampler_default();
    nn_decoder *d = NULL;
    nn_exec x = tiny_exec(1);
    static rollout o;
    static heard h;

    fill_rollout(&o);
    cr_assert(nn_decoder_build(&d, m, 2, NULL) == NN_OK);
    nn_decode_batch(m, d, &x, o.row, ROWS, &s, listen, &h);
    for (size_t r = 0; r < ROWS; r++) {
        cr_expect_eq(h.n[r], o.row[r].n_out);
        cr_expect(memcmp(h.id[r], o.out[r], h.n[r] * sizeof(int32_t)) == 0);
    }
    nn_decoder_free(d);
    nn_exec_free(&x);
    nn_model_free(m);
}

Test(decode, models_that_cannot_be_decoded_are_refused)
{
    nn_model *memory = tiny_model(TINY_GUARD, 1), *headless = tiny_model(TINY_LAST, 1), *m = tiny_model(TINY_LLAMA, 1);
    nn_decoder *d = NULL;
    nn_err e1 = {NN_OK, ""}, e2 = {NN_OK, ""}, e3 = {NN_OK, ""};

    expect_fails(nn_decoder_build(&d, memory, 1, &e1), NN_USAGE, &e1, "no n-gram memory");
    expect_fails(nn_decoder_build(&d, headless, 1, &e2), NN_USAGE, &e2, "next-token logits");
    expect_fails(nn_decoder_build(&d, m, 0, &e3), NN_USAGE, &e3, "0 slots");
    cr_expect(d == NULL);
    nn_model_free(memory);
    nn_model_free(headless);
    nn_model_free(m);
}
