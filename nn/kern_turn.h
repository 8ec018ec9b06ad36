/* kern_turn.h - NN_VEC rows of stored weights become [k][16] floats without being rows of floats in between.
 *
 * Reads: dtype_blocks.h (the layouts), kern_vec.h. Included by kern_stored.h only.   Read next: kern_stored.h.
 * WHY: a word of 32 bits holds two to eight weights, so the turn moves a half to an eighth of what it moves as floats,
 * and a vector's elements, being rows, all want the same shift. One row of inputs times 1024 x 1024 weights, against
 * rows of floats that are turned then (AVX-512, AVX2): BF16 2.0 and 1.8 times the speed, Q8_0 1.8 and 1.6, Q4_0 2.7 and
 * 2.0, Q5_0 3.6 and 2.8, Q2_K 5.2 and 5.0, Q6_K 2.2 and 1.7, F16 and Q4_K 1.5.
 * The bits are those of stored_floats: the same operations on each element.
 * A function takes one block of each row, or a cache line: out[k * NN_PANEL + r] = weight k of row r, rows `step` bytes
 * apart.
 */
#ifndef NN_KERN_TURN_H
#define NN_KERN_TURN_H
#include "nn/dtype_blocks.h"
#include "nn/kern.h"

#if defined(NN_WORDS)
/* The halves at p of the rows, as floats. */
static inline nn_vec turn_halves(const unsigned char *p, size_t step)
{
    unsigned char h[2 * NN_VEC];

    for (size_t r = 0; r < NN_VEC; r++) memcpy(h + 2 * r, p + r * step, 2);
    return vec_from_f16(h);
}

static inline void put(float *out, size_t k, nn_vec v)
{
    vec_store(out + k * NN_PANEL, v);
}

/* --- plain numbers, a cache line of each row ------------------------------------------------- */

enum { LINE = 64 };

static void turn_f32(float *restrict out, const unsigned char *p, size_t step)
{
    for (size_t at = 0; at < LINE; at += 16, out += 4 * NN_PANEL) {
        nn_words w[4];

        words_turn(w, p + at, step);
        for (size_t i = 0; i < 4; i++) put(out, i, words_bits(w[i]));
    }
}

static void turn_f16(float *restrict out, const unsigned char *p, size_t step)
{
    for (size_t at = 0; at < LINE; at += 16, out += 8 * NN_PANEL) {
        nn_words w[4];

        words_turn(w, p + at, step);
        for (size_t i = 0; i < 4; i += 2) {
            nn_vec v[4];

            words_f16(v, w[i], w[i + 1]);
            for (size_t j = 0; j < 4; j++) put(out, 2 * i + j, v[j]);
        }
    }
}

static void turn_bf16(float *restrict out, const unsigned char *p, size_t step)
{
    for (size_t at = 0; at < LINE; at += 16, out += 8 * NN_PANEL) {
        nn_words w[4];

        words_turn(w, p + at, step);
        for (size_t i = 0; i < 4; i++) {
            put(out, 2 * i, words_bits(words_left(w[i], 16)));
            put(out, 2 * i + 1, words_bits(words_and(w[i], 0xffff0000u)));
        }
    }
}

/* --- blocks of 32 ---------------------------------------------------------------------------- */

static void turn_q8_0(float *restrict out, const unsigned char *p, size_t step)
{
    const nn_vec d = turn_halves(p, step);

    for (size_t half = 0; half < 2; half++, out += 16 * NN_PANEL) {
        nn_words w[4];

        words_turn(w, p + 2 + 16 * half, step);
        UNROLL for (size_t i = 0; i < 4; i++)
            UNROLL for (int b = 0; b < 4; b++)
                put(out, 4 * i + (size_t)b, vec_mul(d, words_float(words_signed(w[i], b))));
    }
}

/* Of byte b of each word the bits from `bit` on. */
static inline nn_words field(nn_words w, int b, int bit, uint32_t mask)
{
    return words_and(words_right(w, 8 * b + bit), mask);
}

/* Q4_0 to Q5_1: 16 bytes at q are 32 elements; high (NULL: none) holds their fifth bits.
 * x = d (q - less), or d q + m. */
static inline void put_block(float *restrict out, const unsigned char *q, size_t step, const nn_words *high, nn_vec d,
                             float less, const nn_vec *m)
{
    nn_words w[4];

    words_turn(w, q, step);
    UNROLL for (int half = 0; half < 2; half++)
        UNROLL for (int i = 0; i < 4; i++)
            UNROLL for (int b = 0; b < 4; b++) {
                const int k = 16 * half + 4 * i + b;
                nn_words of_k = field(w[i], b, 4 * half, 15);

                if (high) of_k = words_or(of_k, words_left(words_and(words_right(*high, k), 1), 4));
                if (m) put(out, (size_t)k, vec_add(vec_mul(d, words_float(of_k)), *m));
                else put(out, (size_t)k, vec_mul(d, vec_sub(words_float(of_k), vec_all(less))));
            }
}

static void turn_q4_0(float *restrict out, const unsigned char *p, size_t step)
{
    put_block(out, p + 2, step, NULL, turn_halves(p, step), 8.0f, NULL);
}

static void turn_q4_1(float *restrict out, const unsigned char *p, size_t step)
{
    const nn_vec m = turn_halves(p + 2, step);

    put_block(out, p + 4, step, NULL, turn_halves(p, step), 0.0f, &m);
}

/* The word at p of the rows. */
static inline nn_words turn_word(const unsigned char *p, size_t step)
{
    unsigned char w[4 * NN_VEC];

    for (size_t r = 0; r < NN_VEC; r++) memcpy(w + 4 * r, p + r * step, 4);
    return words_load(w);
}

static void turn_q5_0(float *restrict out, const unsigned char *p, size_t step)
{
    const nn_words high = turn_word(p + 2, step);

    put_block(out, p + 6, step, &high, turn_halves(p, step), 16.0f, NULL);
}

static void turn_q5_1(float *restrict out, const unsigned char *p, size_t step)
{
    const nn_vec m = turn_halves(p + 2, step);
    const nn_words high = turn_word(p + 4, step);

    put_block(out, p + 8, step, &high, turn_halves(p, step), 0.0f, &m);
}

/* --- blocks of 256 --------------------------------------------------------------------------- */

/* 16 elements from byte q of each row: x = scale (bits - less), or scale bits - low. bits: of the byte from `bit` on,
 * and `high_left` places up those of the byte at high (NULL: none) from `high_bit` on. */
typedef struct {
    const unsigned char *q, *high;
    int bit, high_bit;
    uint32_t mask, high_mask;
    int high_left;
} byte_bits;

static inline void put_group(float *restrict out, byte_bits f, size_t step, nn_vec scale, float less, const nn_vec *low)
{
    nn_words w[4], high[4];

    words_turn(w, f.q, step);
    if (f.high) words_turn(high, f.high, step);
    UNROLL for (size_t i = 0; i < 4; i++)
        UNROLL for (int b = 0; b < 4; b++) {
            const size_t k = 4 * i + (size_t)b;
            nn_words q = field(w[i], b, f.bit, f.mask);

            if (f.high) q = words_or(q, words_left(field(high[i], b, f.high_bit, f.high_mask), f.high_left));
            if (low) put(out, k, vec_sub(vec_mul(scale, words_float(q)), *low));
            else put(out, k, vec_mul(scale, vec_sub(words_float(q), vec_all(less))));
        }
}

static void turn_q2_k(float *restrict out, const unsigned char *p, size_t step)
{
    const nn_vec d = turn_halves(p + 80, step), m = turn_halves(p + 82, step);

    for (size_t g = 0; g < 16; g++) {
        float scales[NN_VEC], lows[NN_VEC];
        const byte_bits f = {.q = p + 16 + 32 * (g / 8) + 16 * (g % 2), .bit = 2 * (int)(g / 2 % 4), .mask = 3};

        for (size_t r = 0; r < NN_VEC; r++) {
            scales[r] = (float)(p[r * step + g] & 15);
            lows[r] = (float)(p[r * step + g] >> 4);
        }
        const nn_vec low = vec_mul(m, vec_load(lows));
        put_group(out + 16 * g * NN_PANEL, f, step, vec_mul(d, vec_load(scales)), 0.0f, &low);
    }
}

static void turn_q3_k(float *restrict out, const unsigned char *p, size_t step)
{
    const nn_vec d = turn_halves(p + 108, step);

    for (size_t g = 0; g < 16; g++) {
        const byte_bits f = {.q = p + 32 + 32 * (g / 8) + 16 * (g % 2), .bit = 2 * (int)(g / 2 % 4), .mask = 3,
                           .high = p + 16 * (g % 2), .high_bit = (int)(g / 2), .high_mask = 1, .high_left = 2};
        float scales[NN_VEC];

        for (size_t r = 0; r < NN_VEC; r++) scales[r] = q3_k_scale(p + r * step + 96, (unsigned)g);
        put_group(out + 16 * g * NN_PANEL, f, step, vec_mul(d, vec_load(scales)), 4.0f, NULL);
    }
}

/* Q4_K, Q5_K: q and high (NULL: none) begin where the type has them. */
static inline void turn_k(float *restrict out, const unsigned char *p, size_t step, const unsigned char *q,
                          const unsigned char *high)
{
    const nn_vec d = turn_halves(p, step), m = turn_halves(p + 2, step);

    for (size_t g = 0; g < 8; g++) {
        float scales[NN_VEC], lows[NN_VEC];

        for (size_t r = 0; r < NN_VEC; r++) k_scales(p + r * step + 4, g, scales + r, lows + r);
        const nn_vec scale = vec_mul(d, vec_load(scales)), low = vec_mul(m, vec_load(lows));
        for (size_t half = 0; half < 2; half++) {
            const byte_bits f = {.q = q + 32 * (g / 2) + 16 * half, .bit = 4 * (int)(g % 2), .mask = 15,
                               .high = high ? high + 16 * half : NULL, .high_bit = (int)g, .high_mask = 1,
                               .high_left = 4};

            put_group(out + (32 * g + 16 * half) * NN_PANEL, f, step, scale, 0.0f, &low);
        }
    }
}

static void turn_q4_k(float *restrict out, const unsigned char *p, size_t step)
{
    turn_k(out, p, step, p + 16, NULL);
}

static void turn_q5_k(float *restrict out, const unsigned char *p, size_t step)
{
    turn_k(out, p, step, p + 48, p + 16);
}

static void turn_q6_k(float *restrict out, const unsigned char *p, size_t step)
{
    const nn_vec d = turn_halves(p + 208, step);

    for (size_t g = 0; g < 16; g++) { /* 128 h + 32 s + 16 (g % 2), as q6_k_floats */
        const size_t h = g / 8, s = g / 2 % 4, at = 16 * (g % 2);
        const byte_bits f = {.q = p + 64 * h + 32 * (s % 2) + at, .bit = 4 * (int)(s / 2), .mask = 15,
                           .high = p + 128 + 32 * h + at, .high_bit = 2 * (int)s, .high_mask = 3, .high_left = 4};
        float scales[NN_VEC];

        for (size_t r = 0; r < NN_VEC; r++) scales[r] = (float)(int8_t)p[r * step + 192 + g];
        put_group(out + 16 * g * NN_PANEL, f, step, vec_mul(d, vec_load(scales)), 32.0f, NULL);
    }
}

/* --- by type --------------------------------------------------------------------------------- */

typedef void (*turn_fn)(float *restrict out, const unsigned char *p, size_t step);

typedef struct {
    turn_fn fn;
    size_t k, bytes; /* weights and bytes of a row that it takes */
} turn_row;

static turn_row turn_of(nn_dtype type)
{
    switch (type) {
    case NN_F32: return (turn_row){turn_f32, LINE / 4, LINE};
    case NN_F16: return (turn_row){turn_f16, LINE / 2, LINE};
    case NN_BF16: return (turn_row){turn_bf16, LINE / 2, LINE};
    case NN_Q8_0: return (turn_row){turn_q8_0, BLOCK, Q8_0_BYTES};
    case NN_Q4_0: return (turn_row){turn_q4_0, BLOCK, Q4_0_BYTES};
    case NN_Q4_1: return (turn_row){turn_q4_1, BLOCK, Q4_1_BYTES};
    case NN_Q5_0: return (turn_row){turn_q5_0, BLOCK, Q5_0_BYTES};
    case NN_Q5_1: return (turn_row){turn_q5_1, BLOCK, Q5_1_BYTES};
    case NN_Q2_K: return (turn_row){turn_q2_k, BLOCK_K, Q2_K_BYTES};
    case NN_Q3_K: return (turn_row){turn_q3_k, BLOCK_K, Q3_K_BYTES};
    case NN_Q4_K: return (turn_row){turn_q4_k, BLOCK_K, Q4_K_BYTES};
    case NN_Q5_K: return (turn_row){turn_q5_k, BLOCK_K, Q5_K_BYTES};
    case NN_Q6_K: return (turn_row){turn_q6_k, BLOCK_K, Q6_K_BYTES};
    case NN_I64:
    case NN_I8:
    case NN_DTYPE_OTHER: break;
    }
    return (turn_row){NULL, 0, 0}; /* no weights: not asked for */
}
#endif
#endif
