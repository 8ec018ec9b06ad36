/* model_pack.c - a model's matrices in the order in which products walk them.
 *
 * Reads: model_impl.h, matrix.h.   Read next: op_products.c.
 * Two holders of packed copies: a model whose weights have become constant (nn_model_pack), and a decoder, which packs
 * at the start of each batch of rollouts because training goes on between them.
 */
#include "nn/model_impl.h"
#include <string.h>

/* --- one walk over the matrices -------------------------------------------------------------- */

enum { OF_LAYER = 7 };

static size_t matrices(const nn_config *c)
{
    return OF_LAYER * c->layers + 1;
}

/* Matrix i of matrices(c): the layers' in order, the output matrix last. */
static nn_matrix *at(nn_matrices *mx, const nn_config *c, size_t i)
{
    if (i == OF_LAYER * c->layers) return &mx->output;
    nn_layer_matrices *l = mx->layer + i / OF_LAYER;
    nn_matrix *const of[OF_LAYER] = {&l->q, &l->k, &l->v, &l->o, &l->gate, &l->up, &l->down};

    return of[i % OF_LAYER];
}

void nn_matrices_take(nn_matrices *mx, nn_arena *a, const nn_config *c)
{
    memset(mx, 0, sizeof *mx);
    mx->layer = nn_arena_take(a, c->layers, sizeof *mx->layer);
}

static nn_matrix plain(const float *w, size_t N, size_t K)
{
    return (nn_matrix){.N = N, .K = K, .w = w};
}

void nn_matrices_plain(nn_matrices *mx, const nn_model *m)
{
    const nn_config *c = &m->config;
    const size_t C = c->width, q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim, F = c->ff;

    for (size_t l = 0; l < c->layers; l++) {
        const nn_layer *w = m->w.layer + l;
        mx->layer[l] = (nn_layer_matrices){plain(w->q, q, C),    plain(w->k, kv, C), plain(w->v, kv, C), plain(w->o, C, q),
                                           plain(w->gate, F, C), plain(w->up, F, C), plain(w->down, C, F)};
    }
    if (c->lm_head) mx->output = plain(nn_output_weight(m), c->vocab, C);
}

/* --- packed copies ------------------------------------------------------------------------------ */

/* Where matrix i's panels lie in p's arena: in the order of the walk. */
static void packed_layout(nn_packed *p, nn_arena *a, const nn_model *m)
{
    const nn_config *c = &m->config;
    nn_matrices from = m->mx;

    nn_matrices_take(&p->mx, a, c);
    p->panels = nn_arena_take(a, matrices(c), sizeof *p->panels);
    for (size_t i = 0; i < matrices(c); i++) {
        const nn_matrix *w = at(&from, c, i);
        float *panels = nn_arena_take(a, nn_matrix_panel_floats(w->N, w->K), sizeof *panels);

        if (!p->panels) continue; /* measuring */
        p->panels[i] = panels;
        *at(&p->mx, c, i) = *w;
        at(&p->mx, c, i)->panels = w->N ? panels : NULL;
    }
}

nn_status nn_packed_build(nn_packed *p, const nn_model *m, nn_err *err)
{
    nn_arena dry = {0};
    nn_packed measure = {0};

    memset(p, 0, sizeof *p);
    if (nn_model_is_i8(m)) return NN_OK; /* lies packed already */
    packed_layout(&measure, &dry, m);
    const nn_status st = nn_arena_open(&p->arena, dry.used, err);
    if (st != NN_OK) return st;
    packed_layout(p, &p->arena, m);
    NN_ASSERT(p->arena.used == dry.used);
    return NN_OK;
}

void nn_packed_fill(nn_packed *p, const nn_model *m, const nn_exec *x)
{
    for (size_t i = 0; i < matrices(&m->config); i++) {
        const nn_matrix *to = at(&p->mx, &m->config, i);

        if (to->bytes) nn_matrix_pack_stored(x, p->panels[i], to);
        else nn_matrix_pack(x, p->panels[i], to->w, to->N, to->K);
    }
}

void nn_packed_free(nn_packed *p)
{
    nn_arena_free(&p->arena);
    memset(p, 0, sizeof *p);
}

nn_status nn_model_pack(nn_model *m, const nn_exec *x, nn_err *err)
{
    nn_status st = NN_OK;

    if (nn_model_is_i8(m)) return NN_OK; /* lies packed already */
    nn_model_unpack(m);
    if ((st = nn_packed_build(&m->packed, m, err)) != NN_OK) return st;
    nn_packed_fill(&m->packed, m, x);
    for (size_t i = 0; i < matrices(&m->config); i++) *at(&m->mx, &m->config, i) = *at(&m->packed.mx, &m->config, i);
    return NN_OK;
}

void nn_model_unpack(nn_model *m)
{
    for (size_t i = 0; i < matrices(&m->config); i++) at(&m->mx, &m->config, i)->panels = NULL;
    nn_packed_free(&m->packed);
}
