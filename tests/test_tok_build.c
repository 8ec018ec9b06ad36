/* Tests of tokenizers built from small vocabularies: SentencePiece's merging and unigram against the plain loops, USER
 * pieces, normalisation, streams, copies, and vocabularies that cannot be. */
#include "nn/arena.h"
#include "nn/rng.h"
#include "nn/tok_impl.h"
#include "tests/support.h"
#include <stdio.h>
#include <string.h>

#define BLANK "\xE2\x96\x81"

static void add(nn_vocab *v, const char *text, float score, nn_piece_type type)
{
    nn_err err = {NN_OK, ""};

    expect_ok(nn_vocab_add(v, text, strlen(text), score, type, &err), &err);
}

static void add_all(nn_vocab *v, const char *const *text, size_t n, nn_piece_type type)
{
    for (size_t i = 0; i < n; i++) add(v, text[i], -(float)i, type);
}

static nn_tok *build(const nn_vocab *v)
{
    nn_tok *t = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_tok_build(&t, v, &err), &err);
    return t;
}

static nn_vocab vocab_of(nn_tok_model model)
{
    nn_vocab v;

    nn_vocab_init(&v);
    v.model = model;
    add(&v, "<unk>", 0.0f, NN_PIECE_UNKNOWN);
    add(&v, "<s>", 0.0f, NN_PIECE_CONTROL);
    v.unk = 0;
    v.bos = 1;
    return v;
}

/* The ids of text as "3 4 5". */
static const char *ids_of(const nn_tok *t, const char *text, bool more)
{
    static char out[1024];
    nn_tok_buf b;
    nn_err err = {NN_OK, ""};
    size_t n = 0;

    memset(&b, 0, sizeof b);
    out[0] = '\0';
    expect_ok((more ? nn_tok_encode_more : nn_tok_encode)(t, &b, text, strlen(text), &err), &err);
    for (size_t i = 0; i < b.len; i++)
        n += (size_t)snprintf(out + n, sizeof out - n, "%s%d", i ? " " : "", (int)b.ids[i]);
    nn_tok_buf_free(&b);
    return out;
}

#define expect_ids(t, text, want) \
    cr_expect(strcmp(ids_of(t, text, false), want) == 0, "'%s': %s, want %s", text, ids_of(t, text, false), want)

/* --- SentencePiece's BPE ----------------------------------------------------------------------------- */

static nn_vocab llama_like(void)
{
    static const char *const piece[] = {BLANK "hi", "hi", BLANK, "h", "i", "l", BLANK "h"}; /* ids 2 to 8 */
    nn_vocab v = vocab_of(NN_TOK_SPM);
    nn_err err = {NN_OK, ""};

    add_all(&v, piece, sizeof piece / sizeof *piece, NN_PIECE_NORMAL);
    for (unsigned b = 0; b < 256; b++) { /* ids 9 to 264 */
        const char c = (char)(unsigned char)b;
        expect_ok(nn_vocab_add(&v, &c, 1, 0.0f, NN_PIECE_BYTE, &err), &err);
    }
    v.prefix_space = true;
    return v;
}

Test(tok_build, a_text_begins_with_a_blank_and_a_continuation_does_not)
{
    nn_vocab v = llama_like();
    nn_tok *t = build(&v);

    expect_ids(t, "hi", "2");
    cr_expect_str_eq(ids_of(t, "hi", true), "3");
    expect_ids(t, " hi", "4 2");
    expect_ids(t, "", "");
    expect_ids(t, BLANK "hi", "4 2"); /* U+2581 is a blank */
    expect_ids(t, "hi\n", "2 19");    /* a byte */
    expect_ids(t, "\xC3\xA9", "4 204 178");
    expect_ids(t, "\xC3", "4 204");
    nn_tok_free(t);
    nn_vocab_free(&v);
}

Test(tok_build, decoding_drops_the_blank_before_the_text_alone)
{
    nn_vocab v = llama_like();
    nn_tok *t = build(&v);
    const int32_t ids[] = {1, 2, 2, 19};
    char out[16];

    cr_expect(nn_tok_decode(t, out, sizeof out, ids, 4) == 6 && memcmp(out, "hi hi\n", 6) == 0);
    size_t len;
    cr_expect(memcmp(nn_tok_bytes(t, 2, &len), " hi", 3) == 0 && len == 3);
    (void)nn_tok_bytes(t, 1, &len);
    cr_expect(len == 0 && nn_tok_is_control(t, 1) && !nn_tok_is_control(t, 2));
    cr_expect(nn_tok_find(t, "<s>", 3) == 1 && nn_tok_find(t, BLANK "hi", 5) == 2 && nn_tok_find(t, "hi", 2) == 3);
    cr_expect(nn_tok_find(t, "his", 3) == -1);
    cr_expect(nn_tok_spelling(t, 2, out, sizeof out) == 5 && memcmp(out, BLANK "hi", 5) == 0);
    cr_expect(nn_tok_spelling(t, 19, out, sizeof out) == 6 && memcmp(out, "<0x0A>", 6) == 0);
    cr_expect(nn_tok_spelling(t, 1, out, sizeof out) == 3 && memcmp(out, "<s>", 3) == 0);
    nn_tok_free(t);
    nn_vocab_free(&v);
}

/* Random pieces over a few characters, every character among them. scores: so many different ones, 0 for all different. */
static nn_vocab random_vocab(nn_tok_model model, uint64_t seed, size_t n, unsigned scores)
{
    static const char *const letter[] = {"a", "b", "\xC3\xA9", BLANK};
    nn_vocab v = vocab_of(model);
    nn_rng r = nn_rng_at(seed, "pieces", 0);

    for (size_t i = 0; i < 4; i++) add(&v, letter[i], -20.0f, NN_PIECE_NORMAL);
    for (size_t i = 0; i < n; i++) {
        char text[16] = "";
        for (size_t k = 2 + (size_t)nn_rng_below(&r, 3); k > 0; k--) {
            const size_t c = (size_t)nn_rng_below(&r, 4);
            if (strlen(text) + strlen(letter[c]) < sizeof text) strcat(text, letter[c]);
        }
        const float score = scores ? -(float)nn_rng_below(&r, scores) : -10.0f * nn_rng_float(&r);
        add(&v, text, score, NN_PIECE_NORMAL);
    }
    return v;
}

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

/* SentencePiece's loop as it is described: of all neighbours whose union is a piece, the best score, then the leftmost. */
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
        nn_tok *t = build(&v);
        for (uint64_t row = 0; row < 60; row++) {
            const size_t len = random_text(text, seed, row), n = plain(want, &v, text, len);
            b.len = 0;
            expect_ok(nn_tok_encode(t, &b, text, len, &err), &err);
            cr_assert(b.len == n && memcmp(b.ids, want, n * sizeof *want) == 0, "seed %lu: '%s'", (unsigned long)seed, text);
        }
        nn_tok_free(t);
        nn_vocab_free(&v);
    }
    nn_tok_buf_free(&b);
}

Test(tok_build, spm_is_the_plain_loop_with_equal_scores_too)
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

Test(tok_build, unigram_is_the_most_probable_segmentation)
{
    expect_like(plain_unigram, NN_TOK_UNIGRAM, 0);
}

/* --- USER pieces ------------------------------------------------------------------------------------- */

static nn_vocab byte_level(void)
{
    nn_vocab v;
    nn_err err = {NN_OK, ""};

    nn_vocab_init(&v);
    for (unsigned b = 0; b < 256; b++) {
        const char c = (char)(unsigned char)b;
        expect_ok(nn_vocab_add(&v, &c, 1, 0.0f, NN_PIECE_NORMAL, &err), &err);
    }
    add(&v, "ab", 0.0f, NN_PIECE_NORMAL);        /* 256 */
    add(&v, "<|end|>", 0.0f, NN_PIECE_CONTROL);  /* 257 */
    add(&v, "<x>", 0.0f, NN_PIECE_USER);         /* 258 */
    add(&v, "<x><y>", 0.0f, NN_PIECE_USER);      /* 259 */
    add(&v, "abc", 0.0f, NN_PIECE_NORMAL);       /* 260 */
    expect_ok(nn_vocab_add_merge(&v, 'a', 'b', 256, &err), &err);
    return v;
}

Test(tok_build, user_pieces_are_found_in_text_and_control_pieces_are_not)
{
    nn_vocab v = byte_level();
    nn_tok *t = build(&v);

    expect_ids(t, "ab<x>ab", "256 258 256");
    expect_ids(t, "<x><y><x><x>", "259 258 258");
    expect_ids(t, "<x", "60 120");
    expect_ids(t, "<|end|>", "60 124 101 110 100 124 62");
    expect_ids(t, "abc", "256 99");
    cr_expect_eq(nn_tok_find(t, "<|end|>", 7), 257);
    cr_expect(!nn_tok_cuts_before(t, "<x> <x>", 1));
    nn_tok_free(t);
    v.ignore_merges = true;
    t = build(&v);
    expect_ids(t, "abc ab", "260 32 256");
    nn_tok_free(t);
    nn_vocab_free(&v);
}

Test(tok_build, a_text_is_not_cut_inside_a_user_piece)
{
    nn_vocab v = byte_level();

    add(&v, "b c", 0.0f, NN_PIECE_USER);
    nn_tok *t = build(&v);
    cr_expect(!nn_tok_cuts_before(t, "ab cd", 2)); /* it may go on so */
    cr_expect(nn_tok_cuts_before(t, "aa cd", 2));
    nn_tok_free(t);
    nn_vocab_free(&v);
}

Test(tok_build, of_equal_texts_the_first_is_made_and_a_control_piece_is_found)
{
    nn_vocab v = byte_level();

    add(&v, "zz", 0.0f, NN_PIECE_CONTROL); /* 261 */
    add(&v, "zz", 0.0f, NN_PIECE_NORMAL);
    add(&v, "zz", 0.0f, NN_PIECE_NORMAL);
    v.ignore_merges = true;
    nn_tok *t = build(&v);
    expect_ids(t, "zz", "262");
    cr_expect_eq(nn_tok_find(t, "zz", 2), 261);
    nn_tok_free(t);
    nn_vocab_free(&v);
}

Test(tok_build, a_byte_without_a_piece_is_unknown_or_left_out)
{
    nn_vocab v = byte_level();

    v.piece['.'].type = NN_PIECE_UNUSED;
    nn_tok *t = build(&v);
    expect_ids(t, "a.b", "97 98");
    expect_ids(t, "<.>", "60 62");
    expect_ids(t, ".", "");
    nn_tok_free(t);
    v.unk = 257; /* a control piece is not made from text */
    t = build(&v);
    expect_ids(t, "<.>", "60 62");
    nn_tok_free(t);
    v.unk = 256;
    t = build(&v);
    expect_ids(t, "<.>", "60 256 62");
    nn_tok_free(t);
    nn_vocab_free(&v);
}

Test(tok_build, a_user_piece_takes_the_white_space_it_asks_for)
{
    nn_vocab v = byte_level();
    nn_tok_buf b;
    nn_err err = {NN_OK, ""};

    v.piece[258].lstrip = true;
    v.piece[259].rstrip = true;
    nn_tok *t = build(&v);
    expect_ids(t, "a \xE3\x80\x80<x> b", "97 258 32 98");
    expect_ids(t, "a <x><y> \nb", "97 32 259 98");
    memset(&b, 0, sizeof b);
    expect_ok(nn_tok_encode(t, &b, "a  <x>b", 7, &err), &err);
    cr_expect(b.len == 3 && b.start[0] == 0 && b.start[1] == 1 && b.start[2] == 6);
    cr_expect(!nn_tok_cuts_before(t, "a b", 1));
    nn_tok_buf_free(&b);
    nn_tok_free(t);
    nn_vocab_free(&v);
}

/* --- normalisation ----------------------------------------------------------------------------------- */

static void expect_norm(const nn_vocab *v, const char *text, const char *want, const char *starts)
{
    nn_tok *t = build(v);
    nn_tok_buf b;
    nn_err err = {NN_OK, ""};
    char out[128], at[256] = "";

    memset(&b, 0, sizeof b);
    expect_ok(nn_tok_encode(t, &b, text, strlen(text), &err), &err);
    size_t n = 0;
    for (size_t i = 0; i < b.len; i++) {
        size_t len;
        const char *bytes = nn_tok_bytes(t, b.ids[i], &len);
        memcpy(out + n, bytes, len);
        n += len;
        (void)snprintf(at + strlen(at), sizeof at - strlen(at), "%s%d", i ? " " : "", (int)b.start[i]);
    }
    cr_expect(n == strlen(want) && memcmp(out, want, n) == 0, "'%s' becomes '%.*s', want '%s'", text, (int)n, out, want);
    cr_expect_str_eq(at, starts, "'%s': %s, want %s", text, at, starts);
    nn_tok_buf_free(&b);
    nn_tok_free(t);
}

Test(tok_build, text_is_normalised_and_tokens_know_where_they_come_from)
{
    nn_vocab v = byte_level();

    v.nfc = true;
    expect_norm(&v, "xe\xCC\x81y", "x\xC3\xA9y", "0 1 1 4");
    expect_norm(&v, "\xEF\xAC\x81", "\xEF\xAC\x81", "0 0 0"); /* a ligature stays in NFC ... */
    expect_norm(&v, "\xE1\xBA\x9B\xCC\xA3", "\xE1\xBA\x9B\xCC\xA3", "0 0 0 0 0");
    v.nfc = false;
    v.nfkc = true;
    expect_norm(&v, "a\xEF\xAC\x81", "afi", "0 1 1");
    v.lowercase = true;
    expect_norm(&v, "A\xC3\x89 \xC4\xB0", "a\xC3\xA9 i\xCC\x87", "0 1 1 3 4 4 4");
    v.prefix_space = true;
    expect_norm(&v, "A", " a", "0 0");
    expect_norm(&v, " A", " a", "0 1");
    nn_vocab_free(&v);
}

Test(tok_build, runs_of_blanks_become_one)
{
    nn_vocab v = llama_like();

    v.squeeze = true;
    expect_norm(&v, "  hi   h ", " hi h", "2 4");
    expect_norm(&v, "   ", "", "");
    v.prefix_space = false;
    expect_norm(&v, " hi  ", "hi", "1");
    nn_vocab_free(&v);
}

static void put_u32(unsigned char *at, uint32_t x)
{
    for (size_t i = 0; i < 4; i++) at[i] = (unsigned char)(x >> 8 * i & 0xFF);
}

/* A double array by hand: "h" becomes "i", "hl" becomes "". Root at 0 with offset 256: 'h' is at 256 ^ 'h', its children
 * at that ^ 512; a value stands at the children's base. */
static size_t small_charsmap(unsigned char *out)
{
    static const char text[] = "i\0"; /* at 0: "i", at 2: "" (the zero that the array itself ends with) */
    const uint32_t h = 256 ^ 'h', base = h ^ 512, l = base ^ 'l', end = l ^ 512;

    memset(out, 0, 4 + 4 * 1024);
    put_u32(out, 4 * 1024);
    put_u32(out + 4, 256u << 10);
    put_u32(out + 4 + 4 * h, 512u << 10 | 1u << 8 | 'h');
    put_u32(out + 4 + 4 * base, 1u << 31 | 0u);
    put_u32(out + 4 + 4 * l, 512u << 10 | 1u << 8 | 'l');
    put_u32(out + 4 + 4 * end, 1u << 31 | 1u);
    memcpy(out + 4 + 4 * 1024, text, sizeof text);
    return 4 + 4 * 1024 + sizeof text;
}

Test(tok_build, a_charsmap_replaces_the_longest_match)
{
    static unsigned char map[8192];
    nn_vocab v = llama_like();

    v.charsmap = map;
    v.charsmap_len = small_charsmap(map);
    expect_norm(&v, "lhhli", " lii", "0 0 1 4");
    nn_vocab_free(&v);
}

Test(tok_build, hostile_charsmaps_do_no_harm)
{
    static unsigned char map[8192], bad[8192];
    const size_t len = small_charsmap(map);
    nn_vocab v = llama_like();
    nn_rng r = nn_rng_at(3, "charsmap", 0);
    size_t refused = 0;

    for (size_t i = 0; i < 300; i++) {
        nn_tok *t = NULL;
        memcpy(bad, map, len);
        for (size_t k = 0; k < 8; k++) bad[4 * nn_rng_below(&r, 1025) + 4 * (k & 1)] ^= (unsigned char)nn_rng_below(&r, 256);
        for (size_t k = 0; k < 600; k++) bad[4 + nn_rng_below(&r, 4096)] = (unsigned char)nn_rng_below(&r, 256);
        v.charsmap = bad;
        v.charsmap_len = i % 3 ? len : (size_t)nn_rng_below(&r, len);
        if (nn_tok_build(&t, &v, NULL) == NN_OK) (void)ids_of(t, "lhhli hhhhhhhhl\xC3\xA9", false);
        else refused++;
        nn_tok_free(t);
    }
    cr_expect(refused > 50 && refused < 250, "%zu", refused);
    nn_vocab_free(&v);
}

/* --- streams ----------------------------------------------------------------------------------------- */

static void expect_stream(const nn_tok *t, bool goes_on, const int32_t *ids, size_t n, const char *const *want)
{
    nn_tok_stream s;
    char out[256];

    cr_assert(nn_tok_stream_room(t) <= sizeof out);
    (goes_on ? nn_tok_stream_continue : nn_tok_stream_init)(&s, t);
    for (size_t i = 0; i <= n; i++) {
        const size_t len = i < n ? nn_tok_stream_add(&s, out, ids[i]) : nn_tok_stream_end(&s, out);
        cr_expect(len == strlen(want[i]) && memcmp(out, want[i], len) == 0, "%zu: '%.*s'", i, (int)len, out);
    }
}

#define STREAM(t, goes_on, ids, ...)                                                     \
    do {                                                                                 \
        static const char *const want[] = {__VA_ARGS__};                                 \
        cr_assert_eq(sizeof want / sizeof *want, sizeof ids / sizeof *ids + 1);           \
        expect_stream(t, goes_on, ids, sizeof ids / sizeof *ids, want);                  \
    } while (0)

#define BYTE(b) (9 + (b)) /* in llama_like() */

Test(tok_build, a_stream_gives_whole_characters)
{
    nn_vocab v = llama_like();
    nn_tok *t = build(&v);
    const int32_t words[] = {1, 2, 2, 4}, smile[] = {BYTE(0xF0), BYTE(0x9F), BYTE(0x98), BYTE(0x80), BYTE('a')};
    const int32_t broken[] = {BYTE(0xE2), BYTE(0x82), 5, BYTE(0xFF), BYTE(0xC3), BYTE(0xC3), BYTE(0xA9), BYTE(0xF0), BYTE(0x9F)};

    STREAM(t, false, words, "", "hi", " hi", " ", "");
    STREAM(t, true, words, "", " hi", " hi", " ", "");
    STREAM(t, false, smile, "", "", "", "\xF0\x9F\x98\x80", "a", "");
    STREAM(t, false, broken, "", "", "\xEF\xBF\xBD" "h", "\xEF\xBF\xBD", "", "\xEF\xBF\xBD", "\xC3\xA9", "", "",
           "\xEF\xBF\xBD");
    nn_tok_free(t);
    nn_vocab_free(&v);
}

/* --- copies, names, refusals ------------------------------------------------------------------------- */

Test(tok_build, a_copy_is_the_same_tokenizer)
{
    static unsigned char map[8192];
    nn_vocab v[3] = {llama_like(), byte_level(), random_vocab(NN_TOK_UNIGRAM, 5, 9, 0)};

    v[0].charsmap = map;
    v[0].charsmap_len = small_charsmap(map);
    for (size_t i = 0; i < 3; i++) {
        nn_tok *t = build(v + i), *c = NULL;
        nn_err err = {NN_OK, ""};
        char a[65], b[65], ids[1024];
        expect_ok(nn_tok_clone(&c, t, &err), &err);
        nn_tok_hash(t, a);
        strcpy(ids, ids_of(t, "ab hi<x> ab aba", false));
        nn_tok_free(t);
        nn_tok_hash(c, b);
        cr_expect_str_eq(a, b);
        expect_ids(c, "ab hi<x> ab aba", ids);
        nn_tok_free(c);
        nn_vocab_free(v + i);
    }
}

Test(tok_build, the_name_depends_on_all_that_matters)
{
    nn_vocab v = llama_like();
    char a[65], b[65];
    nn_tok *t = build(&v);

    nn_tok_hash(t, a);
    nn_tok_free(t);
    for (size_t i = 0; i < 4; i++) {
        if (i == 0) v.piece[3].score -= 0.5f;
        if (i == 1) v.prefix_space = false;
        if (i == 2) v.piece[4].type = NN_PIECE_USER;
        if (i == 3) v.bos = -1;
        t = build(&v);
        nn_tok_hash(t, b);
        cr_expect(strcmp(a, b) != 0 && strlen(b) == 64, "change %zu", i);
        strcpy(a, b);
        nn_tok_free(t);
    }
    nn_vocab_free(&v);
}

static void expect_refused(const nn_vocab *v, const char *part)
{
    nn_tok *t = NULL;
    nn_err err = {NN_OK, ""};

    expect_fails(nn_tok_build(&t, v, &err), NN_FILE, &err, part);
    cr_expect_null(t);
}

Test(tok_build, vocabularies_that_cannot_be_are_refused)
{
    nn_vocab v = byte_level();
    nn_err err = {NN_OK, ""};

    v.eos = 261;
    expect_refused(&v, "EOS is id 261, want one below 261");
    v.eos = -1;
    v.merge[2] = 260;
    expect_refused(&v, "merge 0: id 260 is not the text of 97 and 98");
    v.merge[1] = 1000;
    expect_refused(&v, "merge 0: id 1000, want one below 261");
    v.merge[1] = -1;
    expect_refused(&v, "merge 0: id -1");
    nn_vocab_free(&v);
    v = byte_level();
    v.piece[100].len = 0;
    expect_refused(&v, "id 100: no text (a hole)");
    nn_vocab_free(&v);
    v = llama_like();
    v.piece[5].score = 0.0f / (1.0f - v.piece[2].score * v.piece[2].score - 1.0f);
    expect_refused(&v, "id 5: its score is not finite");
    v.piece[5].score = -3.0f;
    v.unk = -1;
    v.piece[50].type = NN_PIECE_NORMAL;
    expect_refused(&v, "255 bytes have a piece, want 256 or an unknown piece");
    v.piece[50].type = NN_PIECE_BYTE;
    v.model = NN_TOK_UNIGRAM;
    expect_refused(&v, "unigram without an unknown piece");
    nn_vocab_free(&v);
    nn_vocab_init(&v);
    expect_refused(&v, "0 pieces");
    add(&v, "<s>", 0.0f, NN_PIECE_CONTROL);
    expect_refused(&v, "0 bytes have a piece");
    static char longest[NN_PIECE_LONGEST + 1];
    memset(longest, 'a', sizeof longest);
    expect_ok(nn_vocab_add(&v, longest, sizeof longest, 0.0f, NN_PIECE_NORMAL, &err), &err);
    expect_refused(&v, "id 1: a piece of 2049 bytes");
    nn_vocab_free(&v);
}

Test(tok_build, building_and_encoding_survive_every_failed_allocation)
{
    static unsigned char map[8192];
    nn_vocab v = random_vocab(NN_TOK_UNIGRAM, 5, 9, 0);
    nn_status st = NN_LIMIT;

    v.charsmap = map;
    v.charsmap_len = small_charsmap(map);
    v.nfkc = v.lowercase = v.prefix_space = true;
    add(&v, "<x>", 0.0f, NN_PIECE_USER);
    for (long n = 0; st != NN_OK; n++) {
        nn_tok *t = NULL, *c = NULL;
        nn_tok_buf b;
        nn_err err = {NN_OK, ""};
        memset(&b, 0, sizeof b);
        nn_alloc_fail_at(n);
        st = nn_tok_build(&t, &v, &err);
        if (st == NN_OK) st = nn_tok_clone(&c, t, &err);
        if (st == NN_OK) st = nn_tok_encode(c, &b, "Ab <x> \xC3\xA9 bah", 15, &err);
        nn_alloc_fail_at(-1);
        cr_assert(st == NN_OK || st == NN_LIMIT);
        cr_assert(n < 200 && (st == NN_OK || err.text[0] != '\0'));
        nn_tok_buf_free(&b);
        nn_tok_free(t);
        nn_tok_free(c);
    }
    nn_vocab_free(&v);
}
