/* pretrained_hf.c - a Hugging Face folder: config.json, the weights, and what stands beside them.
 *
 * Reads: pretrained_impl.h, json_scan.h, safetensors.h.   Read next: pretrained_config.c, pretrained.c.
 * Weights are model.safetensors, or the files that model.safetensors.index.json names: each tensor must lie in the file
 * where the index says, and no other tensor in any of them. File names with a slash are refused. generation_config.json
 * says which ids end a text, else config.json; the chat template is chat_template.jinja, else the key of
 * tokenizer_config.json (a text, or the one named "default" of a list).
 */
#include "nn/arena.h"
#include "nn/json_scan.h"
#include "nn/pretrained_impl.h"
#include <stdio.h>
#include <string.h>

#define PATH_CAP 4096u
#define CONFIG_MAX ((size_t)1 << 20)
#define TEXTS_MAX ((size_t)1 << 26) /* the index, tokenizer_config.json, a template */
#define SHARDS_MAX 1024u
#define INDEX "model.safetensors.index.json"

static nn_status path_of(char *out, const nn_pretrained *p, const char *name, nn_err *err)
{
    if ((size_t)snprintf(out, PATH_CAP, "%s/%s", p->path, name) < PATH_CAP) return NN_OK;
    return nn_fail(err, NN_FILE, "%.100s...: a path of more than %u bytes", p->path, PATH_CAP);
}

/* A small file of the folder. *found false when it is not there; without `found` it must be. */
static nn_status read_beside(nn_file *f, char *path, const nn_pretrained *p, const char *name, size_t max, bool *found,
                             nn_err *err)
{
    nn_status st;

    *f = (nn_file){NULL, 0, NULL, NULL};
    if ((st = path_of(path, p, name, err)) != NN_OK) return st;
    if (found && !(*found = nn_path_exists(path))) return NN_OK;
    return nn_file_read(f, path, max, err);
}

/* A cursor over f and a pool for its strings. */
static nn_status open_json(nn_cursor *c, nn_json_pool *pool, const nn_file *f, const char *path, nn_err *err)
{
    *pool = (nn_json_pool){NULL, 0, f->len + 1};
    nn_cursor_init(c, f->bytes, f->len, path, err);
    return nn_alloc((void **)&pool->bytes, pool->cap, 1, err);
}

static nn_status read_config(nn_pretrained *p, nn_err *err)
{
    char path[PATH_CAP];
    nn_file f;
    nn_status st = read_beside(&f, path, p, "config.json", CONFIG_MAX, NULL, err);

    if (st == NN_OK) st = nn_pretrained_read_config(p, f.bytes, f.len, path, err);
    nn_file_close(&f);
    return st;
}

/* --- weights ------------------------------------------------------------------------------------------------- */

static nn_status open_shard(nn_pretrained *p, const char *path, nn_err *err)
{
    nn_status st;

    if ((st = nn_pretrained_fits(path, err)) != NN_OK) return st;
    if ((st = nn_grow((void **)&p->shard, &p->shard_cap, p->n_shard + 1, sizeof *p->shard, err)) != NN_OK) return st;
    if ((st = nn_st_open(&p->shard[p->n_shard], path, err)) != NN_OK) return st;
    p->n_shard++;
    return NN_OK;
}

static nn_status add_tensors(nn_pretrained *p, nn_err *err)
{
    nn_status st = NN_OK;

    for (size_t s = 0; s < p->n_shard; s++)
        for (size_t i = 0; i < nn_st_count(p->shard[s]) && st == NN_OK; i++)
            st = nn_pretrained_add(p, nn_st_at(p->shard[s], i), err);
    return st;
}

/* The index on its way: names of the shards opened so far, and which of their tensors it has named. */
typedef struct {
    nn_pretrained *p;
    const char *path;
    const char **name;       /* [n_shard] */
    bool **named;            /* [n_shard] [tensors of it] */
    size_t name_cap, named_cap;
    size_t last;             /* the shard that was named last: tensors of a file stand together */
    nn_err *err;
} shards;

static nn_status add_shard(shards *o, const char *name)
{
    nn_pretrained *p = o->p;
    char path[PATH_CAP];
    nn_status st;

    if (!*name || strchr(name, '/') || strchr(name, '\\'))
        return nn_fail(o->err, NN_FILE, "%s: file \"%.80s\", want a name in the same folder", o->path, name);
    if (p->n_shard == SHARDS_MAX)
        return nn_fail(o->err, NN_FILE, "%s: more than %u files", o->path, SHARDS_MAX);
    if ((st = path_of(path, p, name, o->err)) != NN_OK) return st;
    if (!nn_path_exists(path))
        return nn_fail(o->err, NN_FILE, "%s: file %.80s is missing beside it", o->path, name);
    if ((st = nn_grow((void **)&o->name, &o->name_cap, p->n_shard + 1, sizeof *o->name, o->err)) != NN_OK) return st;
    if ((st = nn_grow((void **)&o->named, &o->named_cap, p->n_shard + 1, sizeof *o->named, o->err)) != NN_OK) return st;
    o->named[p->n_shard] = NULL;
    if ((st = open_shard(p, path, o->err)) != NN_OK) return st;
    o->last = p->n_shard - 1;
    o->name[o->last] = name;
    return nn_alloc((void **)&o->named[o->last], nn_st_count(p->shard[o->last]), sizeof **o->named, o->err);
}

/* "tensor": "file" of the index. */
static nn_status place_tensor(shards *o, const char *tensor, const char *file)
{
    nn_pretrained *p = o->p;
    size_t s = o->last;
    nn_status st;

    if (s >= p->n_shard || strcmp(o->name[s], file) != 0)
        for (s = 0; s < p->n_shard && strcmp(o->name[s], file) != 0;) s++;
    if (s == p->n_shard && (st = add_shard(o, file)) != NN_OK) return st;
    o->last = s;
    const nn_st_tensor *t = nn_st_find(p->shard[s], tensor);
    if (!t) return nn_fail(o->err, NN_FILE, "%s: tensor %.80s is not in %.80s", o->path, tensor, file);
    bool *named = &o->named[s][t - nn_st_at(p->shard[s], 0)];
    if (*named) return nn_fail(o->err, NN_FILE, "%s: tensor %.80s twice", o->path, tensor);
    *named = true;
    return NN_OK;
}

static nn_status check_named(const shards *o)
{
    for (size_t s = 0; s < o->p->n_shard; s++)
        for (size_t i = 0; i < nn_st_count(o->p->shard[s]); i++)
            if (!o->named[s][i])
                return nn_fail(o->err, NN_FILE, "%s: %.80s holds tensor %.80s, which the index does not place there",
                               o->path, o->name[s], nn_st_at(o->p->shard[s], i)->name);
    return NN_OK;
}

static nn_status read_map(shards *o, nn_cursor *c, nn_json_pool *pool)
{
    nn_status st = NN_OK;
    size_t n = 0, len = 0;

    for (const char *key = nn_json_member(c, pool, &n, &len); key; key = nn_json_member(c, pool, &n, &len)) {
        const char *file = nn_json_string(c, pool);

        if (!file) return c->status;
        if (strlen(key) != len) return nn_cursor_fail(c, "a tensor name with a zero byte");
        if ((st = place_tensor(o, key, file)) != NN_OK) return st;
    }
    return c->status;
}

static nn_status read_index(shards *o, const nn_file *f)
{
    static const char *const names[] = {"weight_map"};
    nn_json_fields fields = {names, 1, 0, 0, ""};
    nn_json_pool pool;
    nn_cursor c;
    nn_status st;

    if ((st = open_json(&c, &pool, f, o->path, o->err)) != NN_OK) return st;
    for (int k = nn_json_field(&c, &pool, &fields); k != NN_JSON_DONE && st == NN_OK;
         k = nn_json_field(&c, &pool, &fields)) {
        if (k == 0)
            st = read_map(o, &c, &pool);
        else
            nn_json_skip(&c);
    }
    if (st == NN_OK) {
        nn_json_end(&c);
        st = c.status;
    }
    if (st == NN_OK && o->p->n_shard == 0) st = nn_fail(o->err, NN_FILE, "%s: no tensors in weight_map", o->path);
    if (st == NN_OK) st = check_named(o);
    nn_free(pool.bytes);
    return st;
}

static nn_status open_index(nn_pretrained *p, bool *found, nn_err *err)
{
    char path[PATH_CAP];
    shards o = {.p = p, .path = path, .err = err};
    nn_file f;
    nn_status st = read_beside(&f, path, p, INDEX, TEXTS_MAX, found, err);

    if (st == NN_OK && *found) st = read_index(&o, &f);
    for (size_t s = 0; o.named && s < p->n_shard; s++) nn_free(o.named[s]);
    nn_free(o.named);
    nn_free(o.name);
    nn_file_close(&f);
    return st;
}

static nn_status open_weights(nn_pretrained *p, nn_err *err)
{
    char path[PATH_CAP];
    bool found = false;
    nn_status st;

    if ((st = path_of(path, p, "model.safetensors", err)) != NN_OK) return st;
    if (nn_path_exists(path)) return open_shard(p, path, err);
    if ((st = open_index(p, &found, err)) != NN_OK || found) return st;
    return nn_fail(err, NN_FILE, "%s: no weights, want model.safetensors or " INDEX, p->path);
}

/* --- what stands beside -------------------------------------------------------------------------------------- */

/* generation_config.json's ids replace those of config.json. */
static nn_status read_generation(nn_pretrained *p, nn_err *err)
{
    static const char *const names[] = {"eos_token_id"};
    nn_json_fields fields = {names, 1, 0, 0, ""};
    uint64_t ids[NN_PRETRAINED_STOPS];
    char path[PATH_CAP];
    bool found = false;
    size_t n = 0;
    nn_json_pool pool = {NULL, 0, 0};
    nn_cursor c;
    nn_file f;
    nn_status st = read_beside(&f, path, p, "generation_config.json", CONFIG_MAX, &found, err);

    if (st != NN_OK || !found) goto done;
    if ((st = open_json(&c, &pool, &f, path, err)) != NN_OK) goto done;
    for (int k = nn_json_field(&c, &pool, &fields); k != NN_JSON_DONE; k = nn_json_field(&c, &pool, &fields)) {
        if (k == 0)
            n = nn_pretrained_read_ids(&c, ids, NN_PRETRAINED_STOPS);
        else
            nn_json_skip(&c);
    }
    nn_json_end(&c);
    if ((st = c.status) != NN_OK) goto done;
    if (n > 0) p->n_stop = 0;
    for (size_t i = 0; i < n; i++) nn_pretrained_stop(p, ids[i]);
done:
    nn_free(pool.bytes);
    nn_file_close(&f);
    return st;
}

static nn_status keep_template(nn_pretrained *p, const char *text, size_t len, nn_err *err)
{
    nn_status st;

    if ((st = nn_alloc((void **)&p->chat_owned, len + 1, 1, err)) != NN_OK) return st;
    if (len) memcpy(p->chat_owned, text, len);
    p->chat = p->chat_owned;
    p->chat_len = len;
    return NN_OK;
}

/* [{"name": "default", "template": "..."}, ...] */
static const char *default_of_list(nn_cursor *c, nn_json_pool *pool)
{
    static const char *const names[] = {"name", "template"};
    const char *found = NULL;

    for (size_t n = 0; nn_json_item(c, &n);) {
        nn_json_fields f = {names, 2, 0, 0, ""};
        const char *name = NULL, *text = NULL;

        for (int k = nn_json_field(c, pool, &f); k != NN_JSON_DONE; k = nn_json_field(c, pool, &f)) {
            if (k == 0)
                name = nn_json_string(c, pool);
            else if (k == 1)
                text = nn_json_string(c, pool);
            else
                nn_json_skip(c);
        }
        if (name && strcmp(name, "default") == 0) found = text;
    }
    return found;
}

static nn_status template_of_config(nn_pretrained *p, const nn_file *file, const char *path, nn_err *err)
{
    static const char *const names[] = {"chat_template"};
    nn_json_fields fields = {names, 1, 0, 0, ""};
    const char *text = NULL;
    nn_json_pool pool;
    nn_cursor c;
    nn_status st;

    if ((st = open_json(&c, &pool, file, path, err)) != NN_OK) return st;
    for (int k = nn_json_field(&c, &pool, &fields); k != NN_JSON_DONE; k = nn_json_field(&c, &pool, &fields)) {
        if (k == 0 && nn_json_peek(&c) == NN_JSON_ARRAY)
            text = default_of_list(&c, &pool);
        else if (k == 0 && nn_json_peek(&c) == NN_JSON_STRING)
            text = nn_json_string(&c, &pool);
        else
            nn_json_skip(&c);
    }
    nn_json_end(&c);
    st = c.status;
    if (st == NN_OK && text) st = keep_template(p, text, strlen(text), err);
    nn_free(pool.bytes);
    return st;
}

static nn_status read_template(nn_pretrained *p, nn_err *err)
{
    char path[PATH_CAP];
    bool found = false;
    nn_file f;
    nn_status st = read_beside(&f, path, p, "chat_template.jinja", TEXTS_MAX, &found, err);

    if (st == NN_OK && found) st = keep_template(p, (const char *)f.bytes, f.len, err);
    nn_file_close(&f);
    if (st != NN_OK || found) return st;
    st = read_beside(&f, path, p, "tokenizer_config.json", TEXTS_MAX, &found, err);
    if (st == NN_OK && found) st = template_of_config(p, &f, path, err);
    nn_file_close(&f);
    return st;
}

nn_status nn_pretrained_read_hf(nn_pretrained *p, nn_err *err)
{
    nn_status st;

    if ((st = read_config(p, err)) != NN_OK) return st;
    if ((st = open_weights(p, err)) != NN_OK) return st;
    if ((st = add_tensors(p, err)) != NN_OK) return st;
    if ((st = nn_pretrained_settle(p, err)) != NN_OK) return st;
    if ((st = read_generation(p, err)) != NN_OK) return st;
    return read_template(p, err);
}
