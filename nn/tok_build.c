#include "nn/arena.h"
#include "nn/rng.h"
#include "nn/sha256.h"
#include "nn/tok_impl.h"
#include <string.h>

#define MERGES_MAX 8388608u /* Gemma's, the longest list known, has 580,604 */

/* --- checks ------------------------------------------------------------------------------------------ */

static bool is_finite(float x)
{
    return x - x == 0.0f;
}

static nn_status check_piece(const nn_vocab *v, size_t id, nn_err *err)
{
    const nn_piece *p = v->piece + id;

    if ((unsigned)p->type > NN_PIECE_BYTE)
        return nn_fail(err, NN_FILE, "tokenizer: id %zu: type %d, want 0..%d", id, (int)p->type, (int)NN_PIECE_BYTE);
    if (p->len == 0 && p->type != NN_PIECE_CONTROL && p->type != NN_PIECE_UNUSED && p->type != NN_PIECE_UNKNOWN)
        return nn_fail(err, NN_FILE, "tokenizer: id %zu: no text (a hole), want a piece", id);
    const size_t most = v->model == NN_TOK_SPM ? NN_PIECE_LONGEST_SPM : NN_PIECE_LONGEST;
    if (p->len > most)
        return nn_fail(err, NN_FILE, "tokenizer: id %zu: a piece of %zu bytes, want at most %zu", id, p->len, most);
    if (p->type == NN_PIECE_BYTE && p->len != 1)
        return nn_fail(err, NN_FILE, "tokenizer: id %zu: a byte piece of %zu bytes, want 1", id, p->len);
    if (v->model != NN_TOK_BPE && !is_finite(p->score))
        return nn_fail(err, NN_FILE, "tokenizer: id %zu: its score is not finite", id);
    return NN_OK;
}

static nn_status check_special(const nn_vocab *v, int32_t id, const char *name, nn_err *err)
{
    if (id >= -1 && (id < 0 || (size_t)id < v->n)) return NN_OK;
    return nn_fail(err, NN_FILE, "tokenizer: %s is id %ld, want one below %zu", name, (long)id, v->n);
}

static nn_status check_vocab(const nn_vocab *v, nn_err *err)
{
    nn_status st = NN_OK;

    if (v->n == 0 || v->n > NN_TOK_VOCAB_MAX)
        return nn_fail(err, NN_FILE, "tokenizer: %zu pieces, want 1 to %u", v->n, NN_TOK_VOCAB_MAX);
    if (v->n_merge > MERGES_MAX)
        return nn_fail(err, NN_FILE, "tokenizer: %zu merges, want at most %u", v->n_merge, MERGES_MAX);
    if ((unsigned)v->model > NN_TOK_UNIGRAM || (unsigned)v->pre > NN_PRE_FALCON)
        return nn_fail(err, NN_FILE, "tokenizer: model %d, pre-tokenizer %d", (int)v->model, (int)v->pre);
    for (size_t id = 0; id < v->n; id++)
        if ((st = check_piece(v, id, err)) != NN_OK) return st;
    if ((st = check_special(v, v->bos, "BOS", err)) != NN_OK) return st;
    if ((st = check_special(v, v->eos, "EOS", err)) != NN_OK) return st;
    if ((st = check_special(v, v->unk, "the unknown piece", err)) != NN_OK) return st;
    return check_special(v, v->pad, "the padding", err);
}

/* --- texts ------------------------------------------------------------------------------------------- */

/* [out] out [len]: s, where U+2581 becomes a blank when the model has it for one. Returns the bytes written. */
static size_t plain_text(char *out, const char *s, size_t len, nn_tok_model model)
{
    size_t n = 0;

    for (size_t i = 0; i < len; n++) {
        const bool sign = model != NN_TOK_BPE && len - i >= 3 && memcmp(s + i, "\xE2\x96\x81", 3) == 0;

        out[n] = sign ? ' ' : s[i];
        i += sign ? 3 : 1;
    }
    return n;
}

static nn_status take_texts(nn_tok *t, const nn_vocab *v, nn_err *err)
{
    nn_tok_other *o = t->other;
    nn_status st = NN_OK;
    void *p = NULL;
    size_t bytes = 0;

    for (size_t id = 0; id < v->n; id++) bytes += v->piece[id].len;
    if (bytes >= UINT32_MAX) return nn_fail(err, NN_FILE, "tokenizer: %zu bytes of pieces", bytes);
    if ((st = nn_alloc(&p, bytes, 1, err)) != NN_OK) return st;
    t->bytes = p;
    if ((st = nn_alloc(&p, v->n + 1, sizeof *t->start, err)) != NN_OK) return st;
    t->start = p;
    if ((st = nn_alloc(&p, v->n, 1, err)) != NN_OK) return st;
    o->type = p;
    o->longest = 1;
    o->words = true;
    for (size_t id = 0; id < v->n; id++) {
        const nn_piece *piece = v->piece + id;
        char *text = t->bytes + t->start[id];
        const size_t len = plain_text(text, piece->text, piece->len, v->model);
        t->start[id + 1] = t->start[id] + (uint32_t)len;
        o->type[id] = (unsigned char)((unsigned)piece->type | (piece->lstrip ? NN_TOK_LSTRIP : 0) |
                                      (piece->rstrip ? NN_TOK_RSTRIP : 0));
        if (len > o->longest) o->longest = len;
        if (!(NN_TOK_MADE >> piece->type & 1u)) continue;
        for (size_t i = 1; i < len; i++) o->words = o->words && !(text[i] == ' ' && text[i - 1] != ' ');
    }
    return NN_OK;
}

static size_t text_slot(const nn_tok *t, const char *s, size_t len, unsigned types)
{
    const nn_tok_other *o = t->other;
    size_t i = (size_t)nn_hash64(s, len, 0) & (o->n_text_slot - 1), n;

    for (; o->text_slot[i] != NN_TOK_NO_ID; i = (i + 1) & (o->n_text_slot - 1)) {
        const uint32_t id = o->text_slot[i];
        const char *text = nn_tok_text(t, id, &n);
        if (n == len && (types >> NN_TOK_TYPE(o->type[id]) & 1u) && memcmp(text, s, len) == 0) break;
    }
    return i;
}

int32_t nn_tok_lookup(const nn_tok *t, const char *s, size_t len, unsigned types)
{
    const uint32_t id = t->other->text_slot[text_slot(t, s, len, types)];

    return id == NN_TOK_NO_ID ? -1 : (int32_t)id;
}

/* Pieces that text can become, and the others, are told apart: of equal texts within each the first is found. */
static nn_status index_texts(nn_tok *t, nn_err *err)
{
    nn_tok_other *o = t->other;
    nn_status st = NN_OK;
    void *p = NULL;

    for (o->n_text_slot = 16; o->n_text_slot < 2 * t->n; o->n_text_slot *= 2) continue;
    if ((st = nn_alloc(&p, o->n_text_slot, sizeof *o->text_slot, err)) != NN_OK) return st;
    o->text_slot = p;
    for (size_t i = 0; i < o->n_text_slot; i++) o->text_slot[i] = NN_TOK_NO_ID;
    for (size_t id = 0; id < t->n; id++) {
        const unsigned type = 1u << NN_TOK_TYPE(o->type[id]);
        size_t len;
        const char *text = nn_tok_text(t, id, &len);
        if (len == 0 || type == 1u << NN_PIECE_BYTE) continue;
        const size_t slot = text_slot(t, text, len, type & NN_TOK_MADE ? NN_TOK_MADE : ~NN_TOK_MADE);
        if (o->text_slot[slot] == NN_TOK_NO_ID) o->text_slot[slot] = (uint32_t)id;
    }
    return NN_OK;
}

/* --- bytes and characters ---------------------------------------------------------------------------- */

/* BPE: a byte without a piece is the unknown piece if that may be made from text, else nothing: the vocabularies of
 * StarCoder and Falcon lack bytes that their training text lacked, and Hugging Face's tokenizers leave those out. */
static nn_status take_bytes(nn_tok *t, const nn_vocab *v, nn_err *err)
{
    nn_tok_other *o = t->other;
    const bool bpe = v->model == NN_TOK_BPE;
    const bool control = v->unk >= 0 && v->piece[v->unk].type == NN_PIECE_CONTROL;
    bool unk = v->unk >= 0 && !(bpe && control);
    size_t n = 0;

    for (size_t b = 0; b < 256; b++) {
        const char c = (char)(unsigned char)b;
        const int32_t id = nn_tok_lookup(t, &c, 1, NN_TOK_MADE);
        o->byte_id[b] = bpe ? id : -1;
        if (b < 128) o->char_id[b] = id;
    }
    for (size_t id = 0; id < t->n; id++) {
        if (v->piece[id].type != NN_PIECE_BYTE) continue;
        int32_t *of = o->byte_id + (unsigned char)v->piece[id].text[0];
        if (*of < 0) *of = (int32_t)id;
    }
    for (size_t b = 0; b < 256; b++) {
        n += o->byte_id[b] >= 0;
        if (bpe && unk && o->byte_id[b] < 0) o->byte_id[b] = v->unk;
    }
    /* Some files call every special token a control one. What text can make is none, or text could make a BOS. */
    if (!bpe && n < 256 && control) {
        unk = v->unk != v->bos && v->unk != v->eos && v->unk != v->pad;
        o->type[v->unk] = NN_PIECE_UNKNOWN;
    }
    /* A run of unknown characters is one piece, which goes over a blank that is unknown too. */
    o->words = o->words && (o->char_id[' '] >= 0 || o->byte_id[' '] >= 0);
    if (n == 256 || unk || (bpe && n > 0)) return NN_OK;
    return nn_fail(err, NN_FILE, "tokenizer: %zu bytes have a piece, want 256 or an unknown piece", n);
}

/* --- merges ------------------------------------------------------------------------------------------ */

static bool joins(const nn_tok *t, uint32_t left, uint32_t right, uint32_t result)
{
    size_t n_left, n_right, n;
    const char *a = nn_tok_text(t, left, &n_left), *b = nn_tok_text(t, right, &n_right);
    const char *ab = nn_tok_text(t, result, &n);

    return n == n_left + n_right && memcmp(ab, a, n_left) == 0 && memcmp(ab + n_left, b, n_right) == 0;
}

/* A pair that comes again keeps its first rank; a merge of or to a piece that is never made from text is none. */
static nn_status take_merges(nn_tok *t, const nn_vocab *v, nn_err *err)
{
    nn_status st = nn_tok_slots(t, v->n_merge, err);

    for (size_t i = 0; i < v->n_merge && st == NN_OK; i++) {
        const int32_t *m = v->merge + 3 * i;
        bool made = true;

        for (size_t k = 0; k < 3; k++) {
            if (m[k] < 0 || (size_t)m[k] >= t->n)
                return nn_fail(err, NN_FILE, "tokenizer: merge %zu: id %ld, want one below %zu", i, (long)m[k], t->n);
            const unsigned type = v->piece[m[k]].type;
            made = made && ((NN_TOK_MADE | 1u << NN_PIECE_BYTE) >> type & 1u) != 0;
        }
        const uint32_t left = (uint32_t)m[0], right = (uint32_t)m[1], result = (uint32_t)m[2];
        if (!joins(t, left, right, result))
            return nn_fail(err, NN_FILE, "tokenizer: merge %zu: id %ld is not the text of %ld and %ld", i, (long)m[2],
                           (long)m[0], (long)m[1]);
        nn_tok_slot *slot = nn_tok_merge_of(t, left, right);
        if (made && slot->rank == NN_TOK_NO_RANK)
            *slot = (nn_tok_slot){(uint64_t)left << 32 | right, (uint32_t)i, result};
    }
    return st;
}

/* --- tries ------------------------------------------------------------------------------------------- */

static nn_status trie_of(nn_tok_trie *trie, const nn_tok *t, nn_piece_type type, nn_err *err)
{
    nn_status st = NN_OK;
    size_t bytes = 0, len;

    for (size_t id = 0; id < t->n; id++)
        if (NN_TOK_TYPE(t->other->type[id]) == (unsigned)type) bytes += t->start[id + 1] - t->start[id];
    if (bytes == 0) return NN_OK;
    if ((st = nn_tok_trie_build(trie, bytes, err)) != NN_OK) return st;
    for (size_t id = 0; id < t->n; id++) {
        if (NN_TOK_TYPE(t->other->type[id]) != (unsigned)type) continue;
        const char *text = nn_tok_text(t, id, &len);
        nn_tok_trie_add(trie, text, len, (int32_t)id);
    }
    return NN_OK;
}

static nn_status take_users(nn_tok *t, nn_err *err)
{
    nn_tok_other *o = t->other;

    for (size_t id = 0; id < t->n; id++) {
        if (NN_TOK_TYPE(o->type[id]) != NN_PIECE_USER) continue;
        o->user_first[(unsigned char)t->bytes[t->start[id]]] = true;
        o->strips = o->strips || o->type[id] != NN_PIECE_USER;
    }
    return trie_of(&o->user, t, NN_PIECE_USER, err);
}

/* SentencePiece's penalty of a character that is no piece: 10 below the lowest score. */
static nn_status take_scores(nn_tok *t, const nn_vocab *v, nn_err *err)
{
    nn_tok_other *o = t->other;
    nn_status st = NN_OK;
    void *p = NULL;
    float low = 0.0f;

    if (v->unk < 0) return nn_fail(err, NN_FILE, "tokenizer: unigram without an unknown piece");
    if ((st = nn_alloc(&p, t->n, sizeof *o->score, err)) != NN_OK) return st;
    o->score = p;
    for (size_t id = 0; id < t->n; id++) {
        o->score[id] = v->piece[id].score;
        if (v->piece[id].type == NN_PIECE_NORMAL && o->score[id] < low) low = o->score[id];
    }
    o->unk_score = low - 10.0f;
    return trie_of(&o->piece, t, NN_PIECE_NORMAL, err);
}

/* --- the name ---------------------------------------------------------------------------------------- */

static void hash_number(nn_sha256 *s, uint64_t x)
{
    unsigned char le[8];

    for (size_t b = 0; b < sizeof le; b++) le[b] = (unsigned char)(x >> 8 * b & 0xFF);
    nn_sha256_add(s, le, sizeof le);
}

static void hash_vocab(char hex[65], const nn_tok *t, const nn_vocab *v)
{
    static const char kind[] = "parapet tokenizer 1: another's";
    const bool flags[] = {v->prefix_space, v->prefix_unless_blank, v->ignore_merges, v->squeeze, v->nfc,
                          v->nfkc, v->lowercase, v->add_bos, v->add_eos};
    const int32_t numbers[] = {(int32_t)v->model, (int32_t)v->pre, v->bos, v->eos, v->unk, v->pad};
    nn_sha256 s;

    nn_sha256_init(&s);
    nn_sha256_add(&s, kind, sizeof kind);
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) hash_number(&s, flags[i]);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) hash_number(&s, (uint32_t)numbers[i]);
    hash_number(&s, v->charsmap ? v->charsmap_len : 0);
    if (v->charsmap) nn_sha256_add(&s, v->charsmap, v->charsmap_len);
    hash_number(&s, v->n);
    for (size_t id = 0; id < v->n; id++) {
        size_t len;
        uint32_t score = 0;
        const char *text = nn_tok_text(t, id, &len);
        if (v->model != NN_TOK_BPE) memcpy(&score, &v->piece[id].score, sizeof score);
        hash_number(&s, len);
        nn_sha256_add(&s, text, len);
        hash_number(&s, (uint64_t)score << 32 | t->other->type[id]);
    }
    hash_number(&s, v->n_merge);
    for (size_t i = 0; i < 3 * v->n_merge; i++) hash_number(&s, (uint32_t)v->merge[i]);
    nn_sha256_end_hex(&s, hex);
}

/* --- all --------------------------------------------------------------------------------------------- */

static int32_t find(const nn_tok *t, const char *s, size_t len)
{
    char plain[NN_PIECE_LONGEST];

    if (len == 0 || len > sizeof plain) return -1;
    const size_t n = plain_text(plain, s, len, t->other->model);
    const int32_t id = nn_tok_lookup(t, plain, n, ~NN_TOK_MADE);
    return id >= 0 ? id : nn_tok_lookup(t, plain, n, NN_TOK_MADE);
}

static nn_status fill(nn_tok *t, const nn_vocab *v, nn_err *err)
{
    nn_tok_other *o = t->other;
    nn_status st = NN_OK;

    if ((st = take_texts(t, v, err)) != NN_OK) return st;
    if ((st = index_texts(t, err)) != NN_OK) return st;
    if ((st = take_bytes(t, v, err)) != NN_OK) return st;
    if ((st = take_users(t, err)) != NN_OK) return st;
    if (v->charsmap) st = nn_tok_charsmap_build(&o->charsmap, v->charsmap, v->charsmap_len, err);
    if (st != NN_OK) return st;
    if (v->model == NN_TOK_UNIGRAM) st = take_scores(t, v, err);
    else if (v->model == NN_TOK_SPM && v->n_merge == 0) st = nn_tok_spm_merges(t, v, err);
    else st = take_merges(t, v, err);
    if (st != NN_OK) return st;
    hash_vocab(o->hash, t, v);
    return nn_vocab_copy(&o->source, v, err);
}

nn_status nn_tok_build(nn_tok **out, const nn_vocab *v, nn_err *err)
{
    nn_status st = NN_OK;

    *out = NULL;
    if ((st = check_vocab(v, err)) != NN_OK) return st;
    if ((st = nn_tok_new_other(out, v->n, err)) != NN_OK) return st;
    nn_tok_other *o = (*out)->other;
    o->model = v->model;
    o->pre = v->pre;
    o->prefix_space = v->prefix_space;
    o->prefix_unless_blank = v->prefix_unless_blank || v->model == NN_TOK_BPE;
    o->ignore_merges = v->ignore_merges;
    o->squeeze = v->squeeze;
    o->nfc = v->nfc;
    o->nfkc = v->nfkc;
    o->lowercase = v->lowercase;
    o->add_bos = v->add_bos && v->bos >= 0;
    o->add_eos = v->add_eos && v->eos >= 0;
    o->bos = v->bos;
    o->eos = v->eos;
    o->unk = v->unk;
    o->pad = v->pad;
    o->find = find;
    if ((st = fill(*out, v, err)) != NN_OK) {
        nn_tok_free(*out);
        *out = NULL;
    }
    return st;
}
