/* sink.h - a growing run of bytes with a sticky error, for the writers of file formats.
 *
 * Reads: arena.h.   Read next: fmt_safetensors_write.c, fmt_gguf_write.c (its users).
 * Why: a writer makes hundreds of small additions; only the end can tell somebody that memory ran
 * out. Numbers are written little-endian on every machine. Private to nn/.   Ownership: owns its
 * bytes; nn_sink_free.
 */
#ifndef NN_SINK_H
#define NN_SINK_H
#include "nn/err.h"
#include <stdint.h>

typedef struct {
    unsigned char *bytes;
    size_t len, cap;
    nn_err err; /* the first failure; after it nothing is added */
} nn_sink; /* zero it to begin */

void nn_sink_free(nn_sink *s);
void nn_sink_add(nn_sink *s, const void *bytes, size_t n);
void nn_sink_str(nn_sink *s, const char *text); /* without its zero byte */
void nn_sink_quoted(nn_sink *s, const char *text); /* as a JSON string; the text is UTF-8 */
void nn_sink_u8(nn_sink *s, unsigned v);
void nn_sink_u32(nn_sink *s, uint32_t v);
void nn_sink_u64(nn_sink *s, uint64_t v);
/* n more bytes for the caller to fill; NULL after a failure. */
unsigned char *nn_sink_room(nn_sink *s, size_t n);
/* Repeats `fill` until len is a multiple of step. */
void nn_sink_pad(nn_sink *s, size_t step, unsigned fill);
/* Hands the first failure up. */
NN_CHECKED nn_status nn_sink_status(const nn_sink *s, nn_err *err);
#endif
