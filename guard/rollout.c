/* rollout.c - requests drawn from the generator: ids with their log-probabilities, and the same as rows.
 *
 * Reads: lm_impl.h, nn/decode.h.   Read next: policy.c (learns from them), measure.c (measures them).
 * A draw is a function of (seed, stage, row, position): who else is decoded beside a row changes nothing.
 */
#include "guard/lm_impl.h"
#include "nn/arena.h"
#include "nn/unicode.h"
#include <string.h>

#define SLOTS 64u      /* sequences at once: memory and speed, never a bit */
#define TOLD_ROWS 256u /* rows between two calls of progress */

void guard_rollout_free(guard_rollout *r)
{
    if (!r) return;
    nn_free(r->ids);
    nn_free(r->logprob);
    nn_free(r->start);
    nn_free(r->prefix);
    memset(r, 0, sizeof *r);
}

static nn_status rollout_room(guard_rollout *r, size_t n, size_t each, nn_err *err)
{
    nn_status st;

    if (each > SIZE_MAX / sizeof(int32_t) / (n + 1))
        return nn_fail(err, NN_LIMIT, "generate: %zu rows of %zu tokens", n, each);
    if ((st = nn_alloc((void **)&r->ids, n * each, sizeof *r->ids, err)) != NN_OK) return st;
    if ((st = nn_alloc((void **)&r->logprob, n * each, sizeof *r->logprob, err)) != NN_OK) return st;
    if ((st = nn_alloc((void **)&r->start, n + 1, sizeof *r->start, err)) != NN_OK) return st;
    return nn_alloc((void **)&r->prefix, n, sizeof *r->prefix, err);
}

/* Each row was drawn behind its prefix in a place of `each` ids; the places close up. */
static void pack(guard_rollout *r, const nn_decode_row *row, size_t n, size_t each)
{
    for (size_t i = 0; i < n; i++) {
        const size_t len = r->prefix[i] + row[i].n_out, to = r->start[i];

        memmove(r->ids + to, r->ids + i * each, len * sizeof *r->ids);
        memmove(r->logprob + to, r->logprob + i * each, len * sizeof *r->logprob);
        r->start[i + 1] = to + len;
    }
    r->n = n;
}

nn_status guard_rollout_draw(guard_rollout *r, const guard_lm *g, const int *label, const size_t *category, size_t n,
                             const nn_sampler *s, size_t max_new, uint64_t first_row, bool tell, guard_job *job,
                             nn_err *err)
{
    const size_t room = nn_model_config(g->m)->max_t - g->prompt.room, longest = max_new < room ? max_new : room,
                 each = g->prompt.room + longest;
    nn_sampler sampler = *s;
    nn_decoder *d = NULL;
    nn_decode_row *row = NULL;
    nn_status st;

    memset(r, 0, sizeof *r);
    sampler.banned = g->banned;
    sampler.stop = g->eos;
    if ((st = rollout_room(r, n, each, err)) != NN_OK) goto done;
    if ((st = nn_alloc((void **)&row, n, sizeof *row, err)) != NN_OK) goto done;
    if ((st = nn_decoder_build(&d, g->m, n < SLOTS && n > 0 ? n : SLOTS, err)) != NN_OK) goto done;
    for (size_t i = 0; i < n; i++) {
        int32_t *ids = r->ids + i * each;
        const int32_t *prefix = guard_lm_prefix(g, label[i], category[i], &r->prefix[i]);

        memcpy(ids, prefix, r->prefix[i] * sizeof *ids);
        row[i] = (nn_decode_row){.prompt = ids,
                                 .n_prompt = r->prefix[i],
                                 .max_new = longest,
                                 .out = ids + r->prefix[i],
                                 .logprob = r->logprob + i * each + r->prefix[i],
                                 .rng = guard_job_rng(job, "generate", first_row + i)};
    }
    for (size_t i = 0; i < n; i += TOLD_ROWS) {
        if (tell && !guard_job_go_on(job, i, n, "rows")) {
            st = nn_fail(err, NN_STOP, "generate: stopped at row %zu", i);
            goto done;
        }
        nn_decode_batch(g->m, d, job->exec, row + i, n - i < TOLD_ROWS ? n - i : TOLD_ROWS, &sampler, NULL, NULL);
    }
    pack(r, row, n, each);
    for (size_t i = 0; i < n; i++) job->tokens_used += row[i].n_out;
done:
    nn_decoder_free(d);
    nn_free(row);
    if (st != NN_OK) guard_rollout_free(r);
    return st;
}

/* --- as rows --------------------------------------------------------------------------------------------- */

typedef struct {
    char *bytes, *text; /* as decoded; as valid UTF-8 */
    size_t bytes_cap, text_cap;
} text_room;

static nn_status decode_text(text_room *t, guard_text *out, const guard_lm *g, const int32_t *ids, size_t n,
                             nn_err *err)
{
    size_t len = 0, more = 0;
    nn_status st;

    if (n > 0 && ids[n - 1] == g->eos) n--;
    /* Not nn_tok_decode: a blank before the first word is the text's, not the tokenizer's. */
    for (size_t i = 0; i < n; i++) {
        const char *bytes = nn_tok_bytes(g->tok, ids[i], &more);

        if ((st = nn_grow((void **)&t->bytes, &t->bytes_cap, len + more + 1, 1, err)) != NN_OK) return st;
        if (more) memcpy(t->bytes + len, bytes, more);
        len += more;
    }
    if ((st = nn_grow((void **)&t->bytes, &t->bytes_cap, len + 1, 1, err)) != NN_OK) return st;
    if ((st = nn_grow((void **)&t->text, &t->text_cap, NN_UTF8_REPAIR_ROOM(len) + 1, 1, err)) != NN_OK) return st;
    *out = (guard_text){t->text, nn_utf8_repair(t->text, t->bytes, len, NULL)};
    return NN_OK;
}

static nn_status write_ops(guard_buf *b, int label, const char *category, uint64_t draw, nn_err *err)
{
    guard_buf_clear(b);
    guard_buf_str(b, "[{\"generate\":{");
    guard_json_key(b, "label");
    guard_buf_fmt(b, "%d", label);
    guard_json_key(b, "category");
    if (category)
        guard_json_str(b, category, strlen(category));
    else
        guard_json_null(b);
    guard_json_key(b, "draw");
    guard_json_u64(b, draw);
    guard_buf_str(b, "}}]");
    return guard_buf_status(b, err);
}

nn_status guard_rollout_rows(guard_corpus *out, const guard_rollout *r, const guard_lm *g, const int *label,
                             const size_t *category, uint64_t first_row, const guard_job *job, nn_err *err)
{
    static const char source[] = "generator";
    text_room t = {0};
    guard_buf ops = {0};
    nn_status st = NN_OK;

    for (size_t i = 0; i < r->n && st == NN_OK; i++) {
        const char *name = category[i] < g->taxonomy.n ? g->taxonomy.category[category[i]].name : NULL;
        const size_t at = r->start[i] + r->prefix[i];
        guard_row row = {.label = label[i], .source = {source, sizeof source - 1}};

        if (name) row.category = (guard_text){name, strlen(name)};
        guard_row_id(row.id, job->stream ? job->stream : "", "", "generate", first_row + i);
        if ((st = write_ops(&ops, label[i], name, first_row + i, err)) != NN_OK) break;
        row.ops = (guard_text){ops.bytes, ops.len};
        if ((st = decode_text(&t, &row.text, g, r->ids + at, r->start[i + 1] - at, err)) != NN_OK) break;
        st = guard_corpus_add(out, &row, err);
    }
    guard_buf_free(&ops);
    nn_free(t.bytes);
    nn_free(t.text);
    return st;
}

nn_status guard_lm_generate(const guard_lm *g, guard_corpus *out, guard_rollout *rollout, const int *label,
                            const size_t *category, size_t n, const nn_sampler *s, size_t max_new, uint64_t first_row,
                            guard_job *job, nn_err *err)
{
    guard_rollout r = {0};
    nn_status st;

    if (rollout) memset(rollout, 0, sizeof *rollout);
    if (max_new == 0) return nn_fail(err, NN_USAGE, "generate: 0 tokens, want at least 1");
    if ((st = guard_rollout_draw(&r, g, label, category, n, s, max_new, first_row, true, job, err)) != NN_OK)
        return st;
    if ((st = guard_rollout_rows(out, &r, g, label, category, first_row, job, err)) == NN_OK && rollout) {
        *rollout = r;
        return NN_OK;
    }
    guard_rollout_free(&r);
    return st;
}
