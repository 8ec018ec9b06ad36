/* train_guard.c - the stage: wide part, out-of-fold logits, decoder, rounding, calibration.
 *
 * Reads: train_guard.h, train_impl.h.   Read next: train_units.c, train_loop.c.
 */
#include "guard/classify_impl.h"
#include "guard/label.h"
#include "guard/train_impl.h"
#include "nn/arena.h"
#include "nn/rng.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

guard_train_options guard_train_default(void)
{
    guard_train_options o = {.wide = true,
                             .decoder = true,
                             .wide_options = guard_wide_default(),
                             .folds = 5,
                             .model = nn_config_default(),
                             .epochs = 4.0,
                             .batch_tokens = 2048,
                             .adam = nn_adamw_default(),
                             .warmup = 0.1,
                             .category_weight = 0.2f,
                             .next_weight = 0.0f,
                             .label_smoothing = 0.02f,
                             .evaluate_every = 0,
                             .patience = 3,
                             .window = 256,
                             .stride = 128,
                             .store = NN_Q8_0,
                             .replay = 4.0,
                             .label = {-1, -1}};

    o.model.layers = 2;
    o.model.width = 96;
    o.model.head_dim = 24;
    o.model.ff = 256;
    o.model.pool = NN_POOL_MEAN_MAX;
    o.model.lm_head = o.model.tied = false;
    return o;
}

/* --- options ------------------------------------------------------------------------------------------ */

/* The decoder's configuration with what the stage knows: vocabulary, heads, length. */
static nn_config stage_config(const guard_train_options *o, size_t vocab, size_t n_category)
{
    nn_config c = o->model;

    if (!o->base) c.vocab = vocab; /* a base's embedding may have more rows than its tokenizer ids */
    c.n_class = 2;
    c.n_category = n_category;
    c.max_t = o->window;
    if (o->next_weight > 0.0f) c.lm_head = true;
    else c.lm_head = c.tied = false;
    return c;
}

static nn_status check_options(const guard_train_options *o, nn_err *err)
{
    if (!o->wide && !o->decoder)
        return nn_fail(err, NN_USAGE, "training: neither wide part nor decoder, want one of them");
    if (o->window < GUARD_WINDOW_MIN || o->window > GUARD_WINDOW_MAX)
        return nn_fail(err, NN_USAGE, "training: window of %zu tokens, want %d to %d", o->window, GUARD_WINDOW_MIN,
                       GUARD_WINDOW_MAX);
    if (o->stride < 1 || o->stride > o->window)
        return nn_fail(err, NN_USAGE, "training: stride of %zu tokens, want 1 to the window's %zu", o->stride,
                       o->window);
    if (!(o->epochs > 0.0 && o->epochs <= 1e6))
        return nn_fail(err, NN_USAGE, "training: %g epochs, want above 0", o->epochs);
    if (!(o->warmup >= 0.0 && o->warmup <= 1.0))
        return nn_fail(err, NN_USAGE, "training: warm-up %g, want 0 to 1", o->warmup);
    if (!(o->label_smoothing >= 0.0f && o->label_smoothing < 1.0f))
        return nn_fail(err, NN_USAGE, "training: label smoothing %g, want 0 to below 1",
                       (double)o->label_smoothing);
    if (o->lora.rank > 0 && !(o->base && o->decoder))
        return nn_fail(err, NN_USAGE, "training: adapters without a base, want a model to begin as");
    if (!(o->replay >= 0.0)) return nn_fail(err, NN_USAGE, "training: replay %g, want 0 or more", o->replay);
    return NN_OK;
}

static nn_status check_rows(const guard_units *u, nn_err *err)
{
    size_t n[2] = {0, 0};

    for (size_t g = 0; g < u->n_group; g++) n[u->rows->row[u->row[u->group[g]]].label == GUARD_UNSAFE]++;
    if (n[0] > 0 && n[1] > 0) return NN_OK;
    return nn_fail(err, NN_CONTENT, "training: %zu safe and %zu unsafe rows, want some of both", n[0], n[1]);
}

/* --- the wide part -------------------------------------------------------------------------------------- */

/* Held-out logits beside the validation windows. */
static nn_status wide_offsets(guard_units *u, const guard_wide *w, nn_err *err)
{
    guard_features f = {0};
    nn_status st = nn_alloc((void **)&u->offset, u->n + 1, sizeof *u->offset, err);

    for (size_t i = 0; i < u->n && st == NN_OK; i++)
        st = guard_wide_logit(w, &f, &u->texts->row[i], &u->offset[i], err);
    guard_features_free(&f);
    return st;
}

/* Logistic regression with this much regularisation says too little of what it knows; its scale on rows it has
 * not seen is fitted on the out-of-fold logits and put into the weights. WHY: the decoder cannot multiply the
 * wide logit, so it would spend itself on making up for it. */
static nn_status scale_wide(guard_wide *w, guard_units *u, nn_err *err)
{
    double *z = NULL, a, b;
    int *label = NULL;
    nn_status st;

    if ((st = nn_alloc((void **)&z, u->n, sizeof *z, err)) != NN_OK) goto done;
    if ((st = nn_alloc((void **)&label, u->n, sizeof *label, err)) != NN_OK) goto done;
    for (size_t i = 0; i < u->n; i++) {
        z[i] = (double)u->offset[i];
        label[i] = u->rows->row[u->row[i]].label;
    }
    guard_platt(&a, &b, z, label, u->n);
    for (size_t i = 0; i < u->n; i++) u->offset[i] = (float)(a * z[i] + b);
    for (size_t i = 0; i < (size_t)1 << w->bits; i++) w->weight[i] *= (float)a;
    w->bias = (float)(a * (double)w->bias + b);
done:
    nn_free(label);
    nn_free(z);
    return st;
}

/* Weights of the wide part: the windows' own, times the row's value in wide_weight_column. *out by nn_alloc. */
static nn_status wide_weights(double **out, const guard_units *u, const guard_train_options *o, nn_err *err)
{
    const double *factor = NULL;
    nn_status st;

    if ((st = guard_weight_column(&factor, u->rows, o->wide_weight_column, err)) != NN_OK) return st;
    if ((st = nn_alloc((void **)out, u->n + 1, sizeof **out, err)) != NN_OK) return st;
    for (size_t i = 0; i < u->n; i++) {
        const double w = factor ? factor[u->row[i]] : 1.0;
        (*out)[i] = u->weight[i] * (isnan(w) ? 1.0 : w);
    }
    return NN_OK;
}

static nn_status train_wide(guard_parts *p, guard_units *units, guard_units *valid, const guard_train_options *o,
                            const guard_job *job, nn_err *err)
{
    const nn_par *par = &job->exec->par;
    double *weight = NULL;
    nn_status st;

    if ((st = wide_weights(&weight, units, o, err)) != NN_OK) goto done;
    if ((st = guard_wide_train(&p->wide, units->texts, weight, &o->wide_options, par, err)) != NN_OK || !o->decoder)
        goto done;
    if ((st = nn_alloc((void **)&units->offset, units->n + 1, sizeof *units->offset, err)) != NN_OK) goto done;
    if ((st = guard_wide_out_of_fold(units->offset, units->texts, weight, o->folds, &o->wide_options, par, err)) !=
        NN_OK)
        goto done;
    if ((st = scale_wide(p->wide, units, err)) != NN_OK) goto done;
    st = wide_offsets(valid, p->wide, err);
done:
    nn_free(weight);
    return st;
}

/* --- the decoder ---------------------------------------------------------------------------------------- */

static bool same_shape(const nn_config *a, const nn_config *b)
{
    return a->vocab == b->vocab && a->layers == b->layers && a->width == b->width && a->heads == b->heads &&
           a->kv_heads == b->kv_heads && a->head_dim == b->head_dim && a->ff == b->ff && a->max_t == b->max_t &&
           a->rope == b->rope && a->qk_norm == b->qk_norm && a->qkv_bias == b->qkv_bias &&
           a->memory_rows == b->memory_rows && a->n_category == b->n_category && a->pool == b->pool &&
           a->sliding_window == b->sliding_window && a->rope_theta == b->rope_theta && a->norm_eps == b->norm_eps &&
           memcmp(a->rope_divisor, b->rope_divisor, sizeof a->rope_divisor) == 0;
}

static nn_status continue_decoder(nn_model **m, const nn_config *c, const guard_parts *init, const guard_parts *p,
                                  nn_err *err)
{
    char ours[65], theirs[65];

    if (!init->m) return nn_fail(err, NN_USAGE, "training: guard %s to begin with has no decoder", init->name);
    nn_tok_hash(p->tok, ours);
    nn_tok_hash(init->tok, theirs);
    if (strcmp(ours, theirs) != 0)
        return nn_fail(err, NN_USAGE, "training: guard %s to begin with has tokenizer %.16s, want this run's %.16s",
                       init->name, theirs, ours);
    if (!same_shape(c, nn_model_config(init->m)) || (c->lm_head && !nn_model_config(init->m)->lm_head))
        return nn_fail(err, NN_USAGE, "training: guard %s to begin with has a decoder of another shape",
                       init->name);
    if (!guard_format_equal(&init->format, &p->format))
        return nn_fail(err, NN_USAGE, "training: guard %s to begin with is asked by another template", init->name);
    return nn_model_floats(m, init->m, err);
}

/* What a language model has learnt of the text: tensors of the same name and shape. */
static nn_status warm_decoder(nn_model *m, const nn_model *warm, nn_err *err)
{
    size_t taken = 0;

    for (size_t i = 0; i < nn_model_tensors(m); i++) {
        const nn_tensor to = nn_model_tensor(m, i);
        nn_tensor from;

        if (!nn_model_find(warm, to.name, &from) || from.rows != to.rows || from.cols != to.cols) continue;
        const size_t n = to.rows * to.cols;
        nn_status st = NN_OK;

        if (from.data) memcpy(to.data, from.data, n * sizeof *to.data);
        else st = nn_dtype_to_f32(to.data, from.type, from.bytes, n, err);
        if (st != NN_OK) return st;
        taken++;
    }
    if (taken > 0) return NN_OK;
    return nn_fail(err, NN_USAGE,
                   "training: the language model to begin with shares no tensor's name and shape with the guard");
}

/* Bytes besides the model as it is loaded. */
static uint64_t base_extra(const guard_train_options *o, const nn_config *c)
{
    const size_t all = guard_train_plan(o).train_bytes;

    return o->lora.rank > 0 ? all : all - nn_config_params(c) * sizeof(float);
}

/* Another's weights, as floats where they are trained; the verdict head as the rows of its output matrix, or small. */
static nn_status base_decoder(nn_model **m, const guard_train_options *o, const nn_config *c, uint64_t seed,
                              nn_err *err)
{
    const nn_load_options load = {.floats = o->lora.rank == 0,
                                  .max_t = c->max_t,
                                  .n_class = c->n_class,
                                  .n_category = c->n_category,
                                  .pool = c->pool,
                                  .no_lm_head = !c->lm_head,
                                  .extra = base_extra(o, c)};
    nn_status st;

    if ((st = nn_pretrained_load(m, o->base, &load, err)) != NN_OK) return st;
    nn_model_init_heads(*m, seed);
    return o->label[0] >= 0 ? guard_label_head(*m, o->base, o->label, err) : NN_OK;
}

static nn_status make_decoder(nn_model **m, const guard_parts *p, const guard_classifier *init,
                              const guard_train_options *o, const guard_job *job, nn_err *err)
{
    const nn_config c = stage_config(o, nn_tok_vocab(p->tok), p->taxonomy.n);
    nn_rng rng = guard_job_rng(job, "model", 0);
    nn_status st;

    if (init) return continue_decoder(m, &c, &init->parts, p, err);
    if (o->base) return base_decoder(m, o, &c, o->model_seed ? o->model_seed : nn_rng_u64(&rng), err);
    if ((st = nn_model_build(m, &c, err)) != NN_OK) return st;
    nn_model_init(*m, o->model_seed ? o->model_seed : nn_rng_u64(&rng));
    return o->warm ? warm_decoder(*m, o->warm, err) : NN_OK;
}

/* --- the stage ------------------------------------------------------------------------------------------ */

static nn_status start_parts(guard_parts *p, const guard_corpus *train, const nn_tok *tok,
                             const guard_taxonomy *taxonomy, const guard_train_options *o, nn_err *err)
{
    nn_status st;

    memset(p, 0, sizeof *p);
    snprintf(p->name, sizeof p->name, "guard");
    p->taxonomy = *taxonomy;
    p->window = o->window;
    p->stride = o->stride;
    guard_parts_uncalibrated(p);
    guard_corpus_hash(train, p->corpus);
    if (o->format) p->format = *o->format;
    else if (nn_tok_is_own(tok)) guard_format_own(&p->format);
    else if ((st = guard_format_plain(&p->format, tok, err)) != NN_OK) return st;
    return nn_tok_clone(&p->tok, tok, err);
}

static nn_status check_base(const guard_parts *p, const guard_train_options *o, nn_err *err)
{
    const nn_status st = guard_format_check(&p->format, nn_tok_vocab(p->tok), p->window, err);

    if (st != NN_OK) return st;
    if (o->decoder && o->model.memory_rows > 0 && !nn_tok_is_own(p->tok))
        return nn_fail(err, NN_USAGE, "training: an n-gram memory beside another model's tokenizer, want memory 0");
    return o->base ? guard_check_base(o->base, p->tok, o->window, err) : NN_OK;
}

/* The adapters and their guard's name for their base: its file's or folder's, wherever it lies. */
static nn_status save_adapter(const nn_lora *l, const nn_config *c, const guard_train_options *o, nn_err *err)
{
    char base[256];

    nn_pretrained_base_name(o->base, base, sizeof base);
    return nn_lora_save(l, c, o->adapter, base, err);
}

/* Trains adapters beside p's decoder, whose matrices stay where they lie; then it is a float model that holds them. */
static nn_status train_adapters(guard_parts *p, const guard_units *units, const guard_units *valid,
                                const guard_train_options *o, guard_job *job, nn_err *err)
{
    nn_rng rng = guard_job_rng(job, "lora", 0);
    nn_lora_options lo = o->lora;
    nn_model *merged = NULL;
    nn_lora *l = NULL;
    nn_status st;

    lo.seed = nn_rng_u64(&rng);
    if ((st = nn_lora_build(&l, nn_model_config(p->m), &lo, err)) != NN_OK) goto done;
    if ((st = guard_train_decoder(p->m, l, p, units, valid, o, job, err)) != NN_OK) goto done;
    if (o->adapter && (st = save_adapter(l, nn_model_config(p->m), o, err)) != NN_OK) goto done;
    if ((st = nn_model_floats(&merged, p->m, err)) != NN_OK) goto done;
    if ((st = nn_lora_merge(merged, l, job->exec, err)) != NN_OK) goto done;
    nn_model_free(p->m);
    p->m = merged;
    merged = NULL;
done:
    nn_model_free(merged);
    nn_lora_free(l);
    return st;
}

static nn_status train_parts(guard_parts *p, guard_units *units, guard_units *valid, const guard_classifier *init,
                             const guard_train_options *o, guard_job *job, nn_err *err)
{
    nn_status st;

    if ((st = check_rows(units, err)) != NN_OK) return st;
    if (o->wide && (st = train_wide(p, units, valid, o, job, err)) != NN_OK) return st;
    if (!o->decoder) return guard_units_metrics(units, 0, job, err);
    if ((st = make_decoder(&p->m, p, init, o, job, err)) != NN_OK) return st;
    if (o->lora.rank > 0) return train_adapters(p, units, valid, o, job, err);
    return guard_train_decoder(p->m, NULL, p, units, valid, o, job, err);
}

nn_status guard_train(guard_classifier **out, const guard_corpus *train, const guard_corpus *valid,
                      const char *weight_column, const nn_tok *tok, const guard_taxonomy *taxonomy,
                      const guard_classifier *init, const guard_train_options *o, guard_job *job, nn_err *err)
{
    guard_units units = {0}, held = {0};
    guard_classifier *g = NULL;
    guard_parts p = {.tok = NULL};
    nn_status st;

    *out = NULL;
    if ((st = check_options(o, err)) != NN_OK) goto done;
    if ((st = guard_exec_check(job->exec, o->window, err)) != NN_OK) goto done;
    if ((st = start_parts(&p, train, tok, taxonomy, o, err)) != NN_OK) goto done;
    if ((st = check_base(&p, o, err)) != NN_OK) goto done;
    if ((st = guard_units_build(&units, train, &p, weight_column, true, job, err)) != NN_OK) goto done;
    if ((st = guard_units_build(&held, valid, &p, NULL, false, job, err)) != NN_OK) goto done;
    if ((st = train_parts(&p, &units, &held, init, o, job, err)) != NN_OK) goto done;
    if ((st = guard_classifier_build(&g, &p, err)) != NN_OK) goto done;
    memset(&p, 0, sizeof p); /* the classifier owns them now */
    if ((st = guard_classifier_round(g, o->store, err)) != NN_OK) goto done;
    if ((st = guard_classifier_calibrate(g, valid, job, err)) != NN_OK) goto done;
    *out = g;
    g = NULL;
done:
    guard_classifier_close(g);
    guard_units_free(&units);
    guard_units_free(&held);
    nn_tok_free(p.tok);
    nn_model_free(p.m);
    guard_wide_free(p.wide);
    return st;
}

/* The trainer, and the weights twice: as they are and as they were best. With adapters these are small, and the weights
 * stand there once, after training, with what is merged into them. */
static size_t decoder_bytes(const guard_train_options *o, const nn_config *c)
{
    const size_t floats = nn_config_params(c) * sizeof(float);
    const nn_trainer_options room = guard_train_room(o);

    if (o->lora.rank == 0) return nn_trainer_bytes(c, room) + 2 * floats;
    return nn_trainer_bytes_lora(c, room, &o->lora) + floats;
}

guard_train_cost guard_train_plan(const guard_train_options *o)
{
    const nn_config c = stage_config(o, o->model.vocab, o->model.n_category);
    const size_t wide = o->wide ? (size_t)1 << o->wide_options.bits : 0;
    guard_train_cost cost = {wide, 0, 4 * wide * sizeof(float), 0};

    if (!o->decoder) return cost;
    cost.params += nn_config_params(&c);
    cost.active_params = nn_config_active_params(&c);
    cost.train_bytes += decoder_bytes(o, &c);
    const uint64_t most = (uint64_t)o->steps * o->batch_tokens;
    cost.tokens = most > 0 && (o->token_budget == 0 || o->token_budget > most) ? most : o->token_budget;
    return cost;
}
