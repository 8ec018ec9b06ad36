/* tok_spelled.c - ids by their text in the file, merges by their texts, bytes spelled as characters.
 *
 * Reads: tok_read_impl.h.   Read next: tok_gguf.c, tok_json.c.
 * Why a map of the readers' own: merges name tokens as the file spells them, where "Ġ" may be a blank or, in an added
 * token, the letter itself; nn_tok_build sees only what they mean.
 */
#include "nn/arena.h"
#include "nn/rng.h"
#include "nn/tok_read_impl.h"
#include "nn/unicode.h"
#include <string.h>

/* A vocabulary made to collide would cost quadratic time. At least half of the slots are empty, so that honest texts
 * are found after a few steps: at most 31 in the vocabularies of GPT-2, Llama-2, StarCoder and Falcon. */
#define STEPS_MAX 512u

static bool same(const nn_spelled *a, const char *text, size_t len)
{
    return a->len == len && memcmp(a->text, text, len) == 0;
}

/* The slot of text, or the empty one where it would go; n_slot when the way is too long. */
static size_t slot_of(const nn_spelled_map *m, const char *text, size_t len)
{
    size_t i = (size_t)nn_mix64(nn_hash64(text, len, 0)) & (m->n_slot - 1);

    for (size_t steps = 0; steps < STEPS_MAX; steps++, i = (i + 1) & (m->n_slot - 1))
        if (m->slot[i] < 0 || same(&m->list[m->slot[i]], text, len)) return i;
    return m->n_slot;
}

nn_status nn_spelled_map_build(nn_spelled_map *m, const nn_spelled *list, size_t n, const char *name, nn_err *err)
{
    nn_status st;

    *m = (nn_spelled_map){list, n, 16, NULL, NULL, 0, name};
    NN_ASSERT(n <= NN_TOK_IDS_MAX);
    while (m->n_slot < 2 * n) m->n_slot *= 2;
    if ((st = nn_alloc((void **)&m->slot, m->n_slot, sizeof *m->slot, err)) != NN_OK) return st;
    for (size_t i = 0; i < m->n_slot; i++) m->slot[i] = -1;
    for (size_t i = 0; i < n; i++) {
        if (list[i].len == 0) continue;
        const size_t slot = slot_of(m, list[i].text, list[i].len);

        if (slot == m->n_slot) return nn_fail(err, NN_FILE, "%s: token %zu: a vocabulary made to collide", name, i);
        if (m->slot[slot] >= 0)
            return nn_fail(err, NN_FILE, "%s: token %zu: \"%.*s\" is token %ld already", name, i,
                           (int)(list[i].len < 40 ? list[i].len : 40), list[i].text, (long)m->slot[slot]);
        m->slot[slot] = (int32_t)i;
    }
    return NN_OK;
}

void nn_spelled_map_free(nn_spelled_map *m)
{
    nn_free(m->slot);
    nn_free(m->joined);
    m->slot = NULL;
    m->joined = NULL;
}

int32_t nn_spelled_find(const nn_spelled_map *m, const char *text, size_t len)
{
    if (len == 0) return -1;
    const size_t slot = slot_of(m, text, len);

    return slot < m->n_slot ? m->slot[slot] : -1;
}

/* --- merges ---------------------------------------------------------------------------------------------- */

nn_status nn_spelled_merge(nn_vocab *v, nn_spelled_map *m, const nn_spelled *left, const nn_spelled *right, nn_err *err)
{
    const size_t len = left->len + right->len;
    nn_status st;

    if ((st = nn_grow((void **)&m->joined, &m->joined_cap, len + 1, 1, err)) != NN_OK) return st;
    if (left->len > 0) memcpy(m->joined, left->text, left->len);
    if (right->len > 0) memcpy(m->joined + left->len, right->text, right->len);
    const int32_t a = nn_spelled_find(m, left->text, left->len), b = nn_spelled_find(m, right->text, right->len);
    const int32_t both = nn_spelled_find(m, m->joined, len);

    if (a < 0 || b < 0 || both < 0) {
        const nn_spelled whole = {m->joined, len}, *missing = a < 0 ? left : (b < 0 ? right : &whole);

        return nn_fail(err, NN_FILE, "%s: merge %zu: \"%.*s\" is no token", m->name, v->n_merge,
                       (int)(missing->len < 40 ? missing->len : 40), missing->text);
    }
    return nn_vocab_add_merge(v, a, b, both, err);
}

nn_status nn_spelled_merge_line(nn_vocab *v, nn_spelled_map *m, const char *line, size_t len, nn_err *err)
{
    const char *blank = len > 1 ? memchr(line + 1, ' ', len - 1) : NULL;

    if (!blank)
        return nn_fail(err, NN_FILE, "%s: merge %zu: \"%.*s\", want two tokens with a blank between", m->name,
                       v->n_merge, (int)(len < 40 ? len : 40), line);
    const nn_spelled left = {line, (size_t)(blank - line)};
    const nn_spelled right = {blank + 1, len - left.len - 1};
    return nn_spelled_merge(v, m, &left, &right, err);
}

/* --- bytes as characters --------------------------------------------------------------------------------- */

/* The byte that GPT-2 spells as cp (tok.c has the way there), -1 when none is. */
static int byte_of(uint32_t cp)
{
    if (cp >= 0x100 && cp <= 0x120) return (int)(cp - 0x100);
    if (cp >= 0x121 && cp <= 0x142) return (int)(cp - 0x121 + 0x7F);
    if (cp == 0x143) return 0xAD;
    return (cp > 0x20 && cp < 0x7F) || (cp > 0xA0 && cp <= 0xFF && cp != 0xAD) ? (int)cp : -1;
}

bool nn_vocab_unspell_last(nn_vocab *v)
{
    nn_piece *p = &v->piece[v->n - 1];
    char *text = v->pool + (p->text - v->pool);
    size_t out = 0;

    for (size_t i = 0; i < p->len;) {
        uint32_t cp = 0;
        bool bad = false;

        i += nn_utf8_decode((const unsigned char *)text + i, p->len - i, &cp, &bad);
        const int byte = bad ? -1 : byte_of(cp);
        if (byte < 0) return false;
        text[out++] = (char)(unsigned char)byte; /* never overtakes i */
    }
    p->len = out;
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool nn_byte_spelled(unsigned char *byte, const char *text, size_t len)
{
    if (len != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>') return false;
    const int high = hex_digit(text[3]), low = hex_digit(text[4]);

    if (high < 0 || low < 0) return false;
    *byte = (unsigned char)(16 * high + low);
    return true;
}

nn_status nn_vocab_check_specials(const nn_vocab *v, const char *name, nn_err *err)
{
    const struct {
        const char *what;
        int32_t id;
    } special[] = {{"BOS", v->bos}, {"EOS", v->eos}, {"unknown", v->unk}, {"padding", v->pad}};

    for (size_t i = 0; i < sizeof special / sizeof *special; i++)
        if (special[i].id < -1 || (special[i].id >= 0 && (size_t)special[i].id >= v->n))
            return nn_fail(err, NN_FILE, "%s: %s id %ld, want below %zu", name, special[i].what, (long)special[i].id,
                           v->n);
    if (v->add_bos && v->bos < 0) return nn_fail(err, NN_FILE, "%s: a BOS is to be added, but none is named", name);
    if (v->add_eos && v->eos < 0) return nn_fail(err, NN_FILE, "%s: an EOS is to be added, but none is named", name);
    return NN_OK;
}
