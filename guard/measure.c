/* measure.c - what a reward may look at: the guard's p, the reward judge's p, novelty, repetition, words.
 *
 * Reads: adversary_impl.h, minhash.h.   Read next: adversary.c, scripts/adversary.lua (what is paid).
 *   novelty     1 - max over seeds |G and S| / |G|, G and S the word trigrams of the row and of a seed
 *   repetition  1 - distinct / all word trigrams of the row
 * Containment, not resemblance: a copied seed is no more novel for being cut or for standing in a longer one.
 */
#include "guard/adversary_impl.h"
#include "nn/arena.h"
#include "nn/mathf.h"
#include <stdlib.h>
#include <string.h>

nn_status guard_measure_build(guard_measure *m, const guard_classifier *guard, const guard_wide *reward_judge,
                              const guard_corpus *seeds, nn_err *err)
{
    nn_status st;

    memset(m, 0, sizeof *m);
    m->guard = guard;
    m->judge = reward_judge;
    if ((st = guard_shingle_sets_build(&m->sets, seeds, 3, err)) == NN_OK)
        st = guard_shingle_index_build(&m->index, &m->sets, err);
    if (st != NN_OK) guard_measure_free(m);
    return st;
}

void guard_measure_free(guard_measure *m)
{
    guard_shingle_sets_free(&m->sets);
    guard_shingle_index_free(&m->index);
}

static nn_status ask_guard(const guard_measure *m, guard_corpus *c, const char *stage, const guard_job *job,
                           nn_err *err)
{
    guard_job quiet = *job; /* a part of a stage that tells its own progress */
    guard_verdict *v = NULL;
    guard_column *p = NULL, *fooled = NULL;
    nn_status st;

    quiet.progress = NULL;
    if ((st = nn_alloc((void **)&v, c->n, sizeof *v, err)) != NN_OK) return st;
    if (c->n > 0 && (st = guard_score(m->guard, c, v, &quiet, err)) != NN_OK) goto done;
    if ((st = guard_corpus_column(c, "guard_p", stage, GUARD_COL_NUM, &p, err)) != NN_OK) goto done;
    for (size_t i = 0; i < c->n; i++) p->num[i] = (double)v[i].p_unsafe;
    if ((st = guard_corpus_column(c, "fooled", stage, GUARD_COL_BOOL, &fooled, err)) != NN_OK) goto done;
    for (size_t i = 0; i < c->n; i++)
        if (c->row[i].label != GUARD_LABEL_NONE)
            fooled->num[i] = v[i].flagged != (c->row[i].label == GUARD_UNSAFE) ? 1.0 : 0.0;
done:
    nn_free(v);
    return st;
}

static nn_status ask_judge(const guard_measure *m, guard_corpus *c, const char *stage, nn_err *err)
{
    guard_features f = {0};
    guard_column *p = NULL;
    nn_status st = guard_corpus_column(c, "judge_p", stage, GUARD_COL_NUM, &p, err);

    for (size_t i = 0; i < c->n && st == NN_OK; i++) {
        float z = 0.0f;

        st = guard_wide_logit(m->judge, &f, &c->row[i], &z, err);
        p->num[i] = nn_sigmoid((double)z);
    }
    guard_features_free(&f);
    return st;
}

static nn_status count_words(guard_measure *m, guard_corpus *c, const char *stage, nn_err *err)
{
    static const char *const name[] = {"novelty", "repetition", "words"};
    double *value[3] = {NULL, NULL, NULL};
    guard_shingles s = {0};
    nn_status st = NN_OK;

    for (size_t k = 0; k < 3 && st == NN_OK; k++) {
        guard_column *col = NULL;

        if ((st = guard_corpus_column(c, name[k], stage, GUARD_COL_NUM, &col, err)) == NN_OK) value[k] = col->num;
    }
    for (size_t i = 0; i < c->n && st == NN_OK; i++) {
        if ((st = guard_shingles_of(&s, &c->row[i], 3, err)) != NN_OK) break;
        const double n = (double)(s.n ? s.n : 1), total = (double)(s.total ? s.total : 1);

        value[0][i] = 1.0 - (double)guard_shingle_index_most(&m->index, s.gram, s.n) / n;
        value[1][i] = 1.0 - (s.total ? (double)s.n / total : 1.0);
        value[2][i] = (double)s.words;
    }
    guard_shingles_free(&s);
    return st;
}

nn_status guard_measure_rows(guard_measure *m, guard_corpus *c, const char *stage, const guard_job *job, nn_err *err)
{
    nn_status st;

    if ((st = ask_guard(m, c, stage, job, err)) != NN_OK) return st;
    if ((st = ask_judge(m, c, stage, err)) != NN_OK) return st;
    return count_words(m, c, stage, err);
}

static int ascending(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

nn_status guard_measure_distinct2(double *share, const guard_corpus *c, nn_err *err)
{
    guard_shingles s = {0};
    uint64_t *gram = NULL;
    size_t n = 0, cap = 0, total = 0, distinct = 0;
    nn_status st = NN_OK;

    *share = 1.0;
    for (size_t i = 0; i < c->n && st == NN_OK; i++) {
        if ((st = guard_shingles_of(&s, &c->row[i], 2, err)) != NN_OK || s.n == 0) continue;
        if ((st = nn_grow((void **)&gram, &cap, n + s.n, sizeof *gram, err)) != NN_OK) break;
        memcpy(gram + n, s.gram, s.n * sizeof *gram);
        n += s.n;
        total += s.total;
    }
    if (st == NN_OK && n > 0) {
        qsort(gram, n, sizeof *gram, ascending);
        for (size_t i = 0; i < n; i++) distinct += i == 0 || gram[i] != gram[i - 1];
        *share = (double)distinct / (double)total;
    }
    guard_shingles_free(&s);
    nn_free(gram);
    return st;
}

nn_status guard_adversary_measure(guard_corpus *c, const guard_classifier *guard, const guard_wide *reward_judge,
                                  const guard_corpus *seeds, const char *stage, guard_job *job, nn_err *err)
{
    guard_measure m;
    nn_status st;

    if (!guard_job_go_on(job, 0, c->n, "rows")) return nn_fail(err, NN_STOP, "measure: stopped");
    if ((st = guard_measure_build(&m, guard, reward_judge, seeds, err)) != NN_OK) return st;
    st = guard_measure_rows(&m, c, stage, job, err);
    guard_measure_free(&m);
    return st;
}
