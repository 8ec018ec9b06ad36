#include "guard/corpus.h"
#include "nn/arena.h"
#include "nn/rng.h"
#include "nn/sha256.h"
#include <math.h>
#include <string.h>

/* Strings live in chunks that never move, so a guard_text stays valid while rows are added. */
struct guard_chunk {
    struct guard_chunk *next;
    size_t used, cap;
    char bytes[];
};

enum { CHUNK_BYTES = 64 * 1024, N_TEXT = 10 };

nn_status guard_corpus_build(guard_corpus **out, nn_err *err)
{
    void *c = NULL;
    const nn_status st = nn_alloc(&c, 1, sizeof(guard_corpus), err);

    *out = c;
    return st;
}

void guard_corpus_free(guard_corpus *c)
{
    if (!c) return;
    for (size_t i = 0; i < c->n_col; i++) {
        nn_free(c->col[i].num);
        nn_free(c->col[i].str);
    }
    while (c->chunks) {
        struct guard_chunk *next = c->chunks->next;
        nn_free(c->chunks);
        c->chunks = next;
    }
    nn_free(c->col);
    nn_free(c->row);
    nn_free(c);
}

/* --- strings ------------------------------------------------------------------------------ */

/* A chunk with room for `need` bytes: the first one, or a new one. A long text gets a chunk of its own
 * behind the first, whose room stays in use. */
static nn_status chunk_with_room(struct guard_chunk **out, guard_corpus *c, size_t need, nn_err *err)
{
    struct guard_chunk *head = c->chunks;
    void *fresh = NULL;

    *out = head;
    if (head && head->cap - head->used >= need) return NN_OK;

    const size_t cap = need > CHUNK_BYTES / 4 ? need : CHUNK_BYTES;
    if (cap > SIZE_MAX - sizeof *head)
        return nn_fail(err, NN_LIMIT, "memory: no room for a text of %zu bytes", need);
    const nn_status st = nn_alloc(&fresh, 1, sizeof *head + cap, err);
    if (st != NN_OK) return st;
    *out = fresh;
    (*out)->cap = cap;
    if (head && cap == need) {
        (*out)->next = head->next;
        head->next = *out;
    } else {
        (*out)->next = head;
        c->chunks = *out;
    }
    return NN_OK;
}

/* *t becomes a copy that the corpus owns; an absent text stays absent. */
static nn_status store(guard_corpus *c, guard_text *t, nn_err *err)
{
    struct guard_chunk *chunk = NULL;

    if (!t->s) {
        t->n = 0;
        return NN_OK;
    }
    if (t->n == SIZE_MAX) return nn_fail(err, NN_LIMIT, "memory: no room for a text of %zu bytes", t->n);
    const nn_status st = chunk_with_room(&chunk, c, t->n + 1, err);
    if (st != NN_OK) return st;
    char *copy = chunk->bytes + chunk->used;
    if (t->n) memcpy(copy, t->s, t->n);
    copy[t->n] = '\0';
    chunk->used += t->n + 1;
    t->s = copy;
    return NN_OK;
}

static void texts_of(guard_text *t[N_TEXT], guard_row *r)
{
    guard_text *const all[N_TEXT] = {&r->text,   &r->response, &r->context, &r->category, &r->lang,
                                     &r->source, &r->concept,  &r->parents, &r->ops,      &r->extra};
    memcpy(t, all, sizeof all);
}

/* --- names -------------------------------------------------------------------------------- */

static void id_of(char id[GUARD_ID_LEN], nn_sha256 *s)
{
    char hex[NN_SHA256_HEX];

    nn_sha256_end_hex(s, hex);
    memcpy(id, hex, GUARD_ID_LEN - 1);
    id[GUARD_ID_LEN - 1] = '\0';
}

static void add_u64(nn_sha256 *s, uint64_t v)
{
    unsigned char le[8];

    for (size_t i = 0; i < sizeof le; i++) le[i] = (unsigned char)(v >> 8 * i);
    nn_sha256_add(s, le, sizeof le);
}

/* The zero bytes keep ("ab", "c") and ("a", "bc") apart. */
void guard_row_id(char id[GUARD_ID_LEN], const char *stage, const char *parents, const char *op, uint64_t draw)
{
    nn_sha256 s;

    nn_sha256_init(&s);
    nn_sha256_add(&s, stage, strlen(stage) + 1);
    nn_sha256_add(&s, parents, strlen(parents) + 1);
    nn_sha256_add(&s, op, strlen(op) + 1);
    add_u64(&s, draw);
    id_of(id, &s);
}

/* The name of a row that came without one: of what it says, with lengths, because texts may hold any byte. */
static void id_of_content(char id[GUARD_ID_LEN], const guard_row *r)
{
    const guard_text *const piece[] = {&r->parents, &r->source, &r->text, &r->response, &r->context};
    nn_sha256 s;

    nn_sha256_init(&s);
    nn_sha256_add(&s, "row", sizeof "row");
    for (size_t i = 0; i < sizeof piece / sizeof *piece; i++) {
        add_u64(&s, piece[i]->s ? (uint64_t)piece[i]->n + 1 : 0); /* absent and empty differ */
        if (piece[i]->s) nn_sha256_add(&s, piece[i]->s, piece[i]->n);
    }
    id_of(id, &s);
}

bool guard_row_has_category(const guard_row *r, const char *name)
{
    const size_t want = strlen(name);

    for (size_t at = 0; r->category.s && at < r->category.n;) {
        const char *start = r->category.s + at;
        const char *comma = memchr(start, ',', r->category.n - at);
        const size_t len = comma ? (size_t)(comma - start) : r->category.n - at;

        if (len == want && memcmp(start, name, len) == 0) return true;
        at += len + 1;
    }
    return false;
}

const char *const guard_row_fields[] = {"id",   "text",   "response", "context", "label", "category",
                                        "lang", "source", "concept",  "parents", "ops",   NULL};

bool guard_row_field(guard_text *out, const guard_row *r, const char *name)
{
    const char *label = r->label == GUARD_UNSAFE ? "unsafe" : r->label == GUARD_SAFE ? "safe" : NULL;
    const guard_text all[GUARD_ROW_FIELDS] = {
        {r->id, strlen(r->id)}, r->text, r->response, r->context, {label, label ? strlen(label) : 0},
        r->category,            r->lang, r->source,   r->concept, r->parents, r->ops};

    for (size_t i = 0; i < GUARD_ROW_FIELDS; i++) {
        if (strcmp(guard_row_fields[i], name) != 0) continue;
        *out = all[i];
        return true;
    }
    return false;
}

uint64_t guard_row_hash(const guard_row *r)
{
    return nn_hash64(r->id, strlen(r->id), 0);
}

/* --- rows --------------------------------------------------------------------------------- */

static void no_value(guard_column *col, size_t row)
{
    if (col->kind == GUARD_COL_STR) col->str[row] = (guard_text){NULL, 0};
    else col->num[row] = (double)NAN;
}

/* Columns grow first and row_cap last: a failure between leaves room unused, nothing inconsistent. */
static nn_status grow_rows(guard_corpus *c, nn_err *err)
{
    const size_t target = c->row_cap ? 2 * c->row_cap : 64;
    nn_status st = NN_OK;

    for (size_t i = 0; i < c->n_col && st == NN_OK; i++) {
        guard_column *col = &c->col[i];
        const bool text = col->kind == GUARD_COL_STR;
        void *block = text ? (void *)col->str : (void *)col->num;
        size_t cap = c->row_cap;

        st = nn_grow(&block, &cap, target, text ? sizeof *col->str : sizeof *col->num, err);
        if (text) col->str = block;
        else col->num = block;
    }
    void *rows = c->row;
    size_t cap = c->row_cap;
    if (st == NN_OK) st = nn_grow(&rows, &cap, target, sizeof *c->row, err);
    c->row = rows;
    if (st == NN_OK) c->row_cap = target;
    return st;
}

nn_status guard_corpus_add(guard_corpus *c, const guard_row *row, nn_err *err)
{
    guard_row r = *row; /* a copy first: `row` may stand in c->row, which moves */
    guard_text *text[N_TEXT];
    nn_status st = NN_OK;

    if (c->n == c->row_cap && (st = grow_rows(c, err)) != NN_OK) return st;
    texts_of(text, &r);
    for (size_t i = 0; i < N_TEXT; i++) {
        if ((st = store(c, text[i], err)) != NN_OK) return st;
    }
    if (!r.id[0]) id_of_content(r.id, &r);
    c->row[c->n] = r;
    for (size_t i = 0; i < c->n_col; i++) no_value(&c->col[i], c->n);
    c->n++;
    return NN_OK;
}

/* --- columns ------------------------------------------------------------------------------ */

static guard_column *find(const guard_corpus *c, const char *name)
{
    for (size_t i = 0; i < c->n_col; i++) {
        if (strcmp(c->col[i].name, name) == 0) return &c->col[i];
    }
    return NULL;
}

const guard_column *guard_corpus_find(const guard_corpus *c, const char *name)
{
    return find(c, name);
}

nn_status guard_corpus_column(guard_corpus *c, const char *name, const char *stage, guard_col_kind kind,
                              guard_column **out, nn_err *err)
{
    const bool text = kind == GUARD_COL_STR;
    guard_column fresh = {"", "", kind, NULL, NULL};
    guard_column *col = find(c, name);
    void *values = NULL, *cols = c->col;
    nn_status st = NN_OK;

    *out = NULL;
    if (!name[0] || strlen(name) >= sizeof fresh.name || strlen(stage) >= sizeof fresh.stage) {
        return nn_fail(err, NN_USAGE, "column '%s' of stage '%s': name of a wrong length, want 1 to %zu bytes",
                       name, stage, sizeof fresh.name - 1);
    }
    if ((st = nn_alloc(&values, c->row_cap, text ? sizeof *fresh.str : sizeof *fresh.num, err)) != NN_OK) return st;
    if (!col) {
        st = nn_grow(&cols, &c->col_cap, c->n_col + 1, sizeof *c->col, err);
        c->col = cols;
        if (st != NN_OK) {
            nn_free(values);
            return st;
        }
        col = &c->col[c->n_col++];
    } else {
        nn_free(col->num);
        nn_free(col->str);
    }
    strcpy(fresh.name, name);
    strcpy(fresh.stage, stage);
    if (text) fresh.str = values;
    else fresh.num = values;
    *col = fresh;
    for (size_t i = 0; i < c->n; i++) no_value(col, i);
    *out = col;
    return NN_OK;
}

nn_status guard_corpus_set_str(guard_corpus *c, guard_column *col, size_t row, const char *s, size_t n, nn_err *err)
{
    guard_text t = {s, n};
    const nn_status st = store(c, &t, err);

    if (st == NN_OK) col->str[row] = t;
    return st;
}
