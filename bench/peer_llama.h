/* peer_llama.h - llama.cpp's own benchmark, when a build is given.
 *
 * LLAMA_BENCH is the path of llama-bench, LLAMA_MODELS a folder with files NAME-FORMAT.gguf (10m-f32.gguf,
 * 10m-q8_0.gguf, 10m-bf16.gguf, 10m-q4_0.gguf ...) of the shapes in shapes.h.
 */
#ifndef BENCH_PEER_LLAMA_H
#define BENCH_PEER_LLAMA_H
#include <stdbool.h>
#include <stddef.h>

bool peer_llama_there(void);
/* Tokens per second of a prompt of n_prompt (n_gen 0), or of n_gen tokens after nothing (n_prompt 0); 0 when the file
 * is not there or the program fails. */
double peer_llama_rate(const char *name, const char *format, size_t n_prompt, size_t n_gen, size_t threads);
#endif
