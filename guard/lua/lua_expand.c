/* lua_expand.c - run:expand: rows that a language model makes of rows: paraphrases, borderline twins, new requests.
 *
 * Reads: lua_ask.h.   Read next: docs/backends.md, guard/augment.h (the same by templates).
 * A new row has the row it was asked about as its parent, and takes label, category, language, concept, response and
 * context from it; label = 'flip' makes twins on the other side. What a model wrote is only as right as the model:
 * curation measures these rows as all others.
 */
#include "guard/lua/lua_ask.h"
#include "nn/arena.h"
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

static const lua_arg expand_args[] = {
    LUA_ASK_ARGS("0.8", "256"),
    {"answer", ARG_ANY, 0, 0, "text", "'text': one new row, or { list = { max = 5 } }: one an item"},
    {"name", ARG_STRING, 0, 0, "expand", "of what is done: column tier and source 'backend/<name>' of the new rows"},
    {"per_row", ARG_INTEGER, 1, 1000, "1", "questions a row, each a draw of its own"},
    {"label", ARG_ANY, 0, 0, "keep", "of the new rows: 'keep', 'flip', 0 (safe) or 1 (unsafe)"},
    {"keep_rows", ARG_BOOLEAN, 0, 0, "true", "the rows asked about stand before the new ones"},
    {"min_bytes", ARG_INTEGER, 1, 1e6, "8", "shorter texts are dropped and counted"},
    {"max_bytes", ARG_INTEGER, 1, 1e6, "2000", "longer texts are dropped and counted"},
    {NULL, ARG_NUMBER, 0, 0, NULL, NULL}};

#define NAME_MAX_BYTES 39u

typedef enum { KEEP, FLIP, ALL_SAFE, ALL_UNSAFE } label_rule;

typedef struct {
    lua_asking a;
    const char *name;
    label_rule label;
    bool keep_rows;
    size_t min_bytes, max_bytes;
    char source[64], stream[64];
} expansion;

typedef struct {
    size_t rows, too_short, too_long, repeated;
} expand_counts;

/* --- rows --------------------------------------------------------------------------------- */
static int new_label(label_rule rule, int label)
{
    switch (rule) {
    case KEEP: return label;
    case FLIP: return label == GUARD_LABEL_NONE ? label : label == GUARD_SAFE ? GUARD_UNSAFE : GUARD_SAFE;
    default: return rule == ALL_SAFE ? GUARD_SAFE : GUARD_UNSAFE;
    }
}

static bool same_text(guard_text a, guard_text b) { return a.n == b.n && (a.n == 0 || memcmp(a.s, b.s, a.n) == 0); }

/* Rows from `first` on were made of one row. */
static bool is_repeated(const guard_corpus *made, size_t first, guard_text parent, guard_text text)
{
    if (same_text(parent, text)) return true;
    for (size_t i = first; i < made->n; i++)
        if (same_text(made->row[i].text, text)) return true;
    return false;
}

static nn_status write_ops(guard_buf *ops, const expansion *e, nn_err *err)
{
    guard_buf_str(ops, "[{");
    guard_json_key(ops, "op");
    guard_json_str(ops, e->name, strlen(e->name));
    guard_json_key(ops, "backend");
    guard_json_str(ops, e->a.llm->hash, 12);
    guard_buf_str(ops, "}]");
    return guard_buf_status(ops, err);
}

static nn_status add_row(guard_corpus *made, guard_column *tier, const expansion *e, const guard_row *parent,
                         guard_text text, const guard_buf *ops, uint64_t draw, const char *stage, nn_err *err)
{
    static const char twin[] = "{\"kind\":\"twin\"}";
    guard_row row = *parent;
    row.label = new_label(e->label, parent->label);
    row.text = text;
    row.source = (guard_text){e->source, strlen(e->source)};
    row.parents = (guard_text){parent->id, strlen(parent->id)};
    row.ops = (guard_text){ops->bytes, ops->len};
    if (row.label != parent->label) /* a twin, as the evaluation counts them apart, or nothing that is known */
        row.extra = row.label == GUARD_SAFE ? (guard_text){twin, sizeof twin - 1} : (guard_text){NULL, 0};
    guard_row_id(row.id, stage, parent->id, ops->bytes, draw);
    const nn_status st = guard_corpus_add(made, &row, err);
    return st == NN_OK ? guard_corpus_set_str(made, tier, made->n - 1, e->name, strlen(e->name), err) : st;
}

/* All rows that were made of row r of c. */
static nn_status make_rows(guard_corpus *made, guard_column *tier, const expansion *e, const guard_corpus *c, size_t r,
                           const guard_asked *asked, const guard_buf *ops, expand_counts *counts, const char *stage,
                           nn_err *err)
{
    const size_t first = made->n;
    nn_status st = NN_OK;
    for (size_t k = 0; k < e->a.per; k++) {
        const guard_asked *said = &asked[r * e->a.per + k];
        for (size_t i = 0; said->ok && i < said->answer.n && st == NN_OK; i++) {
            const guard_text text = said->answer.text[i];
            if (text.n < e->min_bytes) counts->too_short++;
            else if (text.n > e->max_bytes) counts->too_long++;
            else if (is_repeated(made, first, c->row[r].text, text)) counts->repeated++;
            else st = add_row(made, tier, e, &c->row[r], text, ops, 1000 * k + i, stage, err);
        }
    }
    counts->rows += made->n - first;
    return st;
}

/* The rows asked about first, marked by an empty tier unless they have one. */
static nn_status join(guard_corpus **out, const guard_corpus *c, const guard_corpus *made, nn_err *err)
{
    nn_status st = guard_corpus_concat(out, c, made, err);
    if (st != NN_OK) return st;
    guard_column *tier = &(*out)->col[guard_corpus_find(*out, "tier") - (*out)->col];
    for (size_t i = 0; i < c->n && st == NN_OK; i++)
        if (tier->str[i].s == NULL) st = guard_corpus_set_str(*out, tier, i, "", 0, err);
    return st;
}

static nn_status expand_rows(guard_corpus **out, const expansion *e, const guard_corpus *c, const guard_asked *asked,
                             expand_counts *counts, const char *stage, nn_err *err)
{
    guard_corpus *made = NULL;
    guard_column *tier = NULL;
    guard_buf ops = {0};
    nn_status st = write_ops(&ops, e, err);
    if (st == NN_OK) st = guard_corpus_build(&made, err);
    if (st == NN_OK) st = guard_corpus_column(made, "tier", stage, GUARD_COL_STR, &tier, err);
    for (size_t r = 0; r < c->n && st == NN_OK; r++)
        st = make_rows(made, tier, e, c, r, asked, &ops, counts, stage, err);
    if (st == NN_OK && e->keep_rows) {
        st = join(out, c, made, err);
    } else if (st == NN_OK) {
        *out = made;
        made = NULL;
    }
    guard_corpus_free(made);
    guard_buf_free(&ops);
    return st;
}

/* --- the stage ---------------------------------------------------------------------------- */
static void write_note(guard_buf *note, const expansion *e, const guard_ask_counts *asked, const expand_counts *made)
{
    const struct {
        const char *key;
        size_t v;
    } of[] = {{"rows", made->rows},
              {"too_short", made->too_short},
              {"too_long", made->too_long},
              {"repeated", made->repeated}};
    lua_asking_note(note, &e->a, asked);
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        guard_json_key(note, of[i].key);
        guard_json_u64(note, of[i].v);
    }
    guard_buf_str(note, "}");
}

static nn_status expand_work(lua_State *L, corpus_box *out, const corpus_box *in, expansion *e, lua_stage *s,
                             guard_buf *note, nn_err *err)
{
    guard_asked *asked = NULL;
    guard_ask_counts counts;
    expand_counts made = {0};
    nn_status st = lua_asking_ask(L, &asked, &counts, &e->a, in->c, s, err);
    if (st == NN_OK) st = expand_rows(&out->c, e, in->c, asked, &made, s->stream, err);
    lua_asking_free(asked, in->c->n * e->a.per);
    if (st != NN_OK) return st;
    write_note(note, e, &counts, &made);
    return guard_buf_status(note, err);
}

static nn_status expand_stage(lua_State *L, corpus_box *out, const corpus_box *in, expansion *e, nn_err *err)
{
    lua_stage s;
    guard_buf note = {0};
    nn_status st = lua_asking_begin(&s, lua_host_of(L), &e->a, in, err);
    if (st == NN_OK && !s.s.finished) st = expand_work(L, out, in, e, &s, &note, err);
    if (st == NN_OK) st = lua_stage_corpus(&s, out, "", err);
    if (st == NN_OK) st = lua_asking_answers(&s, err);
    if (st == NN_OK) st = lua_stage_end(&s, s.s.finished ? NULL : note.bytes, err);
    guard_buf_free(&note);
    return st;
}

static label_rule read_label(lua_State *L, int idx)
{
    label_rule rule = KEEP;
    const int type = lua_args_push(L, idx, "label");
    const char *text = type == LUA_TSTRING ? lua_tostring(L, -1) : "";
    const double number = type == LUA_TNUMBER ? lua_tonumber(L, -1) : -1.0;
    if (strcmp(text, "flip") == 0) rule = FLIP;
    else if (number == 0.0 || number == 1.0) rule = number == 0.0 ? ALL_SAFE : ALL_UNSAFE;
    else if (type != LUA_TNIL && strcmp(text, "keep") != 0) luaL_error(L, "expand.label: want 'keep', 'flip', 0 or 1");
    lua_pop(L, 1);
    return rule;
}

static void read_expansion(lua_State *L, int idx, expansion *e)
{
    static const char word[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    e->name = lua_args_string(L, idx, expand_args, "name");
    const size_t n = strlen(e->name);
    if (n < 1 || n > NAME_MAX_BYTES || e->name[strspn(e->name, word)] != '\0')
        luaL_error(L, "expand.name: '%s', want 1 to %d letters, digits, - and _", e->name, (int)NAME_MAX_BYTES);
    e->label = read_label(L, idx);
    e->keep_rows = lua_args_boolean(L, idx, expand_args, "keep_rows");
    e->min_bytes = lua_args_size(L, idx, expand_args, "min_bytes");
    e->max_bytes = lua_args_size(L, idx, expand_args, "max_bytes");
    if (e->min_bytes > e->max_bytes)
        luaL_error(L, "expand.min_bytes: %d, want at most max_bytes, %d", (int)e->min_bytes, (int)e->max_bytes);
    e->a.per = lua_args_size(L, idx, expand_args, "per_row");
    snprintf(e->source, sizeof e->source, "backend/%s", e->name);
    snprintf(e->stream, sizeof e->stream, "expand/%s", e->name);
    e->a.stream = e->stream;
}

static void plan_expand(lua_State *L, corpus_box *out, const corpus_box *in, const expansion *e)
{
    const size_t most = e->a.grammar.kind == GUARD_ANSWER_LIST ? e->a.grammar.max_items : 1;
    const guard_column *tier = guard_corpus_find(in->c, "tier");
    nn_err err = {0};
    if (tier != NULL && tier->kind != GUARD_COL_STR)
        luaL_error(L, "expand: the corpus has a column tier of another kind, want names");
    if (e->keep_rows) {
        lua_plan_corpus(L, out, in->c, 0);
    } else if (guard_corpus_build(&out->c, &err) != NN_OK) {
        lua_host_raise(L, &err);
    }
    if (!e->keep_rows || tier == NULL) lua_plan_column(L, out->c, "tier", "expand", GUARD_COL_STR);
    out->rows = (e->keep_rows ? in->rows : 0) + in->rows * e->a.per * most;
    lua_asking_plan(L, &e->a, in->rows, out->rows);
}

/* stack: run backend corpus options -> corpus */
static int l_expand(lua_State *L)
{
    expansion e = {.a = {.what = "expand"}};
    nn_err err = {0};
    lua_check_run(L);
    e.a.llm = lua_check_backend(L, 2);
    const corpus_box *in = lua_check_corpus(L, 3);
    lua_settop(L, 4);
    lua_args_check(L, 4, expand_args, "expand");
    lua_stage_args(L, 4, e.a.llm->kind);
    read_expansion(L, 4, &e);
    lua_asking_read(L, 4, expand_args, in->c, &e.a);
    if (e.a.grammar.kind != GUARD_ANSWER_TEXT && e.a.grammar.kind != GUARD_ANSWER_LIST)
        luaL_error(L, "expand.answer: want 'text' or { list = { max = 5 } }");
    corpus_box *out = lua_push_corpus(L);
    if (lua_host_of(L)->o.planning) plan_expand(L, out, in, &e);
    else if (expand_stage(L, out, in, &e, &err) != NN_OK) return lua_host_raise(L, &err);
    return 1;
}

const lua_fn lua_expand_fns[] = {
    {"expand", l_expand, "run:expand(backend, corpus, { prompt = .., answer = .., name = .. }) -> corpus",
     "The rows and what a language model makes of each: answers become new rows whose parent is the row that was asked "
     "about.",
     expand_args},
    {NULL, NULL, NULL, NULL, NULL}};
