#include "guard/ask/prompt.h"
#include "guard/nearest.h"
#include "nn/arena.h"
#include "nn/rng.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN 30u     /* bytes of a template in a message */
#define PLACE_MAX 64u /* bytes of a place's name, zero byte included; columns have fewer */

/* --- places ------------------------------------------------------------------------------- */

/* What a template goes on with: `len` bytes of text as they stand (a brace from "{{" too), or a place. */
typedef struct {
    const char *text;
    size_t len;
    char place[PLACE_MAX]; /* "": text */
} piece;

static nn_status next_piece(piece *p, const char *s, size_t len, size_t *at, nn_err *err)
{
    const char *from = s + *at, *brace = memchr(from, '{', len - *at);
    const size_t plain = brace ? (size_t)(brace - from) : len - *at;

    p->place[0] = '\0';
    p->text = from;
    p->len = plain;
    *at += plain;
    if (plain > 0 || !brace) return NN_OK;
    if (*at + 1 < len && s[*at + 1] == '{') {
        p->len = 1;
        *at += 2;
        return NN_OK;
    }
    const char *end = memchr(brace, '}', len - *at);
    const size_t n = end ? (size_t)(end - brace - 1) : 0;
    const int shown = len - *at < SHOWN ? (int)(len - *at) : (int)SHOWN;
    if (!end)
        return nn_fail(err, NN_CONTENT, "prompt: '%.*s': a brace that is not closed, want {column}, or {{ for a brace",
                       shown, brace);
    if (n == 0 || n >= PLACE_MAX || memchr(brace, '\0', n))
        return nn_fail(err, NN_CONTENT, "prompt: '%.*s': not the name of a column, want {{ for a brace", shown, brace);
    memcpy(p->place, brace + 1, n);
    p->place[n] = '\0';
    *at += n + 2;
    return NN_OK;
}

static nn_status unknown_place(const char *name, const guard_corpus *c, nn_err *err)
{
    const char *names[GUARD_ROW_FIELDS + 64];
    size_t n = 0;

    for (; guard_row_fields[n]; n++) names[n] = guard_row_fields[n];
    for (size_t i = 0; i < c->n_col && i < 64; i++) names[n++] = c->col[i].name;
    const char *near = guard_nearest(name, names, n);
    if (near) return nn_fail(err, NN_CONTENT, "prompt: {%s}: no such column, did you mean {%s}?", name, near);
    return nn_fail(err, NN_CONTENT, "prompt: {%s}: no such column, want one of the rows' (or {{ for a brace)", name);
}

nn_status guard_prompt_check(const guard_message *m, size_t n, const guard_corpus *c, nn_err *err)
{
    const guard_row none = {.label = GUARD_LABEL_NONE};
    nn_status st = NN_OK;

    for (size_t i = 0; i < n; i++) {
        for (size_t at = 0; at < m[i].len;) {
            guard_text unused;
            piece p;

            if ((st = next_piece(&p, m[i].text, m[i].len, &at, err)) != NN_OK) return st;
            if (p.place[0] && !guard_row_field(&unused, &none, p.place) && !guard_corpus_find(c, p.place))
                return unknown_place(p.place, c, err);
        }
    }
    return NN_OK;
}

/* The shortest digits that give the number back; people and models read 0.1, not 0.10000000000000001. */
static void put_number(guard_buf *b, double v)
{
    char text[32], best[32];

    guard_fmt_double(best, v);
    for (int digits = 0; fabs(v) < 1e15 && digits <= 12; digits++) {
        guard_fmt_fixed(text, v, digits);
        if (strtod(text, NULL) != v) continue;
        memcpy(best, text, sizeof best);
        break;
    }
    guard_buf_str(b, best);
}

static nn_status put_place(guard_buf *b, const char *name, const guard_corpus *c, size_t row, nn_err *err)
{
    guard_text t = {NULL, 0};

    if (guard_row_field(&t, &c->row[row], name)) {
        if (t.s) guard_buf_add(b, t.s, t.n);
        return NN_OK;
    }
    const guard_column *col = guard_corpus_find(c, name);
    if (!col) return unknown_place(name, c, err);
    if (col->kind == GUARD_COL_STR) {
        if (col->str[row].s) guard_buf_add(b, col->str[row].s, col->str[row].n);
    } else if (!isnan(col->num[row])) {
        if (col->kind == GUARD_COL_BOOL) guard_buf_str(b, col->num[row] != 0.0 ? "true" : "false");
        else put_number(b, col->num[row]);
    }
    return NN_OK;
}

/* --- questions ---------------------------------------------------------------------------- */

void guard_questions_free(guard_questions *q)
{
    guard_buf_free(&q->text);
    nn_free(q->part);
    nn_free(q->end);
    nn_free(q->message);
    nn_free(q->question);
    memset(q, 0, sizeof *q);
}

/* Room for one conversation of n messages. */
static nn_status make_room(guard_questions *q, size_t n, nn_err *err)
{
    void *part = q->part, *end = q->end;
    nn_status st = nn_grow(&part, &q->part_cap, q->n_part + n, sizeof *q->part, err);

    q->part = part;
    if (st == NN_OK) st = nn_grow(&end, &q->end_cap, q->n + 1, sizeof *q->end, err);
    q->end = end;
    return st;
}

/* What was written since `at` is the next message. */
static void end_message(guard_questions *q, guard_role role, size_t at)
{
    q->part[q->n_part++] = (struct guard_prompt_part){role, at, q->text.len - at};
    guard_buf_add(&q->text, "", 1);
}

nn_status guard_questions_fill(guard_questions *q, const guard_message *m, size_t n, const guard_corpus *c, size_t row,
                               nn_err *err)
{
    nn_status st = make_room(q, n, err);

    for (size_t i = 0; i < n && st == NN_OK; i++) {
        const size_t start = q->text.len;

        for (size_t at = 0; at < m[i].len && st == NN_OK;) {
            piece p;

            if ((st = next_piece(&p, m[i].text, m[i].len, &at, err)) != NN_OK) break;
            if (p.place[0]) st = put_place(&q->text, p.place, c, row, err);
            else guard_buf_add(&q->text, p.text, p.len);
        }
        end_message(q, m[i].role, start);
    }
    if (st != NN_OK || (st = guard_buf_status(&q->text, err)) != NN_OK) return st;
    q->end[q->n++] = q->n_part;
    return NN_OK;
}

nn_status guard_questions_add(guard_questions *q, const guard_message *m, size_t n, nn_err *err)
{
    nn_status st = make_room(q, n, err);

    if (st != NN_OK) return st;
    for (size_t i = 0; i < n; i++) {
        const size_t start = q->text.len;

        guard_buf_add(&q->text, m[i].text, m[i].len);
        end_message(q, m[i].role, start);
    }
    if ((st = guard_buf_status(&q->text, err)) != NN_OK) return st;
    q->end[q->n++] = q->n_part;
    return NN_OK;
}

nn_status guard_questions_seal(guard_questions *q, size_t per, const guard_corpus *c, uint64_t seed,
                               const char *stream, nn_err *err)
{
    void *message = NULL, *question = NULL;
    nn_status st = NN_OK;

    NN_ASSERT(q->n == c->n && !q->question && per > 0);
    if (per > SIZE_MAX / (q->n + 1)) return nn_fail(err, NN_LIMIT, "%zu rows, %zu questions each: too many", q->n, per);
    st = nn_alloc(&message, q->n_part + 1, sizeof *q->message, err);
    q->message = message;
    if (st == NN_OK) st = nn_alloc(&question, q->n * per + 1, sizeof *q->question, err);
    q->question = question;
    if (st != NN_OK) return st;
    for (size_t i = 0; i < q->n_part; i++)
        q->message[i] = (guard_message){q->part[i].role, q->text.bytes + q->part[i].at, q->part[i].len};
    for (size_t i = 0; i < q->n; i++) {
        const size_t from = i ? q->end[i - 1] : 0;
        nn_rng rng = nn_rng_at(seed, stream, guard_row_hash(&c->row[i]));

        for (size_t k = 0; k < per; k++)
            q->question[i * per + k] = (guard_question){q->message + from, q->end[i] - from, nn_rng_u64(&rng)};
    }
    return NN_OK;
}
