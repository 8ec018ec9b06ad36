/* Tests of nn/sha256.h: the vectors of FIPS 180-4's examples, and pieces against the whole. */
#include "nn/sha256.h"
#include "nn/rng.h"
#include "nn/sha256_impl.h"
#include "tests/support.h"
#include <string.h>

Test(sha256, published_vectors)
{
    static const struct {
        const char *text, *hex;
    } row[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    char hex[NN_SHA256_HEX];

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        nn_sha256_hex(row[i].text, strlen(row[i].text), hex);
        cr_expect_str_eq(hex, row[i].hex);
    }
}

Test(sha256, a_million_letters_in_pieces_of_any_size)
{
    char piece[997], hex[NN_SHA256_HEX];
    nn_sha256 s;
    size_t left = 1000000, step = 1;

    memset(piece, 'a', sizeof piece);
    nn_sha256_init(&s);
    while (left > 0) {
        const size_t n = step < left ? step : left;

        nn_sha256_add(&s, piece, n);
        left -= n;
        step = step % sizeof piece + 1;
    }
    nn_sha256_end_hex(&s, hex);
    cr_expect_str_eq(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

Test(sha256, every_length_around_a_block_splits_anywhere)
{
    unsigned char bytes[130];
    char whole[NN_SHA256_HEX], parts[NN_SHA256_HEX];

    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)(i * 7);
    for (size_t len = 0; len <= sizeof bytes; len++) {
        nn_sha256 s;

        nn_sha256_hex(bytes, len, whole);
        nn_sha256_init(&s);
        nn_sha256_add(&s, bytes, len / 3);
        nn_sha256_add(&s, bytes + len / 3, len - len / 3);
        nn_sha256_end_hex(&s, parts);
        cr_expect_str_eq(whole, parts);
    }
}

Test(sha256, instructions_of_the_cpu_agree_with_plain_c)
{
    const nn_sha256_fn fast = nn_sha256_x86();
    unsigned char blocks[9 * 64];
    nn_rng rng = nn_rng_at(1, "sha256", 0);

    if (!fast) skip_test("this CPU or build has no SHA extensions");
    for (size_t i = 0; i < sizeof blocks; i++) blocks[i] = (unsigned char)nn_rng_below(&rng, 256);
    for (size_t n = 0; n <= 9; n++) {
        uint32_t a[8], b[8];

        for (size_t i = 0; i < 8; i++) a[i] = b[i] = (uint32_t)nn_rng_below(&rng, UINT32_MAX);
        nn_sha256_plain(a, blocks, n);
        fast(b, blocks, n);
        cr_expect(memcmp(a, b, sizeof a) == 0, "%zu blocks", n);
    }
}

Test(sha256, a_long_text_at_once_is_its_short_pieces)
{
    static unsigned char bytes[200001]; /* long enough for the CPU's own instructions */
    char whole[NN_SHA256_HEX], parts[NN_SHA256_HEX];

    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)(i * i >> 3);
    for (size_t lead = 0; lead < 130; lead += 43) { /* the long piece begins anywhere in a block */
        nn_sha256 s;

        nn_sha256_init(&s);
        for (size_t at = 0; at < sizeof bytes; at += 3) nn_sha256_add(&s, bytes + at, 3);
        nn_sha256_end_hex(&s, parts);
        nn_sha256_init(&s);
        nn_sha256_add(&s, bytes, lead);
        nn_sha256_add(&s, bytes + lead, sizeof bytes - lead);
        nn_sha256_end_hex(&s, whole);
        cr_expect_str_eq(whole, parts);
    }
}
