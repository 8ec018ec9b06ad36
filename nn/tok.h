/* tok.h - text to ids and back: our byte-level BPE (Sennrich, Haddow, Birch 2016, arXiv:1508.07909; byte level: Radford
 * et al. 2019), and the tokenizers of other people's models behind the same calls (tok_vocab.h, tok_read.h).
 *
 * Reads: unicode.h.   Read next: tok.c (ids, bytes), tok_pre.c (cutting a text), tok_encode.c (merging), tok_train.c; of
 * other people's: tok_build.c, tok_text.c.
 * Ids of ours: 0..63 reserved (below), 64..319 the bytes 0..255, then one id per merge in merge order. Pre-tokenizer
 * `gpt-2`. Special tokens are never made from text: encode gives ids >= 64 only. Encoding a pre-token is O(n log n).
 * Threads: an nn_tok is immutable after load or train; encode scratch belongs to the caller's nn_tok_buf.
 */
#ifndef NN_TOK_H
#define NN_TOK_H
#include "nn/err.h"
#include <stdbool.h>
#include <stdint.h>

typedef enum {
    NN_TOK_PAD = 0, NN_TOK_BOS, NN_TOK_EOS, NN_TOK_PROMPT, NN_TOK_RESPONSE, NN_TOK_CONTEXT,
    NN_TOK_TASK_PROMPT, NN_TOK_TASK_RESPONSE, NN_TOK_LABEL, NN_TOK_SAFE, NN_TOK_UNSAFE,
    NN_TOK_ROLE_SYSTEM, NN_TOK_ROLE_USER, NN_TOK_ROLE_ASSISTANT,
    NN_TOK_CATEGORY = 16, /* + category index, 0..47 */
    NN_TOK_BYTES = 64,
    NN_TOK_MERGES = 320
} nn_tok_special;

typedef struct nn_tok nn_tok;

typedef struct {
    int32_t *ids;
    uint32_t *start;    /* byte offset in its text where each token begins */
    size_t len, cap;
    void *scratch; size_t scratch_cap; /* bytes */
    char *text; uint32_t *from; size_t text_cap, from_cap; /* a text normalised, and where its bytes come from */
} nn_tok_buf; /* zero it to begin; free with nn_tok_buf_free */

/* Learns merges until the vocabulary has `vocab` ids (or no pair occurs twice). texts need not be valid UTF-8. Pairs
 * are counted where they stand side by side (twice in "aaa"); of equal counts the smaller (left, right) ids win. No
 * token is longer than 256 bytes. The result depends on the multiset of pre-tokens alone, not on the texts' order. */
NN_CHECKED nn_status nn_tok_train(nn_tok **out, const char *const *text, const size_t *len, size_t n, size_t vocab,
                                  nn_err *err);
void nn_tok_free(nn_tok *t);
size_t nn_tok_vocab(const nn_tok *t);
/* Merges of ours as pairs of ids, for files: n_merges pairs (none for another's: nn_tok_clone copies those).
 * from_merges copies them and refuses an id that is not there yet, a pair that comes twice and a token of more than 256
 * bytes. */
size_t nn_tok_merges(const nn_tok *t, const int32_t **pairs);
NN_CHECKED nn_status nn_tok_from_merges(nn_tok **out, const int32_t *pairs, size_t n_merges, nn_err *err);
void nn_tok_hash(const nn_tok *t, char hex[65]);

/* Appends the ids of text to buf. NN_LIMIT when memory runs out. */
NN_CHECKED nn_status nn_tok_encode(const nn_tok *t, nn_tok_buf *buf, const char *text, size_t len, nn_err *err);
/* Room for n more ids and for pre-tokens of at most `longest` bytes: encoding that much then allocates nothing. (With a
 * tokenizer that normalises or puts blanks before a text, encoding may still allocate room for that.) */
NN_CHECKED nn_status nn_tok_buf_reserve(nn_tok_buf *b, size_t n, size_t longest, nn_err *err);
void nn_tok_buf_free(nn_tok_buf *b);
/* Bytes of one id (control tokens: empty); not zero-terminated. */
const char *nn_tok_bytes(const nn_tok *t, int32_t id, size_t *len);
/* Decodes n ids; returns bytes needed, writes at most cap. */
size_t nn_tok_decode(const nn_tok *t, char *out, size_t cap, const int32_t *ids, size_t n);
/* The printable GPT-2 spelling of an id's bytes, for vocabularies in files; reserved ids are "<|pad|>",
 * "<|category_3|>", "<|reserved_14|>". Returns the length; writes at most cap. */
size_t nn_tok_spelling(const nn_tok *t, int32_t id, char *out, size_t cap);

/* --- of any tokenizer ------------------------------------------------------------------------------------ */
NN_CHECKED nn_status nn_tok_clone(nn_tok **out, const nn_tok *t, nn_err *err);
bool nn_tok_is_own(const nn_tok *t); /* ours: the reserved ids above mean what they say */
const char *nn_tok_kind(const nn_tok *t); /* "SentencePiece BPE", "byte-level BPE, qwen2", ...; for prints */
int32_t nn_tok_bos(const nn_tok *t); /* -1: none, also below */
int32_t nn_tok_eos(const nn_tok *t);
int32_t nn_tok_pad(const nn_tok *t);
bool nn_tok_adds_bos(const nn_tok *t); /* the model expects it before a text; encode never puts it there */
bool nn_tok_adds_eos(const nn_tok *t);
/* Never made from text, and no bytes of their own when decoded: BOS, roles, ... */
bool nn_tok_is_control(const nn_tok *t, int32_t id);
/* The id of a control token with the spelling s ("<|im_start|>", "<|pad|>"), else of the piece whose bytes are s
 * ("safe", " safe"); SentencePiece's U+2581 may stand for a blank. -1 when there is none. */
int32_t nn_tok_find(const nn_tok *t, const char *s, size_t len);
/* nn_tok_encode for text that goes on after other tokens: no blank of its own before it (SentencePiece's families). */
NN_CHECKED nn_status nn_tok_encode_more(const nn_tok *t, nn_tok_buf *buf, const char *text, size_t len, nn_err *err);
/* Whether no token reaches over the place before text[i], 0 < i < len, whatever follows: encoding the two parts (the
 * second with nn_tok_encode_more) gives the ids of the whole. May say no where the answer is yes. */
bool nn_tok_cuts_before(const nn_tok *t, const char *text, size_t i);

/* Ids to text one at a time, whole characters only. */
typedef struct {
    const nn_tok *tok;
    char held[8]; /* the beginning of a character */
    size_t n_held;
    bool begun; /* the blank that SentencePiece puts before a text has gone */
} nn_tok_stream;
void nn_tok_stream_init(nn_tok_stream *s, const nn_tok *tok);
/* Goes on: ids come after a prompt, so a blank before them is theirs. */
void nn_tok_stream_continue(nn_tok_stream *s, const nn_tok *tok);
/* Appends what id completes to out and returns its bytes (at most nn_tok_stream_room); ill-formed parts as U+FFFD. */
size_t nn_tok_stream_add(nn_tok_stream *s, char *out, int32_t id);
size_t nn_tok_stream_end(nn_tok_stream *s, char *out); /* what was held, as U+FFFD */
size_t nn_tok_stream_room(const nn_tok *tok);          /* bytes */
#endif
