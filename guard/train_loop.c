/* train_loop.c - passes, batches, steps, evaluations, checkpoints of a guard's decoder.
 *
 * Reads: train_impl.h, checkpoint.h.   Read next: train_batch.c.
 * A pass takes the first window of every row and one more of each long safe row; with a focus column, the rows
 * with a value there and `replay` drawn others for each. Its order is drawn by pass. Batches are filled from it
 * up to batch_tokens, across the end of a pass.
 * Learning rate: warm-up and cosine over *tokens*, whose number is known beforehand while that of steps is not.
 * Counted against the budget: positions that are trained on. The validation rows' forward passes are not (they
 * change no weight).
 * Everything a step reads is a function of the words in the checkpoint, so a resumed run goes on to the same bytes.
 */
#include "guard/checkpoint.h"
#include "guard/train_impl.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include "nn/safetensors.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define SAVE_EVERY 20u /* steps between checkpoints */
#define EVALUATIONS 8u /* of a run, when the script does not say */
#define PATH_EXTRA 8u  /* ".best0" and its zero byte */
#define HASH_SEED 0x67756172647472u

/* What a checkpoint keeps, in this order; W_EVALUATED: the step of the last evaluation. */
enum { W_STEP, W_PASS, W_POSITION, W_TOKENS, W_BEST_LOSS, W_SINCE_BEST, W_BEST_SLOT, W_BEST_HASH, W_MODEL_HASH,
       W_EVALUATED, W_COUNT };
enum { NO_SLOT = 2 }; /* best weights are in slot 0 or 1, or there are none yet */

/* What a checkpoint calls the weights that may change: the tensors of a model that have floats, and of adapters. */
typedef struct {
    nn_model *m;
    nn_lora *lora; /* or NULL */
} weights;

typedef struct {
    weights now, best;
    nn_trainer *t;
    const guard_units *units, *valid;
    const guard_train_options *o;
    guard_job *job;
    guard_train_batch batch;
    size_t *order, n_order, order_pass; /* units of pass order_pass; n_order 0: not made */
    size_t *group, n_focus;             /* groups, those in focus first */
    uint64_t word[W_COUNT], total, key;
    bool best_saved; /* the slot holds what best is */
} loop;

static uint64_t bits_of(double v)
{
    uint64_t u;

    memcpy(&u, &v, sizeof u);
    return u;
}

static double double_of(uint64_t u)
{
    double v;

    memcpy(&v, &u, sizeof v);
    return v;
}

/* --- the order of a pass ----------------------------------------------------------------------------- */

static nn_status find_focus(loop *l, nn_err *err)
{
    const guard_units *u = l->units;
    const guard_column *col = l->o->focus_column ? guard_corpus_find(u->rows, l->o->focus_column) : NULL;
    size_t rest = 0;

    if (l->o->focus_column && (!col || col->kind == GUARD_COL_STR))
        return nn_fail(err, NN_CONTENT, "focus: no column of numbers called %s", l->o->focus_column);
    for (size_t g = 0; g < u->n_group; g++)
        if (!col || !isnan(col->num[u->row[u->group[g]]])) l->group[l->n_focus++] = g;
    for (size_t g = 0; g < u->n_group && l->n_focus < u->n_group; g++)
        if (isnan(col->num[u->row[u->group[g]]])) l->group[l->n_focus + rest++] = g;
    if (l->n_focus == 0)
        return nn_fail(err, NN_CONTENT, "focus: no labelled row has a value in column %s", l->o->focus_column);
    return NN_OK;
}

/* The first window, and the further one of this pass. */
static void add_group(loop *l, size_t g, size_t pass, size_t *list)
{
    const guard_units *u = l->units;
    const size_t first = u->group[g], more = u->group[g + 1] - first - 1;

    list[l->n_order++] = first;
    if (more == 0) return;
    nn_rng rng = guard_job_rng(l->job, "more", guard_row_hash(&u->rows->row[u->row[first]]));
    rng.pos = pass;
    list[l->n_order++] = first + 1 + (size_t)nn_rng_below(&rng, more);
}

/* Writes the units of the pass into order[0..n_order). order has room for two lists: the second is scratch. */
static void make_order(loop *l, size_t pass)
{
    const size_t n = l->units->n_group, rest = n - l->n_focus;
    const double wanted = floor(l->o->replay * (double)l->n_focus);
    const size_t replay = wanted < (double)rest ? (size_t)wanted : rest;
    size_t *list = l->order + l->units->n;
    nn_rng replayed = guard_job_rng(l->job, "replay", pass), ordered = guard_job_rng(l->job, "order", pass);

    l->n_order = 0;
    l->order_pass = pass;
    for (size_t i = 0; i < l->n_focus; i++) add_group(l, l->group[i], pass, list);
    if (rest > 0) nn_rng_shuffle(&replayed, l->order, rest);
    for (size_t i = 0; i < replay; i++) add_group(l, l->group[l->n_focus + l->order[i]], pass, list);
    nn_rng_shuffle(&ordered, l->order, l->n_order);
    for (size_t i = 0; i < l->n_order; i++) l->order[i] = list[l->order[i]];
}

/* The unit at the loop's place; goes on to the next pass at the end of one. */
static size_t current_unit(loop *l)
{
    if (l->n_order > 0 && l->order_pass == l->word[W_PASS] && l->word[W_POSITION] >= l->n_order) {
        l->word[W_PASS]++;
        l->word[W_POSITION] = 0;
    }
    if (l->n_order == 0 || l->order_pass != l->word[W_PASS]) make_order(l, (size_t)l->word[W_PASS]);
    return l->order[l->word[W_POSITION]];
}

static uint64_t pass_tokens(loop *l)
{
    uint64_t n = 0;

    make_order(l, 0);
    for (size_t i = 0; i < l->n_order; i++) n += l->units->start[l->order[i] + 1] - l->units->start[l->order[i]];
    return n;
}

/* --- checkpoints --------------------------------------------------------------------------------------- */

static size_t n_weights(const weights *w)
{
    return nn_model_tensors(w->m) + (w->lora ? nn_lora_tensors(w->lora) : 0);
}

/* data is NULL where a matrix lies in its file, frozen. */
static nn_tensor weights_at(const weights *w, size_t i)
{
    const size_t n = nn_model_tensors(w->m);

    return i < n ? nn_model_tensor(w->m, i) : nn_lora_tensor(w->lora, i - n);
}

/* Of a float model its own hash; beside adapters the weights that may change. */
static uint64_t weights_word(const weights *w)
{
    char hex[65];
    uint64_t h = 0;

    if (!w->lora) {
        nn_model_hash(w->m, hex);
        return nn_hash64(hex, 64, 0);
    }
    for (size_t i = 0; i < n_weights(w); i++) {
        const nn_tensor t = weights_at(w, i);
        if (t.data) h = nn_hash64(t.data, t.rows * t.cols * sizeof *t.data, h);
    }
    return h;
}

static void weights_copy(const weights *to, const weights *from)
{
    for (size_t i = 0; i < n_weights(to); i++) {
        const nn_tensor t = weights_at(to, i), f = weights_at(from, i);
        if (t.data) memcpy(t.data, f.data, t.rows * t.cols * sizeof *t.data);
    }
}

static nn_status best_path(char **path, const loop *l, size_t slot, nn_err *err)
{
    const size_t len = strlen(l->job->checkpoint) + PATH_EXTRA;
    const nn_status st = nn_alloc((void **)path, len, 1, err);

    if (st == NN_OK) snprintf(*path, len, "%s.best%zu", l->job->checkpoint, slot);
    return st;
}

static nn_status write_best(const loop *l, size_t slot, nn_err *err)
{
    const size_t n = n_weights(&l->best);
    nn_st_out *out = NULL;
    nn_tensor *t = NULL;
    char *path = NULL;
    size_t used = 0;
    nn_status st;

    if ((st = best_path(&path, l, slot, err)) != NN_OK) goto done;
    if ((st = nn_alloc((void **)&out, n, sizeof *out, err)) != NN_OK) goto done;
    if ((st = nn_alloc((void **)&t, n, sizeof *t, err)) != NN_OK) goto done;
    for (size_t i = 0; i < n; i++) {
        t[i] = weights_at(&l->best, i);
        if (t[i].data) out[used++] = (nn_st_out){t[i].name, t[i].rows == 1 ? 0 : t[i].rows, t[i].cols, t[i].data};
    }
    st = nn_st_write(path, out, used, NULL, 0, err);
done:
    nn_free(t);
    nn_free(out);
    nn_free(path);
    return st;
}

static nn_status read_best(loop *l, nn_err *err)
{
    nn_safetensors *f = NULL;
    char *path = NULL;
    nn_status st;

    if ((st = best_path(&path, l, (size_t)l->word[W_BEST_SLOT], err)) != NN_OK) goto done;
    if ((st = nn_st_open(&f, path, err)) != NN_OK) goto done;
    for (size_t i = 0; i < n_weights(&l->best) && st == NN_OK; i++) {
        const nn_tensor t = weights_at(&l->best, i);
        const nn_st_tensor *have = nn_st_find(f, t.name);

        if (!t.data) continue;
        if (!have || have->type != NN_F32 || have->count != t.rows * t.cols)
            st = nn_fail(err, NN_FILE, "%s: %s is absent or has another shape, want [%zu, %zu]", path, t.name,
                         t.rows, t.cols);
        else st = nn_dtype_to_f32(t.data, have->type, have->data, have->count, err);
    }
    if (st == NN_OK && weights_word(&l->best) != l->word[W_BEST_HASH])
        st = nn_fail(err, NN_FILE,
                     "%s: weights changed since they were saved; without the checkpoint the stage starts over",
                     path);
    l->best_saved = true;
done:
    nn_st_close(f);
    nn_free(path);
    return st;
}

/* Best weights first, into the slot that the last checkpoint does not name: a kill between the two leaves a
 * pair that belongs together. */
static nn_status save(loop *l, nn_err *err)
{
    nn_status st;

    if (!l->job->checkpoint) return NN_OK;
    if (l->word[W_BEST_HASH] != 0 && !l->best_saved) {
        const size_t slot = l->word[W_BEST_SLOT] == 0 ? 1 : 0;

        if ((st = write_best(l, slot, err)) != NN_OK) return st;
        l->word[W_BEST_SLOT] = slot;
        l->best_saved = true;
    }
    l->word[W_MODEL_HASH] = weights_word(&l->now);
    return guard_checkpoint_save(l->t, l->job, l->key, guard_checkpoint_mark(l->job), l->word, W_COUNT, err);
}

static nn_status restore(loop *l, nn_err *err)
{
    uint64_t *word = NULL;
    size_t n = 0;
    nn_status st;

    if ((st = guard_checkpoint_load(l->t, l->job, l->key, W_COUNT, &word, &n, err)) != NN_OK || !word) return st;
    memcpy(l->word, word, sizeof l->word);
    nn_free(word);
    if (weights_word(&l->now) != l->word[W_MODEL_HASH])
        return nn_fail(err, NN_FILE,
                       "%s: weights changed since they were saved; without this file the stage starts over",
                       l->job->checkpoint);
    return l->word[W_BEST_SLOT] == NO_SLOT ? NN_OK : read_best(l, err);
}

/* --- evaluation ----------------------------------------------------------------------------------------- */

static nn_status valid_loss(loop *l, double *mean, nn_err *err)
{
    const guard_units *u = l->valid;
    double loss = 0.0;
    nn_status st = NN_OK;

    for (size_t i = 0; i < u->n;) {
        nn_batch b;
        nn_targets y;

        guard_train_batch_clear(&l->batch, u);
        for (; i < u->n && guard_train_batch_fits(&l->batch, i, l->o->batch_tokens) && st == NN_OK; i++)
            st = guard_train_batch_add(&l->batch, i, err);
        if (st != NN_OK) return st;
        guard_train_batch_close(&l->batch, false, &b, &y);
        loss += nn_trainer_fwd(l->t, l->job->exec, &b, &y).label_loss;
    }
    *mean = loss / (double)u->n;
    return st;
}

static void keep_best(loop *l, double loss)
{
    weights_copy(&l->best, &l->now);
    l->word[W_BEST_LOSS] = bits_of(loss);
    l->word[W_BEST_HASH] = weights_word(&l->best);
    l->word[W_SINCE_BEST] = 0;
    l->best_saved = false;
}

static nn_status evaluate(loop *l, nn_err *err)
{
    double loss = 0.0;
    nn_status st;

    l->word[W_EVALUATED] = l->word[W_STEP];
    if (l->valid->n == 0) return NN_OK;
    if ((st = valid_loss(l, &loss, err)) != NN_OK) return st;
    l->word[W_SINCE_BEST]++;
    if (loss < double_of(l->word[W_BEST_LOSS])) keep_best(l, loss);
    return guard_job_metric(l->job, l->word[W_STEP], "valid_loss", loss, err);
}

/* --- steps ---------------------------------------------------------------------------------------------- */

static nn_status fill(loop *l, nn_err *err)
{
    const uint64_t left = l->total - l->word[W_TOKENS];
    nn_status st = NN_OK;

    guard_train_batch_clear(&l->batch, l->units);
    for (;;) {
        const size_t unit = current_unit(l), n = l->units->start[unit + 1] - l->units->start[unit];

        if (guard_train_batch_tokens(&l->batch) + n > left ||
            !guard_train_batch_fits(&l->batch, unit, l->o->batch_tokens))
            return NN_OK;
        if ((st = guard_train_batch_add(&l->batch, unit, err)) != NN_OK) return st;
        l->word[W_POSITION]++;
    }
}

static nn_status step(loop *l, nn_err *err)
{
    const size_t tokens = guard_train_batch_tokens(&l->batch);
    const size_t warm = (size_t)(l->o->warmup * (double)l->total), seen = (size_t)l->word[W_TOKENS] + tokens;
    nn_adamw adam = l->o->adam;
    nn_batch b;
    nn_targets y;
    nn_status st;

    adam.lr *= (float)nn_schedule_cosine(seen - 1, warm, (size_t)l->total, 0.0);
    guard_train_batch_close(&l->batch, true, &b, &y);
    const nn_losses loss = nn_trainer_fwd_bwd(l->t, l->job->exec, &b, &y);
    const double norm = nn_trainer_step(l->t, l->job->exec, &adam);
    l->word[W_STEP]++;
    l->word[W_TOKENS] = seen;
    l->job->tokens_used += tokens;
    if (!isfinite(loss.loss) || !isfinite(norm))
        return nn_fail(err, NN_CONTENT,
                       "training: loss or gradient is not finite at step %llu, want a smaller learning rate",
                       (unsigned long long)l->word[W_STEP]);
    if (l->word[W_STEP] == 1 && (st = guard_units_metrics(l->units, 1, l->job, err)) != NN_OK) return st;
    if ((st = guard_job_metric(l->job, l->word[W_STEP], "loss", loss.loss, err)) != NN_OK) return st;
    if ((st = guard_job_metric(l->job, l->word[W_STEP], "lr", (double)adam.lr, err)) != NN_OK) return st;
    return guard_job_metric(l->job, l->word[W_STEP], "grad_norm", norm, err);
}

/* Whether the step that saw tokens (before, after] ends a stretch between evaluations. */
static bool evaluation_due(const loop *l, uint64_t before)
{
    const uint64_t after = l->word[W_TOKENS];

    if (l->o->evaluate_every > 0) return l->word[W_STEP] % l->o->evaluate_every == 0;
    return before * EVALUATIONS / l->total != after * EVALUATIONS / l->total;
}

static nn_status run(loop *l, nn_err *err)
{
    nn_status st;

    while ((l->o->patience == 0 || l->word[W_SINCE_BEST] < l->o->patience) &&
           (l->o->steps == 0 || l->word[W_STEP] < l->o->steps)) {
        const uint64_t before = l->word[W_TOKENS];

        if (!guard_job_go_on(l->job, before, l->total, "tokens")) {
            if ((st = save(l, err)) != NN_OK) return st;
            return nn_fail(err, NN_STOP, "training: stopped after %llu of %llu tokens", (unsigned long long)before,
                           (unsigned long long)l->total);
        }
        if ((st = fill(l, err)) != NN_OK) return st;
        if (guard_train_batch_tokens(&l->batch) == 0) break;
        if ((st = step(l, err)) != NN_OK) return st;
        if (evaluation_due(l, before) && (st = evaluate(l, err)) != NN_OK) return st;
        if (l->word[W_STEP] % SAVE_EVERY == 0 && (st = save(l, err)) != NN_OK) return st;
    }
    return l->word[W_EVALUATED] == l->word[W_STEP] ? NN_OK : evaluate(l, err);
}

/* --- all of it ------------------------------------------------------------------------------------------ */

/* What a checkpoint must agree on; the run folder has already compared the stage's options and inputs. */
static nn_status make_key(loop *l, const guard_parts *p, nn_err *err)
{
    const weights whole = {l->now.m, NULL}; /* frozen weights too */
    guard_buf b = {0};
    char hex[65];

    guard_corpus_hash(l->units->texts, hex);
    guard_buf_str(&b, hex);
    guard_corpus_hash(l->valid->texts, hex);
    guard_buf_str(&b, hex);
    nn_tok_hash(p->tok, hex);
    guard_buf_str(&b, hex);
    guard_buf_fmt(&b, "%llu %zu %zu %zu %llu", (unsigned long long)l->total, l->o->batch_tokens, l->o->window,
                  nn_config_params(nn_model_config(l->now.m)), (unsigned long long)weights_word(&whole));
    if (l->now.lora) guard_buf_fmt(&b, " %llu", (unsigned long long)weights_word(&l->now));
    const nn_status st = guard_buf_status(&b, err);
    if (st == NN_OK) l->key = nn_hash64(b.bytes, b.len, HASH_SEED);
    guard_buf_free(&b);
    return st;
}

static nn_status loop_open(loop *l, const guard_parts *p, nn_err *err)
{
    const guard_train_options *o = l->o;
    nn_trainer_options room = guard_train_room(o);
    nn_status st;

    if ((st = nn_alloc((void **)&l->order, l->units->n, 2 * sizeof *l->order, err)) != NN_OK) return st;
    if ((st = nn_alloc((void **)&l->group, l->units->n_group, sizeof *l->group, err)) != NN_OK) return st;
    if ((st = find_focus(l, err)) != NN_OK) return st;
    if ((st = guard_train_batch_build(&l->batch, p, nn_model_config(l->now.m), o, err)) != NN_OK) return st;
    room.lora = l->now.lora;
    if ((st = nn_trainer_build(&l->t, l->now.m, room, err)) != NN_OK) return st;
    if ((st = nn_model_clone(&l->best.m, l->now.m, err)) != NN_OK) return st;
    if (l->now.lora &&
        (st = nn_lora_build(&l->best.lora, nn_model_config(l->now.m), nn_lora_options_of(l->now.lora), err)) != NN_OK)
        return st;
    const double whole = floor(o->epochs * (double)pass_tokens(l));
    l->total = o->token_budget > 0 && (double)o->token_budget < whole ? o->token_budget : (uint64_t)whole;
    if (o->steps > 0 && l->total / o->batch_tokens >= o->steps) l->total = o->steps * o->batch_tokens;
    l->word[W_BEST_LOSS] = bits_of((double)INFINITY);
    l->word[W_BEST_SLOT] = NO_SLOT;
    return make_key(l, p, err);
}

nn_status guard_train_decoder(nn_model *m, nn_lora *lora, const guard_parts *p, const guard_units *units,
                              const guard_units *valid, const guard_train_options *o, guard_job *job, nn_err *err)
{
    loop l = {.now = {m, lora}, .units = units, .valid = valid, .o = o, .job = job};
    nn_status st;

    if ((st = loop_open(&l, p, err)) != NN_OK) goto done;
    if ((st = restore(&l, err)) != NN_OK) goto done;
    job->tokens_used += l.word[W_TOKENS]; /* of the part that an earlier process did */
    st = run(&l, err);
    if (st == NN_OK) st = save(&l, err);
    if (st == NN_OK && l.word[W_BEST_HASH] != 0) weights_copy(&l.now, &l.best);
done:
    guard_train_batch_free(&l.batch);
    nn_trainer_free(l.t);
    nn_model_free(l.best.m);
    nn_lora_free(l.best.lora);
    nn_free(l.order);
    nn_free(l.group);
    return st;
}
