/* tok_llama2c.c - llama2.c's tokenizer.bin (tokenizer.py of Karpathy's llama2.c writes it): int32 longest piece, then
 * for each id float score, int32 length, bytes. A Llama vocabulary of SentencePiece's with U+2581 written as a blank,
 * BOS and EOS as "\n<s>\n" and "\n</s>\n", bytes as "<0x0A>".
 *
 * Reads: tok_read_impl.h, cursor.h.
 */
#include "nn/cursor.h"
#include "nn/tok_read_impl.h"
#include <float.h>
#include <string.h>

#define PIECE_MAX 4096u /* bytes */

/* Adds a piece whose blanks become U+2581 again. */
static nn_status add_normal(nn_vocab *v, const char *text, size_t len, float score, nn_err *err)
{
    char escaped[3 * PIECE_MAX];
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        if (text[i] == ' ') {
            memcpy(escaped + n, "\xe2\x96\x81", 3);
            n += 3;
        } else {
            escaped[n++] = text[i];
        }
    }
    return nn_vocab_add(v, escaped, n, score, NN_PIECE_NORMAL, err);
}

static nn_status add_piece(nn_vocab *v, const char *text, size_t len, float score, nn_err *err)
{
    unsigned char byte = 0;

    if (v->n == 0) return nn_vocab_add(v, text, len, score, NN_PIECE_UNKNOWN, err);
    if (v->n <= 2) {
        while (len > 0 && text[0] == '\n') text++, len--;
        while (len > 0 && text[len - 1] == '\n') len--;
        return nn_vocab_add(v, text, len, score, NN_PIECE_CONTROL, err);
    }
    if (!nn_byte_spelled(&byte, text, len)) return add_normal(v, text, len, score, err);
    const char one = (char)byte;
    return nn_vocab_add(v, &one, 1, score, NN_PIECE_BYTE, err);
}

static nn_status read_piece(nn_vocab *v, nn_cursor *c, uint32_t longest, nn_err *err)
{
    const float score = nn_cursor_f32(c);
    const uint32_t len = nn_cursor_u32(c);

    if (c->status == NN_OK && !(score >= -FLT_MAX && score <= FLT_MAX))
        return nn_cursor_fail(c, "token %zu has no finite score", v->n);
    if (c->status == NN_OK && len > longest)
        return nn_cursor_fail(c, "token %zu has %lu bytes, want at most %lu", v->n, (unsigned long)len,
                              (unsigned long)longest);
    const char *text = (const char *)nn_cursor_bytes(c, len);
    return text ? add_piece(v, text, len, score, err) : c->status;
}

nn_status nn_vocab_from_llama2c(nn_vocab *v, const void *bytes, size_t len, size_t vocab, const char *name, nn_err *err)
{
    nn_cursor c;
    nn_status st;

    nn_cursor_init(&c, bytes, len, name, err);
    const uint32_t longest = nn_cursor_u32(&c);
    if (c.status != NN_OK) return c.status;
    if (longest == 0 || longest > PIECE_MAX)
        return nn_cursor_fail(&c, "longest token %lu, want 1..%u", (unsigned long)longest, PIECE_MAX);
    v->model = NN_TOK_SPM;
    v->prefix_space = v->add_bos = true;
    v->unk = 0;
    v->bos = 1;
    v->eos = 2;
    while (vocab > 0 ? v->n < vocab : nn_cursor_left(&c) > 0) {
        if (v->n == NN_TOK_IDS_MAX) return nn_cursor_fail(&c, "more than %u tokens", NN_TOK_IDS_MAX);
        if ((st = read_piece(v, &c, longest, err)) != NN_OK) return st;
    }
    if (nn_cursor_left(&c) > 0)
        return nn_cursor_fail(&c, "%zu bytes after the %zu tokens of the model", nn_cursor_left(&c), vocab);
    return nn_vocab_check_specials(v, name, err);
}
