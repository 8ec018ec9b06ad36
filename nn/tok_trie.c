#include "nn/arena.h"
#include "nn/rng.h"
#include "nn/tok_impl.h"

static size_t edge_slot(const nn_tok_trie *t, uint32_t node, unsigned char byte)
{
    size_t i = (size_t)nn_mix64((uint64_t)node << 8 | byte) & (t->n_edge - 1);

    for (; t->edge[i].child != 0; i = (i + 1) & (t->n_edge - 1))
        if (t->edge[i].parent == node && t->edge[i].byte == byte) break;
    return i;
}

nn_status nn_tok_trie_build(nn_tok_trie *t, size_t bytes, nn_err *err)
{
    nn_status st = NN_OK;
    void *p = NULL;

    if (bytes >= UINT32_MAX / 4)
        return nn_fail(err, NN_FILE, "tokenizer: %zu bytes of pieces, want less than 2^30", bytes);
    for (t->n_edge = 16; t->n_edge < 2 * bytes; t->n_edge *= 2) continue;
    if ((st = nn_alloc(&p, t->n_edge, sizeof *t->edge, err)) != NN_OK) return st;
    t->edge = p;
    if ((st = nn_alloc(&p, bytes + 1, sizeof *t->id, err)) != NN_OK) return st;
    t->id = p;
    t->id[0] = -1;
    t->n_node = 1;
    return NN_OK;
}

void nn_tok_trie_add(nn_tok_trie *t, const char *s, size_t len, int32_t id)
{
    uint32_t node = 0;

    for (size_t i = 0; i < len; i++) {
        nn_tok_edge *e = t->edge + edge_slot(t, node, (unsigned char)s[i]);

        if (e->child == 0) {
            *e = (nn_tok_edge){node, (uint32_t)t->n_node, (unsigned char)s[i]};
            t->id[t->n_node++] = -1;
        }
        node = e->child;
    }
    if (t->id[node] < 0) t->id[node] = id;
}

uint32_t nn_tok_trie_step(const nn_tok_trie *t, uint32_t node, unsigned char byte)
{
    return t->n_edge == 0 ? 0 : t->edge[edge_slot(t, node, byte)].child;
}

void nn_tok_trie_free(nn_tok_trie *t)
{
    nn_free(t->edge);
    nn_free(t->id);
}
