/* peer_dnnl.c - oneDNN 2.x through its C interface; without its header everything here says "not there". */
#include "bench/peer_dnnl.h"
#include <stdio.h>
#include <stdlib.h>

#if defined(__has_include)
#if __has_include(<oneapi/dnnl/dnnl.h>)
#include <oneapi/dnnl/dnnl.h>
#if DNNL_VERSION_MAJOR == 2
#define HAVE_DNNL 1
#endif
#endif
#endif

#ifdef HAVE_DNNL

struct peer_dnnl {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_memory_t a, w, c;
    dnnl_primitive_t matmul;
};

const char *peer_dnnl_version(void)
{
    static char text[48];
    const dnnl_version_t *v = dnnl_version();

    snprintf(text, sizeof text, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
    return text;
}

void peer_dnnl_sgemm(nn_form form, float *c, const float *a, const float *b, size_t M, size_t N, size_t K)
{
    const dnnl_dim_t m = (dnnl_dim_t)M, n = (dnnl_dim_t)N, k = (dnnl_dim_t)K;

    dnnl_sgemm(form == NN_TN ? 'T' : 'N', form == NN_NT ? 'T' : 'N', m, n, k, 1.0f, a, form == NN_TN ? m : k, b,
               form == NN_NT ? k : n, 0.0f, c, n);
}

static bool operand(dnnl_memory_desc_t *d, size_t rows, size_t cols, dnnl_data_type_t type, dnnl_format_tag_t tag)
{
    const dnnl_dims_t dims = {(dnnl_dim_t)rows, (dnnl_dim_t)cols};
    return dnnl_memory_desc_init_by_tag(d, 2, dims, type, tag) == dnnl_success;
}

/* The weights in the layout that the primitive chose. */
static bool pack(peer_dnnl *p, const dnnl_memory_desc_t *chosen, const dnnl_memory_desc_t *plain, const void *w)
{
    dnnl_memory_t from = NULL;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_t reorder = NULL;
    union {
        const void *in;
        void *out;
    } lent = {w}; /* oneDNN takes what it only reads as void * */

    bool good =
        dnnl_memory_create(&p->w, chosen, p->engine, DNNL_MEMORY_ALLOCATE) == dnnl_success &&
        dnnl_memory_create(&from, plain, p->engine, lent.out) == dnnl_success &&
        dnnl_reorder_primitive_desc_create(&desc, plain, p->engine, chosen, p->engine, NULL) == dnnl_success &&
        dnnl_primitive_create(&reorder, desc) == dnnl_success;
    if (good) {
        const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, p->w}};

        good = dnnl_primitive_execute(reorder, p->stream, 2, args) == dnnl_success &&
               dnnl_stream_wait(p->stream) == dnnl_success;
    }
    dnnl_primitive_destroy(reorder);
    dnnl_primitive_desc_destroy(desc);
    dnnl_memory_destroy(from);
    return good;
}

/* What the memories are: rows x columns as the product sees them, and how they lie. */
typedef struct {
    const void *a, *w;
    float *c;
    size_t M, N, K;
    dnnl_data_type_t a_type, w_type;
    dnnl_format_tag_t a_tag, w_tag;
    bool packed;
} plan;

static bool create(peer_dnnl *p, const plan *q)
{
    dnnl_memory_desc_t a, w, c, asked;
    dnnl_matmul_desc_t op;
    dnnl_primitive_desc_t desc = NULL;
    union {
        const void *in;
        void *out;
    } a_lent = {q->a}, w_lent = {q->w};

    bool good = dnnl_engine_create(&p->engine, dnnl_cpu, 0) == dnnl_success &&
                dnnl_stream_create(&p->stream, p->engine, dnnl_stream_default_flags) == dnnl_success &&
                operand(&a, q->M, q->K, q->a_type, q->a_tag) && operand(&w, q->K, q->N, q->w_type, q->w_tag) &&
                operand(&asked, q->K, q->N, q->w_type, q->packed ? dnnl_format_tag_any : q->w_tag) &&
                operand(&c, q->M, q->N, dnnl_f32, dnnl_ab) &&
                dnnl_matmul_desc_init(&op, &a, &asked, NULL, &c) == dnnl_success &&
                dnnl_primitive_desc_create(&desc, &op, NULL, p->engine, NULL) == dnnl_success &&
                dnnl_primitive_create(&p->matmul, desc) == dnnl_success &&
                dnnl_memory_create(&p->a, &a, p->engine, a_lent.out) == dnnl_success &&
                dnnl_memory_create(&p->c, &c, p->engine, q->c) == dnnl_success;
    if (good && q->packed) good = pack(p, dnnl_primitive_desc_query_md(desc, dnnl_query_weights_md, 0), &w, q->w);
    else if (good) good = dnnl_memory_create(&p->w, &w, p->engine, w_lent.out) == dnnl_success;
    dnnl_primitive_desc_destroy(desc);
    return good;
}

static peer_dnnl *build(const plan *q)
{
    peer_dnnl *p = calloc(1, sizeof *p);

    if (p && create(p, q)) return p;
    peer_dnnl_free(p);
    return NULL;
}

peer_dnnl *peer_dnnl_plain(nn_form form, float *c, const float *a, const float *b, size_t M, size_t N, size_t K)
{
    return build(&(plan){a, b, c, M, N, K, dnnl_f32, dnnl_f32, form == NN_TN ? dnnl_ba : dnnl_ab,
                         form == NN_NT ? dnnl_ba : dnnl_ab, false});
}

peer_dnnl *peer_dnnl_packed(float *c, const float *a, const float *w, size_t M, size_t N, size_t K)
{
    return build(&(plan){a, w, c, M, N, K, dnnl_f32, dnnl_f32, dnnl_ab, dnnl_ba, true});
}

peer_dnnl *peer_dnnl_packed_i8(float *c, const uint8_t *a, const int8_t *w, size_t M, size_t N, size_t K)
{
    return build(&(plan){a, w, c, M, N, K, dnnl_u8, dnnl_s8, dnnl_ab, dnnl_ba, true});
}

void peer_dnnl_run(peer_dnnl *p)
{
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, p->a}, {DNNL_ARG_WEIGHTS, p->w}, {DNNL_ARG_DST, p->c}};

    dnnl_primitive_execute(p->matmul, p->stream, 3, args);
    dnnl_stream_wait(p->stream);
}

void peer_dnnl_free(peer_dnnl *p)
{
    if (!p) return;
    dnnl_primitive_destroy(p->matmul);
    dnnl_memory_destroy(p->a);
    dnnl_memory_destroy(p->w);
    dnnl_memory_destroy(p->c);
    dnnl_stream_destroy(p->stream);
    dnnl_engine_destroy(p->engine);
    free(p);
}

#else

const char *peer_dnnl_version(void)
{
    return NULL;
}

void peer_dnnl_sgemm(nn_form form, float *c, const float *a, const float *b, size_t M, size_t N, size_t K)
{
    (void)form, (void)c, (void)a, (void)b, (void)M, (void)N, (void)K;
}

peer_dnnl *peer_dnnl_plain(nn_form form, float *c, const float *a, const float *b, size_t M, size_t N, size_t K)
{
    (void)form, (void)c, (void)a, (void)b, (void)M, (void)N, (void)K;
    return NULL;
}

peer_dnnl *peer_dnnl_packed(float *c, const float *a, const float *w, size_t M, size_t N, size_t K)
{
    (void)c, (void)a, (void)w, (void)M, (void)N, (void)K;
    return NULL;
}

peer_dnnl *peer_dnnl_packed_i8(float *c, const uint8_t *a, const int8_t *w, size_t M, size_t N, size_t K)
{
    (void)c, (void)a, (void)w, (void)M, (void)N, (void)K;
    return NULL;
}

void peer_dnnl_run(peer_dnnl *p)
{
    (void)p;
}

void peer_dnnl_free(peer_dnnl *p)
{
    (void)p;
}
#endif
