/* Tests of nn/cursor.h: little-endian reads, claims that do not fit, failures that stick. */
#include "nn/cursor.h"
#include "tests/support.h"
#include <stdint.h>
#include <string.h>

Test(cursor, numbers_are_little_endian)
{
    static const unsigned char bytes[] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c,
                                          0x0d, 0x0e, 0x0f, 0x00, 0x00, 0xc0, 0x3f, 0,    0,    0,    0,    0,
                                          0,    0xf8, 0xbf};
    nn_cursor c;

    nn_cursor_init(&c, bytes, sizeof bytes, "t", NULL);
    cr_expect_eq(nn_cursor_u8(&c), 0x01u);
    cr_expect_eq(nn_cursor_u16(&c), 0x0302u);
    cr_expect_eq(nn_cursor_u32(&c), 0x07060504u);
    cr_expect(nn_cursor_u64(&c) == UINT64_C(0x0f0e0d0c0b0a0908));
    cr_expect(nn_cursor_f32(&c) == 1.5f);
    cr_expect(nn_cursor_f64(&c) == -1.5);
    cr_expect_eq(nn_cursor_left(&c), 0u);
    cr_expect(c.status == NN_OK);
}

Test(cursor, the_first_failure_sticks_with_its_byte)
{
    nn_err err = {NN_OK, ""};
    nn_cursor c;

    nn_cursor_init(&c, "abcdef", 6, "model.gguf", &err);
    nn_cursor_u32(&c);
    cr_expect_eq(nn_cursor_u64(&c), 0u);
    expect_fails(c.status, NN_FILE, &err, "model.gguf: byte 4: ends early: 2 bytes left, want 8");
    cr_expect_eq(nn_cursor_u8(&c), 0u, "later reads give zeros");
    cr_expect_eq(nn_cursor_left(&c), 0u, "so that loops over the rest end");
    cr_expect_null(nn_cursor_bytes(&c, 1));
    cr_expect_null(nn_cursor_bytes(&c, 0));
    nn_cursor_seek(&c, 0);
    cr_expect_eq(c.pos, 4u);
    cr_expect(nn_cursor_fail(&c, "second") == NN_FILE);
    cr_expect(strstr(err.text, "second") == NULL);
}

Test(cursor, lengths_near_the_top_do_not_wrap)
{
    nn_err err = {NN_OK, ""};
    nn_cursor c;

    nn_cursor_init(&c, "abcdef", 6, "t", &err);
    nn_cursor_u8(&c);
    cr_expect_null(nn_cursor_bytes(&c, UINT64_MAX));
    expect_fails(c.status, NN_FILE, &err, "18446744073709551615");
    nn_cursor_init(&c, "abcdef", 6, "t", NULL);
    nn_cursor_seek(&c, UINT64_MAX);
    cr_expect(c.status == NN_FILE);
    nn_cursor_init(&c, "abcdef", 6, "t", NULL);
    nn_cursor_seek(&c, 6);
    cr_expect(c.status == NN_OK, "the end itself is a place");
}

Test(cursor, counts_must_fit_in_what_is_left)
{
    nn_err err = {NN_OK, ""};
    nn_cursor c;

    nn_cursor_init(&c, "0123456789", 10, "t", &err);
    nn_cursor_u16(&c);
    cr_expect_eq(nn_cursor_count(&c, 2, 4, "tensors"), 2u);
    cr_expect_eq(nn_cursor_count(&c, 3, 4, "tensors"), 0u);
    expect_fails(c.status, NN_FILE, &err, "tensors: 3 claimed, at most 2 fit");
}

Test(cursor, truncation_at_every_byte_is_an_error_or_complete)
{
    static const unsigned char bytes[15] = {1, 2, 3};

    for (size_t len = 0; len <= sizeof bytes; len++) {
        nn_cursor c;

        nn_cursor_init(&c, bytes, len, "t", NULL);
        nn_cursor_u8(&c);
        nn_cursor_u16(&c);
        nn_cursor_u32(&c);
        nn_cursor_u64(&c);
        cr_expect((c.status == NN_OK) == (len == sizeof bytes), "length %zu", len);
        cr_expect(c.pos <= len);
    }
}
