/* pretrained.c - what Hugging Face folders, GGUF and llama2.c files have in common: told apart by content, and their
 * tensors compared with what the configuration asks for.
 *
 * Reads: pretrained_impl.h, params.h.   Read next: pretrained_hf.c, pretrained_gguf.c, pretrained_llama2c.c,
 * pretrained_load.c (the model itself).
 * The table of params.h says which tensors a configuration has; a file must hold exactly these. Forgiven are tensors
 * that carry no weights of their own: tables of rotary frequencies, and an output matrix beside a tied embedding that
 * holds the same bytes.
 */
#include "nn/arena.h"
#include "nn/model_impl.h"
#include "nn/pretrained_impl.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- the tensors a configuration asks for --------------------------------------------------------------- */

nn_status nn_pretrained_wanted(const nn_config *c, nn_wanted_fn fn, void *ctx)
{
    nn_status st = NN_OK;
    char name[64], gguf[64], place[24] = "", block[16] = ""; /* a layer's prefixes */

#define WANT(field, ours, theirs, n_rows, n_cols, init, decay, group, when)                                            \
    if (st == NN_OK && (when)) {                                                                                       \
        const nn_wanted w = {name, gguf, n_rows, n_cols, decay};                                                       \
        snprintf(name, sizeof name, "%s%s", place, ours);                                                              \
        snprintf(gguf, sizeof gguf, "%s%s", block, theirs);                                                            \
        st = fn(ctx, &w);                                                                                              \
    }
    NN_PARAMS_FRONT(WANT)
    for (size_t l = 0; l < c->layers && st == NN_OK; l++) {
        snprintf(place, sizeof place, "model.layers.%u.", (unsigned)l);
        snprintf(block, sizeof block, "blk.%u.", (unsigned)l);
        NN_PARAMS_LAYER(WANT)
    }
    place[0] = block[0] = '\0';
    NN_PARAMS_BACK(WANT)
#undef WANT
    return st;
}

/* --- the tensors there are -------------------------------------------------------------------------------- */

nn_status nn_pretrained_add(nn_pretrained *p, const nn_st_tensor *t, nn_err *err)
{
    const nn_status st = nn_grow((void **)&p->tensor, &p->tensor_cap, p->n_tensor + 1, sizeof *p->tensor, err);

    if (st == NN_OK) p->tensor[p->n_tensor++] = *t;
    return st;
}

typedef struct {
    const char *name;
    size_t index;
} named;

static int compare_names(const void *x, const void *y)
{
    const named *a = x, *b = y;
    const int order = strcmp(a->name, b->name);

    return order ? order : (a->index < b->index ? -1 : a->index > b->index);
}

static nn_status sort_names(nn_pretrained *p, nn_err *err)
{
    named *by_name = NULL;
    nn_status st = NN_OK;

    if ((st = nn_alloc((void **)&by_name, p->n_tensor, sizeof *by_name, err)) != NN_OK) goto done;
    if ((st = nn_alloc((void **)&p->order, p->n_tensor, sizeof *p->order, err)) != NN_OK) goto done;
    for (size_t i = 0; i < p->n_tensor; i++) by_name[i] = (named){p->tensor[i].name, i};
    if (p->n_tensor) qsort(by_name, p->n_tensor, sizeof *by_name, compare_names);
    for (size_t i = 0; i < p->n_tensor; i++) p->order[i] = by_name[i].index;
    for (size_t i = 1; i < p->n_tensor && st == NN_OK; i++)
        if (strcmp(by_name[i - 1].name, by_name[i].name) == 0)
            st = nn_fail(err, NN_FILE, "%s: tensor %.80s twice, want it in one place", p->path, by_name[i].name);
done:
    nn_free(by_name);
    return st;
}

/* Index by name, n_tensor when absent. */
static size_t find(const nn_pretrained *p, const char *name)
{
    size_t lo = 0, hi = p->n_tensor;

    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        const int order = strcmp(name, p->tensor[p->order[mid]].name);

        if (order == 0) return p->order[mid];
        if (order < 0) hi = mid;
        else lo = mid + 1;
    }
    return p->n_tensor;
}

const nn_st_tensor *nn_pretrained_find(const nn_pretrained *p, const char *name)
{
    const size_t i = find(p, name);

    return i < p->n_tensor ? p->tensor + i : NULL;
}

/* --- one against the other -------------------------------------------------------------------------------- */

typedef struct {
    const nn_pretrained *p;
    bool *used; /* [n_tensor] */
    nn_err *err;
} comparison;

static void print_shape(char *out, size_t cap, const nn_st_tensor *t)
{
    size_t len = (size_t)snprintf(out, cap, "[");

    for (size_t i = 0; i < t->n_dim && len < cap; i++)
        len += (size_t)snprintf(out + len, cap - len, "%s%zu", i ? ", " : "", t->dim[i]);
    if (len < cap) snprintf(out + len, cap - len, "]");
}

/* GGUF drops outer dimensions of 1, so a matrix of one row may come as a vector. */
static bool has_shape(const nn_st_tensor *t, const nn_wanted *w)
{
    if (w->matrix && t->n_dim == 2) return t->dim[0] == w->rows && t->dim[1] == w->cols;
    return t->n_dim == 1 && w->rows == 1 && t->dim[0] == w->cols;
}

static nn_status compare_one(void *ctx, const nn_wanted *w)
{
    comparison *o = ctx;
    const nn_pretrained *p = o->p;
    const char *name = p->kind == NN_FROM_HF ? w->name : w->gguf;
    const size_t i = find(p, name);
    char want[64], got[128];

    if (w->matrix)
        snprintf(want, sizeof want, "[%zu, %zu]", w->rows, w->cols);
    else
        snprintf(want, sizeof want, "[%zu]", w->cols);
    if (i == p->n_tensor)
        return nn_fail(o->err, NN_FILE, "%s: tensor %s is missing, want %s", p->path, name, want);
    const nn_st_tensor *t = p->tensor + i;
    o->used[i] = true;
    if (!has_shape(t, w)) {
        print_shape(got, sizeof got, t);
        return nn_fail(o->err, NN_FILE, "%s: tensor %s: shape %s, want %s", p->path, name, got, want);
    }
    if (!nn_dtype_is_weights(t->type))
        return nn_fail(o->err, NN_FILE, "%s: tensor %s: type %s, want F32, F16, BF16 or Q8_0 to Q6_K", p->path, name,
                       nn_dtype_name(t->type));
    return NN_OK;
}

static bool ends_with(const char *s, const char *end)
{
    const size_t n = strlen(s), m = strlen(end);

    return n >= m && strcmp(s + n - m, end) == 0;
}

/* An output matrix in a file whose configuration ties it to the embedding. */
static bool repeats_embedding(const nn_pretrained *p, const nn_st_tensor *t)
{
    const nn_st_tensor *e = nn_pretrained_find(p, "model.embed_tokens.weight");

    return p->kind == NN_FROM_HF && p->config.tied && strcmp(t->name, "lm_head.weight") == 0 && e &&
           e->type == t->type && e->n_dim == t->n_dim && e->dim[0] == t->dim[0] && e->dim[1] == t->dim[1] &&
           memcmp(e->data, t->data, nn_dtype_bytes(t->type, t->count)) == 0;
}

static bool is_harmless(const nn_pretrained *p, const nn_st_tensor *t)
{
    if (p->kind == NN_FROM_HF) return ends_with(t->name, "rotary_emb.inv_freq") || repeats_embedding(p, t);
    return p->kind == NN_FROM_GGUF && strcmp(t->name, "rope_freqs.weight") == 0; /* its reader has read it */
}

nn_status nn_pretrained_settle(nn_pretrained *p, nn_err *err)
{
    comparison o = {p, NULL, err};
    nn_status st;

    if ((st = sort_names(p, err)) != NN_OK) goto done;
    if ((st = nn_alloc((void **)&o.used, p->n_tensor, sizeof *o.used, err)) != NN_OK) goto done;
    if ((st = nn_pretrained_wanted(&p->config, compare_one, &o)) != NN_OK) goto done;
    for (size_t i = 0; i < p->n_tensor && st == NN_OK; i++)
        if (!o.used[i] && !is_harmless(p, p->tensor + i))
            st = nn_fail(err, NN_FILE, "%s: tensor %.80s is none that %s has with this configuration", p->path,
                         p->tensor[i].name, p->architecture);
done:
    nn_free(o.used);
    return st;
}

nn_status nn_pretrained_check_config(const nn_pretrained *p, nn_err *err)
{
    nn_err cause = {NN_OK, ""};
    const nn_status st = nn_config_check(&p->config, &cause);

    if (st == NN_OK) return NN_OK;
    return nn_fail(err, st == NN_LIMIT ? NN_LIMIT : NN_FILE, "%s: %s", p->path, cause.text);
}

void nn_pretrained_stop(nn_pretrained *p, uint64_t id)
{
    if (id >= p->config.vocab || p->n_stop == NN_PRETRAINED_STOPS) return;
    for (size_t i = 0; i < p->n_stop; i++)
        if (p->stop[i] == (int32_t)id) return;
    p->stop[p->n_stop++] = (int32_t)id;
}

/* --- open and close ----------------------------------------------------------------------------------------- */

static nn_status start(nn_pretrained **out, const char *path, nn_err *err)
{
    nn_pretrained *p = NULL;
    nn_status st;

    if ((st = nn_alloc((void **)&p, 1, sizeof *p, err)) != NN_OK) return st;
    if ((st = nn_alloc((void **)&p->path, strlen(path) + 1, 1, err)) != NN_OK) {
        nn_free(p);
        return st;
    }
    memcpy(p->path, path, strlen(path));
    p->config = nn_config_default();
    p->config.qk_norm = false;
    *out = p;
    return NN_OK;
}

/* p->file holds the bytes of a GGUF file or of llama2.c's. */
static nn_status read_bytes(nn_pretrained *p, nn_err *err)
{
    static const char magic[4] = {'G', 'G', 'U', 'F'};
    nn_status st;

    p->kind = NN_FROM_LLAMA2C;
    if (p->file.len < 4 || memcmp(p->file.bytes, magic, 4) != 0) return nn_pretrained_read_llama2c(p, err);
    p->kind = NN_FROM_GGUF;
    if ((st = nn_gguf_open_memory(&p->gguf, p->file.bytes, p->file.len, p->path, err)) != NN_OK) return st;
    return nn_pretrained_read_gguf(p, err);
}

static nn_status read_path(nn_pretrained *p, nn_err *err)
{
    char place[1024];
    nn_status st;

    snprintf(place, sizeof place, "%.1000s/config.json", p->path);
    if (nn_path_exists(place)) {
        p->kind = NN_FROM_HF;
        return nn_pretrained_read_hf(p, err);
    }
    snprintf(place, sizeof place, "%.1000s/.", p->path);
    if (nn_path_exists(place))
        return nn_fail(err, NN_FILE, "%s: a folder without config.json, want a Hugging Face folder or a file", p->path);
    if ((st = nn_pretrained_fits(p->path, err)) != NN_OK) return st;
    if ((st = nn_file_open(&p->file, p->path, err)) != NN_OK) return st;
    return read_bytes(p, err);
}

static nn_status finish(nn_pretrained **out, nn_pretrained *p, nn_status st)
{
    if (st == NN_OK)
        *out = p;
    else
        nn_pretrained_close(p);
    return st;
}

nn_status nn_pretrained_open(nn_pretrained **out, const char *path, nn_err *err)
{
    nn_pretrained *p = NULL;
    nn_status st;

    *out = NULL;
    if ((st = start(&p, path, err)) != NN_OK) return st;
    return finish(out, p, read_path(p, err));
}

nn_status nn_pretrained_open_memory(nn_pretrained **out, const void *bytes, size_t len, const char *name, nn_err *err)
{
    nn_pretrained *p = NULL;
    nn_status st;

    *out = NULL;
    if ((st = start(&p, name, err)) != NN_OK) return st;
    p->file = (nn_file){.bytes = bytes, .len = len};
    return finish(out, p, read_bytes(p, err));
}

void nn_pretrained_close(nn_pretrained *p)
{
    if (!p) return;
    nn_lora_free(p->lora);
    nn_gguf_close(p->gguf);
    for (size_t i = 0; i < p->n_shard; i++) nn_st_close(p->shard[i]);
    nn_file_close(&p->file);
    nn_free(p->shard);
    nn_free(p->tensor);
    nn_free(p->order);
    nn_free(p->names);
    nn_free(p->chat_owned);
    nn_free(p->path);
    nn_free(p);
}

/* --- looking -------------------------------------------------------------------------------------------------- */

const char *nn_pretrained_path(const nn_pretrained *p)
{
    return p->path;
}

const char *nn_pretrained_format(const nn_pretrained *p)
{
    static const char *const name[] = {"Hugging Face folder", "GGUF", "llama2.c"};

    return name[p->kind];
}

const char *nn_pretrained_architecture(const nn_pretrained *p)
{
    return p->architecture;
}

const nn_config *nn_pretrained_config(const nn_pretrained *p)
{
    return &p->config;
}

size_t nn_pretrained_tensors(const nn_pretrained *p)
{
    return p->n_tensor;
}

nn_st_tensor nn_pretrained_tensor(const nn_pretrained *p, size_t i)
{
    NN_ASSERT(i < p->n_tensor);
    return p->tensor[i];
}

const nn_gguf *nn_pretrained_gguf(const nn_pretrained *p)
{
    return p->gguf;
}

const char *nn_pretrained_chat_template(const nn_pretrained *p, size_t *len)
{
    *len = p->chat ? p->chat_len : 0;
    return p->chat;
}

size_t nn_pretrained_stops(const nn_pretrained *p, int32_t *ids, size_t cap)
{
    const size_t n = p->n_stop < cap ? p->n_stop : cap;

    memcpy(ids, p->stop, n * sizeof *ids);
    return n;
}
