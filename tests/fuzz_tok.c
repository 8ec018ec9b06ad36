/* fuzz_tok.c - vocabularies in the four files they come in; what opens encodes, decodes and streams.
 *
 * Read next: fuzz_model.c, which uses fuzz_tok_use too.
 */
#include "nn/arena.h"
#include "nn/tok_read.h"
#include "nn/unicode.h"
#include "tests/fuzz.h"
#include <string.h>

#define MOST_TEXT 256u /* bytes of the input that are encoded as text */

static void *room(size_t count, size_t size)
{
    void *block = NULL;

    fuzz_must(nn_alloc(&block, count, size, NULL) == NN_OK, "there is room for a small text");
    return block;
}

static void encode(const nn_tok *t, nn_tok_buf *b, const char *text, size_t len, bool more)
{
    nn_err err = {NN_OK, ""};

    b->len = 0;
    fuzz_must((more ? nn_tok_encode_more : nn_tok_encode)(t, b, text, len, &err) == NN_OK, err.text);
    for (size_t i = 0; i < b->len; i++) {
        fuzz_must(b->ids[i] >= 0 && (size_t)b->ids[i] < nn_tok_vocab(t), "an id is below the vocabulary's size");
        fuzz_must(!nn_tok_is_control(t, b->ids[i]), "no control token is made from text");
        fuzz_must(b->start[i] <= len && (i == 0 || b->start[i - 1] <= b->start[i]), "tokens begin in order");
    }
}

/* One id at a time gives what all at once give, as far as that is text. */
static void stream(const nn_tok *t, const nn_tok_buf *b)
{
    const size_t need = nn_tok_decode(t, NULL, 0, b->ids, b->len), most = nn_tok_stream_room(t);
    char *all = room(need + 1, 1), *mended = room(3 * need + 1, 1), *one = room((b->len + 1) * most + 16, 1);
    nn_tok_stream s;
    size_t n = 0, replaced = 0;

    fuzz_must(nn_tok_decode(t, all, need, b->ids, b->len) == need, "decoding twice needs the same room");
    nn_tok_stream_init(&s, t);
    for (size_t i = 0; i < b->len; i++) {
        const size_t added = nn_tok_stream_add(&s, one + n, b->ids[i]);

        fuzz_must(added <= most, "a stream keeps to its room");
        n += added;
    }
    n += nn_tok_stream_end(&s, one + n);
    const size_t want = nn_utf8_repair(mended, all, need, &replaced);
    if (replaced == 0)
        fuzz_must(n == want && memcmp(one, mended, n) == 0, "a stream gives the text of decoding at once");
    nn_free(all);
    nn_free(mended);
    nn_free(one);
}

/* Where the tokenizer says that no token reaches over, the two parts give the ids of the whole. */
static void cut(const nn_tok *t, const nn_tok_buf *whole, const char *text, size_t len)
{
    nn_tok_buf left = {0}, right = {0};

    for (size_t i = 1; i < len; i++) {
        if (!nn_tok_cuts_before(t, text, i)) continue;
        encode(t, &left, text, i, false);
        encode(t, &right, text + i, len - i, true);
        fuzz_must(left.len + right.len == whole->len, "two parts have as many tokens as the whole");
        fuzz_must(left.len == 0 || memcmp(left.ids, whole->ids, left.len * sizeof *left.ids) == 0,
                  "the left part's ids");
        fuzz_must(right.len == 0 || memcmp(right.ids, whole->ids + left.len, right.len * sizeof *right.ids) == 0,
                  "the right part's ids");
    }
    nn_tok_buf_free(&left);
    nn_tok_buf_free(&right);
}

static void use_text(const nn_tok *t, const char *text, size_t len)
{
    nn_tok_buf b = {0};

    encode(t, &b, text, len, true);
    stream(t, &b);
    encode(t, &b, text, len, false);
    stream(t, &b);
    cut(t, &b, text, len);
    nn_tok_buf_free(&b);
}

static void copy_and_compare(const nn_tok *t)
{
    nn_tok *copy = NULL;
    char a[65], b[65];
    nn_err err = {NN_OK, ""};

    fuzz_must(nn_tok_clone(&copy, t, &err) == NN_OK, err.text);
    nn_tok_hash(t, a);
    nn_tok_hash(copy, b);
    fuzz_must(strcmp(a, b) == 0, "a copy has the hash of what it is a copy of");
    nn_tok_free(copy);
}

void fuzz_tok_use(const nn_tok *t, const uint8_t *bytes, size_t len)
{
    static const char text[] = "Hello  world's 12345 caf\xc3\xa9 \xe4\xbd\xa0\xe5\xa5\xbd\n\n\t"
                               "\xf0\x9f\x98\x80 <s>x</s>\xff!";
    const size_t vocab = nn_tok_vocab(t), n = len < MOST_TEXT ? len : MOST_TEXT;
    const int32_t special[] = {nn_tok_bos(t), nn_tok_eos(t), nn_tok_pad(t)};
    int32_t ids[64];
    nn_tok_buf b = {0};

    fuzz_must(vocab > 0, "a tokenizer has ids");
    for (size_t i = 0; i < 3; i++)
        fuzz_must(special[i] >= -1 && special[i] < (int64_t)vocab, "a special token has an id");
    fuzz_must((!nn_tok_adds_bos(t) || special[0] >= 0) && (!nn_tok_adds_eos(t) || special[1] >= 0),
              "what is added around a text exists");
    for (size_t i = 0; i < 64; i++) {
        size_t piece = 0;

        ids[i] = (int32_t)(fuzz_pick(bytes, len, (uint32_t)i, vocab));
        fuzz_must(nn_tok_bytes(t, ids[i], &piece) != NULL || piece == 0, "an id has bytes, or none");
    }
    b.ids = ids;
    b.len = 64;
    stream(t, &b); /* ids that no text gives */
    use_text(t, text, sizeof text - 1);
    use_text(t, (const char *)bytes + (len - n), n);
    fuzz_must(nn_tok_find(t, "no piece is spelled like this", 29) < (int64_t)vocab, "a spelling found is an id");
    copy_and_compare(t);
}

static nn_status finish(nn_tok *t, nn_status st, const uint8_t *bytes, size_t len)
{
    fuzz_must((st == NN_OK) == (t != NULL), "a tokenizer exactly when the file is good");
    fuzz_opened();
    if (t) fuzz_tok_use(t, bytes, len);
    nn_tok_free(t);
    return st;
}

/* --- the four formats --------------------------------------------------------------------------- */

/* tokenizer.json, and behind the separator tokenizer_config.json. */
nn_status fuzz_tok_json(const uint8_t *bytes, size_t len, nn_err *err)
{
    size_t n = 0, n_config = 0;
    nn_tok *t = NULL;
    const uint8_t *json = fuzz_part(bytes, len, 0, &n), *config = fuzz_part(bytes, len, 1, &n_config);
    const nn_status st = nn_tok_from_json(&t, json, n, config, n_config, "x", err);

    return finish(t, st, json, n);
}

/* vocab.json, merges.txt, tokenizer_config.json, added_tokens.json, special_tokens_map.json: the last three as far as
 * there are any. */
nn_status fuzz_tok_parts(const uint8_t *bytes, size_t len, nn_err *err)
{
    nn_tok_part part[5];
    nn_tok *t = NULL;

    for (size_t i = 0; i < 5; i++) {
        part[i].bytes = fuzz_part(bytes, len, i, &part[i].len);
        if (part[i].len == 0 && i > 1) part[i].bytes = NULL;
    }
    const nn_tok_parts p = {part[0], part[1], part[2], part[3], part[4]};
    const nn_status st = nn_tok_from_parts(&t, &p, "x", err);
    return finish(t, st, bytes, len);
}

nn_status fuzz_tok_model(const uint8_t *bytes, size_t len, nn_err *err)
{
    nn_tok *t = NULL;
    const nn_status st = nn_tok_from_sentencepiece(&t, bytes, len, "x", err);

    return finish(t, st, bytes, len);
}

nn_status fuzz_tok_gguf(const uint8_t *bytes, size_t len, nn_err *err)
{
    nn_gguf *g = NULL;
    nn_tok *t = NULL;
    nn_status st = nn_gguf_open_memory(&g, bytes, len, "x", err);

    if (st != NN_OK) return st;
    st = nn_tok_from_gguf(&t, g, "x", err);
    nn_gguf_close(g); /* a tokenizer keeps nothing of its file */
    return finish(t, st, bytes, len);
}

/* As many ids as a model would ask for whose vocabulary this file is. */
static size_t pieces_of(const uint8_t *bytes, size_t len)
{
    size_t n = 0, at = 4;

    while (at + 8 <= len) {
        const size_t piece = bytes[at + 4] | (size_t)bytes[at + 5] << 8 | (size_t)bytes[at + 6] << 16 |
                             (size_t)bytes[at + 7] << 24;

        if (piece > len - at - 8) break;
        at += 8 + piece;
        n++;
    }
    return n ? n : 1;
}

nn_status fuzz_tok_llama2c(const uint8_t *bytes, size_t len, nn_err *err)
{
    nn_tok *t = NULL;
    const nn_status st = nn_tok_from_llama2c(&t, bytes, len, pieces_of(bytes, len), "x", err);

    return finish(t, st, bytes, len);
}
