/* classify.c - a classifier from its parts, and from another with one part switched off.
 *
 * Reads: classify_impl.h.   Read next: windows.c, window_batch.c, gguard.c.
 */
#include "guard/classify_impl.h"
#include "guard/windows.h"
#include "nn/arena.h"
#include "nn/mathf.h"
#include "nn/sha256.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

const double guard_target_rates[GUARD_RATES] = {0.01, 0.02, 0.05, 0.10};

#define WIDE_COLS 256u
#define SETTLE_MAX 16 /* see settle() */
#define SETTLE_FLOATS ((size_t)1 << 16) /* rounded at once, or one row: blocks know nothing of each other */

/* --- build --------------------------------------------------------------------------------------------- */

static nn_status check_decoder(const guard_parts *p, nn_err *err)
{
    const nn_config *c = nn_model_config(p->m);
    const bool own = nn_tok_is_own(p->tok);
    const size_t vocab = nn_tok_vocab(p->tok);

    /* Others' embeddings may have rows beyond their tokenizer's ids. */
    if (own ? c->vocab != vocab : c->vocab < vocab)
        return nn_fail(err, NN_USAGE, "guard %s: decoder has %zu ids, tokenizer %zu, want one vocabulary", p->name,
                       c->vocab, vocab);
    if (!own && c->memory_rows > 0)
        return nn_fail(err, NN_USAGE, "guard %s: an n-gram memory beside another model's tokenizer, want none",
                       p->name);
    if (c->n_class != 2)
        return nn_fail(err, NN_USAGE, "guard %s: decoder without verdict head, want 2 rows", p->name);
    if (c->n_category != 0 && c->n_category != p->taxonomy.n)
        return nn_fail(err, NN_USAGE, "guard %s: category head of %zu rows, want 0 or the taxonomy's %zu", p->name,
                       c->n_category, p->taxonomy.n);
    if (c->max_t < p->window)
        return nn_fail(err, NN_USAGE, "guard %s: decoder of %zu positions, want the window's %zu", p->name,
                       c->max_t, p->window);
    return NN_OK;
}

static nn_status check_parts(const guard_parts *p, nn_err *err)
{
    if (!p->tok) return nn_fail(err, NN_USAGE, "guard %s: no tokenizer", p->name);
    if (guard_format_empty(&p->format))
        return nn_fail(err, NN_USAGE, "guard %s: no prompt format, want one with another model's tokenizer", p->name);
    if (!p->m && !p->wide)
        return nn_fail(err, NN_USAGE, "guard %s: neither wide part nor decoder, want one of them", p->name);
    if (p->window < GUARD_WINDOW_MIN || p->window > GUARD_WINDOW_MAX)
        return nn_fail(err, NN_USAGE, "guard %s: window of %zu tokens, want %d to %d", p->name, p->window,
                       GUARD_WINDOW_MIN, GUARD_WINDOW_MAX);
    if (p->stride < 1 || p->stride > p->window)
        return nn_fail(err, NN_USAGE, "guard %s: stride of %zu tokens, want 1 to the window's %zu", p->name,
                       p->stride, p->window);
    if (p->taxonomy.n > GUARD_MAX_CATEGORY)
        return nn_fail(err, NN_USAGE, "guard %s: %zu categories, want at most %d", p->name, p->taxonomy.n,
                       GUARD_MAX_CATEGORY);
    if (!(p->calibrate_a > 0.0) || !isfinite(p->calibrate_a) || !isfinite(p->calibrate_b))
        return nn_fail(err, NN_USAGE, "guard %s: calibration %g z + %g, want finite numbers, the first above 0",
                       p->name, p->calibrate_a, p->calibrate_b);
    for (size_t i = 0; i < GUARD_RATES; i++)
        if (!(p->threshold[i] >= 0.0f && p->threshold[i] <= 1.001f))
            return nn_fail(err, NN_USAGE, "guard %s: threshold %g, want 0 to 1", p->name, (double)p->threshold[i]);
    const nn_status st = guard_format_check(&p->format, nn_tok_vocab(p->tok), p->window, err);
    return st == NN_OK && p->m ? check_decoder(p, err) : st;
}

nn_status guard_classifier_build(guard_classifier **out, const guard_parts *p, nn_err *err)
{
    guard_parts own = *p;
    nn_status st;

    *out = NULL;
    if (guard_format_empty(&own.format) && own.tok && nn_tok_is_own(own.tok)) guard_format_own(&own.format);
    if ((st = check_parts(&own, err)) != NN_OK) return st;
    if ((st = nn_alloc((void **)out, 1, sizeof **out, err)) != NN_OK) return st;
    (*out)->parts = own;
    return NN_OK;
}

void guard_classifier_close(guard_classifier *g)
{
    if (!g) return;
    nn_tok_free(g->parts.tok);
    nn_model_free(g->parts.m);
    guard_wide_free(g->parts.wide);
    if (g->mapping && --g->mapping->users == 0) {
        g->mapping->close(&g->mapping->file);
        nn_free(g->mapping);
    }
    nn_free(g);
}

/* --- looking -------------------------------------------------------------------------------------------- */

const guard_parts *guard_classifier_parts(const guard_classifier *g)
{
    return &g->parts;
}

const guard_taxonomy *guard_classifier_taxonomy(const guard_classifier *g)
{
    return &g->parts.taxonomy;
}

const char *guard_classifier_name(const guard_classifier *g)
{
    return g->parts.name;
}

void guard_classifier_sha256(const guard_classifier *g, char hex[65])
{
    memcpy(hex, g->sha256, sizeof g->sha256);
    if (hex[0] == '\0' && g->bytes) nn_sha256_hex(g->bytes, g->len, hex);
}

const char *guard_classifier_ledger(const guard_classifier *g)
{
    return g->parts.ledger;
}

float guard_classifier_threshold(const guard_classifier *g, double target_fpr)
{
    size_t best = GUARD_DEFAULT_RATE;

    for (size_t i = 0; i < GUARD_RATES && target_fpr > 0.0; i++)
        if (fabs(guard_target_rates[i] - target_fpr) < fabs(guard_target_rates[best] - target_fpr)) best = i;
    return g->parts.threshold[best];
}

float guard_calibrated(const guard_parts *p, float logit)
{
    return (float)nn_sigmoid(p->calibrate_a * (double)logit + p->calibrate_b);
}

void guard_parts_uncalibrated(guard_parts *p)
{
    for (size_t i = 0; i < GUARD_RATES; i++) p->threshold[i] = 0.5f;
    p->calibrate_a = 1.0;
    p->calibrate_b = 0.0;
}

static void set_text(char *out, size_t cap, const char *text)
{
    if (text) snprintf(out, cap, "%s", text);
}

void guard_classifier_stamp(guard_classifier *g, const char *name, const char *ledger, const char *corpus,
                            const char *licence)
{
    set_text(g->parts.licence, sizeof g->parts.licence, licence);
    set_text(g->parts.name, sizeof g->parts.name, name);
    set_text(g->parts.ledger, sizeof g->parts.ledger, ledger);
    set_text(g->parts.corpus, sizeof g->parts.corpus, corpus);
}

/* --- one part alone ------------------------------------------------------------------------------------- */

static nn_status clone_wide(guard_wide **out, const guard_wide *w, nn_err *err)
{
    const size_t n = (size_t)1 << w->bits;
    guard_wide *copy = NULL;
    nn_status st;

    *out = NULL;
    if ((st = nn_alloc((void **)&copy, 1, sizeof *copy, err)) != NN_OK) return st;
    if ((st = nn_alloc((void **)&copy->weight, n, sizeof *copy->weight, err)) != NN_OK ||
        (st = nn_alloc((void **)&copy->idf, n, sizeof *copy->idf, err)) != NN_OK) {
        guard_wide_free(copy);
        return st;
    }
    copy->bits = w->bits;
    copy->bias = w->bias;
    memcpy(copy->weight, w->weight, n * sizeof *copy->weight);
    memcpy(copy->idf, w->idf, n * sizeof *copy->idf);
    *out = copy;
    return NN_OK;
}

nn_status guard_classifier_only(guard_classifier **out, const guard_classifier *g, const char *part, nn_err *err)
{
    const bool wide = strcmp(part, "wide") == 0;
    guard_parts p = g->parts;
    nn_status st = NN_OK;

    *out = NULL;
    p.tok = NULL;
    p.m = NULL;
    p.wide = NULL;
    guard_parts_uncalibrated(&p);
    if (!wide && strcmp(part, "decoder") != 0)
        return nn_fail(err, NN_USAGE, "part \"%s\": want wide or decoder", part);
    if (wide ? !g->parts.wide : !g->parts.m)
        return nn_fail(err, NN_USAGE, "guard %s: has no %s, want a guard with that part", p.name, part);
    if (wide && (st = clone_wide(&p.wide, g->parts.wide, err)) != NN_OK) goto done;
    if (!wide && (st = nn_model_clone(&p.m, g->parts.m, err)) != NN_OK) goto done;
    if ((st = nn_tok_clone(&p.tok, g->parts.tok, err)) != NN_OK) goto done;
    if ((st = guard_classifier_build(out, &p, err)) != NN_OK) goto done;
    (*out)->mapping = g->mapping; /* stored matrices lie there */
    if (g->mapping) g->mapping->users++;
done:
    if (st != NN_OK) {
        nn_tok_free(p.tok);
        nn_model_free(p.m);
        guard_wide_free(p.wide);
    }
    return st;
}

/* --- rounding to what a file holds ---------------------------------------------------------------------- */

nn_dtype guard_stored_type(nn_dtype type, size_t rows, size_t cols)
{
    return rows <= 1 || cols % nn_dtype_block(type) != 0 ? NN_F32 : type;
}

/* WHY not four bits: the two rows that decide are a thousandth of the weights. */
nn_dtype guard_tensor_type(nn_dtype type, const nn_tensor *t)
{
    const bool head = strcmp(t->name, "cls.output.weight") == 0 || strcmp(t->name, "guard.category.weight") == 0;

    return type == NN_Q4_0 && head ? NN_F32 : guard_stored_type(type, t->rows, t->cols);
}

/* WHY not four bits: an error in each of a text's n-grams adds up in one sum, with no layer after it. */
nn_dtype guard_wide_type(nn_dtype type, size_t rows, size_t cols)
{
    return guard_stored_type(type == NN_I8 || type == NN_Q4_0 ? NN_Q8_0 : type, rows, cols);
}

void guard_wide_shape(unsigned bits, size_t *rows, size_t *cols)
{
    const size_t n = (size_t)1 << bits;

    *cols = n < WIDE_COLS ? n : WIDE_COLS;
    *rows = n / *cols;
}

/* data becomes what `type` keeps of it. WHY the loop: where a block's scale is a subnormal f16, rounding what
 * was rounded may move once more (nn/dtype.c); a file must hold exactly what thresholds were chosen on, so it
 * is repeated until nothing moves. */
static nn_status settle(float *data, size_t n, nn_dtype type, unsigned char *bytes, float *back, nn_err *err)
{
    for (int i = 0; i < SETTLE_MAX; i++) {
        nn_dtype_from_f32(bytes, type, data, n);
        const nn_status st = nn_dtype_to_f32(back, type, bytes, n, err);

        if (st != NN_OK) return st;
        if (memcmp(back, data, n * sizeof *data) == 0) return NN_OK;
        memcpy(data, back, n * sizeof *data);
    }
    return nn_fail(err, NN_CONTENT,
                   "rounding: weights that the storage type cannot hold, want finite numbers within its range");
}

static nn_status round_tensor(float *data, size_t rows, size_t cols, nn_dtype stored, nn_err *err)
{
    const size_t many = SETTLE_FLOATS / cols ? SETTLE_FLOATS / cols : 1, step = many < rows ? many : rows;
    unsigned char *bytes = NULL;
    float *back = NULL;
    nn_status st;

    if (stored == NN_F32) return NN_OK;
    if ((st = nn_alloc((void **)&bytes, nn_dtype_bytes(stored, step * cols), 1, err)) != NN_OK) goto done;
    if ((st = nn_alloc((void **)&back, step, cols * sizeof *back, err)) != NN_OK) goto done;
    for (size_t r = 0; r < rows && st == NN_OK; r += step)
        st = settle(data + r * cols, (rows - r < step ? rows - r : step) * cols, stored, bytes, back, err);
done:
    nn_free(back);
    nn_free(bytes);
    return st;
}

/* The decoder's matrices in int8; when they are already, nothing. */
static nn_status round_to_i8(guard_parts *p, nn_err *err)
{
    const nn_kern *k = NULL;
    nn_model *q = NULL;
    nn_status st;

    if (nn_model_is_i8(p->m)) return NN_OK;
    if ((st = nn_kern_pick(&k, NULL, err)) != NN_OK) return st;
    if ((st = nn_model_quantize(&q, p->m, k, err)) != NN_OK) return st;
    nn_model_free(p->m);
    p->m = q;
    return NN_OK;
}

static nn_status round_model(guard_parts *p, nn_dtype type, nn_err *err)
{
    nn_status st = NN_OK;

    if (type == NN_I8) return round_to_i8(p, err);
    if (nn_model_is_stored(p->m)) return NN_OK;
    if (nn_model_is_i8(p->m))
        return nn_fail(err, NN_USAGE, "guard %s: its weights are int8 and stay so, want the type int8", p->name);
    for (size_t i = 0; i < nn_model_tensors(p->m) && st == NN_OK; i++) {
        const nn_tensor t = nn_model_tensor(p->m, i);

        st = round_tensor(t.data, t.rows, t.cols, guard_tensor_type(type, &t), err);
    }
    return st;
}

nn_status guard_classifier_floats(guard_classifier *g, nn_err *err)
{
    guard_parts *p = &g->parts;
    nn_model *m = NULL;
    nn_status st;

    if (!p->m || !nn_model_is_stored(p->m)) return NN_OK;
    if ((st = nn_model_floats(&m, p->m, err)) != NN_OK) return st;
    nn_model_free(p->m);
    p->m = m;
    return NN_OK;
}

nn_status guard_classifier_round(guard_classifier *g, nn_dtype type, nn_err *err)
{
    guard_parts *p = &g->parts;
    nn_status st = NN_OK;

    if (type != NN_F32 && type != NN_F16 && type != NN_BF16 && type != NN_Q8_0 && type != NN_Q4_0 && type != NN_I8)
        return nn_fail(err, NN_USAGE,
                       "rounding: a storage type for reading only, want F32, F16, BF16, Q8_0, Q4_0 or I8");
    if (p->m) st = round_model(p, type, err);
    if (st != NN_OK || !p->wide) return st;
    size_t rows, cols;
    guard_wide_shape(p->wide->bits, &rows, &cols);
    const nn_dtype stored = guard_wide_type(type, rows, cols);
    if ((st = round_tensor(p->wide->weight, rows, cols, stored, err)) != NN_OK) return st;
    return round_tensor(p->wide->idf, rows, cols, stored, err);
}
