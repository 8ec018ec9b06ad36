/* pretrained_tok.c - the tokenizer that belongs to a model on disk.
 *
 * Reads: pretrained_impl.h, tok_read.h.
 * llama2.c's projects write it beside the model: tok<vocab>.bin, or tokenizer.bin.
 */
#include "nn/pretrained_impl.h"
#include <stdio.h>
#include <string.h>

/* The name beside the model's file; false when no file is there. */
static bool beside(const nn_pretrained *p, char *out, size_t cap, const char *name)
{
    const char *end = strrchr(p->path, '/');
    const size_t folder = end ? (size_t)(end - p->path) + 1 : 0;

    return (size_t)snprintf(out, cap, "%.*s%s", (int)folder, p->path, name) < cap && nn_path_exists(out);
}

static nn_status open_llama2c(nn_tok **out, const nn_pretrained *p, nn_err *err)
{
    char name[64], path[4096];

    snprintf(name, sizeof name, "tok%zu.bin", p->config.vocab);
    if (beside(p, path, sizeof path, name) || beside(p, path, sizeof path, "tokenizer.bin") ||
        beside(p, path, sizeof path, "tokenizer.model"))
        return nn_tok_open(out, path, p->config.vocab, err);
    return nn_fail(err, NN_FILE, "%s: no tokenizer beside it, want %s or tokenizer.bin, or a path of one", p->path,
                   name);
}

nn_status nn_pretrained_tok(nn_tok **out, const nn_pretrained *p, const char *tok_path, nn_err *err)
{
    nn_status st;

    *out = NULL;
    if (tok_path)
        st = nn_tok_open(out, tok_path, p->config.vocab, err);
    else if (p->kind == NN_FROM_GGUF)
        st = nn_tok_from_gguf(out, p->gguf, p->path, err);
    else if (p->kind == NN_FROM_HF)
        st = nn_tok_open(out, p->path, p->config.vocab, err);
    else
        st = open_llama2c(out, p, err);
    if (st != NN_OK) return st;
    if (nn_tok_vocab(*out) <= p->config.vocab) return NN_OK;
    st = nn_fail(err, NN_FILE, "%s: %zu ids in the tokenizer%s%s, want at most the %zu of the model", p->path,
                 nn_tok_vocab(*out), tok_path ? " " : "", tok_path ? tok_path : "", p->config.vocab);
    nn_tok_free(*out);
    *out = NULL;
    return st;
}
