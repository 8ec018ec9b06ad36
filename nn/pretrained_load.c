/* pretrained_load.c - the model itself, made of a file that was checked: memory first, then weights.
 *
 * Reads: pretrained_impl.h, model.h.
 * Nothing is allocated before both numbers, what is needed and what there is, have been compared. Mapped weights count
 * as needed: a model that does not stay in memory is read from the disk again for every token.
 */
#include "nn/model_impl.h"
#include "nn/pretrained_impl.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

nn_status nn_pretrained_fits(const char *path, nn_err *err)
{
    const uint64_t room = nn_memory_room_bytes();
    uint64_t bytes = 0;
    nn_status st;

    if ((st = nn_file_size(path, &bytes, err)) != NN_OK) return st;
    if (bytes <= room) return NN_OK;
    return nn_fail(err, NN_LIMIT, "%s: needs %" PRIu64 " bytes to be mapped, %" PRIu64 " are free", path, bytes, room);
}

/* The configuration of the model that o asks for. */
static nn_config config_of(const nn_pretrained *p, const nn_load_options *o)
{
    nn_config c = p->config;

    if (o->max_t) c.max_t = o->max_t;
    c.n_class = o->n_class;
    c.n_category = o->n_category;
    c.pool = o->pool;
    c.lm_head = !o->no_lm_head;
    c.tied = c.tied && c.lm_head;
    return c;
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

typedef struct {
    const nn_pretrained *p;
    bool floats;
    uint64_t weights, mapped; /* bytes allocated, bytes read where they lie */
} tally;

static nn_status count_one(void *ctx, const nn_wanted *w)
{
    tally *o = ctx;
    const nn_st_tensor *t = nn_pretrained_find(o->p, o->p->kind == NN_FROM_HF ? w->name : w->gguf);

    const bool merged = o->p->lora && nn_lora_touches(o->p->lora, w->name);

    if (t) o->mapped += nn_dtype_bytes(t->type, t->count);
    if (o->floats || !w->matrix || !t || merged) o->weights += (uint64_t)w->rows * w->cols * sizeof(float);
    return NN_OK;
}

static tally count(const nn_pretrained *p, const nn_load_options *o)
{
    const nn_config c = config_of(p, o);
    tally n = {p, o->floats, 0, 0};

    (void)nn_pretrained_wanted(&c, count_one, &n);
    n.weights += (uint64_t)c.max_t * c.head_dim * sizeof(float); /* rotary angles */
    n.weights += (uint64_t)nn_config_tensors(&c) * (sizeof(nn_tensor) + 64);
    return n;
}

uint64_t nn_pretrained_bytes(const nn_pretrained *p, const nn_load_options *o)
{
    return count(p, o).weights;
}

static nn_status check_memory(const nn_pretrained *p, const nn_load_options *o, nn_err *err)
{
    const tally n = count(p, o);
    const uint64_t alone = o->extra < UINT64_MAX - n.weights ? n.weights + o->extra : UINT64_MAX;
    /* Weights that were copied need not stay in memory. */
    const uint64_t mapped = o->floats ? 0 : n.mapped;
    const uint64_t need = mapped < UINT64_MAX - alone ? mapped + alone : UINT64_MAX;
    const uint64_t there = o->memory ? o->memory : nn_memory_free_bytes();
    const uint64_t room = o->memory ? UINT64_MAX : nn_memory_room_bytes();

    if (need > there)
        return nn_fail(err, NN_LIMIT, "%s: needs %" PRIu64 " bytes (%" PRIu64 " of weights in the file, %" PRIu64
                       " for the model, %" PRIu64 " besides), %" PRIu64 " are free", p->path, need, mapped, n.weights,
                       o->extra, there);
    if (alone > room)
        return nn_fail(err, NN_LIMIT, "%s: needs %" PRIu64 " bytes (%" PRIu64 " for the model, %" PRIu64 " besides), %"
                       PRIu64 " are free within this process's limits", p->path, alone, n.weights, o->extra, room);
    return NN_OK;
}

/* --- adapters ----------------------------------------------------------------------------------------------------- */

nn_status nn_pretrained_adapt(nn_pretrained *p, const char *folder, nn_err *err)
{
    NN_ASSERT(!p->lora);
    return nn_lora_load(&p->lora, folder, &p->config, err);
}

const nn_lora *nn_pretrained_adapter(const nn_pretrained *p)
{
    return p->lora;
}

void nn_pretrained_base_name(const nn_pretrained *p, char *out, size_t cap)
{
    const char *slash = strrchr(p->path, '/');

    snprintf(out, cap, "%s%s", p->lora ? "adapted " : "", slash && slash[1] ? slash + 1 : p->path);
}

/* One thread's scratch is made here: whoever opens a file has none yet, and it is done once. */
static nn_status merge(nn_model *m, const nn_lora *l, nn_err *err)
{
    nn_exec x = {0};
    nn_status st = nn_exec_open(&x, NULL, 1, 1, err);

    if (st == NN_OK) st = nn_lora_merge(m, l, &x, err);
    nn_exec_free(&x);
    return st;
}

/* --- weights ------------------------------------------------------------------------------------------------------ */

static nn_status refuse_number(const nn_pretrained *p, const nn_st_tensor *from, size_t i, nn_err *err)
{
    return nn_fail(err, NN_FILE, "%s: tensor %s: number %zu is infinite or no number, want finite weights", p->path,
                   from->name, i);
}

static nn_status copy_weights(const nn_pretrained *p, const nn_tensor *to, const nn_st_tensor *from, nn_err *err)
{
    const size_t bad = nn_dtype_not_finite(from->type, from->data, from->count);

    if (bad < from->count) return refuse_number(p, from, bad, err);
    return nn_dtype_to_f32(to->data, from->type, from->data, from->count, err);
}

/* Tensor i of the model: a copy, or where it lies. */
static nn_status take_weights(const nn_pretrained *p, nn_model *m, size_t i, nn_err *err)
{
    const nn_tensor t = nn_model_tensor(m, i);
    const nn_st_tensor *from = nn_pretrained_find(p, p->kind == NN_FROM_HF ? t.name : t.gguf);
    nn_err cause = {NN_OK, ""};

    if (!from) return NN_OK; /* a head of ours */
    if (t.data) return copy_weights(p, &t, from, err);
    const nn_status st = nn_model_place_stored(m, i, from->type, from->data, &cause);
    if (st == NN_OK) return NN_OK;
    const size_t bad = nn_dtype_not_finite(from->type, from->data, from->count);
    if (bad < from->count) return refuse_number(p, from, bad, err); /* by the name that the file has */
    return nn_fail(err, st, "%s: %s", p->path, cause.text);
}

nn_status nn_pretrained_load(nn_model **out, const nn_pretrained *p, const nn_load_options *o, nn_err *err)
{
    const nn_config c = config_of(p, o);
    nn_model *m = NULL;
    nn_status st;

    *out = NULL;
    if ((st = nn_config_check(&c, err)) != NN_OK) goto done;
    if ((st = check_memory(p, o, err)) != NN_OK) goto done;
    st = o->floats ? nn_model_build(&m, &c, err) : nn_model_build_stored(&m, &c, err);
    for (size_t i = 0; st == NN_OK && i < nn_model_tensors(m); i++) st = take_weights(p, m, i, err);
    if (st == NN_OK && p->lora) st = merge(m, p->lora, err);
    if (st != NN_OK) goto done;
    *out = m;
    m = NULL;
done:
    nn_model_free(m);
    return st;
}
