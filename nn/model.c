/* model.c - configuration, the walk over the table of tensors, build, initialisation, hash.
 *
 * Reads: model_impl.h.   Read next: model_body.c (forward), model_pack.c, model_i8.c, model_stored.c (other forms of
 * the weights), model_state.c (inference), trainer.c.
 */
#include "nn/model_impl.h"
#include "nn/rng.h"
#include "nn/sha256.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- configuration ---------------------------------------------------------------------- */

nn_config nn_config_default(void)
{
    const nn_config c = {.vocab = 4096, .layers = 4, .width = 128, .heads = 4, .kv_heads = 2, .head_dim = 32,
                         .ff = 384, .max_t = 256, .rope_theta = 10000.0f, .norm_eps = 1e-6f,
                         .rope = NN_ROPE_HALF, .qk_norm = true, .qkv_bias = false, .lm_head = true, .tied = true,
                         .memory_rows = 0, .n_class = 0, .n_category = 0, .pool = NN_POOL_LAST};

    return c;
}

size_t nn_pool_width(const nn_config *c)
{
    return c->pool == NN_POOL_MEAN_MAX ? 2 * c->width : c->width;
}

/* One row of params.h as a visitor sees it. */
typedef struct {
    const char *name, *gguf;
    bool in_layer;
    size_t layer, rows, cols;
    nn_init init;
    bool decay;
    size_t group;
} param;

typedef void (*param_fn)(void *ctx, const param *p, float **slot);

/* Calls fn for every tensor that is present, in table order; slot is its field in w, NULL while w has no room. */
static void params_walk(const nn_config *c, nn_weights *w, param_fn fn, void *ctx)
{
    nn_weights *const top = w;

#define VISIT(field, name, gguf, rows, cols, init, decay, group, when)                                                 \
    if (when) {                                                                                                        \
        const param p = {name, gguf, in_layer, l, rows, cols, NN_INIT_##init, decay, NN_GROUP_##group};                \
        fn(ctx, &p, place ? &place->field : NULL);                                                                     \
    }
    {
        nn_weights *const place = top;
        const bool in_layer = false;
        const size_t l = 0;
        NN_PARAMS_FRONT(VISIT)
    }
    for (size_t l = 0; l < c->layers; l++) {
        nn_layer *const place = top && top->layer ? top->layer + l : NULL;
        const bool in_layer = true;
        NN_PARAMS_LAYER(VISIT)
    }
    {
        nn_weights *const place = top;
        const bool in_layer = false;
        const size_t l = 0;
        NN_PARAMS_BACK(VISIT)
    }
#undef VISIT
}

typedef struct {
    size_t tensors, weights; /* SIZE_MAX when too many to count */
} tally;

static void count_one(void *ctx, const param *p, float **slot)
{
    tally *t = ctx;
    const size_t left = SIZE_MAX - t->weights;

    (void)slot;
    t->tensors++;
    t->weights = p->rows > left / p->cols ? SIZE_MAX : t->weights + p->rows * p->cols;
}

static tally count(const nn_config *c)
{
    tally t = {0, 0};

    params_walk(c, NULL, count_one, &t);
    return t;
}

/* WHY these bounds: an angle stays below 2^50, where nn_cos and nn_sin have values. */
static nn_status check_rope(const nn_config *c, nn_err *err)
{
    size_t divided = 0;

    if (c->rope != NN_ROPE_HALF && c->rope != NN_ROPE_PAIRS)
        return nn_fail(err, NN_USAGE, "model: rope order is %d, want half or pairs", (int)c->rope);
    if (!(c->rope_theta >= 1.0f && c->rope_theta <= 1e9f))
        return nn_fail(err, NN_USAGE, "model: rope_theta is %g, want 1 to 1e9", (double)c->rope_theta);
    for (size_t i = 0; i < c->head_dim / 2; i++) divided += c->rope_divisor[i] != 0.0f;
    for (size_t i = 0; divided > 0 && i < c->head_dim / 2; i++)
        if (!(c->rope_divisor[i] >= 1e-6f && c->rope_divisor[i] <= 1e6f))
            return nn_fail(err, NN_USAGE, "model: rope_divisor %zu is %g, want 1e-6 to 1e6, or 0 for all", i,
                           (double)c->rope_divisor[i]);
    return NN_OK;
}

nn_status nn_config_check(const nn_config *c, nn_err *err)
{
    const struct {
        const char *name;
        size_t value, low, high;
    } range[] = {
        {"vocab", c->vocab, 1, (size_t)1 << 24},        {"layers", c->layers, 1, 512},
        {"width", c->width, 1, (size_t)1 << 16},        {"heads", c->heads, 1, 1024},
        {"kv_heads", c->kv_heads, 1, 1024},             {"head_dim", c->head_dim, 2, 256},
        {"ff", c->ff, 1, (size_t)1 << 20},              {"max_t", c->max_t, 1, (size_t)1 << 20},
        {"memory_rows", c->memory_rows, 0, 0x7fffffff}, {"n_category", c->n_category, 0, 1024},
        {"sliding_window", c->sliding_window, 0, 0x7fffffff},
    };

    for (size_t i = 0; i < sizeof range / sizeof *range; i++)
        if (range[i].value < range[i].low || range[i].value > range[i].high)
            return nn_fail(err, NN_USAGE, "model: %s is %zu, want %zu to %zu", range[i].name, range[i].value,
                           range[i].low, range[i].high);
    if (c->heads % c->kv_heads != 0)
        return nn_fail(err, NN_USAGE, "model: heads is %zu, want a multiple of kv_heads %zu", c->heads, c->kv_heads);
    if (c->head_dim % 2 != 0)
        return nn_fail(err, NN_USAGE, "model: head_dim is %zu, want an even number", c->head_dim);
    if (c->n_class != 0 && c->n_class != 2)
        return nn_fail(err, NN_USAGE, "model: n_class is %zu, want 0 or 2 (safe, unsafe)", c->n_class);
    if (c->tied && !c->lm_head)
        return nn_fail(err, NN_USAGE, "model: tied without lm_head, want both or not tied");
    if (c->pool != NN_POOL_LAST && c->pool != NN_POOL_MEAN_MAX)
        return nn_fail(err, NN_USAGE, "model: pool is %d, want last or mean-max", (int)c->pool);
    if (!(c->norm_eps > 0.0f && c->norm_eps < 1.0f))
        return nn_fail(err, NN_USAGE, "model: norm_eps is %g, want above 0 and below 1", (double)c->norm_eps);
    if (count(c).weights > SIZE_MAX / (8 * sizeof(float)))
        return nn_fail(err, NN_LIMIT, "model: more weights than this machine can address");
    return check_rope(c, err);
}

size_t nn_config_params(const nn_config *c)
{
    return count(c).weights;
}

size_t nn_config_tensors(const nn_config *c)
{
    return count(c).tensors;
}

size_t nn_config_active_params(const nn_config *c)
{
    const size_t looked_up = (c->vocab + c->memory_rows) * c->width;
    const size_t tied_output = c->lm_head && c->tied ? c->vocab * c->width : 0; /* multiplied as the output matrix */

    return count(c).weights - looked_up + tied_output;
}

/* --- build ------------------------------------------------------------------------------ */

/* How the matrices are there: as floats of the model, in int8 (of which it has scales and sums), or stored elsewhere; or
 * nothing is there but the guard's two heads. */
typedef enum { FORM_FLOATS, FORM_I8, FORM_STORED, FORM_HEADS } weight_form;

typedef struct {
    nn_arena *a;
    float **at;
    size_t i;
    weight_form form;
    nn_i8_tensor *i8; /* [n_tensor], NULL while measuring */
} taking;

static bool is_head(const param *p)
{
    return p->group == NN_GROUP_HEADS && p->init == NN_INIT_SMALL;
}

/* What lies elsewhere where the form is not floats: all matrices but the guard's two heads, small ones that decide. */
static bool goes_elsewhere(const param *p)
{
    return p->decay && !is_head(p);
}

static void take_one(void *ctx, const param *p, float **slot)
{
    taking *t = ctx;
    const bool i8 = t->form == FORM_I8 && goes_elsewhere(p), stored = t->form == FORM_STORED && goes_elsewhere(p);
    const bool absent = i8 || stored || (t->form == FORM_HEADS && !is_head(p));
    float *data = absent ? NULL : nn_arena_take(t->a, p->rows, p->cols * sizeof *data);
    float *scale = i8 ? nn_arena_take(t->a, nn_i8_rows(p->rows), sizeof *scale) : NULL;
    int32_t *sum = i8 ? nn_arena_take(t->a, nn_i8_rows(p->rows), sizeof *sum) : NULL;

    if (t->i8) t->i8[t->i] = (nn_i8_tensor){NULL, scale, sum};

    if (slot) *slot = data;
    if (t->at) t->at[t->i] = data;
    t->i++;
}

static void weights_take(nn_weights *w, nn_arena *a, const nn_config *c, weight_form form, nn_i8_tensor *i8)
{
    memset(w, 0, sizeof *w);
    w->layer = nn_arena_take(a, c->layers, sizeof *w->layer);
    w->at = nn_arena_take(a, nn_config_tensors(c), sizeof *w->at);

    taking t = {a, w->at, 0, form, i8};
    params_walk(c, w, take_one, &t);
}

void nn_weights_take(nn_weights *w, nn_arena *a, const nn_config *c)
{
    weights_take(w, a, c, FORM_FLOATS, NULL);
}

void nn_weights_take_heads(nn_weights *w, nn_arena *a, const nn_config *c)
{
    weights_take(w, a, c, FORM_HEADS, NULL);
}

static void describe_one(void *ctx, const param *p, float **slot)
{
    nn_model *m = ctx;
    nn_tensor *t = m->tensor + m->n_tensor;

    if (p->in_layer) {
        snprintf(t->name, sizeof t->name, "model.layers.%zu.%s", p->layer, p->name);
        snprintf(t->gguf, sizeof t->gguf, "blk.%zu.%s", p->layer, p->gguf);
    } else {
        snprintf(t->name, sizeof t->name, "%s", p->name);
        snprintf(t->gguf, sizeof t->gguf, "%s", p->gguf);
    }
    t->data = *slot;
    t->rows = p->rows;
    t->cols = p->cols;
    t->decay = p->decay;
    t->group = p->group;
    t->i8 = m->i8 && goes_elsewhere(p) ? m->i8 + m->n_tensor : NULL;
    m->slot[m->n_tensor] = slot;
    m->init[m->n_tensor] = p->init;
    m->n_tensor++;
}

static void model_layout(nn_model *m, nn_arena *a, weight_form form)
{
    const nn_config *c = &m->config;
    const size_t n = nn_config_tensors(c);

    m->tensor = nn_arena_take(a, n, sizeof *m->tensor);
    m->init = nn_arena_take(a, n, sizeof *m->init);
    m->cos_t = nn_arena_take(a, c->max_t, c->head_dim / 2 * sizeof *m->cos_t);
    m->sin_t = nn_arena_take(a, c->max_t, c->head_dim / 2 * sizeof *m->sin_t);
    m->slot = nn_arena_take(a, n, sizeof *m->slot);
    m->i8 = form == FORM_I8 ? nn_arena_take(a, n, sizeof *m->i8) : NULL;
    m->stored = form == FORM_STORED;
    weights_take(&m->w, a, c, form, m->i8);
    nn_matrices_take(&m->mx, a, c);
}

static void fill(float *y, float value, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = value;
}

static nn_status build(nn_model **out, const nn_config *c, weight_form form, nn_err *err)
{
    nn_model *m = NULL;
    void *block = NULL;
    nn_arena dry = {0};
    nn_status st;

    *out = NULL;
    if ((st = nn_config_check(c, err)) != NN_OK) goto done;
    if ((st = nn_alloc(&block, 1, sizeof *m, err)) != NN_OK) goto done;
    m = block;
    m->config = *c;
    model_layout(m, &dry, form);
    if ((st = nn_arena_open(&m->arena, dry.used, err)) != NN_OK) goto done;
    model_layout(m, &m->arena, form);
    NN_ASSERT(m->arena.used == dry.used);

    params_walk(c, &m->w, describe_one, m);
    nn_matrices_plain(&m->mx, m);
    nn_rope_table(m->cos_t, m->sin_t, c->rope_theta, c->rope_divisor, c->max_t, c->head_dim);
    for (size_t i = 0; i < m->n_tensor; i++)
        if (m->init[i] == NN_INIT_ONE) fill(m->tensor[i].data, 1.0f, m->tensor[i].cols);
    *out = m;
    m = NULL;
done:
    nn_model_free(m);
    return st;
}

nn_status nn_model_build(nn_model **out, const nn_config *c, nn_err *err)
{
    return build(out, c, FORM_FLOATS, err);
}

nn_status nn_model_build_i8(nn_model **out, const nn_config *c, nn_err *err)
{
    return build(out, c, FORM_I8, err);
}

nn_status nn_model_build_stored(nn_model **out, const nn_config *c, nn_err *err)
{
    return build(out, c, FORM_STORED, err);
}

void nn_model_free(nn_model *m)
{
    if (!m) return;
    nn_packed_free(&m->packed);
    nn_arena_free(&m->own_i8);
    nn_arena_free(&m->own_stored);
    nn_arena_free(&m->arena);
    nn_free(m);
}

/* Standard deviations: Radford et al. 2019, sec. 2.3, for what feeds the residual stream. SMALL is our choice: a memory
 * row or a head should say little before it has learnt, but not nothing, or no gradient would pass through it. */
static void init_tensor(nn_model *m, size_t i, uint64_t seed)
{
    const double residual = 0.02 / sqrt(2.0 * (double)m->config.layers);
    const nn_tensor *t = m->tensor + i;
    const size_t n = t->rows * t->cols;

    if (m->init[i] == NN_INIT_ZERO || m->init[i] == NN_INIT_ONE) {
        fill(t->data, m->init[i] == NN_INIT_ONE ? 1.0f : 0.0f, n);
        return;
    }
    const double std = m->init[i] == NN_INIT_NORMAL ? 0.02 : m->init[i] == NN_INIT_SMALL ? 0.005 : residual;
    nn_rng rng = nn_rng_at(seed, t->name, 0);

    for (size_t j = 0; j < n; j++) {
        rng.pos = j;
        const double z = nn_rng_normal(&rng);
        t->data[j] = (float)(std * z);
    }
}

void nn_model_init(nn_model *m, uint64_t seed)
{
    NN_ASSERT(!nn_model_is_i8(m) && !nn_model_is_stored(m));
    for (size_t i = 0; i < m->n_tensor; i++) init_tensor(m, i, seed);
}

void nn_model_init_heads(nn_model *m, uint64_t seed)
{
    for (size_t i = 0; i < m->n_tensor; i++)
        if (m->tensor[i].group == NN_GROUP_HEADS && m->init[i] == NN_INIT_SMALL) init_tensor(m, i, seed);
}

/* --- looking ---------------------------------------------------------------------------- */

const nn_config *nn_model_config(const nn_model *m)
{
    return &m->config;
}

size_t nn_model_tensors(const nn_model *m)
{
    return m->n_tensor;
}

nn_tensor nn_model_tensor(const nn_model *m, size_t i)
{
    NN_ASSERT(i < m->n_tensor);
    return m->tensor[i];
}

bool nn_model_find(const nn_model *m, const char *name, nn_tensor *out)
{
    for (size_t i = 0; i < m->n_tensor; i++) {
        if (strcmp(m->tensor[i].name, name) != 0 && strcmp(m->tensor[i].gguf, name) != 0) continue;
        *out = m->tensor[i];
        return true;
    }
    return false;
}

static void put_le(unsigned char *out, uint64_t v, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) out[i] = (unsigned char)(v >> (8 * i));
}

/* Floats by their bits, little-endian. */
static void hash_floats(nn_sha256 *s, const float *data, size_t n)
{
    enum { STEP = 256 };
    unsigned char bytes[STEP * sizeof(float)];

    for (size_t j = 0; j < n; j += STEP) {
        const size_t k_end = n - j < STEP ? n - j : STEP;
        for (size_t k = 0; k < k_end; k++) {
            uint32_t bits;
            memcpy(&bits, data + j + k, sizeof bits);
            put_le(bytes + 4 * k, bits, 4);
        }
        nn_sha256_add(s, bytes, 4 * k_end);
    }
}

void nn_model_hash(const nn_model *m, char hex[65])
{
    unsigned char bytes[16];
    nn_sha256 s;

    nn_sha256_init(&s);
    for (size_t i = 0; i < m->n_tensor; i++) {
        const nn_tensor *t = m->tensor + i;

        nn_sha256_add(&s, t->name, strlen(t->name) + 1);
        put_le(bytes, t->rows, 8);
        put_le(bytes + 8, t->cols, 8);
        nn_sha256_add(&s, bytes, 16);
        if (t->i8) {
            nn_sha256_add(&s, t->i8->panels, nn_i8_rows(t->rows) * nn_i8_cols(t->cols));
            hash_floats(&s, t->i8->scale, t->rows);
        } else if (t->data) {
            hash_floats(&s, t->data, t->rows * t->cols);
        } else {
            NN_ASSERT(t->bytes);
            if (t->type != NN_F32) nn_sha256_add(&s, nn_dtype_name(t->type), strlen(nn_dtype_name(t->type)) + 1);
            nn_sha256_add(&s, t->bytes, t->rows * nn_dtype_bytes(t->type, t->cols));
        }
    }
    nn_sha256_end_hex(&s, hex);
}
