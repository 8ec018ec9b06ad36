/* lm_train.c - next-token training of the generator: units to packed batches, batches to steps.
 *
 * Reads: lm_impl.h, checkpoint.h.   Read next: rollout.c (what the trained model writes).
 * A unit (lm_units.c) is a text with its control prefix; pass p sees the units in an order drawn for (stage, p), end
 * to end, cut into batches of at most batch_tokens positions. So where a run stands is one number, and a resumed run
 * goes on with the same batches.
 */
#include "guard/checkpoint.h"
#include "guard/lm_impl.h"
#include "nn/arena.h"
#include <math.h>
#include <string.h>

#define CHECKPOINT_STEPS 50u /* our choice: seconds of work at the size of a laptop */
#define EVALUATIONS 8u       /* validation losses of a run */
#define LR_FLOOR 0.1         /* of the cosine */

/* --- where a run stands ---------------------------------------------------------------------------------- */

typedef struct {
    const guard_lm_options *o;
    guard_job *job;
    guard_lm *g;
    nn_lora *lora; /* or NULL: all of g's weights are trained */
    nn_trainer *t;
    guard_lm_units train, valid;
    size_t *order;      /* [train.n] of pass `pass` */
    size_t pass;        /* SIZE_MAX: none drawn yet */
    uint64_t at, total; /* units seen and to see, passes end to end */
    uint64_t step, steps;
    uint64_t tokens, all_tokens; /* positions */
    uint64_t key;
    /* one batch */
    size_t max_rows, n_rows, n_seg, n_target;
    int32_t *ids, *next;
    float *weight;
    size_t *start;
} lm_run;

static size_t unit_length(const guard_lm_units *u, size_t i)
{
    return u->start[i + 1] - u->start[i];
}

/* The unit at place `at` of the endless sequence of passes. */
static size_t unit_at(lm_run *r, uint64_t at)
{
    const size_t pass = (size_t)(at / r->train.n);

    if (pass != r->pass) {
        nn_rng rng = guard_job_rng(r->job, "order", pass);

        nn_rng_shuffle(&rng, r->order, r->train.n);
        r->pass = pass;
    }
    return r->order[at % r->train.n];
}

/* The place after the batch that begins at `at`, and its positions. */
static uint64_t batch_end(lm_run *r, uint64_t at, size_t *rows)
{
    for (*rows = 0; at < r->total; at++) {
        const size_t n = unit_length(&r->train, unit_at(r, at));

        if (*rows > 0 && *rows + n > r->o->batch_tokens) break;
        *rows += n;
    }
    return at;
}

/* Walks through all batches once, so that the schedule knows its end and the budget is never overdrawn. */
static void count_steps(lm_run *r)
{
    size_t rows = 0;

    r->total = (uint64_t)(r->o->epochs * (double)r->train.n);
    for (uint64_t at = 0; at < r->total; r->steps++) {
        if (r->o->steps > 0 && r->steps == r->o->steps) break;
        at = batch_end(r, at, &rows);
        if (r->o->token_budget > 0 && r->all_tokens + rows > r->o->token_budget) break;
        r->all_tokens += rows;
    }
}

static void begin_batch(lm_run *r)
{
    r->n_rows = r->n_seg = r->n_target = 0;
    r->start[0] = 0;
}

static void batch_unit(lm_run *r, const guard_lm_units *u, size_t i)
{
    const size_t n = unit_length(u, i);

    NN_ASSERT(r->n_rows + n <= r->max_rows);
    memcpy(r->ids + r->n_rows, u->ids + u->start[i], n * sizeof *r->ids);
    r->n_target += guard_lm_unit_targets(r->next + r->n_rows, u, i);
    r->n_rows += n;
    r->start[++r->n_seg] = r->n_rows;
}

/* Mean loss of the batch's targets; to learn from, or to look at. */
static double batch_loss(lm_run *r, bool learn)
{
    const nn_batch b = {r->ids, {r->start, r->n_seg}, NULL, NULL};
    nn_targets y = {.next = r->next, .next_weight = r->weight};

    for (size_t i = 0; i < r->n_rows; i++) r->weight[i] = 1.0f / (float)(r->n_target ? r->n_target : 1);
    return (learn ? nn_trainer_fwd_bwd : nn_trainer_fwd)(r->t, r->job->exec, &b, &y).loss;
}

/* Nats a token over the validation texts. */
static double valid_loss(lm_run *r)
{
    double loss = 0.0;
    size_t targets = 0;

    for (size_t i = 0; i < r->valid.n;) {
        begin_batch(r);
        for (; i < r->valid.n && (r->n_seg == 0 || r->n_rows + unit_length(&r->valid, i) <= r->max_rows); i++)
            batch_unit(r, &r->valid, i);
        loss += batch_loss(r, false) * (double)r->n_target;
        targets += r->n_target;
    }
    return loss / (double)(targets ? targets : 1);
}

/* --- steps ----------------------------------------------------------------------------------------------- */

static nn_status save(lm_run *r, nn_err *err)
{
    const uint64_t word[] = {r->at, r->step, r->tokens};

    return guard_checkpoint_save(r->t, r->job, r->key, guard_checkpoint_mark(r->job), word, 3, err);
}

static nn_status resume(lm_run *r, nn_err *err)
{
    uint64_t *word = NULL;
    size_t n = 0;
    const nn_status st = guard_checkpoint_load(r->t, r->job, r->key, 3, &word, &n, err);

    if (st != NN_OK || !word) return st;
    const bool fits = n == 3 && word[0] <= r->total && word[1] <= r->steps && word[2] <= r->all_tokens;
    if (fits) {
        r->at = word[0];
        r->step = word[1];
        r->tokens = word[2];
    }
    nn_free(word);
    return fits ? NN_OK : nn_fail(err, NN_FILE, "%s: a step beyond the end of this stage", r->job->checkpoint);
}

static nn_status train_step(lm_run *r, nn_err *err)
{
    nn_adamw adam = r->o->adam;
    size_t rows = 0;
    const uint64_t end = batch_end(r, r->at, &rows);
    nn_status st;

    begin_batch(r);
    for (; r->at < end; r->at++) batch_unit(r, &r->train, unit_at(r, r->at));
    const double rate = nn_schedule_cosine((size_t)r->step, (size_t)(r->o->warmup * (double)r->steps),
                                           (size_t)r->steps, LR_FLOOR);
    adam.lr = (float)((double)adam.lr * rate);
    const double loss = batch_loss(r, true);
    const double norm = nn_trainer_step(r->t, r->job->exec, &adam);
    if (!isfinite(loss) || !isfinite(norm))
        return nn_fail(err, NN_CONTENT,
                       "generator: step %llu: loss or gradient is not finite, want a lower learning rate",
                       (unsigned long long)r->step + 1);
    r->step++;
    r->tokens += rows;
    if ((st = guard_job_metric(r->job, r->step, "loss", loss, err)) != NN_OK) return st;
    if ((st = guard_job_metric(r->job, r->step, "lr", (double)adam.lr, err)) != NN_OK) return st;
    if ((st = guard_job_metric(r->job, r->step, "grad_norm", norm, err)) != NN_OK) return st;
    if (r->valid.n > 0 && r->step * EVALUATIONS / r->steps != (r->step - 1) * EVALUATIONS / r->steps)
        return guard_job_metric(r->job, r->step, "valid_loss", valid_loss(r), err);
    return NN_OK;
}

static nn_status train_all(lm_run *r, nn_err *err)
{
    nn_status st = resume(r, err);

    while (st == NN_OK && r->step < r->steps) {
        if ((st = train_step(r, err)) != NN_OK) break;
        const bool go_on = guard_job_go_on(r->job, r->tokens, r->all_tokens, "tokens");
        if (!go_on || r->step % CHECKPOINT_STEPS == 0) st = save(r, err);
        if (st == NN_OK && !go_on)
            st = nn_fail(err, NN_STOP, "generator: stopped at step %llu", (unsigned long long)r->step);
    }
    return st;
}

/* --- build ----------------------------------------------------------------------------------------------- */

/* Field by field: padding has no value. */
static uint64_t hash_number(uint64_t h, double v)
{
    return nn_hash64(&v, sizeof v, h);
}

static uint64_t run_key(const lm_run *r)
{
    const guard_lm_options *o = r->o;
    const double number[] = {o->epochs,
                             o->warmup,
                             (double)o->token_budget,
                             (double)o->steps,
                             (double)o->batch_tokens,
                             (double)o->adam.lr,
                             (double)o->adam.beta1,
                             (double)o->adam.beta2,
                             (double)o->adam.eps,
                             (double)o->adam.weight_decay,
                             (double)o->adam.clip};
    char model[65];
    uint64_t h = nn_hash64(r->train.ids, r->train.n_ids * sizeof *r->train.ids, r->job->seed);

    for (size_t i = 0; i < sizeof number / sizeof *number; i++) h = hash_number(h, number[i]);
    for (size_t i = 0; i < 4; i++) h = hash_number(h, (double)o->adam.lr_scale[i]);
    nn_model_hash(r->g->m, model); /* the weights that the stage starts from */
    h = nn_hash64(model, sizeof model, h);
    for (size_t i = 0; r->lora && i < nn_lora_tensors(r->lora); i++) {
        const nn_tensor t = nn_lora_tensor(r->lora, i);
        h = nn_hash64(t.data, t.rows * t.cols * sizeof *t.data, h);
    }
    return nn_hash64(r->train.start, (r->train.n + 1) * sizeof *r->train.start, h);
}

/* The same tokenizer and as much room; another taxonomy and prompt are put in. */
static nn_status continue_model(guard_lm **out, const nn_tok *tok, const guard_taxonomy *taxonomy,
                                const guard_lm *init, const guard_lm_options *o, nn_err *err)
{
    const char *prompt = o->prompt ? o->prompt : init->prompt.text;
    nn_model *m = NULL;
    char a[65], b[65];
    nn_status st;

    nn_tok_hash(tok, a);
    nn_tok_hash(init->tok, b);
    if (strcmp(a, b) != 0)
        return nn_fail(err, NN_USAGE, "generator: init has tokenizer %.16s, want this run's %.16s", b, a);
    st = o->lora.rank > 0 ? nn_model_clone(&m, init->m, err) : nn_model_floats(&m, init->m, err);
    if (st != NN_OK) return st;
    if ((st = guard_lm_build(out, m, tok, taxonomy ? taxonomy : &init->taxonomy, prompt, err)) != NN_OK) {
        nn_model_free(m);
        return st;
    }
    if (nn_model_config(m)->max_t >= o->max_tokens + (*out)->prompt.room) return NN_OK;
    st = nn_fail(err, NN_USAGE, "generator: init has room for %zu tokens, want %zu and %zu before them",
                 nn_model_config(m)->max_t, o->max_tokens, (*out)->prompt.room);
    guard_lm_free(*out);
    *out = NULL;
    return st;
}

size_t guard_lm_train_rows(const guard_lm_options *o, size_t max_t)
{
    return o->batch_tokens > max_t ? o->batch_tokens : max_t;
}

size_t guard_lm_trainer_bytes(const guard_lm_options *o, const nn_config *c)
{
    const size_t rows = guard_lm_train_rows(o, c->max_t);
    const nn_trainer_options room = {.max_rows = rows, .max_seg = rows, .recompute = o->recompute};

    return o->lora.rank > 0 ? nn_trainer_bytes_lora(c, room, &o->lora) : nn_trainer_bytes(c, room);
}

nn_status guard_lm_config(nn_config *c, const nn_tok *tok, const guard_taxonomy *taxonomy, const guard_lm_options *o,
                          nn_err *err)
{
    guard_lm_prompt prompt = {.text = NULL};
    nn_status st;

    if ((st = guard_lm_prompt_build(&prompt, tok, taxonomy, o->prompt, err)) != NN_OK) return st;
    *c = o->base ? *nn_pretrained_config(o->base) : o->model;
    if (!o->base) c->vocab = nn_tok_vocab(tok);
    c->max_t = o->max_tokens + prompt.room;
    c->lm_head = true;
    c->memory_rows = c->n_class = c->n_category = 0;
    guard_lm_prompt_free(&prompt);
    if ((st = guard_lm_check(c, tok, c->max_t - o->max_tokens, err)) != NN_OK) return st;
    return nn_config_check(c, err);
}

/* The weights on disk, as floats where they are trained; training's memory is counted too. */
static nn_status load_base(nn_model **m, const nn_config *c, const guard_lm_options *o, nn_err *err)
{
    const nn_load_options load = {.floats = o->lora.rank == 0,
                                  .max_t = c->max_t,
                                  .extra = guard_lm_trainer_bytes(o, c)};

    return nn_pretrained_load(m, o->base, &load, err);
}

static nn_status new_model(nn_model **m, const nn_config *c, const guard_lm_options *o, const guard_job *job,
                           nn_err *err)
{
    nn_rng rng = guard_job_rng(job, "init", 0);
    const nn_status st = nn_model_build(m, c, err);

    if (st == NN_OK) nn_model_init(*m, o->model_seed ? o->model_seed : nn_rng_u64(&rng));
    return st;
}

static nn_status build_model(guard_lm **out, const nn_tok *tok, const guard_taxonomy *taxonomy, const guard_lm *init,
                             const guard_lm_options *o, const guard_job *job, nn_err *err)
{
    nn_model *m = NULL;
    nn_config c;
    nn_status st;

    if (init) return continue_model(out, tok, taxonomy, init, o, err);
    if ((st = guard_lm_config(&c, tok, taxonomy, o, err)) != NN_OK) return st;
    if ((st = o->base ? load_base(&m, &c, o, err) : new_model(&m, &c, o, job, err)) != NN_OK) return st;
    if ((st = guard_lm_build(out, m, tok, taxonomy, o->prompt, err)) != NN_OK) nn_model_free(m);
    return st;
}

static nn_status build_adapters(lm_run *r, nn_err *err)
{
    nn_rng rng = guard_job_rng(r->job, "lora", 0);
    nn_lora_options o = r->o->lora;

    if (o.rank == 0) return NN_OK;
    o.seed = nn_rng_u64(&rng);
    return nn_lora_build(&r->lora, nn_model_config(r->g->m), &o, err);
}

/* The weights with the adapters in them, as floats of g's own: what g began from may be closed then. */
static nn_status merge_in_memory(lm_run *r, nn_err *err)
{
    nn_model *m = NULL;
    nn_status st;

    if ((st = nn_model_floats(&m, r->g->m, err)) != NN_OK) return st;
    if ((st = nn_lora_merge(m, r->lora, r->job->exec, err)) != NN_OK) {
        nn_model_free(m);
        return st;
    }
    nn_model_free(r->g->m);
    r->g->m = m;
    return NN_OK;
}

/* The same through a file: a row at a time, and afterwards it lies there. */
static nn_status merge_through_file(lm_run *r, nn_err *err)
{
    guard_lm *g = NULL;
    nn_status st;

    if ((st = guard_lm_write(r->g, r->lora, r->job->exec, r->o->file, err)) != NN_OK) return st;
    if ((st = guard_lm_open(&g, r->o->file, err)) != NN_OK) return st;
    nn_trainer_free(r->t);
    r->t = NULL;
    guard_lm_free(r->g);
    r->g = g;
    return NN_OK;
}

/* Adapters as a folder of their own, then into the weights. */
static nn_status merge_adapters(lm_run *r, const nn_pretrained *from, nn_err *err)
{
    char base[256] = "train_generator"; /* another stage's, which was trained before */
    nn_status st = NN_OK;

    if (from) nn_pretrained_base_name(from, base, sizeof base);
    if (r->o->adapter) st = nn_lora_save(r->lora, nn_model_config(r->g->m), r->o->adapter, base, err);
    if (st != NN_OK) return st;
    return r->o->file ? merge_through_file(r, err) : merge_in_memory(r, err);
}

static nn_status build_run(lm_run *r, const guard_corpus *train, const guard_corpus *valid, nn_err *err)
{
    const size_t longest = nn_model_config(r->g->m)->max_t;
    nn_status st;

    if ((st = guard_lm_units_add(&r->train, r->g, train, r->o, err)) != NN_OK) return st;
    if (valid && (st = guard_lm_units_add(&r->valid, r->g, valid, r->o, err)) != NN_OK) return st;
    if (r->train.n == 0)
        return nn_fail(err, NN_CONTENT, "generator: %zu rows and no text to learn from, want requests with a label",
                       train->n);
    r->max_rows = guard_lm_train_rows(r->o, longest);
    if ((st = nn_alloc((void **)&r->order, r->train.n, sizeof *r->order, err)) != NN_OK) return st;
    if ((st = nn_alloc((void **)&r->ids, r->max_rows, sizeof *r->ids, err)) != NN_OK) return st;
    if ((st = nn_alloc((void **)&r->next, r->max_rows, sizeof *r->next, err)) != NN_OK) return st;
    if ((st = nn_alloc((void **)&r->weight, r->max_rows, sizeof *r->weight, err)) != NN_OK) return st;
    if ((st = nn_alloc((void **)&r->start, r->max_rows + 1, sizeof *r->start, err)) != NN_OK) return st;
    if ((st = build_adapters(r, err)) != NN_OK) return st;
    const nn_trainer_options room = {.max_rows = r->max_rows, .max_seg = r->max_rows, .recompute = r->o->recompute,
                                     .lora = r->lora};
    if ((st = nn_trainer_build(&r->t, r->g->m, room, err)) != NN_OK) return st;
    count_steps(r);
    r->key = run_key(r);
    return NN_OK;
}

static void free_run(lm_run *r)
{
    guard_lm_units_free(&r->train);
    guard_lm_units_free(&r->valid);
    nn_free(r->order);
    nn_free(r->ids);
    nn_free(r->next);
    nn_free(r->weight);
    nn_free(r->start);
    nn_trainer_free(r->t);
    nn_lora_free(r->lora);
}

nn_status guard_lm_train(guard_lm **out, const guard_corpus *train, const guard_corpus *valid, const nn_tok *tok,
                         const guard_taxonomy *taxonomy, const guard_lm *init, const guard_lm_options *o,
                         guard_job *job, nn_err *err)
{
    guard_lm *g = NULL;
    nn_status st;

    *out = NULL;
    if (o->max_tokens == 0 || o->batch_tokens == 0 || !(o->epochs >= 0.0 && o->epochs <= 1e6) ||
        !(o->warmup >= 0.0 && o->warmup <= 1.0))
        return nn_fail(
            err, NN_USAGE,
            "generator: max_tokens, batch_tokens, epochs or warmup out of range, want above 0 and warmup 0 to 1");
    if ((st = build_model(&g, tok, taxonomy, init, o, job, err)) != NN_OK) return st;
    lm_run r = {.o = o, .job = job, .g = g, .pass = SIZE_MAX};
    if ((st = build_run(&r, train, valid, err)) == NN_OK) st = train_all(&r, err);
    if (st == NN_OK && r.lora) st = merge_adapters(&r, init ? NULL : o->base, err);
    if (st == NN_OK) {
        job->tokens_used += r.tokens;
        *out = r.g;
        r.g = NULL;
    }
    free_run(&r);
    guard_lm_free(r.g);
    return st;
}
