/* gguard.c - reads guard.gguf from memory; believes nothing in it.
 *
 * Reads: gguard_read.h.   Read next: gguard_tok.c, gguard_model.c, gguard_write.c.
 * Order: version and format, then vocabulary (against its hash and its spelling), then configuration (against
 * the tensors that are there, before anything of its size is allocated), then weights (shape, type, finite).
 * What is wrong is NN_FILE with file, key and expectation.
 */
#include "guard/gguard_read.h"
#include "guard/windows.h"
#include "nn/arena.h"
#include <math.h>
#include <string.h>

/* --- the guard's own keys ------------------------------------------------------------------------------- */

static void read_version(guard_reader *r)
{
    uint64_t version = 0;

    if (nn_gguf_u64(r->g, GUARD_KEY_VERSION, &version) && version == GUARD_FILE_VERSION) return;
    if (guard_has_key(r, GUARD_KEY_VERSION))
        guard_refuse(r, GUARD_KEY_VERSION, "1: a guard that this program can read");
    else if (r->st == NN_OK)
        r->st = nn_fail(r->err, NN_FILE,
                        "%s: no guard: key %s is absent. A language model becomes one in a script: run:open_model and "
                        "run:label_guard (scripts/experiments/05_pretrained.lua)",
                        r->name, GUARD_KEY_VERSION);
}

/* Thresholds stand beside the rates they were chosen for; other rates than ours would be another meaning. */
static void read_calibration(guard_reader *r, guard_parts *p)
{
    double rate[GUARD_RATES] = {0}, threshold[GUARD_RATES] = {0}, ab[2] = {1.0, 0.0};

    guard_get_floats(r, GUARD_KEY_RATES, rate, GUARD_RATES);
    guard_get_floats(r, GUARD_KEY_THRESHOLDS, threshold, GUARD_RATES);
    guard_get_floats(r, GUARD_KEY_CALIBRATION, ab, 2);
    for (size_t i = 0; i < GUARD_RATES; i++) {
        if (r->st == NN_OK && (float)rate[i] != (float)guard_target_rates[i])
            guard_refuse(r, GUARD_KEY_RATES, "0.01, 0.02, 0.05, 0.1");
        p->threshold[i] = (float)threshold[i];
    }
    p->calibrate_a = ab[0];
    p->calibrate_b = ab[1];
}

static void read_taxonomy(guard_reader *r, guard_taxonomy *t)
{
    double severity[GUARD_MAX_CATEGORY];
    nn_gg_type type = NN_GG_U8;
    size_t n = 0;

    if (r->st != NN_OK) return;
    if (!nn_gguf_array(r->g, GUARD_KEY_SEVERITY, &type, &n) || n > GUARD_MAX_CATEGORY) {
        guard_refuse(r, GUARD_KEY_SEVERITY, "numbers of at most 48 categories");
        return;
    }
    guard_get_floats(r, GUARD_KEY_SEVERITY, severity, n);
    for (size_t k = 0; k < GUARD_TAXONOMY_TEXTS; k++) {
        const guard_taxonomy_text *text = &guard_taxonomy_texts[k];
        size_t have = 0;

        if (r->st == NN_OK && (!nn_gguf_array(r->g, text->key, &type, &have) || have != n))
            guard_refuse(r, text->key, "one text a category");
        for (size_t i = 0; i < n && r->st == NN_OK; i++) {
            const char *s = NULL;
            size_t len = 0;

            if (!nn_gguf_array_str(r->g, text->key, i, &s, &len) ||
                !guard_copy_text((char *)&t->category[i] + text->at, text->cap, s, len))
                guard_refuse(r, text->key, "short texts");
        }
    }
    for (size_t i = 0; i < n && r->st == NN_OK; i++) {
        if (severity[i] != rint(severity[i]) || severity[i] < 0.0 || severity[i] > 9.0)
            guard_refuse(r, GUARD_KEY_SEVERITY, "whole numbers, 0 to 9");
        else t->category[i].severity = (int)severity[i];
    }
    t->n = n;
}

static void read_guard(guard_reader *r, guard_parts *p)
{
    read_version(r);
    guard_get_text(r, "general.name", p->name, sizeof p->name);
    guard_get_text(r, "general.license", p->licence, sizeof p->licence);
    p->window = guard_get_size(r, GUARD_KEY_WINDOW, GUARD_WINDOW_MIN, GUARD_WINDOW_MAX);
    p->stride = guard_get_size(r, GUARD_KEY_STRIDE, 1, GUARD_WINDOW_MAX);
    read_calibration(r, p);
    guard_get_text(r, GUARD_KEY_LEDGER, p->ledger, sizeof p->ledger);
    guard_get_text(r, GUARD_KEY_CORPUS, p->corpus, sizeof p->corpus);
    read_taxonomy(r, &p->taxonomy);
}

/* --- the whole file ------------------------------------------------------------------------------------- */

static void build(guard_reader *r, guard_classifier **out, const guard_parts *p)
{
    nn_err cause = {NN_OK, ""};
    const nn_status st = r->st == NN_OK ? guard_classifier_build(out, p, &cause) : NN_OK;

    if (st != NN_OK) r->st = nn_fail(r->err, st == NN_LIMIT ? NN_LIMIT : NN_FILE, "%s: %s", r->name, cause.text);
}

nn_status guard_gguf_read(guard_classifier **out, const void *bytes, size_t len, const char *name, nn_err *err)
{
    nn_gguf *g = NULL;
    guard_parts p;

    *out = NULL;
    memset(&p, 0, sizeof p);
    const nn_status st = nn_gguf_open_memory(&g, bytes, len, name, err);
    if (st != NN_OK) return st;
    guard_reader r = {g, name, err, NN_OK};
    read_guard(&r, &p);
    if (r.st == NN_OK) guard_read_tokenizer(&r, &p);
    if (r.st == NN_OK) guard_read_weights(&r, &p);
    build(&r, out, &p);
    if (r.st == NN_OK) {
        (*out)->bytes = bytes;
        (*out)->len = len;
    } else {
        nn_tok_free(p.tok);
        nn_model_free(p.m);
        guard_wide_free(p.wide);
    }
    nn_gguf_close(g);
    return r.st;
}

nn_status guard_classifier_open_memory(guard_classifier **out, const void *bytes, size_t len, nn_err *err)
{
    return guard_gguf_read(out, bytes, len, "guard in memory", err);
}
