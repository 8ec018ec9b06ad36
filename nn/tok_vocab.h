/* tok_vocab.h - a vocabulary as a file describes it, on its way into an nn_tok.
 *
 * Reads: tok.h.   Read next: tok_read.h (who fills it), tok_build.c (who checks it and makes the tokenizer).
 * Why between the two: five file formats, three algorithms. Readers know formats and nothing of algorithms; everything
 * that can be wrong with a vocabulary (a hole, a merge of other tokens, a byte without an id) is found in one place.
 * Ownership: texts are borrowed from the pool, which the vocabulary owns; nn_vocab_free frees everything. A charsmap
 * may lie in the file, which must then outlive the vocabulary.
 */
#ifndef NN_TOK_VOCAB_H
#define NN_TOK_VOCAB_H
#include "nn/tok.h"

typedef enum {
    NN_TOK_BPE,    /* byte-level BPE with merges (Radford et al. 2019) */
    NN_TOK_SPM,    /* SentencePiece's BPE: characters, the neighbours whose union scores highest first; byte fallback */
    NN_TOK_UNIGRAM /* the most probable segmentation (Kudo 2018, arXiv:1804.10959, sec. 3.2) */
} nn_tok_model;

/* How byte-level BPE cuts a text before merging; named as the families call them. */
typedef enum {
    NN_PRE_GPT2,
    NN_PRE_LLAMA3,    /* words with one other character before, up to 3 digits, newlines with what is before */
    NN_PRE_QWEN2,     /* the same with single digits */
    NN_PRE_STARCODER, /* single digits first, then gpt-2's; also SmolLM2's */
    NN_PRE_FALCON     /* punctuation first, then gpt-2's, then numbers of 3 digits */
} nn_tok_pre;

typedef enum {
    NN_PIECE_NORMAL,
    NN_PIECE_UNKNOWN,
    NN_PIECE_CONTROL, /* never made from text */
    NN_PIECE_USER,    /* matched in text before anything else, longest first */
    NN_PIECE_UNUSED,  /* keeps its id, is never made */
    NN_PIECE_BYTE     /* fallback for one byte */
} nn_piece_type;

typedef struct {
    const char *text; /* what it stands for: byte-level spelling undone, SentencePiece's U+2581 kept; BYTE: one byte */
    size_t len;
    float score; /* SPM: rank, higher first; UNIGRAM: log-probability */
    nn_piece_type type;
    bool lstrip, rstrip; /* USER, CONTROL: white space around it belongs to it */
} nn_piece;

typedef struct {
    nn_tok_model model;
    nn_tok_pre pre;
    nn_piece *piece; /* [n] in the order of ids */
    size_t n, piece_cap;
    int32_t *merge; /* [n_merge, 3] left, right, result; the first has the highest priority. BPE, and SPM read from a
                       tokenizer.json, where it replaces the scores */
    size_t n_merge, merge_cap;
    bool prefix_space;  /* a text begins with a blank of its own */
    bool prefix_unless_blank; /* not one that begins with one (Hugging Face's Metaspace; byte-level BPE always) */
    bool ignore_merges; /* a pre-token that is a piece is that piece (Llama-3) */
    bool squeeze;       /* runs of blanks become one, those at the ends go (SentencePiece's remove_extra_whitespaces) */
    bool nfc, nfkc, lowercase; /* normalisation before all else */
    const unsigned char *charsmap; /* SentencePiece's precompiled normalizer, or NULL */
    size_t charsmap_len;
    unsigned char *charsmap_owned; /* what charsmap points at when no file holds it; freed with the vocabulary */
    int32_t bos, eos, unk, pad; /* -1: none */
    bool add_bos, add_eos;      /* what the model expects around a text */
    char *pool;                 /* owned: the texts */
    size_t pool_len, pool_cap;
} nn_vocab;

void nn_vocab_init(nn_vocab *v); /* zero, specials -1 */
void nn_vocab_free(nn_vocab *v);
/* A copy with memory of its own; *to is overwritten, and empty on failure. */
NN_CHECKED nn_status nn_vocab_copy(nn_vocab *to, const nn_vocab *from, nn_err *err);
/* Appends a piece, copying its text (piece[i].text may move while pieces are added: read them afterwards). */
NN_CHECKED nn_status nn_vocab_add(nn_vocab *v, const char *text, size_t len, float score, nn_piece_type type,
                                  nn_err *err);
NN_CHECKED nn_status nn_vocab_add_merge(nn_vocab *v, int32_t left, int32_t right, int32_t result, nn_err *err);

/* Checks v and makes the tokenizer, which keeps a copy. NN_FILE: what is wrong, by id or merge. */
NN_CHECKED nn_status nn_tok_build(nn_tok **out, const nn_vocab *v, nn_err *err);
#endif
