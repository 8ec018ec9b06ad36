/* lora_file.c - adapters as PEFT keeps them: a folder of adapter_config.json and adapter_model.safetensors.
 *
 * Reads: lora_impl.h, safetensors.h, json_scan.h.   Read next: pretrained_hf.c (the models they are for).
 * The layout: Hugging Face's PEFT (peft/tuners/lora/config.py, utils/save_and_load.py): the keys of LoraConfig, and
 * tensors base_model.model.NAME.lora_A.weight [r, in], lora_B.weight [out, r], NAME the module's in the base model.
 * Row order: PEFT's adapters are for Hugging Face's weights, whose rotary pairs are the halves of a head. A base of the
 * other order (pairs side by side) has the same rows in another order, and so have the rows of B beside q and k: they
 * are permuted, which is exact, and back. A has a row a rank and is not touched.
 * Files are untrusted: shapes are compared before anything of that size is allocated.
 */
#include "nn/json_scan.h"
#include "nn/lora_impl.h"
#include "nn/safetensors.h"
#include "nn/sink.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "base_model.model."
#define NAME_BYTES (NN_LORA_NAME + sizeof PREFIX)
#define PATH_CAP 4096u
#define CONFIG_MAX ((size_t)1 << 20)
#define CONFIG "adapter_config.json"
#define TENSORS "adapter_model.safetensors"

static nn_status path_of(char *out, const char *folder, const char *name, nn_err *err)
{
    if ((size_t)snprintf(out, PATH_CAP, "%s/%s", folder, name) < PATH_CAP) return NN_OK;
    return nn_fail(err, NN_FILE, "%.100s...: a path of more than %u bytes", folder, PATH_CAP);
}

static void file_name(char out[NAME_BYTES], size_t layer, nn_lora_target t, char which)
{
    char name[NN_LORA_NAME];

    nn_lora_name(name, layer, t, which);
    snprintf(out, NAME_BYTES, PREFIX "%s", name);
}

/* Row n of a model in pairs is which row of Hugging Face's: pair i's element j of a head of D is i + j D/2 there. */
static size_t half_row(size_t n, size_t D)
{
    const size_t head = n / D * D, at = n % D;

    return head + at % 2 * (D / 2) + at / 2;
}

static bool permuted(const nn_config *c, nn_lora_target t)
{
    return c->rope == NN_ROPE_PAIRS && (t == NN_LORA_Q || t == NN_LORA_K);
}

/* --- writing -------------------------------------------------------------------------------- */

/* The shortest decimal that reads back as this float. */
static void add_float(nn_sink *s, const char *key, float v)
{
    char text[32] = "";

    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)v);
        if (strtof(text, NULL) == v) break;
    }
    for (char *p = text; *p; p++) *p = *p == ',' ? '.' : *p; /* a locale's decimal point */
    nn_sink_str(s, key);
    nn_sink_str(s, text);
    nn_sink_str(s, ",\n");
}

static void add_config(nn_sink *s, const nn_lora_options *o, const char *base)
{
    char rank[32];
    bool first = true;

    nn_sink_str(s, "{\n  \"base_model_name_or_path\": ");
    nn_sink_quoted(s, base);
    nn_sink_str(s, ",\n  \"bias\": \"none\",\n  \"fan_in_fan_out\": false,\n  \"inference_mode\": true,\n"
                   "  \"init_lora_weights\": true,\n");
    add_float(s, "  \"lora_alpha\": ", o->alpha);
    add_float(s, "  \"lora_dropout\": ", o->dropout);
    snprintf(rank, sizeof rank, "  \"r\": %zu,\n", o->rank);
    nn_sink_str(s, "  \"modules_to_save\": null,\n  \"peft_type\": \"LORA\",\n");
    nn_sink_str(s, rank);
    nn_sink_str(s, "  \"target_modules\": [");
    for (nn_lora_target t = 0; t < NN_LORA_TARGETS; t++) {
        if (!(o->targets >> t & 1u)) continue;
        nn_sink_str(s, first ? "" : ", ");
        nn_sink_quoted(s, nn_lora_target_name(t));
        first = false;
    }
    nn_sink_str(s, "],\n  \"task_type\": \"CAUSAL_LM\",\n  \"use_dora\": false,\n  \"use_rslora\": false\n}\n");
}

static nn_status write_config(const nn_lora *l, const char *folder, const char *base, nn_err *err)
{
    char path[PATH_CAP];
    nn_sink s = {0};
    nn_status st;

    if ((st = path_of(path, folder, CONFIG, err)) != NN_OK) return st;
    add_config(&s, &l->o, base);
    if ((st = nn_sink_status(&s, err)) == NN_OK) st = nn_file_write(path, s.bytes, s.len, err);
    nn_sink_free(&s);
    return st;
}

/* Rows of b, whose place in our order is n, to their place in Hugging Face's. */
static void to_halves(float *out, const float *b, const nn_config *c, size_t N, size_t r)
{
    for (size_t n = 0; n < N; n++) memcpy(out + half_row(n, c->head_dim) * r, b + n * r, r * sizeof *out);
}

static size_t permuted_floats(const nn_lora *l, const nn_config *c)
{
    size_t n = 0;

    for (nn_lora_target t = 0; t < NN_LORA_TARGETS; t++) {
        const nn_lora_pair *p = nn_lora_at(l, 0, t);
        if (p->b && permuted(c, t)) n += p->N * l->o.rank * l->layers;
    }
    return n;
}

static nn_status write_tensors(const nn_lora *l, const nn_config *c, const char *folder, nn_err *err)
{
    const nn_st_pair meta = {"format", "pt"};
    char path[PATH_CAP], (*name)[NAME_BYTES] = NULL;
    nn_st_out *out = NULL;
    float *room = NULL;
    nn_status st;

    if ((st = path_of(path, folder, TENSORS, err)) != NN_OK) goto done;
    if ((st = nn_alloc((void **)&out, l->n_tensor, sizeof *out, err)) != NN_OK) goto done;
    if ((st = nn_alloc((void **)&name, l->n_tensor, sizeof *name, err)) != NN_OK) goto done;
    if ((st = nn_alloc((void **)&room, permuted_floats(l, c) + 1, sizeof *room, err)) != NN_OK) goto done;
    float *next = room;
    for (size_t i = 0; i < l->layers * NN_LORA_TARGETS; i++) {
        const nn_lora_target t = (nn_lora_target)(i % NN_LORA_TARGETS);
        const nn_lora_pair *p = l->pair + i;

        if (!p->a) continue;
        file_name(name[p->tensor], i / NN_LORA_TARGETS, t, 'A');
        file_name(name[p->tensor + 1], i / NN_LORA_TARGETS, t, 'B');
        out[p->tensor] = (nn_st_out){name[p->tensor], l->o.rank, p->K, p->a};
        out[p->tensor + 1] = (nn_st_out){name[p->tensor + 1], p->N, l->o.rank, p->b};
        if (!permuted(c, t)) continue;
        to_halves(next, p->b, c, p->N, l->o.rank);
        out[p->tensor + 1].data = next;
        next += p->N * l->o.rank;
    }
    st = nn_st_write(path, out, l->n_tensor, &meta, 1, err);
done:
    nn_free(room);
    nn_free(name);
    nn_free(out);
    return st;
}

nn_status nn_lora_save(const nn_lora *l, const nn_config *c, const char *folder, const char *base, nn_err *err)
{
    nn_status st;

    if ((st = nn_lora_fits(l, c, err)) != NN_OK) return st;
    if ((st = nn_dir_make(folder, err)) != NN_OK) return st;
    if ((st = write_tensors(l, c, folder, err)) != NN_OK) return st;
    return write_config(l, folder, base, err);
}

/* --- reading adapter_config.json ------------------------------------------------------------ */

enum { TYPE, RANK, ALPHA, DROPOUT, MODULES, BIAS, INIT, BASE, N_READ, N_KEY = 18 };
/* Up to N_READ: read. Then what says nothing about the maths. Any other key must say nothing: null, false, empty. */
static const char *const keys[N_KEY] = {
    "peft_type", "r", "lora_alpha", "lora_dropout", "target_modules", "bias", "init_lora_weights",
    "base_model_name_or_path", "auto_mapping", "inference_mode", "revision", "task_type", "peft_version",
    "megatron_config", "megatron_core", "qalora_group_size", "runtime_config", "layers_pattern",
};

static void read_modules(nn_cursor *c, nn_json_pool *pool, nn_lora_options *o)
{
    if (nn_json_peek(c) != NN_JSON_ARRAY) {
        nn_cursor_fail(c, "target_modules is not a list, want one of q_proj to down_proj");
        return;
    }
    for (size_t n = 0; nn_json_item(c, &n);) {
        const char *name = nn_json_string(c, pool);
        nn_lora_target t = 0;

        if (!name) return;
        while (t < NN_LORA_TARGETS && strcmp(name, nn_lora_target_name(t)) != 0) t++;
        if (t == NN_LORA_TARGETS) {
            nn_cursor_fail(c, "target_modules: %.80s, want q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj",
                           name);
            return;
        }
        o->targets |= 1u << t;
    }
}

/* A value that asks for nothing: null, false, {} or []. */
static void read_nothing(nn_cursor *c, const char *key)
{
    const nn_json_kind kind = nn_json_peek(c);
    size_t n = 0;

    if (kind == NN_JSON_NULL) {
        nn_json_skip(c);
        return;
    }
    if (kind == NN_JSON_BOOL && !nn_json_bool(c)) return;
    if (kind == NN_JSON_ARRAY && !nn_json_item(c, &n)) return;
    if (kind == NN_JSON_OBJECT && nn_json_take(c, '{') && nn_json_take(c, '}')) return;
    if (c->status == NN_OK)
        nn_cursor_fail(c, "%.60s: an option that is not computed here, want it absent, null, false or empty", key);
}

/* Text that must be `want`; of init_lora_weights also true and false: other ways change the base's weights. */
static void read_text(nn_cursor *c, nn_json_pool *pool, const char *key, const char *want, bool truth)
{
    if (truth && nn_json_peek(c) == NN_JSON_BOOL) {
        (void)nn_json_bool(c);
        return;
    }
    const char *text = nn_json_string(c, pool);

    if (text && strcmp(text, want) != 0)
        nn_cursor_fail(c, "%s is %.60s, want %s%s", key, text, want, truth ? " or true" : "");
}

/* What the configuration says: the options, and the name of the base. */
typedef struct {
    nn_lora_options o;
    char base[sizeof((nn_lora *)NULL)->base];
} said;

/* A name or null. WHY cut and not refused: nothing is computed from it. */
static void read_base(nn_cursor *c, nn_json_pool *pool, said *out)
{
    if (nn_json_peek(c) == NN_JSON_NULL) {
        nn_json_skip(c);
        return;
    }
    const char *name = nn_json_string(c, pool);

    if (name) snprintf(out->base, sizeof out->base, "%s", name);
}

static void read_value(nn_cursor *c, nn_json_pool *pool, int key, said *out, const char *name)
{
    nn_lora_options *o = &out->o;
    double v = 0.0;

    if (key == TYPE) read_text(c, pool, keys[key], "LORA", false);
    else if (key == BIAS) read_text(c, pool, keys[key], "none", false);
    else if (key == INIT) read_text(c, pool, keys[key], "gaussian", true);
    else if (key == MODULES) read_modules(c, pool, o);
    else if (key == BASE) read_base(c, pool, out);
    else if (key == RANK) {
        const uint64_t r = nn_json_u64(c);
        if (c->status == NN_OK && (r < 1 || r > NN_LORA_RANK_MAX))
            nn_cursor_fail(c, "r is outside the ranks there are, want 1 to %u", NN_LORA_RANK_MAX);
        o->rank = (size_t)(r <= NN_LORA_RANK_MAX ? r : 0);
    } else if (key == ALPHA || key == DROPOUT) {
        v = nn_json_f64(c);
        if (c->status == NN_OK && !(key == ALPHA ? v > 0.0 && v <= 65536.0 : v >= 0.0 && v < 1.0))
            nn_cursor_fail(c, "%s is %g, want %s", keys[key], v, key == ALPHA ? "above 0 to 65536" : "0 to below 1");
        *(key == ALPHA ? &o->alpha : &o->dropout) = (float)v;
    } else if (key < N_KEY) nn_json_skip(c);
    else read_nothing(c, name);
}

static nn_status read_config(said *out, const char *folder, nn_err *err)
{
    const uint64_t must = 1u << TYPE | 1u << RANK | 1u << ALPHA | 1u << MODULES;
    nn_json_fields f = {keys, N_KEY, 0, 0, ""};
    nn_json_pool pool = {NULL, 0, 0};
    char path[PATH_CAP];
    nn_file file = {NULL, 0, NULL, NULL};
    nn_cursor c;
    nn_status st;

    memset(out, 0, sizeof *out);
    if ((st = path_of(path, folder, CONFIG, err)) != NN_OK) goto done;
    if ((st = nn_file_read(&file, path, CONFIG_MAX, err)) != NN_OK) goto done;
    pool.cap = file.len + 1;
    if ((st = nn_alloc((void **)&pool.bytes, pool.cap, 1, err)) != NN_OK) goto done;
    nn_cursor_init(&c, file.bytes, file.len, path, err);
    for (int k = nn_json_field(&c, &pool, &f); k != NN_JSON_DONE; k = nn_json_field(&c, &pool, &f))
        read_value(&c, &pool, k, out, f.key);
    nn_json_end(&c);
    if ((st = c.status) != NN_OK) goto done;
    for (int k = 0; k < N_READ && st == NN_OK; k++)
        if (must >> k & 1u && !(f.seen >> k & 1u)) st = nn_fail(err, NN_FILE, "%s: %s is missing", path, keys[k]);
    if (st == NN_OK && out->o.targets == 0)
        st = nn_fail(err, NN_FILE, "%s: target_modules is empty, want one of q_proj to down_proj", path);
done:
    nn_free(pool.bytes);
    nn_file_close(&file);
    return st;
}

/* --- reading the tensors -------------------------------------------------------------------- */

static nn_status check_tensor(const nn_safetensors *f, const char *path, const char *name, size_t rows, size_t cols,
                              nn_err *err)
{
    const nn_st_tensor *t = nn_st_find(f, name);

    if (!t) return nn_fail(err, NN_FILE, "%s: %s is missing", path, name);
    if (t->n_dim != 2 || t->dim[0] != rows || t->dim[1] != cols)
        return nn_fail(err, NN_FILE, "%s: %s has %zu values, %zu in a row, want [%zu, %zu]", path, name, t->count,
                       t->n_dim > 0 ? t->dim[t->n_dim - 1] : 0, rows, cols);
    if (t->type != NN_F32 && t->type != NN_F16 && t->type != NN_BF16)
        return nn_fail(err, NN_FILE, "%s: %s is of type %s, want F32, F16 or BF16", path, name, nn_dtype_name(t->type));
    const size_t bad = nn_dtype_not_finite(t->type, t->data, t->count);
    if (bad < t->count)
        return nn_fail(err, NN_FILE, "%s: %s: weight %zu is a NaN or an infinity, want finite numbers", path, name,
                       bad);
    return NN_OK;
}

/* A tensor that nothing asks for, when there are more than were found. */
static nn_status name_extra(const nn_safetensors *f, const char *path, const nn_config *c, unsigned targets,
                            nn_err *err)
{
    for (size_t i = 0; i < nn_st_count(f); i++) {
        const char *have = nn_st_at(f, i)->name;
        bool asked = false;

        for (size_t j = 0; j < c->layers * NN_LORA_TARGETS * 2 && !asked; j++) {
            const nn_lora_target t = (nn_lora_target)(j / 2 % NN_LORA_TARGETS);
            char name[NAME_BYTES];

            file_name(name, j / 2 / NN_LORA_TARGETS, t, j % 2 ? 'B' : 'A');
            asked = targets >> t & 1u && strcmp(name, have) == 0;
        }
        if (!asked)
            return nn_fail(err, NN_FILE, "%s: %.100s, which no target of a model of %zu layers asks for", path, have,
                           c->layers);
    }
    return NN_OK;
}

static nn_status check_tensors(const nn_safetensors *f, const char *path, const nn_config *c, const nn_lora_options *o,
                               nn_err *err)
{
    size_t found = 0;
    nn_status st;

    for (size_t i = 0; i < c->layers * NN_LORA_TARGETS; i++) {
        const nn_lora_target t = (nn_lora_target)(i % NN_LORA_TARGETS);
        char name[NAME_BYTES];
        size_t N, K;

        if (!(o->targets >> t & 1u)) continue;
        nn_lora_shape(&N, &K, c, t);
        file_name(name, i / NN_LORA_TARGETS, t, 'A');
        if ((st = check_tensor(f, path, name, o->rank, K, err)) != NN_OK) return st;
        file_name(name, i / NN_LORA_TARGETS, t, 'B');
        if ((st = check_tensor(f, path, name, N, o->rank, err)) != NN_OK) return st;
        found += 2;
    }
    return found == nn_st_count(f) ? NN_OK : name_extra(f, path, c, o->targets, err);
}

/* Rows one by one, each to its place. */
static nn_status copy_tensor(const nn_safetensors *f, float *out, const nn_config *c, size_t layer, nn_lora_target t,
                             char which, nn_err *err)
{
    char name[NAME_BYTES];

    file_name(name, layer, t, which);
    const nn_st_tensor *from = nn_st_find(f, name);
    const size_t rows = from->dim[0], cols = from->dim[1], row = nn_dtype_bytes(from->type, cols);
    const bool move = which == 'B' && permuted(c, t);
    nn_status st = NN_OK;

    for (size_t n = 0; n < rows && st == NN_OK; n++)
        st = nn_dtype_to_f32(out + n * cols, from->type, from->data + (move ? half_row(n, c->head_dim) : n) * row, cols,
                             err);
    return st;
}

nn_status nn_lora_load(nn_lora **out, const char *folder, const nn_config *c, nn_err *err)
{
    nn_safetensors *f = NULL;
    nn_lora *l = NULL;
    char path[PATH_CAP];
    said config;
    nn_status st;

    *out = NULL;
    if ((st = read_config(&config, folder, err)) != NN_OK) goto done;
    if ((st = path_of(path, folder, TENSORS, err)) != NN_OK) goto done;
    if ((st = nn_st_open(&f, path, err)) != NN_OK) goto done;
    if ((st = check_tensors(f, path, c, &config.o, err)) != NN_OK) goto done;
    if ((st = nn_lora_build(&l, c, &config.o, err)) != NN_OK) goto done;
    memcpy(l->base, config.base, sizeof l->base);
    for (size_t i = 0; i < l->layers * NN_LORA_TARGETS && st == NN_OK; i++) {
        const nn_lora_target t = (nn_lora_target)(i % NN_LORA_TARGETS);

        if (!l->pair[i].a) continue;
        st = copy_tensor(f, l->pair[i].a, c, i / NN_LORA_TARGETS, t, 'A', err);
        if (st == NN_OK) st = copy_tensor(f, l->pair[i].b, c, i / NN_LORA_TARGETS, t, 'B', err);
    }
    if (st != NN_OK) goto done;
    *out = l;
    l = NULL;
done:
    nn_lora_free(l);
    nn_st_close(f);
    return st;
}
