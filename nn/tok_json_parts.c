/* tok_json_parts.c - GPT-2's old layout of a byte-level BPE: vocab.json and merges.txt, without a tokenizer.json.
 *
 * Reads: tok_json_impl.h.   Read next: tok_open.c.
 * The two files say nothing about how a text is cut; the class in tokenizer_config.json does: GPT2Tokenizer, which is
 * also meant where none is named, or Qwen2Tokenizer. Another class is refused by its name. Tokens beside the vocabulary
 * stand in added_tokens_decoder of that file, in older folders in added_tokens.json; which of them are special is said
 * by their entry, or by their name being that of BOS, EOS and the like, there or in special_tokens_map.json.
 */
#include "nn/arena.h"
#include "nn/tok_json_impl.h"
#include <string.h>

/* What transformers' classes do where the files are silent. */
static const struct {
    const char *name;
    nn_tok_pre pre;
    bool nfc, has_bos;
} classes[] = {{"GPT2Tokenizer", NN_PRE_GPT2, false, true}, {"GPT2TokenizerFast", NN_PRE_GPT2, false, true},
               {"Qwen2Tokenizer", NN_PRE_QWEN2, true, false}, {"Qwen2TokenizerFast", NN_PRE_QWEN2, true, false}};
#define END_OF_TEXT "<|endoftext|>" /* BOS and EOS of the first two, EOS of the others */

typedef struct {
    nn_tok_json j;
    const nn_tok_parts *p;
    size_t of_class; /* row of classes */
    bool decoder;    /* added_tokens_decoder is there */
} reader;

static void begin(reader *r, const nn_tok_part *part, const char *name)
{
    nn_cursor_init(&r->j.c, part->bytes, part->len, name, r->j.err);
}

/* --- tokenizer_config.json -------------------------------------------------------------------------------------- */

static void take_class(reader *r)
{
    nn_tok_json *j = &r->j;
    const size_t n = sizeof classes / sizeof *classes;
    const char *name = nn_json_null(&j->c) ? classes[0].name : nn_json_string(&j->c, &j->pool);

    for (r->of_class = 0; name && r->of_class < n && strcmp(classes[r->of_class].name, name) != 0;) r->of_class++;
    if (r->of_class < n) return;
    nn_cursor_fail(&j->c, "tokenizer_class \"%.40s\" with vocab.json and merges.txt is not run, want GPT2Tokenizer or "
                   "Qwen2Tokenizer, or a tokenizer.json", name);
    r->of_class = 0;
}

/* One of {"50256": {"content": "<|endoftext|>", ..}, ..}; the id is the key. */
static void read_decoder_token(reader *r, const char *key)
{
    static const char *const names[] = {"content", "single_word", "lstrip", "rstrip", "normalized", "special"};
    nn_tok_json *j = &r->j;
    nn_json_fields f = {names, 6, 0, 0, ""};
    nn_tok_json_entry *e = nn_tok_json_new(j);
    uint64_t id = 0;
    bool single = false;

    if (!e) return;
    for (size_t i = 0; key[i]; i++) {
        if (key[i] < '0' || key[i] > '9' || i == 9) nn_cursor_fail(&j->c, "added token \"%.20s\", want an id", key);
        else id = 10 * id + (uint64_t)(key[i] - '0');
        if (j->c.status != NN_OK) return;
    }
    *e = (nn_tok_json_entry){.id = id, .added = true, .normalized = true};
    for (int k = nn_json_field(&j->c, &j->pool, &f); k != NN_JSON_DONE; k = nn_json_field(&j->c, &j->pool, &f)) {
        switch (k) {
        case 0: e->text.text = nn_json_text(&j->c, &j->pool, &e->text.len); break;
        case 1: single = nn_json_bool(&j->c); break;
        case 2: e->lstrip = nn_json_bool(&j->c); break;
        case 3: e->rstrip = nn_json_bool(&j->c); break;
        case 4: e->normalized = nn_json_bool(&j->c); break;
        case 5: e->special = nn_json_bool(&j->c); break;
        default: nn_json_skip(&j->c); /* "__type" */
        }
    }
    if (!key[0] || !(f.seen & 1)) nn_cursor_fail(&j->c, "an added token without id or content");
    if (single && !e->special) nn_cursor_fail(&j->c, "an added token with single_word, which is not run");
}

static void read_decoder(reader *r)
{
    nn_tok_json *j = &r->j;
    size_t n = 0, len = 0;

    for (const char *key = nn_json_member(&j->c, &j->pool, &n, &len); key;
         key = nn_json_member(&j->c, &j->pool, &n, &len))
        read_decoder_token(r, key);
    r->decoder = true;
}

static void read_config(reader *r)
{
    static const char *const names[] = {"tokenizer_class", "added_tokens_decoder"};
    nn_tok_json *j = &r->j;
    nn_json_fields f = {names, 2, 0, 0, ""};

    begin(r, &r->p->config, "tokenizer_config.json");
    for (int k = nn_json_field(&j->c, &j->pool, &f); k != NN_JSON_DONE; k = nn_json_field(&j->c, &j->pool, &f)) {
        if (k == 0) take_class(r);
        else if (k == 1 && nn_json_peek(&j->c) == NN_JSON_OBJECT) read_decoder(r);
        else nn_json_skip(&j->c);
    }
    nn_json_end(&j->c);
}

/* --- special tokens ---------------------------------------------------------------------------------------------- */

static void mark(nn_tok_json *j, const char *text, size_t len)
{
    const int32_t id = nn_spelled_find(&j->map, text, len);

    if (id >= 0) j->entry[id].added = j->entry[id].special = true;
}

/* "text", {"content": "text", ..} or a list of them. */
static void mark_value(nn_tok_json *j, bool in_list)
{
    static const char *const names[] = {"content"};
    nn_json_fields f = {names, 1, 0, 0, ""};
    const nn_json_kind kind = nn_json_peek(&j->c);
    const char *text = NULL;
    size_t len = 0;

    if (kind == NN_JSON_STRING) {
        text = nn_json_text(&j->c, &j->pool, &len);
    } else if (kind == NN_JSON_OBJECT) {
        for (int k = nn_json_field(&j->c, &j->pool, &f); k != NN_JSON_DONE; k = nn_json_field(&j->c, &j->pool, &f)) {
            if (k == 0) text = nn_json_text(&j->c, &j->pool, &len);
            else nn_json_skip(&j->c);
        }
    } else if (kind == NN_JSON_ARRAY && !in_list) {
        for (size_t n = 0; nn_json_item(&j->c, &n);) mark_value(j, true);
    } else {
        nn_json_skip(&j->c);
    }
    if (text) mark(j, text, len);
}

static void mark_all(reader *r, const nn_tok_part *part, const char *name)
{
    static const char *const names[] = {"bos_token", "eos_token", "unk_token", "pad_token",
                                        "additional_special_tokens"};
    nn_tok_json *j = &r->j;
    nn_json_fields f = {names, 5, 0, 0, ""};

    if (!part->bytes || j->c.status != NN_OK) return;
    begin(r, part, name);
    for (int k = nn_json_field(&j->c, &j->pool, &f); k != NN_JSON_DONE; k = nn_json_field(&j->c, &j->pool, &f)) {
        if (k < 5) mark_value(j, false);
        else nn_json_skip(&j->c);
    }
    nn_json_end(&j->c);
}

/* --- merges.txt --------------------------------------------------------------------------------------------------- */

static nn_status read_merges(reader *r)
{
    nn_tok_json *j = &r->j;
    const char *s = r->p->merges.bytes;
    const size_t len = r->p->merges.len;
    nn_status st = NN_OK;

    for (size_t at = 0, end; at < len && st == NN_OK; at = end + 1) {
        size_t n;

        for (end = at; end < len && s[end] != '\n'; end++) continue;
        n = end - at;
        if (n > 0 && s[at + n - 1] == '\r') n--;
        if (n == 0 || (at == 0 && n >= 8 && memcmp(s, "#version", 8) == 0)) continue;
        st = nn_spelled_merge_line(j->v, &j->map, s + at, n, j->err);
    }
    return st;
}

/* --- together ---------------------------------------------------------------------------------------------------- */

static nn_status read_tokens(reader *r)
{
    nn_tok_json *j = &r->j;

    begin(r, &r->p->vocab, "vocab.json");
    nn_tok_json_read_ids(j, false);
    nn_json_end(&j->c);
    if (j->c.status == NN_OK && j->n_entry == 0) nn_cursor_fail(&j->c, "no tokens");
    if (j->c.status == NN_OK && r->p->config.bytes) read_config(r);
    if (j->c.status == NN_OK && r->p->added.bytes && !r->decoder) {
        begin(r, &r->p->added, "added_tokens.json");
        nn_tok_json_read_ids(j, true);
        nn_json_end(&j->c);
    }
    return j->c.status;
}

static nn_status read_all(reader *r)
{
    nn_tok_json *j = &r->j;
    nn_vocab *v = j->v;
    nn_status st;

    if ((st = read_tokens(r)) != NN_OK) return st;
    v->model = NN_TOK_BPE;
    v->pre = classes[r->of_class].pre;
    v->nfc = classes[r->of_class].nfc;
    j->c.name = "vocab.json";
    if ((st = nn_tok_json_order(j)) != NN_OK) return st;
    mark(j, END_OF_TEXT, strlen(END_OF_TEXT));
    mark_all(r, &r->p->config, "tokenizer_config.json");
    mark_all(r, &r->p->special, "special_tokens_map.json");
    if (j->c.status != NN_OK) return j->c.status;
    if ((st = nn_tok_json_add_pieces(j)) != NN_OK) return st;
    j->map.name = "merges.txt";
    if ((st = read_merges(r)) != NN_OK) return st;
    v->eos = nn_spelled_find(&j->map, END_OF_TEXT, strlen(END_OF_TEXT));
    if (classes[r->of_class].has_bos) v->bos = v->eos;
    if (r->p->special.bytes)
        st = nn_vocab_configure(v, r->p->special.bytes, r->p->special.len, "special_tokens_map.json", j->err);
    if (st == NN_OK && r->p->config.bytes)
        st = nn_vocab_configure(v, r->p->config.bytes, r->p->config.len, "tokenizer_config.json", j->err);
    return st;
}

nn_status nn_vocab_from_parts(nn_vocab *v, const nn_tok_parts *p, const char *name, nn_err *err)
{
    reader r = {.p = p};
    nn_status st;

    r.j.v = v;
    r.j.err = err;
    /* Two files are read twice, once for tokens and once for names. */
    r.j.pool.cap = p->vocab.len + p->added.len + 2 * p->config.len + p->special.len + 1;
    st = nn_alloc((void **)&r.j.pool.bytes, r.j.pool.cap, 1, err);
    if (st == NN_OK && (st = read_all(&r)) != NN_OK) nn_err_prefix(err, name);
    nn_tok_json_free(&r.j);
    return st == NN_OK ? nn_vocab_check_specials(v, name, err) : st;
}
