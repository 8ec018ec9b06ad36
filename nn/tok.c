#include "nn/tok.h"
#include "nn/arena.h"
#include "nn/rng.h"
#include "nn/sha256.h"
#include "nn/tok_impl.h"
#include "nn/unicode.h"
#include "nn/unicode_tables.h"
#include <stdio.h>
#include <string.h>

#define N_BYTES 256u

/* --- building ---------------------------------------------------------------------------------------- */

static size_t slot_of(const nn_tok *t, uint64_t pair)
{
    size_t i = (size_t)nn_mix64(pair) & (t->n_slot - 1);

    while (t->slot[i].rank != NN_TOK_NO_RANK && t->slot[i].pair != pair) i = (i + 1) & (t->n_slot - 1);
    return i;
}

uint32_t nn_tok_rank(const nn_tok *t, uint32_t left, uint32_t right)
{
    return t->slot[slot_of(t, (uint64_t)left << 32 | right)].rank;
}

static uint32_t bytes_of(const nn_tok *t, int32_t id)
{
    return t->start[id - NN_TOK_BYTES + 1] - t->start[id - NN_TOK_BYTES];
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
    const uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    nn_tok_slot *slot = t->slot + slot_of(t, pair);
    if (slot->rank != NN_TOK_NO_RANK)
        return nn_fail(err, NN_FILE, "tokenizer: merge %zu: the pair of merge %lu again", i,
                       (unsigned long)slot->rank);
    *slot = (nn_tok_slot){pair, (uint32_t)i};
    t->start[N_BYTES + i + 1] = t->start[N_BYTES + i] + n;
    return NN_OK;
}

/* The bytes of every id: those of a merge are its left's, then its right's, both written before. */
static void write_bytes_of_all(nn_tok *t)
{
    for (size_t b = 0; b < N_BYTES; b++) t->bytes[b] = (char)(unsigned char)b;
    for (size_t i = 0; i < t->n_merges; i++) {
        char *out = t->bytes + t->start[N_BYTES + i];

        for (size_t side = 0; side < 2; side++) {
            const int32_t id = t->pairs[2 * i + side];
            memcpy(out, t->bytes + t->start[id - NN_TOK_BYTES], bytes_of(t, id));
            out += bytes_of(t, id);
        }
    }
}

static nn_status tok_build(nn_tok *t, const int32_t *pairs, size_t n_merges, nn_err *err)
{
    nn_status st = NN_OK;
    void *p = NULL;

    t->n_merges = n_merges;
    for (t->n_slot = 16; t->n_slot < 2 * n_merges; t->n_slot *= 2) continue;
    if ((st = nn_alloc(&p, 2 * n_merges, sizeof *t->pairs, err)) != NN_OK) return st;
    t->pairs = p;
    if ((st = nn_alloc(&p, N_BYTES + n_merges + 1, sizeof *t->start, err)) != NN_OK) return st;
    t->start = p;
    if ((st = nn_alloc(&p, t->n_slot, sizeof *t->slot, err)) != NN_OK) return st;
    t->slot = p;
    if (n_merges > 0) memcpy(t->pairs, pairs, 2 * n_merges * sizeof *pairs);
    for (size_t i = 0; i < t->n_slot; i++) t->slot[i].rank = NN_TOK_NO_RANK;
    for (size_t b = 0; b <= N_BYTES; b++) t->start[b] = (uint32_t)b;
    for (size_t i = 0; i < n_merges; i++)
        if ((st = add_merge(t, i, err)) != NN_OK) return st;
    if ((st = nn_alloc(&p, t->start[N_BYTES + n_merges], 1, err)) != NN_OK) return st;
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
    nn_free(t->pairs);
    nn_free(t->bytes);
    nn_free(t->start);
    nn_free(t->slot);
    nn_free(t);
}

/* --- reading ----------------------------------------------------------------------------------------- */

size_t nn_tok_vocab(const nn_tok *t)
{
    return NN_TOK_MERGES + t->n_merges;
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
    *len = 0;
    if (id < NN_TOK_BYTES || (size_t)id >= nn_tok_vocab(t)) return "";
    *len = bytes_of(t, id);
    return t->bytes + t->start[id - NN_TOK_BYTES];
}

size_t nn_tok_decode(const nn_tok *t, char *out, size_t cap, const int32_t *ids, size_t n)
{
    size_t need = 0;

    for (size_t i = 0; i < n; i++) {
        size_t len;
        const char *bytes = nn_tok_bytes(t, ids[i], &len);
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

size_t nn_tok_spelling(const nn_tok *t, int32_t id, char *out, size_t cap)
{
    size_t len, need = 0;

    if (id >= 0 && id < NN_TOK_BYTES) return spelled_special(out, cap, id);
    const char *bytes = nn_tok_bytes(t, id, &len);
    for (size_t i = 0; i < len; i++) {
        char utf8[4];
        const size_t n = nn_utf8_encode(spelled_byte((unsigned char)bytes[i]), utf8);

        if (need + n <= cap) memcpy(out + need, utf8, n);
        need += n;
    }
    return need;
}
