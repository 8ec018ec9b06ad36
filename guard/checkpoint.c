/* checkpoint.c - the words travel as a JSON array of 16 hex digits each: key, mark, then the stage's own. */
#include "guard/checkpoint.h"
#include "guard/buf.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include <string.h>

enum { DIGITS = 16, OWN = 2 /* words before the stage's: key, mark */ };

uint64_t guard_checkpoint_mark(guard_job *job)
{
    return job->metrics_mark ? job->metrics_mark(job->ctx) : 0;
}

static void put_word(guard_buf *b, uint64_t v)
{
    char hex[DIGITS];

    for (size_t i = 0; i < DIGITS; i++) hex[i] = "0123456789abcdef"[v >> 4 * (DIGITS - 1 - i) & 15u];
    guard_json_comma(b);
    guard_json_str(b, hex, DIGITS);
}

nn_status guard_checkpoint_save(const nn_trainer *t, guard_job *job, uint64_t key, uint64_t mark,
                                const uint64_t *word, size_t n_word, nn_err *err)
{
    guard_buf b = {0};
    nn_status st;

    if (!job->checkpoint) return NN_OK;
    guard_buf_str(&b, "[");
    put_word(&b, key);
    put_word(&b, mark);
    for (size_t i = 0; i < n_word; i++) put_word(&b, word[i]);
    guard_buf_str(&b, "]");
    if ((st = guard_buf_status(&b, err)) == NN_OK) st = nn_trainer_save(t, job->checkpoint, b.bytes, err);
    guard_buf_free(&b);
    return st;
}

/* ["0123..", "..."]: exactly what put_word wrote, so every item has one length and nothing is left over. */
static bool read_words(uint64_t *word, size_t n, const char *text)
{
    const char *at = text;

    if (*at++ != '[') return false;
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && *at++ != ',') return false;
        if (*at++ != '"') return false;
        word[i] = 0;
        for (size_t j = 0; j < DIGITS; j++, at++) {
            const bool digit = *at >= '0' && *at <= '9';

            if (!digit && !(*at >= 'a' && *at <= 'f')) return false;
            word[i] = word[i] << 4 | (uint64_t)(digit ? *at - '0' : *at - 'a' + 10);
        }
        if (*at++ != '"') return false;
    }
    return at[0] == ']' && at[1] == '\0';
}

nn_status guard_checkpoint_load(nn_trainer *t, guard_job *job, uint64_t key, size_t min_word, uint64_t **word,
                                size_t *n_word, nn_err *err)
{
    char *meta = NULL;
    void *block = NULL;
    nn_status st = NN_OK;

    *word = NULL;
    *n_word = 0;
    if (!job->checkpoint || !nn_path_exists(job->checkpoint)) return NN_OK;
    if ((st = nn_trainer_load(t, job->checkpoint, &meta, err)) != NN_OK) return st;
    const size_t len = strlen(meta), item = DIGITS + 3; /* quotes and a comma or bracket; one bracket more */
    const size_t n = len > 0 ? (len - 1) / item : 0;
    if ((st = nn_alloc(&block, n + 1, sizeof(uint64_t), err)) != NN_OK) goto done;
    uint64_t *const read = block;
    if (n < OWN + min_word || !read_words(read, n, meta)) {
        st = nn_fail(err, NN_FILE, "%s: metadata of %zu bytes, want the words of this stage", job->checkpoint, len);
        goto done;
    }
    if (read[0] != key) {
        st = nn_fail(
            err, NN_FILE,
            "%s: a checkpoint of other data or options, want this stage's; without this file the stage starts over",
            job->checkpoint);
        goto done;
    }
    if (job->metrics_rewind && (st = job->metrics_rewind(job->ctx, read[1], err)) != NN_OK) goto done;
    memmove(read, read + OWN, (n - OWN) * sizeof *read);
    *word = read;
    *n_word = n - OWN;
    block = NULL;
done:
    nn_free(block);
    nn_free(meta);
    return st;
}
