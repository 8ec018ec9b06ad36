/* Tests of SentencePiece's merging and unigram against the plain loops, on random vocabularies. */
#include "nn/rng.h"
#include "tests/support.h"
#include "tests/test_tok_support.h"
#include <string.h>

static size_t random_text(char *out, uint64_t seed, uint64_t row)
{
    static const char *const letter[] = {"a", "b", "\xC3\xA9", " ", "a", "b", " ", "z"};
    nn_rng r = nn_rng_at(seed, "texts", row);

    out[0] = '\0';
    for (size_t k = 1 + (size_t)nn_rng_below(&r, 24); k > 0; k--) strcat(out, letter[nn_rng_below(&r, 8)]);
    return strlen(out);
}

/* The first piece of this text, blanks as blanks; -1 for none. */
static int32_t piece_at(const nn_vocab *v, const char *s, size_t len)
{
    for (size_t id = 2; id < v->n; id++) {
        char text[32];
        size_t n = 0;
        for (size_t i = 0; i < v->piece[id].len; n++) {
            const bool sign = (unsigned char)v->piece[id].text[i] == 0xE2;
            text[n] = sign ? ' ' : v->piece[id].text[i];
            i += sign ? 3 : 1;
        }
        if (n == len && memcmp(text, s, len) == 0) return (int32_t)id;
    }
    return -1;
}

/* SentencePiece's loop as it is described: of all neighbours whose union is a piece, the best score, then the
 * leftmost. */
static size_t plain_spm(int32_t *ids, const nn_vocab *v, const char *s, size_t len)
{
    size_t at[128], n = 0, n_ids = 0;

    for (size_t i = 0; i < len; i++)
        if (((unsigned char)s[i] & 0xC0u) != 0x80) at[n++] = i;
    at[n] = len;
    for (;;) {
        size_t best = n;
        float score = 0.0f;
        for (size_t i = 0; i + 1 < n; i++) {
            const int32_t id = piece_at(v, s + at[i], at[i + 2] - at[i]);
            if (id < 0 || (best < n && v->piece[id].score <= score)) continue;
            best = i;
            score = v->piece[id].score;
        }
        if (best == n) break;
        memmove(at + best + 1, at + best + 2, (n - best - 1) * sizeof *at);
        n--;
    }
    for (size_t i = 0; i < n; i++) {
        const int32_t id = piece_at(v, s + at[i], at[i + 1] - at[i]);
        if (id >= 0 || n_ids == 0 || ids[n_ids - 1] != 0) ids[n_ids++] = id < 0 ? 0 : id;
    }
    return n_ids;
}

typedef size_t plain_fn(int32_t *ids, const nn_vocab *v, const char *s, size_t len);

static void expect_like(plain_fn *plain, nn_tok_model model, unsigned scores)
{
    nn_err err = {NN_OK, ""};
    nn_tok_buf b;
    char text[128];
    int32_t want[128];

    memset(&b, 0, sizeof b);
    for (uint64_t seed = 0; seed < 24; seed++) {
        nn_vocab v = random_vocab(model, seed, 4 + (size_t)seed, scores);
        nn_tok *t = toy_build(&v);
        for (uint64_t row = 0; row < 60; row++) {
            const size_t len = random_text(text, seed, row), n = plain(want, &v, text, len);
            b.len = 0;
            expect_ok(nn_tok_encode(t, &b, text, len, &err), &err);
            const bool same = b.len == n && memcmp(b.ids, want, n * sizeof *want) == 0;
            cr_assert(same, "seed %lu: '%s'", (unsigned long)seed, text);
        }
        nn_tok_free(t);
        nn_vocab_free(&v);
    }
    nn_tok_buf_free(&b);
}

Test(tok_merge, spm_is_the_plain_loop_with_equal_scores_too)
{
    expect_like(plain_spm, NN_TOK_SPM, 6);
}

/* --- unigram ----------------------------------------------------------------------------------------- */

static size_t plain_unigram(int32_t *ids, const nn_vocab *v, const char *s, size_t len)
{
    double best[128];
    size_t from[128], n = 0;
    int32_t id_to[128], back[128];
    double low = 0.0;

    for (size_t id = 2; id < v->n; id++)
        if ((double)v->piece[id].score < low) low = (double)v->piece[id].score;
    best[0] = 0.0;
    for (size_t end = 1; end <= len; end++) {
        best[end] = -1e30;
        for (size_t i = 0; i < end; i++) {
            const int32_t id = piece_at(v, s + i, end - i);
            const double score = id >= 0 ? (double)v->piece[id].score : low - 10.0;
            if ((id < 0 && (s[i] != 'z' || end - i != 1)) || best[i] + score <= best[end]) continue;
            best[end] = best[i] + score;
            from[end] = i;
            id_to[end] = id < 0 ? 0 : id;
        }
    }
    for (size_t end = len; end > 0; end = from[end]) back[n++] = id_to[end];
    size_t n_ids = 0;
    for (size_t i = n; i-- > 0;)
        if (back[i] != 0 || n_ids == 0 || ids[n_ids - 1] != 0) ids[n_ids++] = back[i];
    return n_ids;
}

Test(tok_merge, unigram_is_the_most_probable_segmentation)
{
    expect_like(plain_unigram, NN_TOK_UNIGRAM, 0);
}
