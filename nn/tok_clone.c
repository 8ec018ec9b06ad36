#include "nn/arena.h"
#include "nn/tok_impl.h"
#include <string.h>

static void other_free(nn_tok_other *o)
{
    nn_free(o->type);
    nn_free(o->text_slot);
    nn_free(o->score);
    nn_tok_trie_free(&o->user);
    nn_tok_trie_free(&o->piece);
    nn_tok_charsmap_free(&o->charsmap);
    nn_vocab_free(&o->source);
    nn_free(o);
}

nn_status nn_tok_new_other(nn_tok **out, size_t n, nn_err *err)
{
    nn_status st = NN_OK;
    void *t = NULL, *o = NULL;

    if ((st = nn_alloc(&t, 1, sizeof(nn_tok), err)) != NN_OK) return st;
    *out = t;
    if ((st = nn_alloc(&o, 1, sizeof(nn_tok_other), err)) != NN_OK) {
        nn_tok_free(*out);
        *out = NULL;
        return st;
    }
    (*out)->n = n;
    (*out)->other = o;
    (*out)->other->encode = nn_tok_other_encode;
    (*out)->other->cuts = nn_tok_other_cuts;
    (*out)->other->clone = nn_tok_other_clone;
    (*out)->other->free = other_free;
    return NN_OK;
}

/* --- copies ------------------------------------------------------------------------------------------ */

/* A copy of from's n elements; NULL of NULL. *st: the first failure, after which nothing is copied. */
static void *copy(nn_status *st, const void *from, size_t n, size_t elem_bytes, nn_err *err)
{
    void *p = NULL;

    if (!from || *st != NN_OK) return NULL;
    *st = nn_alloc(&p, n, elem_bytes, err);
    if (*st == NN_OK && n > 0) memcpy(p, from, n * elem_bytes);
    return p;
}

static nn_tok_trie copy_trie(nn_status *st, const nn_tok_trie *from, nn_err *err)
{
    nn_tok_trie to = *from;

    to.edge = copy(st, from->edge, from->n_edge, sizeof *from->edge, err);
    to.id = copy(st, from->id, from->n_node, sizeof *from->id, err);
    return to;
}

static nn_tok_charsmap copy_charsmap(nn_status *st, const nn_tok_charsmap *from, nn_err *err)
{
    nn_tok_charsmap to = *from;

    to.unit = copy(st, from->unit, from->n_unit, sizeof *from->unit, err);
    to.text = copy(st, from->text, from->text_len + 1, 1, err);
    return to;
}

nn_status nn_tok_other_clone(nn_tok **out, const nn_tok *t, nn_err *err)
{
    const nn_tok_other *from = t->other;
    nn_status st = nn_tok_new_other(out, t->n, err);

    if (st != NN_OK) return st;
    nn_tok *c = *out;
    nn_tok_other *to = c->other;
    *to = *from;
    to->type = copy(&st, from->type, t->n, 1, err);
    to->text_slot = copy(&st, from->text_slot, from->n_text_slot, sizeof *from->text_slot, err);
    to->score = copy(&st, from->score, t->n, sizeof *from->score, err);
    to->user = copy_trie(&st, &from->user, err);
    to->piece = copy_trie(&st, &from->piece, err);
    to->charsmap = copy_charsmap(&st, &from->charsmap, err);
    nn_vocab_init(&to->source);
    if (st == NN_OK) st = nn_vocab_copy(&to->source, &from->source, err);
    c->n_slot = t->n_slot;
    c->bytes = copy(&st, t->bytes, t->start[t->n], 1, err);
    c->start = copy(&st, t->start, t->n + 1, sizeof *t->start, err);
    c->slot = copy(&st, t->slot, t->n_slot, sizeof *t->slot, err);
    if (st != NN_OK) {
        nn_tok_free(c);
        *out = NULL;
    }
    return st;
}
