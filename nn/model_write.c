/* model_write.c - what writing a GGUF file and a Hugging Face folder have in common: which tensors go, in which type
 * and row order, and their bytes piece by piece.
 *
 * Reads: model_write_impl.h, dtype.h.   Read next: model_write_gguf.c, model_write_hf.c.
 */
#include "nn/arena.h"
#include "nn/model_write_impl.h"
#include <math.h>
#include <string.h>

#define PIECE_BYTES ((size_t)1 << 20) /* converted and written at once, or one row */

nn_write_options nn_write_default(void)
{
    return (nn_write_options){.type = NN_DTYPE_OTHER};
}

/* Pairs beside biases or q/k norm: no family has them, and permuting a norm would change what it adds up. */
const char *nn_write_architecture(const nn_config *c)
{
    if (c->qk_norm && c->qkv_bias) return NULL;
    if ((c->qk_norm || c->qkv_bias) && c->rope != NN_ROPE_HALF) return NULL;
    if (c->qk_norm) return "qwen3";
    if (c->qkv_bias) return "qwen2";
    return c->sliding_window ? "mistral" : "llama";
}

float nn_write_linear(const nn_config *c)
{
    const float first = c->rope_divisor[0];

    for (size_t i = 1; i < c->head_dim / 2; i++)
        if (c->rope_divisor[i] < first || c->rope_divisor[i] > first) return 0.0f;
    return first > 0.0f ? first : 1.0f;
}

/* --- the plan ------------------------------------------------------------------------------------------------- */

bool nn_write_is_vector(const nn_tensor *t)
{
    return t->rows == 1 && !t->decay;
}

bool nn_write_is_verdict(const nn_tensor *t)
{
    return strcmp(t->gguf, "cls.output.weight") == 0;
}

size_t nn_write_bytes(const nn_write_tensor *t)
{
    return t->from.rows * nn_dtype_bytes(t->type, t->from.cols);
}

static bool ends_with(const char *s, const char *end)
{
    const size_t n = strlen(s), m = strlen(end);

    return n >= m && strcmp(s + n - m, end) == 0;
}

/* Whether every number is one of the narrower type. */
static bool survives(const float *data, size_t n, nn_dtype type)
{
    unsigned char bytes[4];
    float back = 0.0f;

    for (size_t i = 0; i < n; i++) {
        nn_dtype_from_f32(bytes, type, data + i, 1);
        if (nn_dtype_to_f32(&back, type, bytes, 1, NULL) != NN_OK || back < data[i] || back > data[i]) return false;
    }
    return true;
}

static nn_dtype type_of(const nn_tensor *t, nn_dtype asked, bool gguf)
{
    const nn_dtype own = t->bytes ? t->type : NN_F32;

    if (nn_write_is_vector(t)) {
        if (gguf || nn_dtype_block(asked) != 1) return NN_F32;
        return survives(t->data, t->cols, asked) ? asked : NN_F32;
    }
    if (nn_write_is_verdict(t)) return NN_F32;
    if (asked == NN_DTYPE_OTHER) return gguf || nn_dtype_block(own) == 1 ? own : NN_F32;
    return t->cols % nn_dtype_block(asked) == 0 ? asked : NN_F16;
}

static bool is_left_out(const nn_tensor *t, bool labels)
{
    if (nn_write_is_verdict(t)) return !labels;
    return strncmp(t->gguf, "guard.", 6) == 0;
}

static bool is_written(nn_dtype type)
{
    return type == NN_F32 || type == NN_F16 || type == NN_BF16 || type == NN_Q8_0 || type == NN_Q4_0;
}

static nn_status check_type(nn_dtype type, bool gguf, nn_err *err)
{
    const bool plain = type == NN_F32 || type == NN_F16 || type == NN_BF16 || type == NN_DTYPE_OTHER;

    if (plain || (gguf && (type == NN_Q8_0 || type == NN_Q4_0))) return NN_OK;
    return nn_fail(err, NN_USAGE, "weights of type %s, want %s", nn_dtype_name(type),
                   gguf ? "F32, F16, BF16, Q8_0 or Q4_0" : "F32, F16 or BF16 in a Hugging Face folder");
}

nn_status nn_write_plan_make(nn_write_plan *p, const nn_model *m, const nn_write_options *o, nn_rope_order rope,
                             bool gguf, nn_err *err)
{
    const nn_config *c = nn_model_config(m);
    nn_status st;

    *p = (nn_write_plan){.m = m, .rope = rope, .lora = o->lora};
    if (nn_model_is_i8(m)) return nn_fail(err, NN_USAGE, "model: its weights are int8, want floats or a file's types");
    if (!nn_write_architecture(c))
        return nn_fail(err, NN_USAGE, "model: q/k norm with biases, or one of them with rotary pairs of neighbours, "
                       "want the shape of llama, mistral, qwen2 or qwen3");
    if ((st = check_type(o->type, gguf, err)) != NN_OK) return st;
    if (o->lora && (st = nn_lora_fits(o->lora, c, err)) != NN_OK) return st;
    if (o->lora && (st = nn_exec_open(&p->x, NULL, 1, 1, err)) != NN_OK) return st;
    if ((st = nn_alloc((void **)&p->tensor, nn_model_tensors(m) + 1, sizeof *p->tensor, err)) != NN_OK) return st;
    for (size_t i = 0; i < nn_model_tensors(m); i++) {
        const nn_tensor t = nn_model_tensor(m, i);

        if (is_left_out(&t, o->labels)) continue;
        nn_write_tensor *to = p->tensor + p->n++;
        *to = (nn_write_tensor){
            t, type_of(&t, o->type, gguf),
            c->rope != rope && (ends_with(t.gguf, "attn_q.weight") || ends_with(t.gguf, "attn_k.weight")),
            o->lora && nn_lora_touches(o->lora, t.name)};
        if (to->merged && !is_written(to->type))
            return nn_fail(err, NN_USAGE, "tensor %s: type %s, which is only read here, want a type that it shall have "
                           "with its adapter", t.name, nn_dtype_name(to->type));
    }
    return NN_OK;
}

void nn_write_plan_free(nn_write_plan *p)
{
    nn_exec_free(&p->x);
    nn_free(p->tensor);
    p->tensor = NULL;
}

/* --- rows ----------------------------------------------------------------------------------------------------- */

/* The row of the model that stands at row r of the file. Pair i of a head is (i, i + D/2) in halves, (2i, 2i + 1) among
 * neighbours. */
static size_t source_row(const nn_write_plan *p, const nn_write_tensor *t, size_t r)
{
    const size_t D = nn_model_config(p->m)->head_dim, head = r / D * D, j = r % D;

    if (!t->turned) return r;
    if (p->rope == NN_ROPE_PAIRS) return head + (j % 2) * (D / 2) + j / 2;
    return head + (j < D / 2 ? 2 * j : 2 * (j - D / 2) + 1);
}

/* *x [cols]: row `row` of the model as floats, with its adapter; where the model has them so, there. scratch [2, cols].
 */
static nn_status row_floats(const float **x, float *scratch, const nn_write_plan *p, const nn_write_tensor *t,
                            size_t row, nn_err *err)
{
    const nn_tensor *from = &t->from;
    const size_t cols = from->cols;
    nn_status st;

    *x = scratch;
    if (from->bytes) {
        st = nn_dtype_to_f32(scratch, from->type, from->bytes + row * nn_dtype_bytes(from->type, cols), cols, err);
        if (st != NN_OK) return st;
    } else if (t->merged) {
        memcpy(scratch, from->data + row * cols, cols * sizeof *scratch);
    } else {
        *x = from->data + row * cols;
    }
    if (t->merged) nn_lora_add_rows(p->lora, &p->x, from->name, scratch, scratch + cols, row, 1);
    return NN_OK;
}

/* Row `row` of the model into out, in the file's type. */
static nn_status put_row(unsigned char *out, float *scratch, const nn_write_plan *p, const nn_write_tensor *t,
                         size_t row, nn_err *err)
{
    const nn_tensor *from = &t->from;
    const size_t cols = from->cols;
    const float *x = NULL;
    nn_status st;

    if (from->bytes && from->type == t->type && !t->merged) {
        memcpy(out, from->bytes + row * nn_dtype_bytes(from->type, cols), nn_dtype_bytes(t->type, cols));
        return NN_OK;
    }
    if ((st = row_floats(&x, scratch, p, t, row, err)) != NN_OK) return st;
    nn_dtype_from_f32(out, t->type, x, cols);
    /* Blocks hide a NaN, so the floats are looked at where they may have one: placed weights were, once. */
    for (size_t i = 0; (!from->bytes || t->merged) && i < cols; i++)
        if (!isfinite(x[i]))
            return nn_fail(err, NN_CONTENT, "tensor %s: number %zu is infinite or no number", from->name,
                           row * cols + i);
    const size_t bad = nn_dtype_not_finite(t->type, out, cols);
    if (bad < cols)
        return nn_fail(err, NN_CONTENT, "tensor %s: number %zu is too large for %s, want another type", from->name,
                       row * cols + bad, nn_dtype_name(t->type));
    return NN_OK;
}

static nn_status put_tensor(nn_file_out *f, const nn_write_plan *p, const nn_write_tensor *t, nn_err *err)
{
    const size_t rows = t->from.rows, row_bytes = nn_dtype_bytes(t->type, t->from.cols);
    const size_t many = PIECE_BYTES / row_bytes ? PIECE_BYTES / row_bytes : 1, step = many < rows ? many : rows;
    unsigned char *piece = NULL;
    float *scratch = NULL;
    nn_status st;

    if ((st = nn_alloc((void **)&piece, step, row_bytes, err)) != NN_OK) goto done;
    if ((st = nn_alloc((void **)&scratch, t->from.cols, 2 * sizeof *scratch, err)) != NN_OK) goto done;
    for (size_t first = 0; first < rows && st == NN_OK; first += step) {
        const size_t n = rows - first < step ? rows - first : step;

        for (size_t i = 0; i < n && st == NN_OK; i++)
            st = put_row(piece + i * row_bytes, scratch, p, t, source_row(p, t, first + i), err);
        if (st == NN_OK) st = nn_file_out_put(f, piece, n * row_bytes, err);
    }
done:
    nn_free(scratch);
    nn_free(piece);
    return st;
}

nn_status nn_write_data(nn_file_out *f, const nn_write_plan *p, size_t align, nn_err *err)
{
    static const unsigned char zero[64];
    nn_status st = NN_OK;

    NN_ASSERT(align <= sizeof zero);
    for (size_t i = 0; i < p->n && st == NN_OK; i++) {
        const size_t over = nn_write_bytes(p->tensor + i) % align;

        st = put_tensor(f, p, p->tensor + i, err);
        if (st == NN_OK && over) st = nn_file_out_put(f, zero, align - over, err);
    }
    return st;
}
