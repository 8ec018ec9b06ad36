/* pretrained_llama2c.c - checkpoints of the llama2.c project (github.com/karpathy/llama2.c, export.py).
 *
 * Reads: pretrained_impl.h, cursor.h.
 * Version 0: seven int32 (dim, hidden, layers, heads, kv heads, vocab, length; a negative vocab says that the output
 * matrix is not the embedding), then float32 tensors, each kind for all layers together, with two tables of rotary
 * angles before the output matrix; ours are computed. Version 1: magic 0x616b3432, version, the seven numbers, one
 * byte that says whether the output is the embedding, zeros up to byte 256, then the tensors in another order.
 * Version 2 (int8 groups) is refused by name. No version says more: rotary pairs are (2i, 2i + 1), theta 10000,
 * epsilon 1e-5. The file must end where its numbers say, so nothing but such a file passes for one.
 */
#include "nn/arena.h"
#include "nn/cursor.h"
#include "nn/pretrained_impl.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MAGIC 0x616b3432u
#define HEADER_1 256u
#define MOST 16777216 /* nothing that these files count is larger in a model that runs here */
#define NAME_CAP 40u

/* One kind of tensor in the order of the file. Dimensions: V vocab, C width, Q heads, K kv heads, F feed-forward. */
typedef struct {
    const char *name; /* NULL: the rotary angles */
    bool in_layer;
    char rows, cols; /* rows 0: a vector */
} kind;

static const kind order_0[] = {
    {"token_embd.weight", false, 'V', 'C'}, {"attn_norm.weight", true, 0, 'C'},
    {"attn_q.weight", true, 'Q', 'C'},      {"attn_k.weight", true, 'K', 'C'},
    {"attn_v.weight", true, 'K', 'C'},      {"attn_output.weight", true, 'C', 'Q'},
    {"ffn_norm.weight", true, 0, 'C'},      {"ffn_gate.weight", true, 'F', 'C'},
    {"ffn_down.weight", true, 'C', 'F'},    {"ffn_up.weight", true, 'F', 'C'},
    {"output_norm.weight", false, 0, 'C'},  {NULL, false, 0, 0},
    {"output.weight", false, 'V', 'C'},
};
static const kind order_1[] = {
    {"attn_norm.weight", true, 0, 'C'},     {"ffn_norm.weight", true, 0, 'C'},
    {"output_norm.weight", false, 0, 'C'},  {"token_embd.weight", false, 'V', 'C'},
    {"attn_q.weight", true, 'Q', 'C'},      {"attn_k.weight", true, 'K', 'C'},
    {"attn_v.weight", true, 'K', 'C'},      {"attn_output.weight", true, 'C', 'Q'},
    {"ffn_gate.weight", true, 'F', 'C'},    {"ffn_down.weight", true, 'C', 'F'},
    {"ffn_up.weight", true, 'F', 'C'},      {"output.weight", false, 'V', 'C'},
};

static size_t dimension(const nn_config *c, char which)
{
    switch (which) {
    case 'V': return c->vocab;
    case 'C': return c->width;
    case 'Q': return c->heads * c->head_dim;
    case 'K': return c->kv_heads * c->head_dim;
    case 'F': return c->ff;
    default: return 1;
    }
}

/* --- header --------------------------------------------------------------------------------------------------- */

static size_t positive(nn_cursor *c, const char *what)
{
    const int32_t v = (int32_t)nn_cursor_u32(c);
    const bool is = v > 0 && v <= MOST; /* of a text or an archive, four bytes are more */

    if (!is)
        (void)nn_cursor_fail(c, "%s is %" PRId32 ", want 1 to %d: no GGUF file, and no llama2.c file", what, v, MOST);
    return is ? (size_t)v : 1;
}

/* The seven numbers; a negative vocab counts only in version 0. */
static void read_numbers(nn_cursor *c, nn_config *o, bool sign_unties)
{
    o->width = positive(c, "dim");
    o->ff = positive(c, "hidden_dim");
    o->layers = positive(c, "n_layers");
    o->heads = positive(c, "n_heads");
    o->kv_heads = positive(c, "n_kv_heads");
    const int64_t vocab = (int32_t)nn_cursor_u32(c);
    o->max_t = positive(c, "seq_len");
    if (vocab == 0 || (vocab < 0 && !sign_unties))
        (void)nn_cursor_fail(c, "vocab_size is %" PRId64 ", want a positive number", vocab);
    o->vocab = (size_t)(vocab < 0 ? -vocab : vocab);
    o->tied = vocab > 0;
    if (c->status == NN_OK && o->width % o->heads != 0)
        (void)nn_cursor_fail(c, "dim %zu, want a multiple of n_heads %zu", o->width, o->heads);
    o->head_dim = o->width / o->heads;
    o->rope = NN_ROPE_PAIRS;
    o->rope_theta = 10000.0f;
    o->norm_eps = 1e-5f;
}

static void read_header_1(nn_cursor *c, nn_config *o)
{
    const uint32_t version = nn_cursor_u32(c);

    if (version != 1) {
        (void)nn_cursor_fail(c, "llama2.c version %" PRIu32 "%s, want 0 or 1 (float32)", version,
                             version == 2 ? " (int8)" : "");
        return;
    }
    read_numbers(c, o, false);
    const uint8_t shared = nn_cursor_u8(c);
    if (shared > 1) (void)nn_cursor_fail(c, "shared classifier is %u, want 0 or 1", (unsigned)shared);
    o->tied = shared == 1;
    nn_cursor_seek(c, HEADER_1);
}

/* --- tensors -------------------------------------------------------------------------------------------------- */

static nn_status add_tensor(nn_pretrained *p, nn_cursor *c, const kind *k, size_t l)
{
    char *name = p->names + p->n_tensor * NAME_CAP;
    nn_st_tensor t = {.name = name, .type = NN_F32};

    if (k->in_layer)
        snprintf(name, NAME_CAP, "blk.%zu.%s", l, k->name);
    else
        snprintf(name, NAME_CAP, "%s", k->name);
    if (k->rows) t.dim[t.n_dim++] = dimension(&p->config, k->rows);
    t.dim[t.n_dim++] = dimension(&p->config, k->cols);
    t.count = k->rows ? t.dim[0] * t.dim[1] : t.dim[0];
    t.data = nn_cursor_bytes(c, (uint64_t)t.count * sizeof(float));
    return c->status == NN_OK ? nn_pretrained_add(p, &t, c->err) : c->status;
}

static nn_status read_tensors(nn_pretrained *p, nn_cursor *c, const kind *order, size_t n)
{
    const nn_config *o = &p->config;
    nn_status st;

    if ((st = nn_alloc((void **)&p->names, n * o->layers, NAME_CAP, c->err)) != NN_OK) return st;
    for (size_t i = 0; i < n; i++) {
        if (!order[i].name) {
            (void)nn_cursor_bytes(c, (uint64_t)o->max_t * o->head_dim * sizeof(float));
            continue;
        }
        if (o->tied && strcmp(order[i].name, "output.weight") == 0) continue;
        for (size_t l = 0; l < (order[i].in_layer ? o->layers : 1); l++)
            if ((st = add_tensor(p, c, &order[i], l)) != NN_OK) return st;
    }
    return c->status;
}

/* The bytes that the header's numbers come to. The numbers are within nn_config_check's limits: no overflow. */
static uint64_t whole_length(const nn_config *o, size_t header, bool angles)
{
    return header + ((uint64_t)nn_config_params(o) + (angles ? (uint64_t)o->max_t * o->head_dim : 0)) * sizeof(float);
}

nn_status nn_pretrained_read_llama2c(nn_pretrained *p, nn_err *err)
{
    nn_cursor c;
    nn_status st;

    snprintf(p->architecture, sizeof p->architecture, "llama");
    nn_cursor_init(&c, p->file.bytes, p->file.len, p->path, err);
    const bool versioned = nn_cursor_u32(&c) == MAGIC;
    if (versioned)
        read_header_1(&c, &p->config);
    else {
        nn_cursor_seek(&c, 0);
        read_numbers(&c, &p->config, true);
    }
    if (c.status != NN_OK) return c.status;
    if ((st = nn_pretrained_check_config(p, err)) != NN_OK) return st;
    const uint64_t want = whole_length(&p->config, c.pos, !versioned);
    if (want != p->file.len)
        return nn_cursor_fail(&c, "%zu bytes, want %" PRIu64 " for the numbers in the header", p->file.len, want);
    st = versioned ? read_tensors(p, &c, order_1, sizeof order_1 / sizeof *order_1)
                   : read_tensors(p, &c, order_0, sizeof order_0 / sizeof *order_0);
    if (st != NN_OK) return st;
    nn_pretrained_stop(p, 1); /* BOS: another text begins */
    nn_pretrained_stop(p, 2); /* EOS */
    return nn_pretrained_settle(p, err);
}
