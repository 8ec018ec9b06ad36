/* bench_infer.c - prompts, decoding, verdicts: tokens per second, milliseconds and bytes; float (packed), int8, and
 * three types that stay as a file holds them (f16 q8_0 q4_0); five sizes.
 *
 *   prefill  a prompt of T tokens, the output matrix for its last token only; share of the peak of the format's
 * instruction decode   one sequence, 64 tokens, the most probable each; share of its floor: the bytes of the weights
 * at the speed at which a buffer of as many bytes is read, measured beside it batch    n sequences at once, half as
 * many again waiting, a prompt of 8, each its own length from 16 to 48, drawn at temperature 1; share of the peak
 *   verdict  a text of 64 tokens through the body and the verdict's head, one at a time
 *   memory   the most that was resident, weights included
 * Peers: llama.cpp when LLAMA_BENCH and LLAMA_MODELS are given (peer_llama.h), run next to our case of the same name.
 */
#include "bench/bench.h"
#include "bench/peak.h"
#include "bench/peer_llama.h"
#include "bench/shapes.h"
#include "nn/decode.h"
#include "nn/plat.h"
#include <stdlib.h>
#include <string.h>

enum {
    LONGEST = 4096,
    USUAL = 512,
    NEW = 64,
    PROMPT = 8,
    LEAST = 16,
    SPREAD = 33,
    VERDICT_T = 64,
    VERDICTS = 200,
    MOST_ROWS = 640,
    READ_MOST = 256 << 20
};

static const char about[] =
    "Prefill, decoding, batched decoding, verdict latency and memory of decoders of 1M to 300M weights.\n"
    "Case names: 10m fp32 prefill 512, 10m int8 decode, 10m fp32 batch 64, 10m int8 verdict.\n";

typedef struct {
    const char *name;
    bool i8, stored;
    nn_dtype type;
    double bytes; /* a weight */
} form;

static const form forms[] = {{"fp32", false, false, NN_F32, 4.0},
                             {"int8", true, false, NN_I8, 1.0},
                             {"f16", false, true, NN_F16, 2.0},
                             {"q8_0", false, true, NN_Q8_0, 34.0 / 32.0},
                             {"q4_0", false, true, NN_Q4_0, 18.0 / 32.0}};
enum { FORMS = sizeof forms / sizeof *forms };

typedef struct {
    bench b;
    int32_t ids[LONGEST];
    nn_decode_row row[MOST_ROWS];
    int32_t out[MOST_ROWS][NEW];
    bool llama;
} program;

typedef struct {
    program *g;
    const shape_row *shape;
    const form *form;
    nn_config c;
    nn_model *m;
    unsigned char *bytes; /* of a stored model's matrices */
    nn_state *s;
    nn_decoder *d;
    float *logits;
    size_t T, n_row;
    float temperature;
} subject;

/* --- models --------------------------------------------------------------------------------- */
/* Small numbers without a normal distribution's cost; norms stay 1. */
static void fill(nn_model *m)
{
    uint32_t h = 1;

    for (size_t i = 0; i < nn_model_tensors(m); i++) {
        const nn_tensor t = nn_model_tensor(m, i);

        for (size_t j = 0; t.rows > 1 && j < t.rows * t.cols; j++) {
            h = h * 1664525u + 1013904223u;
            t.data[j] = ((float)(h >> 8) / 8388608.0f - 1.0f) * 0.03f;
        }
    }
}

/* The matrices of a stored model, one after another: any bits, with scales (or halves) of 2^-8 or so. */
static nn_status place(subject *s, nn_err *err)
{
    const size_t each = nn_dtype_bytes(s->form->type, 1);
    size_t total = 0, at = 0;
    nn_status st = NN_OK;
    uint32_t h = 1;

    for (size_t i = 0; i < nn_model_tensors(s->m); i++) {
        const nn_tensor t = nn_model_tensor(s->m, i);
        if (!t.data) total += nn_dtype_bytes(s->form->type, t.rows * t.cols);
    }
    if (!(s->bytes = malloc(total))) return nn_fail(err, NN_LIMIT, "no memory for %zu bytes", total);
    for (size_t i = 0; i < total; i++) {
        h = h * 1664525u + 1013904223u;
        s->bytes[i] = (unsigned char)(i % each == 1 ? (h >> 24 & 0x83u) | 0x1cu : h >> 24);
    }
    for (size_t i = 0; i < nn_model_tensors(s->m) && st == NN_OK; i++) {
        const nn_tensor t = nn_model_tensor(s->m, i);
        if (t.data) continue;
        st = nn_model_place_stored(s->m, i, s->form->type, s->bytes + at, err);
        at += nn_dtype_bytes(s->form->type, t.rows * t.cols);
    }
    return st;
}

static nn_status subject_open(subject *s, program *g, const shape_row *shape, size_t max_t, const form *f, nn_err *err)
{
    nn_model *m = NULL;
    nn_status st;

    *s = (subject){.g = g, .shape = shape, .form = f, .c = shape_config(shape, max_t)};
    s->c.n_class = 2;
    if (f->stored) {
        if ((st = nn_model_build_stored(&s->m, &s->c, err)) != NN_OK) return st;
        return place(s, err);
    }
    if ((st = nn_model_build(&m, &s->c, err)) != NN_OK) return st;
    fill(m);
    if (f->i8) st = nn_model_quantize(&s->m, m, g->b.x.k, err);
    else if ((st = nn_model_pack(m, &g->b.x, err)) == NN_OK) s->m = m;
    if (s->m != m) nn_model_free(m);
    return st;
}

static void subject_close(subject *s)
{
    nn_state_free(s->s);
    nn_decoder_free(s->d);
    nn_model_free(s->m);
    free(s->logits);
    free(s->bytes);
}

/* The most resident memory from here on: the kernel forgets what was before. */
static void memory_forget(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "w");

    if (!f) return;
    fputs("5\n", f);
    fclose(f);
}

static double memory_most_mib(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    double kib = 0.0;

    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "VmHWM:", 6) == 0) kib = strtod(line + 6, NULL);
    if (f) fclose(f);
    return kib / 1024.0;
}

/* --- what is timed -------------------------------------------------------------------------- */
static void run_prompt(void *ctx)
{
    const subject *s = ctx;
    const size_t start[2] = {0, s->T}, last = s->T - 1;
    const nn_batch b = {.ids = s->g->ids, .seg = {start, 1}};

    nn_model_fwd(s->m, s->s, &s->g->b.x, &b);
    if (s->logits) nn_state_lm_logits(s->m, s->s, &s->g->b.x, s->logits, &last, 1);
}

static void run_decode(void *ctx)
{
    const subject *s = ctx;
    program *g = s->g;
    nn_sampler sampler = nn_sampler_default();

    sampler.temperature = s->temperature;
    for (size_t i = 0; i < s->n_row; i++)
        g->row[i] = (nn_decode_row){.prompt = g->ids + i % USUAL,
                                    .n_prompt = s->n_row == 1 ? 1 : PROMPT,
                                    .out = g->out[i],
                                    .max_new = s->n_row == 1 ? NEW : LEAST + i * 7 % SPREAD,
                                    .rng = nn_rng_at(1, "bench", i)};
    nn_decode_batch(s->m, s->d, &g->b.x, g->row, s->n_row, &sampler, NULL, NULL);
}

/* --- cases ---------------------------------------------------------------------------------- */
static const char *case_name(char out[BENCH_NAME], const subject *s, const char *what, size_t n)
{
    char number[24] = "";

    if (n) snprintf(number, sizeof number, " %zu", n);
    snprintf(out, BENCH_NAME, "%s %s %s%s", s->shape->name, s->form->name, what, number);
    return out;
}

static double peak_of(const subject *s)
{
    return s->form->i8 ? peak_i8_gops(&s->g->b.x) : peak_fma_gflops(&s->g->b.x);
}

static void say(subject *s, const char *name, const char *unit, double value, const char *of, double most,
                double share)
{
    printf("%-24s %10.1f %-6s", name, value, unit);
    if (most > 0.0) printf(" %5.0f%% of %s %.1f", 100.0 * share, of, most);
    printf("\n");
    fflush(stdout);
    bench_note(&s->g->b, name, unit, value, most > 0.0 ? of : "", most, share);
}

/* llama.cpp next to us in time: float beside its float, int8 beside each of its formats that may be faster. */
static void beside_llama(subject *s, const char *name, double ours, size_t n_prompt, size_t n_gen)
{
    static const char *const of_i8[] = {"q8_0", "bf16", "q4_0"}, *const of_fp32[] = {"f32"};
    char peer[BENCH_NAME];

    for (size_t i = 0; s->g->llama && i < (s->form->i8 ? 3u : 1u); i++) {
        const char *format = s->form->i8 ? of_i8[i] : s->form->stored ? s->form->name : of_fp32[i];
        const double rate = peer_llama_rate(s->shape->name, format, n_prompt, n_gen, s->g->b.threads);

        if (rate <= 0.0) continue;
        snprintf(peer, sizeof peer, "llama.cpp %s", format);
        printf("%-24s %10.1f tok/s  %5.2f of ours over it: %s\n", name, rate, ours / rate, peer);
        bench_note(&s->g->b, name, "tok/s", ours, peer, rate, ours / rate);
    }
}

static nn_status prefill(subject *s, size_t T, nn_err *err)
{
    char name[BENCH_NAME];
    bench_times t;
    nn_status st;

    if (!bench_wants(&s->g->b, case_name(name, s, "prefill", T))) return NN_OK;
    if ((st = nn_state_build(&s->s, s->m, T, 1, err)) != NN_OK) return st;
    if (!(s->logits = malloc(s->c.vocab * sizeof *s->logits))) return NN_LIMIT;
    s->T = T;
    const bench_side side = {"ours", run_prompt, s};
    bench_turns(&s->g->b, &t, &side, 1);
    const double peak = peak_of(s), rate = (double)T / t.time[0];
    const double flop = (double)T * shape_flop(&s->c, T, false) + 2.0 * (double)s->c.width * (double)s->c.vocab;
    say(s, name, "tok/s", rate, "peak", peak, peak > 0.0 ? 1e-9 * flop / t.time[0] / peak : 0.0);
    beside_llama(s, name, rate, T, 0);
    nn_state_free(s->s);
    free(s->logits);
    s->s = NULL;
    s->logits = NULL;
    return NN_OK;
}

static nn_status decode_one(subject *s, nn_err *err)
{
    char name[BENCH_NAME];
    bench_times t;
    nn_status st;
    const double bytes = shape_weights(&s->c, true) * s->form->bytes;
    const size_t len = bytes < (double)READ_MOST ? (size_t)bytes / 4096 * 4096 : READ_MOST;

    if (!bench_wants(&s->g->b, case_name(name, s, "decode", 0))) return NN_OK;
    if ((st = nn_decoder_build(&s->d, s->m, 1, err)) != NN_OK) return st;
    unsigned char *buffer = malloc(len);
    if (!buffer) return NN_LIMIT;
    memset(buffer, 1, len);
    s->n_row = 1;
    s->temperature = 0.0f;
    const bench_side side = {"ours", run_decode, s};
    const double before = peak_read_gbs(&s->g->b.x, buffer, len);
    bench_turns(&s->g->b, &t, &side, 1);
    const double after = peak_read_gbs(&s->g->b.x, buffer, len);
    const double rate = (double)NEW / t.time[0], gbs = before > after ? before : after;
    say(s, name, "tok/s", rate, "floor", gbs * 1e9 / bytes, rate * bytes / (gbs * 1e9));
    beside_llama(s, name, rate, 0, NEW);
    free(buffer);
    nn_decoder_free(s->d);
    s->d = NULL;
    return NN_OK;
}

static nn_status decode_batch(subject *s, size_t slots, nn_err *err)
{
    char name[BENCH_NAME];
    bench_times t;
    nn_status st;
    double tokens = 0.0, fed = 0.0;

    if (!bench_wants(&s->g->b, case_name(name, s, "batch", slots))) return NN_OK;
    if ((st = nn_decoder_build(&s->d, s->m, slots, err)) != NN_OK) return st;
    s->n_row = slots + slots / 4;
    s->temperature = 1.0f;
    const bench_side side = {"ours", run_decode, s};
    bench_turns(&s->g->b, &t, &side, 1);
    for (size_t i = 0; i < s->n_row; i++) {
        tokens += (double)s->g->row[i].n_out;
        fed += (double)(PROMPT + s->g->row[i].n_out - 1);
    }
    const double peak = peak_of(s);
    const double flop = fed * shape_flop(&s->c, (LEAST + SPREAD / 2) / 2 + PROMPT, false) +
                        2.0 * tokens * (double)s->c.width * (double)s->c.vocab;
    say(s, name, "tok/s", tokens / t.time[0], "peak", peak, peak > 0.0 ? 1e-9 * flop / t.time[0] / peak : 0.0);
    nn_decoder_free(s->d);
    s->d = NULL;
    return NN_OK;
}

static nn_status verdict(subject *s, nn_err *err)
{
    static double ms[VERDICTS];
    const size_t n = s->g->b.quick || shape_weights(&s->c, false) > 5e7 ? 40 : VERDICTS;
    char name[BENCH_NAME], what[2 * BENCH_NAME];
    nn_status st;

    if (!bench_wants(&s->g->b, case_name(name, s, "verdict", 0))) return NN_OK;
    if ((st = nn_state_build(&s->s, s->m, VERDICT_T, 1, err)) != NN_OK) return st;
    s->T = VERDICT_T;
    run_prompt(s);
    for (size_t i = 0; i < n; i++) {
        const double start = nn_now_s();

        run_prompt(s);
        ms[i] = (nn_now_s() - start) * 1e3;
    }
    const double p50 = bench_median(ms, n), p95 = ms[n * 95 / 100];
    printf("%-24s %10.3f ms p50 %8.3f ms p95\n", name, p50, p95);
    snprintf(what, sizeof what, "%s p50", name);
    bench_note(&s->g->b, what, "ms", p50, "", 0.0, 0.0);
    snprintf(what, sizeof what, "%s p95", name);
    bench_note(&s->g->b, what, "ms", p95, "", 0.0, 0.0);
    nn_state_free(s->s);
    s->s = NULL;
    return NN_OK;
}

/* --- the program ---------------------------------------------------------------------------- */
/* Every case of one size and form. The first model's scaling with T, and batches, are what the others would repeat.
 */
static nn_status all_of(program *g, size_t i, const form *f, nn_err *err)
{
    static const size_t usual[] = {128, 512}, scaling[] = {64, 128, 256, 512, 1024, 2048, 4096},
                        slots[] = {64, 256, 512};
    const bool wide = strcmp(shape_table[i].name, "10m") == 0, quick = g->b.quick && !g->b.only;
    const size_t *T = wide && !quick ? scaling : usual, n_T = wide && !quick ? 7 : 2;
    subject s = {.m = NULL};
    char name[BENCH_NAME];
    nn_status st = subject_open(&s, g, &shape_table[i], wide ? LONGEST : USUAL, f, err);

    memory_forget();
    for (size_t j = 0; j < n_T && st == NN_OK; j++) st = prefill(&s, T[j], err);
    if (st == NN_OK) st = verdict(&s, err);
    if (st == NN_OK)
        printf("%-24s %10.1f MiB resident at most\n", case_name(name, &s, "memory", 0), memory_most_mib());
    if (st == NN_OK) bench_note(&g->b, name, "MiB", memory_most_mib(), "", 0.0, 0.0);
    subject_close(&s);
    if (st != NN_OK) return st;
    /* Caches have room for max_t tokens a sequence: no more than is decoded. */
    if ((st = subject_open(&s, g, &shape_table[i], PROMPT + NEW, f, err)) == NN_OK) st = decode_one(&s, err);
    for (size_t j = 0; j < (quick || i == 2 ? 1u : 3u) && i < 3 && st == NN_OK; j++)
        st = decode_batch(&s, slots[j], err);
    subject_close(&s);
    return st;
}

/* Saves building a model none of whose cases is wanted. */
static bool may_be(const char *only, const char *name, const char *of)
{
    char prefix[32];

    snprintf(prefix, sizeof prefix, "%s %s ", name, of);
    return !only || only[0] < '0' || only[0] > '9' ||
           strncmp(only, prefix, strlen(only) < strlen(prefix) ? strlen(only) : strlen(prefix)) == 0;
}

int main(int argc, char **argv)
{
    static program g;
    nn_err err = {NN_OK, ""};

    bench_begin(&g.b, &(bench_subject){"infer", about, 5, LONGEST, false, 0.05}, argc, argv);
    for (size_t t = 0; t < LONGEST; t++) g.ids[t] = (int32_t)(t * 2654435761u % 4096u);
    g.llama = peer_llama_there();
    if (!g.llama)
        bench_skip(&g.b, "no llama.cpp (LLAMA_BENCH=path of llama-bench, LLAMA_MODELS=folder of NAME-FORMAT.gguf)");
    for (size_t i = 0; i < SHAPES; i++)
        for (const form *f = forms; f < forms + FORMS; f++) {
            if (!may_be(g.b.only, shape_table[i].name, f->name)) continue;
            if (g.b.quick && !g.b.only && i > 1) continue;
            if (all_of(&g, i, f, &err) == NN_OK) continue;
            fprintf(stderr, "bench_infer: %s: %s\n", shape_table[i].name, err.text);
            return 5;
        }
    return bench_end(&g.b);
}
