/* tok_impl.h - the inside of an nn_tok, shared by the tok_*.c files that are not readers.
 *
 * Reads: tok.h, tok_vocab.h.   Read next: tok.c (ours), tok_build.c (other people's), tok_encode.c, tok_text.c.
 * Why two halves: our own tokenizer needs tok.c, tok_encode.c and tok_pre.c alone, so that a machine without files
 * links nothing else; what the other families need hangs from `other` and is reached through its functions.
 */
#ifndef NN_TOK_IMPL_H
#define NN_TOK_IMPL_H
#include "nn/tok.h"
#include "nn/tok_vocab.h"

#define NN_TOK_LONGEST 256u     /* bytes of one token of ours */
#define NN_TOK_VOCAB_MAX 1048576u
#define NN_TOK_NO_RANK UINT32_MAX
#define NN_TOK_NO_ID UINT32_MAX /* a symbol that is no piece */
#define NN_PIECE_LONGEST 2048u  /* bytes of one piece of other people's */
/* WHY less: every cut of a piece in two is looked up, so a file's cost is its bytes times its longest piece. SentencePiece
 * makes pieces of 16 characters unless told otherwise. */
#define NN_PIECE_LONGEST_SPM 512u

typedef struct {
    uint64_t pair; /* left << 32 | right */
    uint32_t rank; /* the lowest is merged first; NN_TOK_NO_RANK in an empty slot */
    uint32_t result;
} nn_tok_slot;

typedef struct nn_tok_other nn_tok_other;

struct nn_tok {
    size_t n;          /* ids */
    char *bytes;       /* texts of all ids, one after the other */
    uint32_t *start;   /* [n + 1] where each begins in bytes */
    nn_tok_slot *slot; /* the merges: open addressing */
    size_t n_slot;     /* a power of two, at most half full */
    size_t n_merges;   /* of ours ... */
    int32_t *pairs;    /* ... [n_merges, 2] */
    nn_tok_other *other; /* NULL: ours */
};

/* A trie of byte strings as one table of edges. */
typedef struct {
    uint32_t parent, child; /* child 0: an empty slot (0 is the root, nobody's child) */
    unsigned char byte;
} nn_tok_edge;

typedef struct {
    nn_tok_edge *edge;
    size_t n_edge;  /* slots, a power of two; 0: the trie is empty */
    int32_t *id;    /* [n_node] what ends there, -1: nothing */
    size_t n_node;
} nn_tok_trie;

/* A precompiled normalizer of SentencePiece: a double array and the strings it leads to. */
typedef struct {
    uint32_t *unit;
    size_t n_unit;
    char *text; /* zero-terminated strings, one after the other */
    size_t text_len;
} nn_tok_charsmap;

struct nn_tok_other {
    nn_tok_model model;
    nn_tok_pre pre;
    bool prefix_space, prefix_unless_blank, ignore_merges, squeeze, nfc, nfkc, lowercase;
    bool words;       /* no piece goes over the beginning of a run of blanks: words are encoded one by one */
    bool add_bos, add_eos;
    bool strips;      /* some USER piece takes white space beside it */
    int32_t bos, eos, unk, pad;
    unsigned char *type; /* [n] nn_piece_type | STRIP flags */
    uint32_t *text_slot; /* text -> id: open addressing, NN_TOK_NO_ID in an empty slot */
    size_t n_text_slot;
    int32_t byte_id[256]; /* BPE: of every byte; SPM, UNIGRAM: the fallback. -1: none */
    int32_t char_id[128]; /* SPM: ASCII as pieces */
    nn_tok_trie user;     /* USER pieces as they stand in a text */
    bool user_first[256]; /* bytes that one begins with */
    nn_tok_trie piece;    /* UNIGRAM: NORMAL pieces */
    float *score;         /* UNIGRAM [n] */
    float unk_score;
    size_t longest;       /* bytes of the longest piece */
    nn_tok_charsmap charsmap;
    char hash[65];
    nn_vocab source;      /* a copy of what it was made of: files hold a tokenizer as it came (tok_gguf_write.c) */
    nn_status (*encode)(const nn_tok *t, nn_tok_buf *buf, const char *text, size_t len, bool begins, nn_err *err);
    bool (*cuts)(const nn_tok *t, const char *text, size_t i);
    int32_t (*find)(const nn_tok *t, const char *s, size_t len);
    nn_status (*clone)(nn_tok **out, const nn_tok *t, nn_err *err);
    void (*free)(nn_tok_other *o);
};

#define NN_TOK_LSTRIP 0x40u /* beside the type */
#define NN_TOK_RSTRIP 0x80u
#define NN_TOK_TYPE(flags) ((flags) & 0x3Fu)

/* --- tok.c ----------------------------------------------------------------------------------------------- */
/* The merge of left and right; its rank is NN_TOK_NO_RANK when there is none. */
nn_tok_slot *nn_tok_merge_of(const nn_tok *t, uint32_t left, uint32_t right);
NN_CHECKED nn_status nn_tok_slots(nn_tok *t, size_t n_merges, nn_err *err); /* an empty table for so many */
/* Text of an id as it is kept: control pieces too; SentencePiece's U+2581 is a blank. */
const char *nn_tok_text(const nn_tok *t, size_t id, size_t *len);

/* --- tok_encode.c: merging --------------------------------------------------------------------------------- */
/* The symbols of one pre-token as a linked list over its bytes, and a heap of merges to try: rank << 32 | position,
 * smallest first, so that the lowest rank goes first and equal ranks from left to right. An entry is stale when
 * rank[position] differs. */
typedef struct {
    uint64_t *heap;
    size_t n_heap;
    uint32_t first; /* position of the first symbol */
    uint32_t *id, *next, *prev, *rank, *result;
} nn_tok_list;

#define NN_TOK_END UINT32_MAX
/* Every merge takes one entry and adds at most two: 2n entries are enough for n symbols. */
#define NN_TOK_LIST_BYTES (2 * sizeof(uint64_t) + 5 * sizeof(uint32_t)) /* a symbol */

nn_tok_list nn_tok_list_in(void *scratch, size_t n);
/* One more symbol behind *last, NN_TOK_END at first. */
void nn_tok_link(nn_tok_list *l, uint32_t *last, uint32_t at, uint32_t id);
/* Merges until no pair of neighbours has a rank. */
void nn_tok_merge_all(nn_tok_list *l, const nn_tok *t);
/* Appends the ids that the bytes s[0, n) merge to; the first begins at `at`. buf has room. */
void nn_tok_merge_bytes(const nn_tok *t, nn_tok_buf *buf, const unsigned char *s, size_t n, size_t at);
void nn_tok_append(nn_tok_buf *b, uint32_t id, size_t at);

/* --- tok_pre.c: cutting a text into pre-tokens ------------------------------------------------------------- */
/* Bytes of the pre-token at s (len > 0), at least 1: the longest match of GPT-2's pattern (Radford et al. 2019),
 *   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 * where an ill-formed byte is neither blank, letter nor number. */
size_t nn_tok_pretoken(const char *s, size_t len);

typedef struct {
    const char *s;
    size_t len, at;
    size_t part;  /* where the part ends that an earlier pattern of the family left whole */
    size_t token; /* Falcon: where the pre-token ends that is being cut at its digits */
    nn_tok_pre pre;
} nn_tok_cutter;

nn_tok_cutter nn_tok_cutter_at(nn_tok_pre pre, const char *s, size_t len);
size_t nn_tok_cutter_next(nn_tok_cutter *c); /* bytes of the next pre-token, 0 at the end */
/* Whether every pattern of the family begins a pre-token at text[i], i > 0, whatever follows. */
bool nn_tok_pre_cuts(const char *text, size_t i);

/* --- tok_trie.c -------------------------------------------------------------------------------------------- */
/* Room for texts of so many bytes. */
NN_CHECKED nn_status nn_tok_trie_build(nn_tok_trie *t, size_t bytes, nn_err *err);
/* The first of equal texts stays. */
void nn_tok_trie_add(nn_tok_trie *t, const char *s, size_t len, int32_t id);
uint32_t nn_tok_trie_step(const nn_tok_trie *t, uint32_t node, unsigned char byte); /* 0: no such edge */
void nn_tok_trie_free(nn_tok_trie *t);

/* --- tok_clone.c ------------------------------------------------------------------------------------------- */
NN_CHECKED nn_status nn_tok_new_other(nn_tok **out, size_t n, nn_err *err); /* n ids, all else empty */
NN_CHECKED nn_status nn_tok_other_clone(nn_tok **out, const nn_tok *t, nn_err *err);

/* --- tok_build.c ------------------------------------------------------------------------------------------- */
/* The first id of this text whose type is in the set (1 << nn_piece_type, or-ed), -1 without one. */
int32_t nn_tok_lookup(const nn_tok *t, const char *s, size_t len, unsigned types);
#define NN_TOK_MADE (1u << NN_PIECE_NORMAL | 1u << NN_PIECE_USER) /* what merging may make */

/* --- tok_norm.c: from the text as it came to the text that is cut ------------------------------------------ */
typedef struct {
    const char *s;
    size_t len;
    const uint32_t *from; /* [len] offset in the caller's text; NULL: base + i, what stands before `lead` at base */
    size_t base, lead;
} nn_tok_view;

/* [out] v: text[at, end) normalised, in buf's own memory when it changes; first and last: the part stands at the text's
 * beginning, or end. */
NN_CHECKED nn_status nn_tok_normalise(nn_tok_view *v, const nn_tok *t, nn_tok_buf *buf, const char *text, size_t at,
                                      size_t end, bool first, bool last, nn_err *err);
NN_CHECKED nn_status nn_tok_charsmap_build(nn_tok_charsmap *m, const unsigned char *bytes, size_t len, nn_err *err);
void nn_tok_charsmap_free(nn_tok_charsmap *m);

/* --- tok_text.c, tok_spm.c, tok_unigram.c: encoding other people's ----------------------------------------- */
NN_CHECKED nn_status nn_tok_other_encode(const nn_tok *t, nn_tok_buf *buf, const char *text, size_t len, bool begins,
                                         nn_err *err);
bool nn_tok_other_cuts(const nn_tok *t, const char *text, size_t i);
/* These append ids whose start is an offset in s. */
NN_CHECKED nn_status nn_tok_spm_encode(const nn_tok *t, nn_tok_buf *buf, const char *s, size_t len, nn_err *err);
NN_CHECKED nn_status nn_tok_unigram_encode(const nn_tok *t, nn_tok_buf *buf, const char *s, size_t len, nn_err *err);
/* Where the word ends that begins at `at`: before a run of blanks, if no piece goes over its beginning. */
size_t nn_tok_word_end(const nn_tok *t, const char *s, size_t len, size_t at);
/* What stands for s[at, at + n), which is no piece: a byte's piece for every byte, else the unknown id, once for a
 * run of them; ids before `first` are not looked at. buf has room for n ids. */
void nn_tok_append_unknown(const nn_tok *t, nn_tok_buf *b, const char *s, size_t at, size_t n, size_t first);
/* The merges that scores stand for, into t->slot. */
NN_CHECKED nn_status nn_tok_spm_merges(nn_tok *t, const nn_vocab *v, nn_err *err);
/* The same as a list [n, 3] of left, right, result by nn_alloc. ties: pieces whose score another one before them has:
 * there the leftmost merges first, which a list cannot say. */
NN_CHECKED nn_status nn_tok_spm_list(int32_t **merge, size_t *n, size_t *ties, const nn_tok *t, nn_err *err);
#endif
