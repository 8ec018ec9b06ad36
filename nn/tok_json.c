/* tok_json.c - Hugging Face's tokenizer.json: the file as a whole, its model (BPE or Unigram), its added tokens.
 *
 * Reads: tok_json_impl.h.   Read next: tok_json_text.c, tok_json_special.c.
 * Format: the serialisation of the `tokenizers` library, version 1.0. Its parts come in any order and depend on each
 * other (added tokens on the vocabulary, merges on both), so the file is passed once to learn where each part begins,
 * then they are read in the order that suits us. No tree: time and memory are linear in the file.
 */
#include "nn/arena.h"
#include "nn/tok_json_impl.h"
#include <float.h>
#include <string.h>

enum { ADDED, NORMALIZER, PRE_TOKENIZER, POST_PROCESSOR, DECODER, MODEL, N_PARTS };
static const char *const part_names[N_PARTS] = {"added_tokens",   "normalizer", "pre_tokenizer",
                                                "post_processor", "decoder",    "model"};

enum {
    M_TYPE, M_VOCAB, M_MERGES, M_UNK_TOKEN, M_UNK_ID, M_BYTE_FALLBACK, M_IGNORE_MERGES, M_DROPOUT, M_PREFIX, M_SUFFIX,
    M_FUSE_UNK, N_MODEL
};
static const char *const model_names[N_MODEL] = {
    "type", "vocab", "merges", "unk_token", "unk_id", "byte_fallback", "ignore_merges", "dropout",
    "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk"};

typedef nn_tok_json_entry entry;

typedef struct {
    nn_tok_json j;
    size_t part[N_PARTS], model[N_MODEL]; /* where each value begins; 0: absent */
    size_t n_vocab;
    nn_spelled unk; /* len 0: none */
} reader;

/* --- where things are ------------------------------------------------------------------------------------ */

static void locate(nn_tok_json *j, const char *const *names, size_t n, size_t *at)
{
    nn_json_fields f = {names, n, 0, 0, ""};

    for (int k = nn_json_field(&j->c, &j->pool, &f); k != NN_JSON_DONE; k = nn_json_field(&j->c, &j->pool, &f)) {
        if ((size_t)k < n) at[k] = j->c.pos;
        nn_json_skip(&j->c);
    }
}

/* Puts the cursor before a value; false when there is none. */
static bool go(nn_tok_json *j, size_t at)
{
    if (at > 0) nn_cursor_seek(&j->c, at);
    return at > 0 && j->c.status == NN_OK;
}

/* --- vocabulary ------------------------------------------------------------------------------------------ */

entry *nn_tok_json_new(nn_tok_json *j)
{
    if (j->n_entry == NN_TOK_IDS_MAX) nn_cursor_fail(&j->c, "more than %u tokens", NN_TOK_IDS_MAX);
    if (j->c.status != NN_OK) return NULL;
    const nn_status st = nn_grow((void **)&j->entry, &j->entry_cap, j->n_entry + 1, sizeof *j->entry, j->err);
    if (st != NN_OK) {
        j->c.status = st;
        return NULL;
    }
    memset(&j->entry[j->n_entry], 0, sizeof *j->entry);
    return &j->entry[j->n_entry++];
}

void nn_tok_json_read_ids(nn_tok_json *j, bool added)
{
    size_t n = 0, len = 0;

    for (const char *text = nn_json_member(&j->c, &j->pool, &n, &len); text;
         text = nn_json_member(&j->c, &j->pool, &n, &len)) {
        const uint64_t id = nn_json_u64(&j->c);
        entry *e = nn_tok_json_new(j);

        if (!e) return;
        e->text = (nn_spelled){text, len};
        e->id = id;
        e->added = added;
    }
}

/* [["text", score], ..] in the order of ids */
static void read_vocab_array(reader *r)
{
    nn_tok_json *j = &r->j;
    size_t len = 0;

    for (size_t n = 0; nn_json_item(&j->c, &n);) {
        nn_json_expect(&j->c, '[');
        const char *text = nn_json_text(&j->c, &j->pool, &len);
        nn_json_expect(&j->c, ',');
        const double score = nn_json_f64(&j->c);
        nn_json_expect(&j->c, ']');
        if (!(score >= -(double)FLT_MAX && score <= (double)FLT_MAX))
            nn_cursor_fail(&j->c, "token %zu: a score beyond the largest float", j->n_entry);
        entry *e = nn_tok_json_new(j);

        if (!e) return;
        e->text = (nn_spelled){text, len};
        e->id = j->n_entry - 1;
        e->score = (float)score;
    }
}

static void read_added_token(reader *r)
{
    static const char *const names[] = {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"};
    nn_tok_json *j = &r->j;
    nn_json_fields f = {names, 7, 0, 0, ""};
    entry *e = nn_tok_json_new(j);
    bool single = false;

    if (!e) return;
    e->added = e->normalized = true;
    for (int k = nn_json_field(&j->c, &j->pool, &f); k != NN_JSON_DONE; k = nn_json_field(&j->c, &j->pool, &f)) {
        switch (k) {
        case 0: e->id = nn_json_u64(&j->c); break;
        case 1: e->text.text = nn_json_text(&j->c, &j->pool, &e->text.len); break;
        case 2: single = nn_json_bool(&j->c); break;
        case 3: e->lstrip = nn_json_bool(&j->c); break;
        case 4: e->rstrip = nn_json_bool(&j->c); break;
        case 5: e->normalized = nn_json_bool(&j->c); break;
        case 6: e->special = nn_json_bool(&j->c); break;
        default: nn_cursor_fail(&j->c, "added token with option \"%s\", which is not run", f.key);
        }
    }
    if ((f.seen & 3) != 3) nn_cursor_fail(&j->c, "an added token without id or content");
    if (single && !e->special) nn_cursor_fail(&j->c, "an added token with single_word, which is not run");
}

/* --- ids ------------------------------------------------------------------------------------------------- */

/* Lays an added token over the one of the vocabulary, or takes a free id. */
static nn_status place(nn_tok_json *j, entry *by_id, bool *taken, const entry *e)
{
    entry *at = &by_id[e->id];

    if (taken[e->id] && (!e->added || at->added))
        return nn_fail(j->err, NN_FILE, "%s: id %llu twice", j->c.name, (unsigned long long)e->id);
    if (taken[e->id] && (at->text.len != e->text.len || memcmp(at->text.text, e->text.text, e->text.len) != 0))
        return nn_fail(j->err, NN_FILE, "%s: added token %llu \"%.40s\" is \"%.40s\" in the vocabulary", j->c.name,
                       (unsigned long long)e->id, e->text.text, at->text.text);
    const float score = at->score;
    *at = *e;
    if (taken[e->id]) at->score = score;
    taken[e->id] = true;
    return NN_OK;
}

/* The entries by id, none missing; n_entry is their number then. */
static nn_status order_ids(nn_tok_json *j)
{
    entry *by_id = NULL;
    bool *taken = NULL;
    size_t n = 0;
    nn_status st;

    if ((st = nn_alloc((void **)&by_id, j->n_entry, sizeof *by_id, j->err)) != NN_OK) goto done;
    if ((st = nn_alloc((void **)&taken, j->n_entry, sizeof *taken, j->err)) != NN_OK) goto done;
    for (size_t i = 0; i < j->n_entry; i++) {
        if (j->entry[i].id >= j->n_entry) {
            st = nn_fail(j->err, NN_FILE, "%s: token \"%.40s\" has id %llu, but there are at most %zu ids", j->c.name,
                         j->entry[i].text.text, (unsigned long long)j->entry[i].id, j->n_entry);
            goto done;
        }
        if ((st = place(j, by_id, taken, &j->entry[i])) != NN_OK) goto done;
    }
    while (n < j->n_entry && taken[n]) n++;
    for (size_t i = n; i < j->n_entry; i++) {
        if (!taken[i]) continue;
        st = nn_fail(j->err, NN_FILE, "%s: id %zu has no token, but id %zu has", j->c.name, n, i);
        goto done;
    }
    nn_free(j->entry);
    j->entry = by_id;
    j->n_entry = n;
    by_id = NULL;
done:
    nn_free(by_id);
    nn_free(taken);
    return st;
}

nn_status nn_tok_json_order(nn_tok_json *j)
{
    nn_status st;

    if ((st = order_ids(j)) != NN_OK) return st;
    if ((st = nn_alloc((void **)&j->token, j->n_entry, sizeof *j->token, j->err)) != NN_OK) return st;
    for (size_t i = 0; i < j->n_entry; i++) j->token[i] = j->entry[i].text;
    j->n = j->n_entry;
    return nn_spelled_map_build(&j->map, j->token, j->n, j->c.name, j->err);
}

/* --- pieces ---------------------------------------------------------------------------------------------- */

/* Whether normalizing leaves a token's text as it is. */
static bool survives_normalizing(const nn_tok_json *j, const nn_spelled *text)
{
    const nn_vocab *v = j->v;

    if (v->charsmap || j->prepend) return false;
    for (size_t i = 0; i < text->len; i++) {
        const unsigned char b = (unsigned char)text->text[i];

        if ((v->nfc || v->nfkc || v->lowercase) && b >= 0x80) return false;
        if (v->lowercase && b >= 'A' && b <= 'Z') return false;
    }
    return true;
}

/* Hugging Face matches a token with `normalized` in the normalized text, we match all of them before. */
static nn_status check_added(const nn_tok_json *j, size_t id, const entry *e)
{
    if (!e->added || e->special || !e->normalized || survives_normalizing(j, &e->text)) return NN_OK;
    return nn_fail(j->err, NN_FILE, "%s: added token %zu \"%.40s\" is matched after normalizing, which is not run",
                   j->c.name, id, e->text.text);
}

static nn_status add_piece(nn_tok_json *j, size_t id)
{
    const entry *e = &j->entry[id];
    const bool bpe = j->v->model == NN_TOK_BPE;
    nn_piece_type type = e->added ? (e->special ? NN_PIECE_CONTROL : NN_PIECE_USER) : NN_PIECE_NORMAL;
    nn_spelled t = e->text;
    unsigned char byte = 0;
    char one;
    nn_status st;

    if (!bpe && j->v->unk == (int32_t)id) type = NN_PIECE_UNKNOWN;
    if (!bpe && type == NN_PIECE_NORMAL && j->byte_fallback && nn_byte_spelled(&byte, t.text, t.len)) {
        type = NN_PIECE_BYTE;
        one = (char)byte;
        t = (nn_spelled){&one, 1};
    }
    if ((st = check_added(j, id, e)) != NN_OK) return st;
    if ((st = nn_vocab_add(j->v, t.text, t.len, e->score, type, j->err)) != NN_OK) return st;
    j->v->piece[id].lstrip = e->added && e->lstrip;
    j->v->piece[id].rstrip = e->added && e->rstrip;
    if (bpe && type == NN_PIECE_NORMAL && !nn_vocab_unspell_last(j->v))
        return nn_fail(j->err, NN_FILE, "%s: token %zu: \"%.40s\" has a character that spells no byte", j->c.name, id,
                       t.text);
    return NN_OK;
}

nn_status nn_tok_json_add_pieces(nn_tok_json *j)
{
    nn_status st = NN_OK;

    for (size_t id = 0; id < j->n_entry && st == NN_OK; id++) st = add_piece(j, id);
    return st;
}

/* ["a b", ..] or [["a", "b"], ..] */
static nn_status read_merges(nn_tok_json *j)
{
    nn_status st = NN_OK;

    for (size_t n = 0; st == NN_OK && nn_json_item(&j->c, &n);) {
        const size_t used = j->pool.used;
        nn_spelled a = {NULL, 0}, b = {NULL, 0};

        if (nn_json_peek(&j->c) == NN_JSON_STRING) {
            a.text = nn_json_text(&j->c, &j->pool, &a.len);
            if (a.text) st = nn_spelled_merge_line(j->v, &j->map, a.text, a.len, j->err);
        } else {
            nn_json_expect(&j->c, '[');
            a.text = nn_json_text(&j->c, &j->pool, &a.len);
            nn_json_expect(&j->c, ',');
            b.text = nn_json_text(&j->c, &j->pool, &b.len);
            nn_json_expect(&j->c, ']');
            if (j->c.status == NN_OK) st = nn_spelled_merge(j->v, &j->map, &a, &b, j->err);
        }
        j->pool.used = used;
    }
    return st != NN_OK ? st : j->c.status;
}

/* --- model ----------------------------------------------------------------------------------------------- */

static bool flag_at(nn_tok_json *j, size_t at)
{
    return go(j, at) && !nn_json_null(&j->c) && nn_json_bool(&j->c);
}

/* null or "" say that there is none. */
static void want_no_text(nn_tok_json *j, size_t at, const char *what)
{
    size_t len = 0;

    if (go(j, at) && !nn_json_null(&j->c) && nn_json_text(&j->c, &j->pool, &len) && len > 0)
        nn_cursor_fail(&j->c, "model with %s, which is not run", what);
}

/* Without "type", as early files were written, the vocabulary's form tells which it is. */
static void read_type(reader *r)
{
    nn_tok_json *j = &r->j;
    const char *type = go(j, r->model[M_TYPE]) ? nn_json_string(&j->c, &j->pool) : NULL;

    if (j->c.status == NN_OK && r->model[M_VOCAB] == 0) nn_cursor_fail(&j->c, "model without \"vocab\"");
    if (!go(j, r->model[M_VOCAB])) return;
    j->unigram = type ? strcmp(type, "Unigram") == 0 : nn_json_peek(&j->c) == NN_JSON_ARRAY;
    if (!j->unigram && (type ? strcmp(type, "BPE") != 0 : r->model[M_MERGES] == 0))
        nn_cursor_fail(&j->c, "model \"%.40s\" is not run, want BPE or Unigram", type ? type : "");
    else if (!j->unigram && r->model[M_MERGES] == 0)
        nn_cursor_fail(&j->c, "model BPE without \"merges\"");
}

static void read_model(reader *r)
{
    nn_tok_json *j = &r->j;
    size_t len = 0;

    locate(j, model_names, N_MODEL, r->model);
    read_type(r);
    j->byte_fallback = flag_at(j, r->model[M_BYTE_FALLBACK]);
    j->v->ignore_merges = flag_at(j, r->model[M_IGNORE_MERGES]);
    want_no_text(j, r->model[M_PREFIX], "continuing_subword_prefix");
    want_no_text(j, r->model[M_SUFFIX], "end_of_word_suffix");
    if (go(j, r->model[M_DROPOUT]) && !nn_json_null(&j->c) && nn_json_f64(&j->c) != 0.0)
        nn_cursor_fail(&j->c, "model with dropout, which is not run");
    if (go(j, r->model[M_UNK_TOKEN]) && !nn_json_null(&j->c)) r->unk.text = nn_json_text(&j->c, &j->pool, &len);
    r->unk.len = len;
    if (!go(j, r->model[M_VOCAB])) return;
    if (j->unigram) read_vocab_array(r);
    else nn_tok_json_read_ids(j, false);
    r->n_vocab = j->n_entry;
}

static nn_status find_unknown(reader *r)
{
    nn_tok_json *j = &r->j;

    if (j->unigram && go(j, r->model[M_UNK_ID]) && !nn_json_null(&j->c)) {
        const uint64_t id = nn_json_u64(&j->c);

        if (j->c.status == NN_OK && id >= r->n_vocab)
            nn_cursor_fail(&j->c, "unk_id %llu, want below %zu", (unsigned long long)id, r->n_vocab);
        if (j->c.status == NN_OK) j->v->unk = (int32_t)id;
    } else if (!j->unigram && r->unk.len > 0) {
        j->v->unk = nn_spelled_find(&j->map, r->unk.text, r->unk.len);
        if (j->v->unk < 0) nn_cursor_fail(&j->c, "unk_token \"%.40s\" is no token", r->unk.text);
    }
    return j->c.status;
}

/* --- the file -------------------------------------------------------------------------------------------- */

/* Everything but ids and merges. "truncation" and "padding" are what somebody last called the tokenizer with, and no
 * part of what it is. */
static void read_parts(reader *r)
{
    nn_tok_json *j = &r->j;

    locate(j, part_names, N_PARTS, r->part);
    nn_json_end(&j->c);
    if (j->c.status == NN_OK && r->part[MODEL] == 0) nn_cursor_fail(&j->c, "no \"model\"");
    if (go(j, r->part[NORMALIZER])) nn_tok_json_normalizer(j);
    if (go(j, r->part[PRE_TOKENIZER])) nn_tok_json_pre_tokenizer(j);
    if (go(j, r->part[DECODER])) nn_tok_json_decoder(j);
    if (go(j, r->part[MODEL])) read_model(r);
    if (go(j, r->part[ADDED]))
        for (size_t n = 0; nn_json_item(&j->c, &n);) read_added_token(r);
    if (j->c.status == NN_OK && j->n_entry == 0) nn_cursor_fail(&j->c, "no tokens");
}

static nn_status read_all(reader *r)
{
    nn_tok_json *j = &r->j;
    nn_status st;

    read_parts(r);
    if (j->c.status != NN_OK) return j->c.status;
    if ((st = nn_tok_json_settle(j)) != NN_OK) return st;
    if ((st = nn_tok_json_order(j)) != NN_OK) return st;
    if ((st = find_unknown(r)) != NN_OK) return st;
    if ((st = nn_tok_json_add_pieces(j)) != NN_OK) return st;
    if ((st = nn_tok_json_check_words(j)) != NN_OK) return st;
    if (!j->unigram && go(j, r->model[M_MERGES]) && (st = read_merges(j)) != NN_OK) return st;
    if (go(j, r->part[POST_PROCESSOR])) nn_tok_json_post_processor(j);
    return j->c.status;
}

void nn_tok_json_free(nn_tok_json *j)
{
    nn_spelled_map_free(&j->map);
    nn_free(j->token);
    nn_free(j->pool.bytes);
    nn_free(j->entry);
}

nn_status nn_vocab_from_json(nn_vocab *v, const void *bytes, size_t len, const void *config, size_t config_len,
                             const char *name, nn_err *err)
{
    void *p = NULL;
    nn_status st;

    if ((st = nn_alloc(&p, 1, sizeof(reader), err)) != NN_OK) return st;
    reader *r = p;
    r->j.v = v;
    r->j.err = err;
    r->j.pool.cap = len + 1;
    nn_cursor_init(&r->j.c, bytes, len, name, err);
    if ((st = nn_alloc((void **)&r->j.pool.bytes, r->j.pool.cap, 1, err)) == NN_OK) st = read_all(r);
    nn_tok_json_free(&r->j);
    nn_free(r);
    if (st == NN_OK && config) {
        st = nn_vocab_configure(v, config, config_len, "tokenizer_config.json", err);
        if (st != NN_OK) nn_err_prefix(err, name);
    }
    return st == NN_OK ? nn_vocab_check_specials(v, name, err) : st;
}
