/* op_products.c - several linear layers of one input, over packed, stored or int8 weights.
 *
 * Reads: matrix.h, kern.h.   Read next: model_body.c.
 * Two ways to split: by rows when there are many (each thread multiplies its rows with all matrices, and quantises
 * them itself), by panels of columns when there are few (each thread reads its own part of the weights, and only that:
 * with few rows the weights are what moves). Stored weights are always split by columns, so that each is made a float by
 * one thread only, in backward too. Threads own outputs, so neither way changes a bit.
 */
#include "nn/matrix.h"
#include "nn/op_impl.h"

enum {
    ROWS = 8,             /* of one item when rows are split */
    PANELS = 1,           /* of one item when columns are split: finer is more even, a piece still takes whole tiles */
    PIECE_WORK = 1 << 18, /* multiply-adds worth waking a thread for, about 5 us in fp32 */
    I8_FASTER = 4,
    READ_ROWS = 4 /* fewer rows take as long as these: reading the weights is what takes time */
};

typedef struct {
    const nn_exec *x;
    const nn_product *p;
    size_t n;
    const float *in;
    size_t R, K;
    nn_rows_i8 room;
    bool quantize; /* a piece of rows quantises its own */
} products;

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t items_of(const nn_matrix *w)
{
    const size_t columns = PANELS * NN_PANEL;

    return (w->N + columns - 1) / columns;
}

/* Rows [r0, r1) times columns [n0, n1) of one matrix; n0 is the start of a panel. */
static void block(const products *o, const nn_product *p, size_t r0, size_t r1, size_t n0, size_t n1, size_t thread)
{
    const nn_kern *k = o->x->k;
    const nn_matrix *w = p->w;
    const size_t K4 = nn_i8_cols(w->K);
    float *y = p->y + r0 * w->N + n0;

    if (w->i8)
        k->gemm_i8(y, w->N, o->room.q + r0 * K4, K4, o->room.scale + r0, w->i8 + n0 * K4, w->scale + n0, w->sum + n0,
                   r1 - r0, n1 - n0, K4);
    else if (!w->panels)
        k->gemm_stored(y, w->N, o->in + r0 * w->K, w->K, w->type, w->bytes + n0 * nn_dtype_bytes(w->type, w->K),
                       r1 - r0, n1 - n0, w->K, nn_exec_scratch(o->x, thread));
    else
        k->gemm_packed(y, w->N, o->in + r0 * w->K, w->K, 1, w->panels + n0 * w->K, w->K, r1 - r0, n1 - n0, w->K, false,
                       nn_exec_scratch(o->x, thread));
    if (!p->bias) return;
    for (size_t r = r0; r < r1; r++) k->add(p->y + r * w->N + n0, p->bias + n0, n1 - n0);
}

static void quantize_rows(void *ctx, size_t first, size_t last, size_t thread)
{
    const products *o = ctx;

    (void)thread;
    for (size_t r = first; r < last; r++)
        o->x->k->quantize_row(o->room.q + r * nn_i8_cols(o->K), o->room.scale + r, o->in + r * o->K, o->K);
}

static void piece_of_rows(void *ctx, size_t first, size_t last, size_t thread)
{
    const products *o = ctx;
    const size_t r0 = first * ROWS, r1 = smaller(last * ROWS, o->R);

    if (o->quantize) quantize_rows(ctx, r0, r1, thread);
    for (size_t i = 0; i < o->n; i++) block(o, o->p + i, r0, r1, 0, o->p[i].w->N, thread);
}

/* The columns of all matrices lie behind each other; a piece may end in one and begin in another. */
static void piece_of_columns(void *ctx, size_t first, size_t last, size_t thread)
{
    const products *o = ctx;
    size_t before = 0; /* items of the matrices passed */

    for (size_t i = 0; i < o->n; i++) {
        const nn_matrix *w = o->p[i].w;
        const size_t items = items_of(w), columns = PANELS * NN_PANEL;
        const size_t from = first > before ? smaller(first - before, items) : 0;
        const size_t to = last > before ? smaller(last - before, items) : 0;

        if (from < to) block(o, o->p + i, 0, o->R, from * columns, smaller(to * columns, w->N), thread);
        before += items;
    }
}

static size_t grain_of(size_t work, bool i8)
{
    const size_t worth = (size_t)PIECE_WORK * (i8 ? I8_FASTER : 1);

    return worth / (work + 1) + 1;
}

/* Whether products go panel by panel. */
static bool packed(const nn_matrix *w)
{
    return w->i8 || w->panels || w->bytes;
}

void nn_products_fwd(const nn_exec *x, const nn_product *p, size_t n, const float *in, size_t R, nn_rows_i8 room)
{
    const size_t K = p[0].w->K;
    products o = {x, p, n, in, R, K, room, false};
    size_t columns = 0, items = 0;
    bool i8 = false, stored = false;

    for (size_t i = 0; i < n; i++) {
        NN_ASSERT(p[i].w->K == K && packed(p[i].w) == packed(p[0].w) && (!p[i].w->i8 || room.q));
        columns += p[i].w->N;
        items += items_of(p[i].w);
        i8 = i8 || p[i].w->i8;
        stored = stored || !(p[i].w->i8 || p[i].w->panels);
    }
    if (!packed(p[0].w)) {
        for (size_t i = 0; i < n; i++) nn_linear_fwd(x, p[i].y, in, p[i].w->w, p[i].bias, R, p[i].w->N, K);
        return;
    }
    if (R >= columns && !stored) {
        o.quantize = i8;
        nn_par_run(&x->par, (R + ROWS - 1) / ROWS, grain_of(ROWS * columns * K, i8), piece_of_rows, &o);
        return;
    }
    const size_t as_rows = R < READ_ROWS ? READ_ROWS : R;
    if (i8) nn_par_run(&x->par, R, nn_grain(K), quantize_rows, &o);
    nn_par_run(&x->par, items, grain_of(PANELS * NN_PANEL * as_rows * K, i8), piece_of_columns, &o);
}

/* --- backward ------------------------------------------------------------------------------- */

enum {
    STORED_COLUMNS = 512, /* of a piece at most; whole blocks of every type */
    STORED_N = 512        /* rows of w that are floats at once, at most: a block of the kernel's own */
};
NN_STATIC_ASSERT(STORED_COLUMNS % NN_BLOCK_MAX == 0, pieces_are_whole_blocks);

typedef struct {
    const nn_exec *x;
    float *din;
    const float *dy;
    const nn_matrix *w;
    size_t R, columns; /* of a piece */
    bool add;
} stored_bwd;

/* Columns of din: w's rows [n0, n0 + n) at these columns become floats behind the kernel's scratch, then are added. */
static void bwd_columns(const stored_bwd *o, size_t k0, size_t cols, size_t thread)
{
    const nn_matrix *w = o->w;
    const nn_kern *k = o->x->k;
    const size_t row = nn_dtype_bytes(w->type, w->K), room = (o->x->scratch_len - k->gemm_scratch) / cols;
    const size_t most = smaller(room, STORED_N);
    float *scratch = nn_exec_scratch(o->x, thread), *rows = scratch + k->gemm_scratch;
    const unsigned char *from = w->bytes + nn_dtype_bytes(w->type, k0);

    for (size_t n0 = 0, n = 0; n0 < w->N; n0 += n) {
        n = smaller(w->N - n0, most);
        for (size_t i = 0; i < n; i++) k->from_stored(rows + i * cols, w->type, from + (n0 + i) * row, cols);
        k->gemm(o->din + k0, w->K, o->dy + n0, w->N, 1, rows, cols, 1, o->R, cols, n, o->add || n0 > 0, scratch);
    }
}

static void bwd_pieces(void *ctx, size_t first, size_t last, size_t thread)
{
    const stored_bwd *o = ctx;

    for (size_t i = first; i < last; i++)
        bwd_columns(o, i * o->columns, smaller(o->columns, o->w->K - i * o->columns), thread);
}

/* Stored: pieces are equal parts of every thread's share, so that each weight is made a float once. */
void nn_product_bwd(const nn_exec *x, float *din, const float *dy, const nn_matrix *w, size_t R, bool add)
{
    stored_bwd o = {.x = x, .din = din, .dy = dy, .w = w, .R = R, .add = add};

    if (w->w) {
        nn_matmul(x, NN_NN, din, dy, w->w, R, w->K, w->N, add);
        return;
    }
    NN_ASSERT(w->bytes && x->scratch_len - x->k->gemm_scratch >= STORED_COLUMNS);
    const size_t block = nn_dtype_block(w->type) > NN_PANEL ? nn_dtype_block(w->type) : NN_PANEL;
    const size_t share = (w->K + x->par.threads - 1) / x->par.threads, parts = (share - 1) / STORED_COLUMNS + 1;
    o.columns = ((share - 1) / parts / block + 1) * block;
    nn_par_run(&x->par, (w->K + o.columns - 1) / o.columns, grain_of(R * o.columns * w->N, false), bwd_pieces, &o);
}

/* --- making the packed form ---------------------------------------------------------------- */

size_t nn_matrix_panel_floats(size_t N, size_t K)
{
    const size_t panels = (N + NN_PANEL - 1) / NN_PANEL;

    return K > SIZE_MAX / NN_PANEL / (panels + 1) ? SIZE_MAX : panels * NN_PANEL * K;
}

typedef struct {
    const nn_exec *x;
    float *panels;
    nn_matrix from;
} packing;

static void pack_panels(void *ctx, size_t first, size_t last, size_t thread)
{
    const packing *o = ctx;
    const nn_matrix *m = &o->from;
    const size_t n0 = first * NN_PANEL, n1 = smaller(last * NN_PANEL, m->N), K = m->K;
    float *panels = o->panels + n0 * K;

    if (m->bytes)
        o->x->k->pack_stored(panels, m->type, m->bytes + n0 * nn_dtype_bytes(m->type, K), n1 - n0, K,
                             nn_exec_scratch(o->x, thread));
    else o->x->k->pack(panels, m->w + n0 * K, 1, K, n1 - n0, K);
}

static void pack_matrix(const nn_exec *x, float *panels, nn_matrix from)
{
    packing o = {x, panels, from};

    nn_par_run(&x->par, (from.N + NN_PANEL - 1) / NN_PANEL, nn_grain(NN_PANEL * from.K), pack_panels, &o);
}

void nn_matrix_pack(const nn_exec *x, float *panels, const float *w, size_t N, size_t K)
{
    pack_matrix(x, panels, (nn_matrix){.N = N, .K = K, .w = w});
}

void nn_matrix_pack_stored(const nn_exec *x, float *panels, const nn_matrix *m)
{
    NN_ASSERT(m->bytes);
    pack_matrix(x, panels, *m);
}
