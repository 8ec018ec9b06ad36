#include "nn/tok.h"
#include "nn/arena.h"
#include "nn/rng.h"
#include "nn/sha256.h"
#include "nn/tok_impl.h"
#include "nn/unicode.h"
#include "nn/unicode_tables.h"
#include <stdio.h>
#include <string.h>

/* --- building ---------------------------------------------------------------------------------------- */

static size_t slot_of(const nn_tok *t, uint64_t pair)
{
    size_t i = (size_t)nn_mix64(pair) & (t->n_slot - 1);

    while (t->slot[i].rank != NN_TOK_NO_RANK && t->slot[i].pair != pair) i = (i + 1) & (t->n_slot - 1);
    return i;
}

nn_tok_slot *nn_tok_merge_of(const nn_tok *t, uint32_t left, uint32_t right)
{
    return t->slot + slot_of(t, (uint64_t)left << 32 | right);
}

const char *nn_tok_text(const nn_tok *t, size_t id, size_t *len)
{
    *len = t->start[id + 1] - t->start[id];
    return t->bytes + t->start[id];
}

nn_status nn_tok_slots(nn_tok *t, size_t n_merges, nn_err *err)
{
    nn_status st = NN_OK;
    void *p = NULL;

    for (t->n_slot = 16; t->n_slot < 2 * n_merges; t->n_slot *= 2) continue;
    if ((st = nn_alloc(&p, t->n_slot, sizeof *t->slot, err)) != NN_OK) return st;
    t->slot = p;
    for (size_t i = 0; i < t->n_slot; i++) t->slot[i].rank = NN_TOK_NO_RANK;
    return NN_OK;
}

static uint32_t bytes_of(const nn_tok *t, int32_t id)
{
    return t->start[id + 1] - t->start[id];
}

/* Checks merge i against the ids before it and puts it into the table; start[] then says where its bytes end. */
static nn_status add_merge(nn_tok *t, size_t i, nn_err *err)
{
    const int32_t left = t->pairs[2 * i], right = t->pairs[2 * i + 1];
    const int32_t end = NN_TOK_MERGES + (int32_t)i;

    if (left < NN_TOK_BYTES || left >= end || right < NN_TOK_BYTES || right >= end)
        return nn_fail(err, NN_FILE, "tokenizer: merge %zu: ids %ld and %ld, want %d to %ld", i, (long)left,
                       (long)right, NN_TOK_BYTES, (long)end - 1);
    const uint32_t n = bytes_of(t, left) + bytes_of(t, right);
    if (n > NN_TOK_LONGEST)
        return nn_fail(err, NN_FILE, "tokenizer: merge %zu: a token of %lu bytes, want at most %u", i, (unsigned long)n,
                       NN_TOK_LONGEST);
    nn_tok_slot *slot = nn_tok_merge_of(t, (uint32_t)left, (uint32_t)right);
    if (slot->rank != NN_TOK_NO_RANK)
        return nn_fail(err, NN_FILE, "tokenizer: merge %zu: the pair of merge %lu again", i,
                       (unsigned long)slot->rank);
    *slot = (nn_tok_slot){(uint64_t)(uint32_t)left << 32 | (uint32_t)right, (uint32_t)i, (uint32_t)end};
    t->start[end + 1] = t->start[end] + n;
    return NN_OK;
}

/* The bytes of every id: those of a merge are its left's, then its right's, both written before. */
static void write_bytes_of_all(nn_tok *t)
{
    for (size_t b = 0; b < NN_TOK_MERGES - NN_TOK_BYTES; b++) t->bytes[b] = (char)(unsigned char)b;
    for (size_t i = 0; i < t->n_merges; i++) {
        char *out = t->bytes + t->start[NN_TOK_MERGES + i];

        for (size_t side = 0; side < 2; side++) {
            const int32_t id = t->pairs[2 * i + side];
            memcpy(out, t->bytes + t->start[id], bytes_of(t, id));
            out += bytes_of(t, id);
        }
    }
}

static nn_status tok_build(nn_tok *t, const int32_t *pairs, size_t n_merges, nn_err *err)
{
    nn_status st = NN_OK;
    void *p = NULL;

    t->n_merges = n_merges;
    t->n = NN_TOK_MERGES + n_merges;
    if ((st = nn_alloc(&p, 2 * n_merges, sizeof *t->pairs, err)) != NN_OK) return st;
    t->pairs = p;
    if ((st = nn_alloc(&p, t->n + 1, sizeof *t->start, err)) != NN_OK) return st;
    t->start = p;
    if ((st = nn_tok_slots(t, n_merges, err)) != NN_OK) return st;
    if (n_merges > 0) memcpy(t->pairs, pairs, 2 * n_merges * sizeof *pairs);
    for (size_t id = NN_TOK_BYTES; id <= NN_TOK_MERGES; id++) t->start[id] = (uint32_t)(id - NN_TOK_BYTES);
    for (size_t i = 0; i < n_merges; i++)
        if ((st = add_merge(t, i, err)) != NN_OK) return st;
    if ((st = nn_alloc(&p, t->start[t->n], 1, err)) != NN_OK) return st;
    t->bytes = p;
    write_bytes_of_all(t);
    return NN_OK;
}

nn_status nn_tok_from_merges(nn_tok **out, const int32_t *pairs, size_t n_merges, nn_err *err)
{
    nn_status st = NN_OK;
    void *t = NULL;

    *out = NULL;
    if (n_merges > NN_TOK_VOCAB_MAX - NN_TOK_MERGES)
        return nn_fail(err, NN_FILE, "tokenizer: %zu merges, want at most %u", n_merges,
                       NN_TOK_VOCAB_MAX - NN_TOK_MERGES);
    if ((st = nn_alloc(&t, 1, sizeof(nn_tok), err)) != NN_OK) return st;
    if ((st = tok_build(t, pairs, n_merges, err)) != NN_OK) {
        nn_tok_free(t);
        return st;
    }
    *out = t;
    return NN_OK;
}

void nn_tok_free(nn_tok *t)
{
    if (!t) return;
    if (t->other) t->other->free(t->other);
    nn_free(t->pairs);
    nn_free(t->bytes);
    nn_free(t->start);
    nn_free(t->slot);
    nn_free(t);
}

nn_status nn_tok_clone(nn_tok **out, const nn_tok *t, nn_err *err)
{
    *out = NULL;
    return t->other ? t->other->clone(out, t, err) : nn_tok_from_merges(out, t->pairs, t->n_merges, err);
}

/* --- reading ----------------------------------------------------------------------------------------- */

size_t nn_tok_vocab(const nn_tok *t)
{
    return t->n;
}

bool nn_tok_is_own(const nn_tok *t)
{
    return !t->other;
}

int32_t nn_tok_bos(const nn_tok *t)
{
    return t->other ? t->other->bos : NN_TOK_BOS;
}

int32_t nn_tok_eos(const nn_tok *t)
{
    return t->other ? t->other->eos : NN_TOK_EOS;
}

int32_t nn_tok_pad(const nn_tok *t)
{
    return t->other ? t->other->pad : NN_TOK_PAD;
}

bool nn_tok_adds_bos(const nn_tok *t)
{
    return t->other && t->other->add_bos;
}

bool nn_tok_adds_eos(const nn_tok *t)
{
    return t->other && t->other->add_eos;
}

static bool is_id(const nn_tok *t, int32_t id)
{
    return id >= 0 && (size_t)id < t->n;
}

static nn_piece_type type_of(const nn_tok *t, int32_t id)
{
    if (t->other) return (nn_piece_type)NN_TOK_TYPE(t->other->type[id]);
    return id < NN_TOK_BYTES ? NN_PIECE_CONTROL : NN_PIECE_NORMAL;
}

bool nn_tok_is_control(const nn_tok *t, int32_t id)
{
    return is_id(t, id) && type_of(t, id) == NN_PIECE_CONTROL;
}

size_t nn_tok_merges(const nn_tok *t, const int32_t **pairs)
{
    *pairs = t->pairs;
    return t->n_merges;
}

void nn_tok_hash(const nn_tok *t, char hex[65])
{
    static const char kind[] = "parapet tokenizer 1: byte-level BPE, pre-tokenizer gpt-2, Unicode ";
    nn_sha256 s;

    if (t->other) {
        memcpy(hex, t->other->hash, sizeof t->other->hash);
        return;
    }
    nn_sha256_init(&s);
    nn_sha256_add(&s, kind, sizeof kind - 1);
    nn_sha256_add(&s, nn_uni_version, strlen(nn_uni_version) + 1);
    for (size_t i = 0; i < t->n_merges; i++) { /* left and right, little-endian */
        const uint64_t pair = (uint64_t)(uint32_t)t->pairs[2 * i + 1] << 32 | (uint32_t)t->pairs[2 * i];
        unsigned char le[8];
        for (size_t b = 0; b < sizeof le; b++) le[b] = (unsigned char)(pair >> 8 * b & 0xFF);
        nn_sha256_add(&s, le, sizeof le);
    }
    nn_sha256_end_hex(&s, hex);
}

const char *nn_tok_bytes(const nn_tok *t, int32_t id, size_t *len)
{
    static const char unknown[] = "\xEF\xBF\xBD";

    *len = 0;
    if (!is_id(t, id)) return "";
    const nn_piece_type type = type_of(t, id);
    if (type == NN_PIECE_CONTROL || type == NN_PIECE_UNUSED) return "";
    if (type != NN_PIECE_UNKNOWN) return nn_tok_text(t, (size_t)id, len);
    *len = sizeof unknown - 1;
    return unknown;
}

size_t nn_tok_decode(const nn_tok *t, char *out, size_t cap, const int32_t *ids, size_t n)
{
    bool begins = t->other && t->other->prefix_space;
    size_t need = 0;

    for (size_t i = 0; i < n; i++) {
        size_t len;
        const char *bytes = nn_tok_bytes(t, ids[i], &len);

        if (begins && len > 0) { /* the blank that encoding put before the text */
            begins = false;
            const size_t own = bytes[0] == ' ' ? 1 : 0;
            bytes += own;
            len -= own;
        }
        const size_t room = need < cap ? cap - need : 0, fits = len < room ? len : room;
        if (fits > 0) memcpy(out + need, bytes, fits);
        need += len;
    }
    return need;
}

/* --- spelling ---------------------------------------------------------------------------------------- */

/* GPT-2 spells a printable Latin-1 byte as itself and the others, in order, as U+0100, U+0101, ...: these are 0..20,
 * 7F..A0 and AD. */
static uint32_t spelled_byte(uint32_t byte)
{
    if (byte <= 0x20) return 0x100 + byte;
    if (byte >= 0x7F && byte <= 0xA0) return 0x121 + (byte - 0x7F);
    return byte == 0xAD ? 0x143 : byte;
}

static size_t spelled_special(char *out, size_t cap, int32_t id)
{
    static const char *const name[NN_TOK_CATEGORY] = {
        "pad", "bos", "eos", "prompt", "response", "context", "task_prompt", "task_response", "label", "safe", "unsafe",
        "role_system", "role_user", "role_assistant", NULL, NULL};
    char text[32];
    int n;

    if (id >= NN_TOK_CATEGORY) n = snprintf(text, sizeof text, "<|category_%d|>", (int)id - NN_TOK_CATEGORY);
    else if (name[id]) n = snprintf(text, sizeof text, "<|%s|>", name[id]);
    else n = snprintf(text, sizeof text, "<|reserved_%d|>", (int)id);
    const size_t len = (size_t)n, fits = len < cap ? len : cap;
    if (fits > 0) memcpy(out, text, fits);
    return len;
}

/* As SentencePiece writes a piece: U+2581 for a blank, a byte in hexadecimal. */
static size_t spelled_piece(char *out, size_t cap, const char *bytes, size_t len, bool byte)
{
    char text[8];
    size_t need = 0;

    if (byte) {
        (void)snprintf(text, sizeof text, "<0x%02X>", (unsigned)(unsigned char)bytes[0]);
        bytes = text;
        len = 6;
    }
    for (size_t i = 0; i < len; i++) {
        const char *from = bytes[i] == ' ' ? "\xE2\x96\x81" : bytes + i;
        const size_t n = bytes[i] == ' ' ? 3 : 1;

        if (need + n <= cap) memcpy(out + need, from, n);
        need += n;
    }
    return need;
}

static size_t spelled_bytes(char *out, size_t cap, const char *bytes, size_t len)
{
    size_t need = 0;

    for (size_t i = 0; i < len; i++) {
        char utf8[4];
        const size_t n = nn_utf8_encode(spelled_byte((unsigned char)bytes[i]), utf8);

        if (need + n <= cap) memcpy(out + need, utf8, n);
        need += n;
    }
    return need;
}

size_t nn_tok_spelling(const nn_tok *t, int32_t id, char *out, size_t cap)
{
    size_t len;

    if (!is_id(t, id)) return 0;
    if (!t->other && id < NN_TOK_BYTES) return spelled_special(out, cap, id);
    const char *bytes = nn_tok_text(t, (size_t)id, &len);
    const nn_piece_type type = type_of(t, id);
    if (type != NN_PIECE_NORMAL && type != NN_PIECE_BYTE) { /* stands in a file as it is */
        if (len > 0 && cap > 0) memcpy(out, bytes, len < cap ? len : cap);
        return len;
    }
    if (t->other && t->other->model != NN_TOK_BPE) return spelled_piece(out, cap, bytes, len, type == NN_PIECE_BYTE);
    return spelled_bytes(out, cap, bytes, len);
}

int32_t nn_tok_find(const nn_tok *t, const char *s, size_t len)
{
    char text[32];
    size_t n;

    if (t->other) return t->other->find(t, s, len);
    for (int32_t id = 0; id < NN_TOK_BYTES; id++)
        if (spelled_special(text, sizeof text, id) == len && memcmp(text, s, len) == 0) return id;
    for (size_t id = NN_TOK_BYTES; id < t->n; id++) {
        const char *bytes = nn_tok_text(t, id, &n);
        if (n == len && memcmp(bytes, s, len) == 0) return (int32_t)id;
    }
    return -1;
}
