/* strict_gguf.h - a reader of GGUF files that forgives nothing: the published specification, key by key.
 *
 * Why beside ours: what we write must be right by the format's own words, not by a reader that has our habits. It
 * shares no code with nn/ and knows the three architectures that we write.
 */
#ifndef TESTS_STRICT_GGUF_H
#define TESTS_STRICT_GGUF_H
#include <stdbool.h>
#include <stddef.h>

/* False, and the reason in why, unless the file is exactly what the specification describes. */
bool strict_gguf(const unsigned char *bytes, size_t len, char *why, size_t cap);
/* The same of a safetensors file. */
bool strict_safetensors(const unsigned char *bytes, size_t len, char *why, size_t cap);
#endif
