/* cmd_tokenize.c - parapet tokenize: a text as ids with their bytes, or ids as text.
 *
 * Reads: cmd.h, nn/pretrained.h.   The tokenizer of any model or file that we read, our own guards' too.
 */
#include "guard/buf.h"
#include "guard/cmd.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include "nn/pretrained.h"
#include "nn/unicode.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX_BYTES ((size_t)1 << 30)

static const cmd_flag tokenize_flags[] = {
    {"--model", "M", NULL, "model whose tokenizer it is: a folder, a GGUF or llama2.c file"},
    {"--tokenizer", "FILE", NULL, "tokenizer.json, tokenizer.model, GGUF, llama2.c's tokenizer.bin with --vocab"},
    {"--vocab", "N", NULL, "ids of the model, which llama2.c's tokenizer.bin does not say"},
    {"--bos", NULL, NULL, "with what the model expects around a text"},
    {"--ids", NULL, NULL, "only the ids, on one line"},
    {"--decode", NULL, NULL, "ids in (words, or - for standard input), text out"},
    {"--json", NULL, NULL, "one JSON object"},
    {NULL, NULL, NULL, NULL}};

/* --- which tokenizer ------------------------------------------------------------------------------------ */

/* llama2.c's weights have their tokenizer beside them; folders and GGUF files have it inside, of architectures too that
 * we do not run. */
static nn_status open_of_model(nn_tok **out, const char *path, nn_err *err)
{
    nn_pretrained *p = NULL;
    nn_file f = {0};
    char inside[1024];
    nn_status st = NN_OK;

    snprintf(inside, sizeof inside, "%s/.", path);
    if (nn_path_exists(inside)) return nn_tok_open(out, path, 0, err);
    if ((st = nn_file_open(&f, path, err)) != NN_OK) return st;
    const bool gguf = f.len >= 4 && memcmp(f.bytes, "GGUF", 4) == 0;
    nn_file_close(&f);
    if (gguf) return nn_tok_open(out, path, 0, err);
    st = nn_pretrained_open(&p, path, err);
    if (st == NN_OK) st = nn_pretrained_tok(out, p, NULL, err);
    nn_pretrained_close(p);
    return st;
}

static nn_status open_tok(nn_tok **out, const cmd_line *line, nn_err *err)
{
    const char *model = cmd_given(line, "--model"), *file = cmd_given(line, "--tokenizer");
    uint64_t vocab = 0;
    const nn_status st = cmd_number(line, "--vocab", 1, INT32_MAX, 0, &vocab, err);

    if (st != NN_OK) return st;
    if (!model == !file) return nn_fail(err, NN_USAGE, "want --model or --tokenizer%s", model ? ", not both" : "");
    return model ? open_of_model(out, model, err) : nn_tok_open(out, file, (size_t)vocab, err);
}

/* --- text to ids ------------------------------------------------------------------------------------------ */

/* The bytes of a text that a terminal shows as they are; the others as \n, \t or \xHH. */
static void add_plain(guard_buf *b, const char *s, size_t len)
{
    for (size_t i = 0, used; i < len; i += used) {
        uint32_t cp;
        bool bad;
        used = nn_utf8_decode((const unsigned char *)s + i, len - i, &cp, &bad);
        if (cp == '\n') guard_buf_str(b, "\\n");
        else if (cp == '\t') guard_buf_str(b, "\\t");
        else if (cp == '\\' && !bad) guard_buf_str(b, "\\\\");
        else if (!bad && cp >= 32 && !(cp >= 127 && cp < 160)) guard_buf_add(b, s + i, used);
        else
            for (size_t k = 0; k < used; k++) guard_buf_fmt(b, "\\x%02x", (unsigned)(unsigned char)s[i + k]);
    }
}

/* What an id stands for; a control token by its spelling. */
static void add_piece(guard_buf *b, const nn_tok *t, int32_t id, bool json)
{
    char spelling[256];
    size_t len = 0;
    const char *s = nn_tok_bytes(t, id, &len);

    if (nn_tok_is_control(t, id)) {
        len = nn_tok_spelling(t, id, spelling, sizeof spelling);
        if (len > sizeof spelling) len = sizeof spelling;
        s = spelling;
    }
    if (json) guard_json_str(b, s, len);
    else add_plain(b, s, len);
}

typedef struct {
    const nn_tok *tok;
    const nn_tok_buf *ids;
    size_t len;      /* bytes of the text */
    bool bos, eos;   /* stand around the ids */
} tokens;

static size_t token_count(const tokens *t)
{
    return t->ids->len + t->bos + t->eos;
}

/* Token i and its bytes [start, end) of the text. */
static int32_t token_at(const tokens *t, size_t i, size_t *start, size_t *end)
{
    const size_t k = i - t->bos;

    *start = *end = t->bos && i == 0 ? 0 : t->len;
    if (t->bos && i == 0) return nn_tok_bos(t->tok);
    if (k == t->ids->len) return nn_tok_eos(t->tok);
    *start = t->ids->start[k];
    *end = k + 1 < t->ids->len ? t->ids->start[k + 1] : t->len;
    return t->ids->ids[k];
}

static void write_json(guard_buf *b, const tokens *t)
{
    guard_buf_str(b, "{");
    guard_json_key(b, "version");
    guard_json_u64(b, 1);
    guard_json_key(b, "tokens");
    guard_buf_str(b, "[");
    for (size_t i = 0; i < token_count(t); i++) {
        size_t start, end;
        const int32_t id = token_at(t, i, &start, &end);
        guard_json_comma(b);
        guard_buf_str(b, "{");
        guard_json_key(b, "id");
        guard_json_u64(b, (uint64_t)id);
        guard_json_key(b, "start");
        guard_json_u64(b, start);
        guard_json_key(b, "end");
        guard_json_u64(b, end);
        guard_json_key(b, "piece");
        add_piece(b, t->tok, id, true);
        guard_buf_str(b, "}");
    }
    guard_buf_str(b, "]}\n");
}

static void write_tokens(guard_buf *b, const tokens *t, bool ids_only)
{
    for (size_t i = 0; i < token_count(t); i++) {
        size_t start, end;
        const int32_t id = token_at(t, i, &start, &end);
        if (ids_only) {
            guard_buf_fmt(b, "%s%ld", i > 0 ? " " : "", (long)id);
            continue;
        }
        guard_buf_fmt(b, "%ld\t%zu-%zu\t", (long)id, start, end);
        add_piece(b, t->tok, id, false);
        guard_buf_str(b, "\n");
    }
    if (ids_only) guard_buf_str(b, "\n");
}

static nn_status encode(guard_buf *out, const nn_tok *tok, const cmd_line *line, const char *text, size_t len,
                        nn_err *err)
{
    const bool around = cmd_given(line, "--bos") != NULL;
    nn_tok_buf ids = {0};
    const nn_status st = nn_tok_encode(tok, &ids, text, len, err);
    const tokens t = {tok, &ids, len, around && nn_tok_adds_bos(tok) && nn_tok_bos(tok) >= 0,
                      around && nn_tok_adds_eos(tok) && nn_tok_eos(tok) >= 0};

    if (st == NN_OK && cmd_given(line, "--json")) write_json(out, &t);
    else if (st == NN_OK) write_tokens(out, &t, cmd_given(line, "--ids") != NULL);
    nn_tok_buf_free(&ids);
    return st;
}

/* --- ids to text -------------------------------------------------------------------------------------------- */

typedef struct {
    int32_t *id;
    size_t n, cap;
} id_list;

/* Whole numbers with blanks or commas between them. */
static nn_status add_ids(id_list *l, const nn_tok *tok, const char *s, nn_err *err)
{
    for (;;) {
        char *end = NULL;
        s += strspn(s, " \t\r\n,[]");
        if (*s == '\0') return NN_OK;
        errno = 0;
        const unsigned long long v = strtoull(s, &end, 10);
        if (*s < '0' || *s > '9' || errno != 0 || v >= nn_tok_vocab(tok))
            return nn_fail(err, NN_CONTENT, "--decode: '%.20s', want ids from 0 to %zu", s, nn_tok_vocab(tok) - 1);
        const nn_status st = nn_grow((void **)&l->id, &l->cap, l->n + 1, sizeof *l->id, err);
        if (st != NN_OK) return st;
        l->id[l->n++] = (int32_t)v;
        s = end;
    }
}

static nn_status write_decoded(guard_buf *out, const nn_tok *tok, const id_list *l, bool json, nn_err *err)
{
    const size_t len = nn_tok_decode(tok, NULL, 0, l->id, l->n);
    char *text = NULL;
    const nn_status st = nn_alloc((void **)&text, len + 1, 1, err);

    if (st != NN_OK) return st;
    (void)nn_tok_decode(tok, text, len, l->id, l->n);
    if (json) {
        guard_buf_str(out, "{");
        guard_json_key(out, "version");
        guard_json_u64(out, 1);
        guard_json_key(out, "text");
        guard_json_str(out, text, len);
        guard_buf_str(out, "}\n");
    } else {
        guard_buf_add(out, text, len);
        if (nn_is_tty(1)) guard_buf_str(out, "\n");
    }
    nn_free(text);
    return NN_OK;
}

/* --- together ------------------------------------------------------------------------------------------------- */

static nn_status read_input(nn_file *f, const cmd_line *line, const char **text, size_t *len, nn_err *err)
{
    *text = line->n_word == 1 ? line->word[0] : "";
    *len = strlen(*text);
    if (line->n_word != 1 || strcmp(*text, "-") != 0) return NN_OK;
    const nn_status st = nn_file_read(f, "-", TEXT_MAX_BYTES, err);
    *text = f->bytes ? (const char *)f->bytes : "";
    *len = f->len;
    return st;
}

static nn_status decode(guard_buf *out, const nn_tok *tok, const cmd_line *line, const char *in, size_t len,
                        nn_err *err)
{
    id_list l = {0};
    guard_buf all = {0};
    nn_status st;

    if (line->n_word == 1) guard_buf_add(&all, in, len); /* with a zero byte behind it */
    for (size_t i = 0; line->n_word > 1 && i < line->n_word; i++) {
        guard_buf_str(&all, line->word[i]);
        guard_buf_str(&all, " ");
    }
    st = guard_buf_status(&all, err);
    if (st == NN_OK && all.len > 0 && strlen(all.bytes) != all.len)
        st = nn_fail(err, NN_CONTENT, "--decode: a zero byte, want ids");
    if (st == NN_OK && all.len > 0) st = add_ids(&l, tok, all.bytes, err);
    if (st == NN_OK) st = write_decoded(out, tok, &l, cmd_given(line, "--json") != NULL, err);
    guard_buf_free(&all);
    nn_free(l.id);
    return st;
}

static nn_status tokenize(const cmd_line *line, nn_err *err)
{
    const bool back = cmd_given(line, "--decode") != NULL;
    nn_tok *tok = NULL;
    nn_file in = {0};
    guard_buf out = {0};
    const char *text = "";
    size_t len = 0;
    nn_status st;

    if (line->n_word == 0 || (!back && line->n_word != 1))
        return nn_fail(err, NN_USAGE, "%zu texts, want %s, or - for all of standard input", line->n_word,
                       back ? "ids" : "one (quote it)");
    if ((st = open_tok(&tok, line, err)) != NN_OK) goto done;
    if ((st = read_input(&in, line, &text, &len, err)) != NN_OK) goto done;
    st = back ? decode(&out, tok, line, text, len, err) : encode(&out, tok, line, text, len, err);
    if (st == NN_OK) st = guard_buf_status(&out, err);
    if (st == NN_OK) fwrite(out.bytes, 1, out.len, stdout);
done:
    guard_buf_free(&out);
    nn_file_close(&in);
    nn_tok_free(tok);
    return st;
}

static int tokenize_main(int argc, char **argv)
{
    cmd_line line;
    nn_err err = {0};
    nn_status st = cmd_parse(&line, &cmd_tokenize, argc, argv, &err);

    if (st == NN_OK) st = tokenize(&line, &err);
    return cmd_end("tokenize", st, 0, &err);
}

const cmd_verb cmd_tokenize = {"tokenize", "--model M TEXT | - | --decode ID...",
                               "Prints a text's tokens: id, bytes from-to, piece; or the text of ids.",
                               tokenize_flags, tokenize_main};
