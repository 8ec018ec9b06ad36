/* tok_gguf.c - the vocabulary in a GGUF file: keys tokenizer.ggml.* (specification of the ggml project, "Tokenizer";
 * which name of `pre` means which pattern and what holds when a key is absent: llama.cpp's loader of vocabularies).
 *
 * Reads: tok_read_impl.h, gguf.h.   Read next: tok_json.c.
 */
#include "nn/arena.h"
#include "nn/tok_read_impl.h"
#include <float.h>
#include <string.h>

#define KEY(name) "tokenizer.ggml." name
#define NO_ID UINT32_MAX /* how converters write "there is none" */

static const struct {
    const char *name;
    nn_tok_pre pre;
    bool ignore_merges, add_bos; /* unless the file says otherwise */
} pres[] = {
    {"gpt-2", NN_PRE_GPT2, false, false},
    {"gpt2", NN_PRE_GPT2, false, false},
    {"phi-2", NN_PRE_GPT2, false, false},
    {"mpt", NN_PRE_GPT2, false, false},
    {"olmo", NN_PRE_GPT2, false, false},
    {"jais", NN_PRE_GPT2, false, false},
    {"exaone4", NN_PRE_GPT2, false, false},
    {"trillion", NN_PRE_GPT2, false, false},
    {"granite-docling", NN_PRE_GPT2, false, false},
    {"llama-bpe", NN_PRE_LLAMA3, true, true},
    {"llama3", NN_PRE_LLAMA3, true, true},
    {"llama-v3", NN_PRE_LLAMA3, true, true},
    {"falcon3", NN_PRE_LLAMA3, true, true},
    {"falcon-h1", NN_PRE_LLAMA3, true, true},
    {"pixtral", NN_PRE_LLAMA3, true, true},
    {"lfm2", NN_PRE_LLAMA3, true, true},
    {"dbrx", NN_PRE_LLAMA3, false, false},
    {"smaug-bpe", NN_PRE_LLAMA3, false, false},
    {"glm4", NN_PRE_LLAMA3, false, false},
    {"chatglm-bpe", NN_PRE_LLAMA3, false, false},
    {"qwen2", NN_PRE_QWEN2, false, false},
    {"deepseek-r1-qwen", NN_PRE_QWEN2, false, false},
    {"stablelm2", NN_PRE_QWEN2, false, false},
    {"hunyuan", NN_PRE_QWEN2, false, false},
    {"megrez", NN_PRE_QWEN2, false, false},
    {"starcoder", NN_PRE_STARCODER, false, false},
    {"refact", NN_PRE_STARCODER, false, false},
    {"smollm", NN_PRE_STARCODER, false, false},
    {"command-r", NN_PRE_STARCODER, false, false},
    {"codeshell", NN_PRE_STARCODER, false, false},
    {"exaone", NN_PRE_STARCODER, false, false},
    {"minerva-7b", NN_PRE_STARCODER, false, false},
    {"falcon", NN_PRE_FALCON, false, false},
};

/* Everything that is gone again when the vocabulary is read. */
typedef struct {
    const nn_gguf *g;
    const char *name;
    nn_vocab *v;
    nn_spelled *token; /* [n] in the file */
    int32_t *type;     /* [n] */
    size_t n;
    nn_spelled_map map;
    nn_status st; /* of a callback */
    nn_err *err;
} reader;

static bool text_is(const char *s, size_t len, const char *want)
{
    return len == strlen(want) && memcmp(s, want, len) == 0;
}

/* --- tokens ---------------------------------------------------------------------------------------------- */

static bool take_token(void *ctx, size_t i, const char *s, size_t len)
{
    reader *r = ctx;

    r->token[i] = (nn_spelled){s, len};
    return true;
}

static nn_status read_tokens(reader *r)
{
    nn_gg_type type = NN_GG_STRING;
    nn_status st;

    if (!nn_gguf_array(r->g, KEY("tokens"), &type, &r->n) || type != NN_GG_STRING || r->n == 0)
        return nn_fail(r->err, NN_FILE, "%s: %s: not there, want an array of strings", r->name, KEY("tokens"));
    if (r->n > NN_TOK_IDS_MAX)
        return nn_fail(r->err, NN_FILE, "%s: %s: %zu tokens, want at most %u", r->name, KEY("tokens"), r->n,
                       NN_TOK_IDS_MAX);
    if ((st = nn_alloc((void **)&r->token, r->n, sizeof *r->token, r->err)) != NN_OK) return st;
    (void)nn_gguf_array_strs(r->g, KEY("tokens"), take_token, r);
    return NN_OK;
}

/* Types as the format counts them from 1; without the key all tokens are normal ones. */
static nn_status read_types(reader *r)
{
    nn_gg_type type = NN_GG_I32;
    size_t n = 0;
    nn_status st;

    if ((st = nn_alloc((void **)&r->type, r->n, sizeof *r->type, r->err)) != NN_OK) return st;
    for (size_t i = 0; i < r->n; i++) r->type[i] = 1;
    if (!nn_gguf_array(r->g, KEY("token_type"), &type, &n)) return NN_OK;
    if (!nn_gguf_array_i32(r->g, KEY("token_type"), r->type, r->n))
        return nn_fail(r->err, NN_FILE, "%s: %s: %zu elements, want %zu of type i32", r->name, KEY("token_type"), n,
                       r->n);
    for (size_t i = 0; i < r->n; i++)
        if (r->type[i] < 1 || r->type[i] > 6)
            return nn_fail(r->err, NN_FILE, "%s: %s: token %zu has type %ld, want 1 to 6", r->name, KEY("token_type"),
                           i, (long)r->type[i]);
    return NN_OK;
}

/* Scores count for SentencePiece's models; the ids' order stands in where the file has none. */
static nn_status read_score(const reader *r, size_t i, bool have, float *score)
{
    double s = -(double)i;

    if (have && !nn_gguf_array_f64(r->g, KEY("scores"), i, &s))
        return nn_fail(r->err, NN_FILE, "%s: %s: no number for token %zu", r->name, KEY("scores"), i);
    if (!(s >= -(double)FLT_MAX && s <= (double)FLT_MAX))
        return nn_fail(r->err, NN_FILE, "%s: %s: token %zu has no finite score", r->name, KEY("scores"), i);
    *score = (float)s;
    return NN_OK;
}

static nn_status add_token(reader *r, size_t i, float score)
{
    static const nn_piece_type types[] = {NN_PIECE_NORMAL, NN_PIECE_NORMAL, NN_PIECE_UNKNOWN, NN_PIECE_CONTROL,
                                          NN_PIECE_USER,   NN_PIECE_UNUSED, NN_PIECE_BYTE};
    const nn_piece_type type = types[r->type[i]];
    nn_spelled t = r->token[i];
    unsigned char byte = 0;
    char one;
    nn_status st;

    if (type == NN_PIECE_BYTE) {
        if (!nn_byte_spelled(&byte, t.text, t.len))
            return nn_fail(r->err, NN_FILE, "%s: %s: token %zu is a byte, but not spelled <0x00>", r->name,
                           KEY("tokens"), i);
        one = (char)byte;
        t = (nn_spelled){&one, 1};
    }
    if ((st = nn_vocab_add(r->v, t.text, t.len, score, type, r->err)) != NN_OK) return st;
    if (r->v->model == NN_TOK_BPE && type == NN_PIECE_NORMAL && !nn_vocab_unspell_last(r->v))
        return nn_fail(r->err, NN_FILE, "%s: %s: token %zu: \"%.*s\" has a character that spells no byte", r->name,
                       KEY("tokens"), i, (int)(t.len < 40 ? t.len : 40), t.text);
    return NN_OK;
}

static nn_status add_tokens(reader *r)
{
    nn_gg_type type = NN_GG_F32;
    size_t n = 0;
    const bool scores = r->v->model != NN_TOK_BPE && nn_gguf_array(r->g, KEY("scores"), &type, &n);
    nn_status st;

    if (r->v->model != NN_TOK_BPE && !scores)
        return nn_fail(r->err, NN_FILE, "%s: %s: not there, want a number for each token", r->name, KEY("scores"));
    if (scores && n != r->n)
        return nn_fail(r->err, NN_FILE, "%s: %s: %zu elements, want %zu", r->name, KEY("scores"), n, r->n);
    for (size_t i = 0; i < r->n; i++) {
        float score = 0.0f;

        if ((st = read_score(r, i, scores, &score)) != NN_OK) return st;
        if ((st = add_token(r, i, score)) != NN_OK) return st;
    }
    return NN_OK;
}

/* --- merges ---------------------------------------------------------------------------------------------- */

static bool take_merge(void *ctx, size_t i, const char *s, size_t len)
{
    reader *r = ctx;

    (void)i;
    r->st = nn_spelled_merge_line(r->v, &r->map, s, len, r->err);
    return r->st == NN_OK;
}

static nn_status read_merges(reader *r)
{
    nn_gg_type type = NN_GG_STRING;
    size_t n = 0;
    nn_status st;

    if (!nn_gguf_array(r->g, KEY("merges"), &type, &n) || type != NN_GG_STRING)
        return nn_fail(r->err, NN_FILE, "%s: %s: not there, want an array of strings", r->name, KEY("merges"));
    if ((st = nn_spelled_map_build(&r->map, r->token, r->n, r->name, r->err)) != NN_OK) return st;
    (void)nn_gguf_array_strs(r->g, KEY("merges"), take_merge, r);
    return r->st;
}

/* --- options --------------------------------------------------------------------------------------------- */

static nn_status read_pre(reader *r)
{
    const size_t n = sizeof pres / sizeof *pres;
    const char *s = "";
    size_t len = 0, i = 0;

    if (!nn_gguf_str(r->g, KEY("pre"), &s, &len))
        return nn_fail(r->err, NN_FILE, "%s: %s: not there; which pre-tokenizer it is cannot be guessed", r->name,
                       KEY("pre"));
    while (i < n && !text_is(s, len, pres[i].name)) i++;
    if (i == n)
        return nn_fail(r->err, NN_FILE,
                       "%s: %s: pre-tokenizer \"%.*s\" is not known, want one of the families gpt-2, llama-bpe, qwen2, "
                       "starcoder, smollm, falcon",
                       r->name, KEY("pre"), (int)(len < 40 ? len : 40), s);
    r->v->pre = pres[i].pre;
    r->v->ignore_merges = pres[i].ignore_merges;
    r->v->add_bos = pres[i].add_bos;
    return NN_OK;
}

/* Which algorithm, and what holds unless a key says otherwise. */
static nn_status read_model(reader *r)
{
    nn_vocab *v = r->v;
    const char *s = "";
    size_t len = 0;

    if (!nn_gguf_str(r->g, KEY("model"), &s, &len))
        return nn_fail(r->err, NN_FILE, "%s: %s: not there; the file has no tokenizer", r->name, KEY("model"));
    if (text_is(s, len, "gpt2")) {
        v->model = NN_TOK_BPE;
        return read_pre(r);
    }
    v->prefix_space = true;
    if (text_is(s, len, "llama")) {
        v->model = NN_TOK_SPM;
        v->unk = 0;
        v->bos = 1;
        v->eos = 2;
        v->add_bos = true;
    } else if (text_is(s, len, "t5")) {
        v->model = NN_TOK_UNIGRAM;
        v->pad = 0;
        v->eos = 1;
        v->unk = 2;
        v->add_eos = true;
    } else {
        return nn_fail(r->err, NN_FILE, "%s: %s: tokenizer \"%.*s\" is not known, want gpt2, llama or t5", r->name,
                       KEY("model"), (int)(len < 40 ? len : 40), s);
    }
    return NN_OK;
}

static bool has_key(const reader *r, const char *key)
{
    nn_gg_type type = NN_GG_BOOL;
    size_t len = 0;

    for (size_t i = 0; i < nn_gguf_keys(r->g); i++) {
        const char *k = nn_gguf_key(r->g, i, &len, &type);

        if (text_is(k, len, key)) return true;
    }
    return false;
}

/* A key that is there must be of its type. */
static nn_status read_flag(const reader *r, const char *key, bool *flag)
{
    if (nn_gguf_bool(r->g, key, flag) || !has_key(r, key)) return NN_OK;
    return nn_fail(r->err, NN_FILE, "%s: %s: no truth value", r->name, key);
}

static nn_status read_id(const reader *r, const char *key, int32_t *id)
{
    uint64_t u = 0;

    if (!nn_gguf_u64(r->g, key, &u)) {
        if (!has_key(r, key)) return NN_OK;
        return nn_fail(r->err, NN_FILE, "%s: %s: no id", r->name, key);
    }
    if (u != NO_ID && u >= r->n)
        return nn_fail(r->err, NN_FILE, "%s: %s: %llu, want below %zu", r->name, key, (unsigned long long)u, r->n);
    *id = u == NO_ID ? -1 : (int32_t)u;
    return NN_OK;
}

static nn_status read_options(reader *r)
{
    nn_vocab *v = r->v;
    nn_status st;

    if ((st = read_id(r, KEY("bos_token_id"), &v->bos)) != NN_OK) return st;
    if ((st = read_id(r, KEY("eos_token_id"), &v->eos)) != NN_OK) return st;
    if ((st = read_id(r, KEY("unknown_token_id"), &v->unk)) != NN_OK) return st;
    if ((st = read_id(r, KEY("padding_token_id"), &v->pad)) != NN_OK) return st;
    if ((st = read_flag(r, KEY("add_bos_token"), &v->add_bos)) != NN_OK) return st;
    if ((st = read_flag(r, KEY("add_eos_token"), &v->add_eos)) != NN_OK) return st;
    if ((st = read_flag(r, KEY("add_space_prefix"), &v->prefix_space)) != NN_OK) return st;
    if ((st = read_flag(r, KEY("remove_extra_whitespaces"), &v->squeeze)) != NN_OK) return st;
    return NN_OK;
}

static nn_status read_charsmap(reader *r)
{
    nn_gg_type type = NN_GG_U8;
    size_t n = 0;

    if (r->v->model != NN_TOK_UNIGRAM || !nn_gguf_array(r->g, KEY("precompiled_charsmap"), &type, &n) || n == 0)
        return NN_OK;
    if (!nn_gguf_array_bytes(r->g, KEY("precompiled_charsmap"), &r->v->charsmap, &r->v->charsmap_len))
        return nn_fail(r->err, NN_FILE, "%s: %s: no array of bytes", r->name, KEY("precompiled_charsmap"));
    return NN_OK;
}

/* Phi-3's special tokens take the white space behind them; GGUF has no key for that, so llama.cpp goes by the model's
 * name, and so does this. */
static void strip_as_phi3(reader *r)
{
    const char *s = "";
    size_t len = 0;
    bool phi3 = false;

    if (!nn_gguf_str(r->g, "general.name", &s, &len)) return;
    for (size_t i = 0; i + 4 <= len && !phi3; i++) {
        const bool phi = (s[i] | 32) == 'p' && (s[i + 1] | 32) == 'h' && (s[i + 2] | 32) == 'i';

        phi3 = phi && (s[i + 3] == '3' || (i + 5 <= len && s[i + 3] == '-' && s[i + 4] == '3'));
    }
    for (size_t i = 0; phi3 && i < r->n; i++) {
        const nn_spelled *t = &r->token[i];
        const nn_piece_type type = r->v->piece[i].type;

        if (type != NN_PIECE_CONTROL && type != NN_PIECE_USER) continue;
        r->v->piece[i].rstrip =
            !text_is(t->text, t->len, "<s>") && !text_is(t->text, t->len, "<unk>") &&
            !text_is(t->text, t->len, "<|endoftext|>");
    }
}

static nn_status read_all(reader *r)
{
    nn_status st;

    if ((st = read_model(r)) != NN_OK) return st;
    if ((st = read_tokens(r)) != NN_OK) return st;
    if ((st = read_types(r)) != NN_OK) return st;
    if ((st = read_options(r)) != NN_OK) return st;
    if ((st = read_charsmap(r)) != NN_OK) return st;
    if ((st = add_tokens(r)) != NN_OK) return st;
    if (r->v->model == NN_TOK_BPE && (st = read_merges(r)) != NN_OK) return st;
    strip_as_phi3(r);
    return nn_vocab_check_specials(r->v, r->name, r->err);
}

nn_status nn_vocab_from_gguf(nn_vocab *v, const nn_gguf *g, const char *name, nn_err *err)
{
    reader r;

    memset(&r, 0, sizeof r);
    r.g = g;
    r.name = name;
    r.v = v;
    r.err = err;
    const nn_status st = read_all(&r);
    nn_spelled_map_free(&r.map);
    nn_free(r.token);
    nn_free(r.type);
    return st;
}
