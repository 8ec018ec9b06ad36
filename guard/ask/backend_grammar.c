/* backend_grammar.c - rules that write answers: a context-free grammar with weights, drawn by the question's seed.
 *
 * Reads: backend.h.   Read next: ask.c.
 * Rules are cut into parts once, when the back-end is built. Each symbol then knows the fewest steps in which it ends
 * (Knuth 1977, "A generalization of Dijkstra's algorithm"): a draw that would leave too few steps for what is still to
 * be written out gives way to the shortest alternative, so every expansion ends, whatever weights say.
 */
#include "guard/ask/backend.h"
#include "guard/folder.h"
#include "nn/arena.h"
#include "nn/unicode.h"
#include <math.h>
#include <string.h>

#define NEVER SIZE_MAX
#define TOO_MANY (GUARD_GRAMMAR_STEPS + 1u)
#define TOLD 64u /* questions between two calls of progress */

typedef enum { PART_TEXT, PART_SYMBOL, PART_PROMPT } part_kind;
typedef struct {
    part_kind kind;
    size_t at, len; /* TEXT: in text */
    size_t symbol;  /* SYMBOL */
} part;

typedef struct {
    size_t part, n; /* the first, how many */
    double upto;    /* sum of weights up to this one */
} alternative;

typedef struct {
    char *name;
    size_t alternative, n;
    size_t least; /* steps to its end, this one included */
    size_t shortest; /* alternative that ends so */
} symbol;

typedef struct {
    guard_backend base;
    symbol *symbol;
    size_t n;
    alternative *alternative;
    size_t n_alternative, alternative_cap;
    part *part;
    size_t n_part, part_cap;
    guard_buf text;
} rules;

/* --- reading the rules ---------------------------------------------------------------------- */

/* n when there is none. */
static size_t find(const rules *r, const char *name, size_t len)
{
    size_t i = 0;

    while (i < r->n && (strlen(r->symbol[i].name) != len || memcmp(r->symbol[i].name, name, len) != 0)) i++;
    return i;
}

static nn_status add_part(rules *r, part p, nn_err *err)
{
    const nn_status st = nn_grow((void **)&r->part, &r->part_cap, r->n_part + 1, sizeof *r->part, err);

    if (st != NN_OK) return st;
    r->part[r->n_part++] = p;
    r->alternative[r->n_alternative - 1].n++;
    return NN_OK;
}

static nn_status add_text(rules *r, const char *s, size_t len, nn_err *err)
{
    const size_t at = r->text.len;

    if (len == 0) return NN_OK;
    guard_buf_add(&r->text, s, len);
    const nn_status st = guard_buf_status(&r->text, err);
    return st == NN_OK ? add_part(r, (part){PART_TEXT, at, len, 0}, err) : st;
}

static nn_status add_place(rules *r, const char *name, size_t len, const char *of, size_t nth, nn_err *err)
{
    const size_t k = find(r, name, len);

    if (len == 6 && memcmp(name, "prompt", 6) == 0) return add_part(r, (part){PART_PROMPT, 0, 0, 0}, err);
    if (k < r->n) return add_part(r, (part){PART_SYMBOL, 0, 0, k}, err);
    return nn_fail(err, NN_USAGE, "grammar: %s: alternative %zu: {%.*s} is no symbol, want one of them or {prompt}", of,
                   nth, len < 60 ? (int)len : 60, name);
}

static nn_status add_alternative(rules *r, const char *text, const char *of, size_t nth, nn_err *err)
{
    nn_status st = nn_grow((void **)&r->alternative, &r->alternative_cap, r->n_alternative + 1, sizeof *r->alternative,
                           err);
    size_t bad = 0;

    if (st != NN_OK) return st;
    r->alternative[r->n_alternative++] = (alternative){r->n_part, 0, 0.0};
    nn_utf8_repair(NULL, text, strlen(text), &bad);
    if (bad) return nn_fail(err, NN_USAGE, "grammar: %s: alternative %zu: not UTF-8, want text", of, nth);
    while (*text && st == NN_OK) {
        const size_t plain = strcspn(text, "{"), brace = text[plain] == '{' && text[plain + 1] == '{';

        st = add_text(r, text, plain + brace, err);
        text += plain + 2 * brace;
        if (st != NN_OK || brace || *text == '\0') continue;
        const size_t len = strcspn(text + 1, "}");
        if (text[1 + len] == '\0')
            return nn_fail(err, NN_USAGE, "grammar: %s: alternative %zu: a place without an end, want {name} or {{", of,
                           nth);
        st = add_place(r, text + 1, len, of, nth, err);
        text += len + 2;
    }
    return st;
}

static nn_status add_symbol(rules *r, size_t i, const guard_symbol *s, nn_err *err)
{
    symbol *to = r->symbol + i;
    double sum = 0.0;

    *to = (symbol){.name = to->name, .alternative = r->n_alternative, .n = s->n, .least = NEVER};
    if (s->n == 0) return nn_fail(err, NN_USAGE, "grammar: %s: no alternative, want at least one", s->name);
    for (size_t k = 0; k < s->n; k++) {
        const double weight = s->alternative[k].weight;
        const nn_status st = add_alternative(r, s->alternative[k].text, s->name, k + 1, err);

        if (st != NN_OK) return st;
        sum += weight;
        if (!(weight > 0.0) || !isfinite(sum))
            return nn_fail(err, NN_USAGE, "grammar: %s: alternative %zu: weight %g, want a finite number above 0",
                           s->name, k + 1, weight);
        r->alternative[r->n_alternative - 1].upto = sum;
    }
    return NN_OK;
}

static nn_status add_names(rules *r, const guard_symbol *s, size_t n, nn_err *err)
{
    nn_status st = nn_alloc((void **)&r->symbol, n, sizeof *r->symbol, err);

    if (st != NN_OK) return st;
    for (size_t i = 0; i < n; i++) {
        const size_t len = strlen(s[i].name);

        if (len == 0 || strpbrk(s[i].name, "{}") || strcmp(s[i].name, "prompt") == 0)
            return nn_fail(err, NN_USAGE, "grammar: '%s' cannot be a symbol, want a name without braces, not prompt",
                           s[i].name);
        if (find(r, s[i].name, len) < r->n)
            return nn_fail(err, NN_USAGE, "grammar: %s: two symbols of that name, want one", s[i].name);
        if ((st = guard_text_copy(&r->symbol[i].name, s[i].name, len, err)) != NN_OK) return st;
        r->n++;
    }
    return NN_OK;
}

/* --- where expansions end ------------------------------------------------------------------- */

/* Steps of an alternative when each of its symbols takes its fewest. */
static size_t steps_of(const rules *r, const alternative *a)
{
    size_t sum = 1;

    for (size_t i = a->part; i < a->part + a->n; i++) {
        if (r->part[i].kind != PART_SYMBOL) continue;
        const size_t least = r->symbol[r->part[i].symbol].least;
        if (least == NEVER) return NEVER;
        sum = sum + least < TOO_MANY ? sum + least : TOO_MANY;
    }
    return sum;
}

/* A shortest expansion holds no symbol inside itself, so n rounds find all; most rules need few. */
static nn_status find_ends(rules *r, nn_err *err)
{
    bool found = true;

    for (size_t round = 0; round < r->n && found; round++) {
        found = false;
        for (size_t i = 0; i < r->n; i++) {
            symbol *s = r->symbol + i;

            for (size_t k = s->alternative; k < s->alternative + s->n; k++) {
                const size_t steps = steps_of(r, r->alternative + k);
                if (steps < s->least) s->least = steps, s->shortest = k, found = true;
            }
        }
    }
    for (size_t i = 0; i < r->n; i++) {
        if (r->symbol[i].least == NEVER)
            return nn_fail(err, NN_USAGE, "grammar: %s never ends, want an alternative of text or of symbols that end",
                           r->symbol[i].name);
        if (r->symbol[i].least == TOO_MANY)
            return nn_fail(err, NN_USAGE, "grammar: %s ends in no fewer than %u steps, want at most %u",
                           r->symbol[i].name, TOO_MANY, GUARD_GRAMMAR_STEPS);
    }
    return NN_OK;
}

/* --- expansion ------------------------------------------------------------------------------ */

typedef struct {
    size_t at, end; /* parts that are still to be written */
} frame;

typedef struct {
    const rules *r;
    guard_text prompt;
    nn_rng rng;
    guard_buf out;
    frame *stack;
    size_t depth, cap;
    size_t steps, owed; /* done; the fewest that symbols on the stack take */
    bool too_long;
} writer;

static const alternative *choose(writer *w, const symbol *s)
{
    const alternative *a = w->r->alternative + s->alternative, *last = a + s->n - 1;
    const double u = nn_rng_double(&w->rng) * last->upto;

    while (a < last && u >= a->upto) a++;
    w->owed -= s->least;
    if (w->steps + w->owed + steps_of(w->r, a) > GUARD_GRAMMAR_STEPS) a = w->r->alternative + s->shortest;
    w->owed += steps_of(w->r, a) - 1;
    w->steps++;
    return a;
}

static nn_status expand(writer *w, size_t i, nn_err *err)
{
    const alternative *a = choose(w, w->r->symbol + i);
    const nn_status st = nn_grow((void **)&w->stack, &w->cap, w->depth + 1, sizeof *w->stack, err);

    if (st == NN_OK) w->stack[w->depth++] = (frame){a->part, a->part + a->n};
    return st;
}

static void write_text(writer *w, const char *s, size_t n)
{
    w->too_long = w->too_long || n > GUARD_GRAMMAR_BYTES - w->out.len;
    if (!w->too_long) guard_buf_add(&w->out, s, n);
}

static nn_status write_all(writer *w, nn_err *err)
{
    nn_status st;

    w->depth = w->steps = 0;
    w->owed = w->r->symbol[0].least;
    w->too_long = false;
    guard_buf_clear(&w->out);
    st = expand(w, 0, err);
    while (st == NN_OK && w->depth > 0 && !w->too_long) {
        frame *f = w->stack + w->depth - 1;

        if (f->at == f->end) {
            w->depth--;
            continue;
        }
        const part *p = w->r->part + f->at++;
        if (p->kind == PART_TEXT) write_text(w, w->r->text.bytes + p->at, p->len);
        else if (p->kind == PART_PROMPT) write_text(w, w->prompt.s, w->prompt.n);
        else st = expand(w, p->symbol, err);
    }
    return st == NN_OK ? guard_buf_status(&w->out, err) : st;
}

static nn_status tell(writer *w, size_t i, const guard_ask_options *o, guard_answer_fn answer, void *ctx, nn_err *err)
{
    static const char reason[] = "the expansion is longer than a mebibyte";

    if (w->too_long) return answer(ctx, i, GUARD_REFUSED, reason, sizeof reason - 1, err);
    guard_buf_add(&w->out, "", 0); /* a zero byte also behind nothing */
    const nn_status st = guard_buf_status(&w->out, err);
    if (st != NN_OK) return st;
    const size_t len = guard_before_stop(w->out.bytes, w->out.len, o->stop);
    w->out.bytes[len] = '\0';
    return answer(ctx, i, GUARD_ANSWERED, w->out.bytes, len, err);
}

static nn_status ask(guard_backend *b, const guard_question *q, size_t n, const guard_ask_options *o,
                     guard_answer_fn answer, void *ctx, guard_job *job, nn_err *err)
{
    writer w = {.r = (const rules *)b};
    nn_status st = NN_OK;

    for (size_t i = 0; i < n && st == NN_OK; i++) {
        const guard_message *m = q[i].message + q[i].n_message - 1;

        if (i % TOLD == 0 && !guard_job_go_on(job, i, n, "questions")) {
            st = nn_fail(err, NN_STOP, "grammar: stopped after %zu of %zu questions", i, n);
            break;
        }
        w.prompt = (guard_text){m->text, m->len};
        w.rng = nn_rng_at(q[i].seed, "grammar", 0);
        if ((st = write_all(&w, err)) == NN_OK) st = tell(&w, i, o, answer, ctx, err);
    }
    guard_buf_free(&w.out);
    nn_free(w.stack);
    return st;
}

/* --- build ---------------------------------------------------------------------------------- */

static void put_symbol(guard_buf *b, const guard_symbol *s)
{
    guard_json_comma(b);
    guard_buf_str(b, "[");
    guard_json_str(b, s->name, strlen(s->name));
    for (size_t k = 0; k < s->n; k++) {
        guard_json_comma(b);
        guard_json_str(b, s->alternative[k].text, strlen(s->alternative[k].text));
        guard_json_comma(b);
        guard_json_double(b, s->alternative[k].weight);
    }
    guard_buf_str(b, "]");
}

static nn_status identify(rules *r, const guard_symbol *s, size_t n, nn_err *err)
{
    char hash[NN_SHA256_HEX];
    guard_buf b = {0};
    nn_status st;

    guard_buf_str(&b, "[");
    for (size_t i = 0; i < n; i++) put_symbol(&b, s + i);
    guard_buf_str(&b, "]");
    if ((st = guard_buf_status(&b, err)) != NN_OK) goto done;
    nn_sha256_hex(b.bytes, b.len, hash);
    guard_buf_clear(&b);
    guard_buf_str(&b, "{\"kind\":\"grammar\"");
    guard_put_str(&b, "rules", hash);
    guard_buf_str(&b, "}");
    if ((st = guard_buf_status(&b, err)) == NN_OK) st = guard_text_copy(&r->base.identity, b.bytes, b.len, err);
done:
    guard_buf_free(&b);
    return st;
}

static void rules_free(guard_backend *b)
{
    rules *r = (rules *)b;

    for (size_t i = 0; i < r->n; i++) nn_free(r->symbol[i].name);
    nn_free(r->symbol);
    nn_free(r->alternative);
    nn_free(r->part);
    guard_buf_free(&r->text);
}

nn_status guard_backend_grammar(guard_backend **out, const guard_symbol *s, size_t n, nn_err *err)
{
    rules *r = NULL;
    nn_status st;

    *out = NULL;
    if (n == 0) return nn_fail(err, NN_USAGE, "grammar: no symbol, want at least one");
    if ((st = nn_alloc((void **)&r, 1, sizeof *r, err)) != NN_OK) return st;
    r->base.ask = ask;
    r->base.free = rules_free;
    if ((st = add_names(r, s, n, err)) != NN_OK) goto done;
    for (size_t i = 0; i < n; i++)
        if ((st = add_symbol(r, i, s + i, err)) != NN_OK) goto done;
    if ((st = find_ends(r, err)) != NN_OK) goto done;
    if ((st = identify(r, s, n, err)) != NN_OK) goto done;
    *out = &r->base;
    r = NULL;
done:
    if (r) guard_backend_free(&r->base);
    return st;
}
