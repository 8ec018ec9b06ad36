/* tok_json_special.c - tokens around a text: the post-processor of a tokenizer.json, and tokenizer_config.json.
 *
 * Reads: tok_json_impl.h.   Read next: tok_open.c.
 * The post-processor's template says which special token stands before and behind "$A"; tokenizer_config.json names
 * BOS, EOS and padding and, where it says whether they are added, has the last word (as Hugging Face's classes have
 * it).
 */
#include "nn/arena.h"
#include "nn/tok_json_impl.h"
#include <string.h>

/* --- post-processor -------------------------------------------------------------------------------------- */

/* One element of a template, {"SpecialToken": {"id": ..}} or {"Sequence": {"id": "A"}}: the special one's text, or
 * NULL. */
static const char *template_part(nn_tok_json *j)
{
    static const char *const kinds[] = {"SpecialToken", "Sequence"}, *const inner[] = {"id", "type_id"};
    nn_json_fields kind = {kinds, 2, 0, 0, ""};
    const char *special = NULL;

    for (int k = nn_json_field(&j->c, &j->pool, &kind); k != NN_JSON_DONE; k = nn_json_field(&j->c, &j->pool, &kind)) {
        nn_json_fields f = {inner, 2, 0, 0, ""};
        const char *id = NULL;

        if (k == 2) nn_cursor_fail(&j->c, "TemplateProcessing with \"%s\", want SpecialToken or Sequence", kind.key);
        for (int i = nn_json_field(&j->c, &j->pool, &f); i != NN_JSON_DONE; i = nn_json_field(&j->c, &j->pool, &f)) {
            if (i == 0) id = nn_json_string(&j->c, &j->pool);
            else nn_json_skip(&j->c);
        }
        if (k == 0) special = id;
    }
    return special;
}

/* "single": at most one special token before the text and one behind it. */
static void read_template(nn_tok_json *j)
{
    const char *special[2] = {NULL, NULL};
    bool behind = false;

    for (size_t n = 0; nn_json_item(&j->c, &n);) {
        const char *text = template_part(j);

        if (!text && behind) nn_cursor_fail(&j->c, "TemplateProcessing with the text twice");
        if (text && special[behind]) nn_cursor_fail(&j->c, "TemplateProcessing with two tokens on a side of the text");
        if (text) special[behind] = text;
        else behind = true;
    }
    if (j->c.status != NN_OK) return;
    if (!behind) nn_cursor_fail(&j->c, "TemplateProcessing without the text");
    for (size_t side = 0; side < 2; side++) {
        if (!special[side]) continue;
        const int32_t id = nn_spelled_find(&j->map, special[side], strlen(special[side]));

        if (id < 0) nn_cursor_fail(&j->c, "TemplateProcessing: \"%.40s\" is no token", special[side]);
        if (side == 0) j->v->bos = id, j->v->add_bos = true;
        else j->v->eos = id, j->v->add_eos = true;
    }
}

static void post_processor(nn_tok_json *j, unsigned depth)
{
    static const char *const names[] = {"single", "processors"};
    nn_json_fields f = {names, 2, 0, 0, ""};
    const char *type = nn_tok_json_type(j);
    const bool template = strcmp(type, "TemplateProcessing") == 0, list = strcmp(type, "Sequence") == 0;

    if (nn_json_null(&j->c)) return;
    if (!template && strcmp(type, "ByteLevel") != 0 && !(list && depth == 0))
        nn_cursor_fail(&j->c, "post_processor \"%.40s\" is not run, want TemplateProcessing or ByteLevel", type);
    for (int k = nn_json_field(&j->c, &j->pool, &f); k != NN_JSON_DONE; k = nn_json_field(&j->c, &j->pool, &f)) {
        if (k == 0 && template) {
            read_template(j);
        } else if (k == 1 && list && depth == 0) {
            for (size_t n = 0; nn_json_item(&j->c, &n);) post_processor(j, depth + 1);
        } else {
            nn_json_skip(&j->c); /* "pair", offsets */
        }
    }
}

void nn_tok_json_post_processor(nn_tok_json *j)
{
    post_processor(j, 0);
}

/* --- tokenizer_config.json ------------------------------------------------------------------------------- */

enum { ADD_BOS, ADD_EOS, BOS, EOS, PAD, ADD_PREFIX, N_KEYS };

/* The first piece of that text that is none of the usual ones, else the first usual one; -1 when there is none. */
static int32_t find_piece(const nn_vocab *v, const char *s, size_t len)
{
    int32_t usual = -1;

    for (size_t i = 0; i < v->n; i++) {
        const nn_piece *p = &v->piece[i];

        if (p->len != len || memcmp(p->text, s, len) != 0) continue;
        if (p->type != NN_PIECE_NORMAL && p->type != NN_PIECE_BYTE) return (int32_t)i;
        if (usual < 0 && p->type == NN_PIECE_NORMAL) usual = (int32_t)i;
    }
    return usual;
}

/* A token as text, or as an object whose "content" it is; null names none. */
static void read_token(nn_cursor *c, nn_json_pool *pool, const nn_vocab *v, int32_t *id)
{
    static const char *const names[] = {"content"};
    nn_json_fields f = {names, 1, 0, 0, ""};
    const char *text = NULL;
    size_t len = 0;

    if (nn_json_peek(c) == NN_JSON_OBJECT) {
        for (int k = nn_json_field(c, pool, &f); k != NN_JSON_DONE; k = nn_json_field(c, pool, &f)) {
            if (k == 0) text = nn_json_text(c, pool, &len);
            else nn_json_skip(c);
        }
    } else if (!nn_json_null(c)) {
        text = nn_json_text(c, pool, &len);
    }
    if (text) *id = find_piece(v, text, len);
}

static void read_flag(nn_cursor *c, bool *flag)
{
    if (!nn_json_null(c)) *flag = nn_json_bool(c);
}

nn_status nn_vocab_configure(nn_vocab *v, const void *config, size_t len, const char *place, nn_err *err)
{
    static const char *const names[N_KEYS] = {"add_bos_token", "add_eos_token", "bos_token",
                                              "eos_token",     "pad_token",     "add_prefix_space"};
    nn_json_fields f = {names, N_KEYS, 0, 0, ""};
    nn_json_pool pool = {NULL, 0, len + 1};
    nn_cursor c;
    nn_status st;

    if ((st = nn_alloc((void **)&pool.bytes, pool.cap, 1, err)) != NN_OK) return st;
    nn_cursor_init(&c, config, len, place, err);
    for (int k = nn_json_field(&c, &pool, &f); k != NN_JSON_DONE; k = nn_json_field(&c, &pool, &f)) {
        switch (k) {
        case ADD_BOS: read_flag(&c, &v->add_bos); break;
        case ADD_EOS: read_flag(&c, &v->add_eos); break;
        case BOS: read_token(&c, &pool, v, &v->bos); break;
        case EOS: read_token(&c, &pool, v, &v->eos); break;
        case PAD: read_token(&c, &pool, v, &v->pad); break;
        case ADD_PREFIX:
            if (v->model == NN_TOK_BPE) read_flag(&c, &v->prefix_space); /* others have it in their parts */
            else nn_json_skip(&c);
            break;
        default: nn_json_skip(&c);
        }
    }
    nn_json_end(&c);
    nn_free(pool.bytes);
    return c.status;
}
