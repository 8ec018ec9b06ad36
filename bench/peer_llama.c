/* peer_llama.c - runs llama-bench and reads avg_ts from its JSON. */
#define _POSIX_C_SOURCE 200809L
#include "bench/peer_llama.h"
#include "bench/peer_process.h"
#include "nn/plat.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool peer_llama_there(void)
{
    const char *bench = getenv("LLAMA_BENCH"), *models = getenv("LLAMA_MODELS");
    return bench && models && nn_path_exists(bench) && nn_path_exists(models);
}

double peer_llama_rate(const char *name, const char *format, size_t n_prompt, size_t n_gen, size_t threads)
{
    char file[1024], p[24], n[24], t[24], line[512];
    peer_process peer;
    double rate = 0.0;

    if (!peer_llama_there()) return 0.0;
    snprintf(file, sizeof file, "%s/%s-%s.gguf", getenv("LLAMA_MODELS"), name, format);
    if (!nn_path_exists(file)) return 0.0;
    snprintf(p, sizeof p, "%zu", n_prompt);
    snprintf(n, sizeof n, "%zu", n_gen);
    snprintf(t, sizeof t, "%zu", threads);
    const char *const argv[] = {
        getenv("LLAMA_BENCH"), "-m", file, "-p", p, "-n", n, "-t", t, "-r", "3", "-o", "json", NULL};
    if (!peer_process_open(&peer, argv)) return 0.0;
    while (peer_process_ask(&peer, NULL, line, sizeof line)) {
        const char *at = strstr(line, "\"avg_ts\":");
        if (at) rate = strtod(at + strlen("\"avg_ts\":"), NULL);
    }
    peer_process_close(&peer);
    return rate;
}
