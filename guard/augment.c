#include "guard/augment.h"
#include "guard/augment_impl.h"
#include "nn/arena.h"
#include <stdlib.h>
#include <string.h>

#define DEFAULT_MAX_BYTES 2000u
#define ATTEMPTS 8u /* draws of a unit until none of its texts is known or too long */

static const char *const tier_names[GUARD_TIERS] = {"concept", "structure", "style"};
static const char *const kind_names[GUARD_MEMBERS] = {"{\"kind\":\"unsafe\"}", "{\"kind\":\"twin\"}",
                                                      "{\"kind\":\"ordinary\"}"};

/* --- texts already there ------------------------------------------------------------------ */

/* Hashes of texts, open addressing; 0 marks a free slot. */
typedef struct {
    uint64_t *slot;
    size_t mask;
} text_set;

static nn_status set_open(text_set *s, size_t most, nn_err *err)
{
    size_t size = 16;
    void *block = NULL;

    while (size / 2 < most && size <= SIZE_MAX / 4) size *= 2;
    const nn_status st = nn_alloc(&block, size, sizeof *s->slot, err);
    *s = (text_set){block, size - 1};
    return st;
}

static uint64_t *set_slot(const text_set *s, const char *text, size_t n)
{
    const uint64_t h = nn_hash64(text, n, 0), key = h ? h : 1;
    size_t at = (size_t)key & s->mask;

    while (s->slot[at] && s->slot[at] != key) at = (at + 1) & s->mask;
    return &s->slot[at];
}

static bool set_has(const text_set *s, const char *text, size_t n)
{
    return *set_slot(s, text, n) != 0;
}

static void set_put(text_set *s, const char *text, size_t n)
{
    const uint64_t h = nn_hash64(text, n, 0);
    *set_slot(s, text, n) = h ? h : 1;
}

/* --- the work of one call ----------------------------------------------------------------- */

typedef struct {
    const guard_corpus *seeds;
    const guard_augment_plan *plan;
    guard_job *job;
    guard_maker maker;
    guard_group *group;
    guard_unit *unit;
    size_t n_group, n_unit;
    text_set known;
    guard_corpus *made; /* in the order of making */
    guard_column *tier, *frame, *style;
    size_t *place; /* of each made row, its unit's place */
    size_t place_cap;
    guard_buf ops, parents;
    size_t without_phrases, given_up;
} augmenter;

static size_t draws_of(const guard_augment_plan *p, guard_tier tier)
{
    const size_t n[GUARD_TIERS] = {p->per_seed_concept, p->per_seed_structure, p->per_seed_style};
    return n[tier];
}

static int by_order(const void *a, const void *b)
{
    const guard_unit *x = a, *y = b;

    if (x->order != y->order) return x->order < y->order ? -1 : 1;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    return (x->place > y->place) - (x->place < y->place);
}

/* Every unit that can be made, in an order drawn from the groups' ids: the first ones that fit into max_rows are then a
 * uniform sample of units, and which of two equal texts is the first does not depend on the order of the seeds. */
static nn_status list_units(augmenter *a, nn_err *err)
{
    const guard_augment_plan *p = a->plan;
    size_t per_group = 0;
    void *block = NULL;

    for (int t = 0; t < GUARD_TIERS; t++) per_group += draws_of(p, (guard_tier)t);
    if (a->n_group && per_group > SIZE_MAX / a->n_group - 1)
        return nn_fail(err, NN_LIMIT, "augment: %zu rows a seed for %zu seeds, want fewer", per_group, a->n_group);
    const nn_status st = nn_alloc(&block, per_group * a->n_group + 1, sizeof *a->unit, err);
    a->unit = block;
    if (st != NN_OK) return st;

    for (int t = 0; t < GUARD_TIERS; t++) {
        for (size_t g = 0; g < a->n_group; g++) {
            const guard_group *group = &a->group[g];
            const uint64_t leader = guard_row_hash(&a->seeds->row[group->leader]);

            if (!guard_maker_serves(&a->maker, (guard_tier)t, group)) continue;
            for (size_t d = 0; d < draws_of(p, (guard_tier)t); d++) {
                const uint64_t hash = nn_mix64(leader + nn_mix64((uint64_t)d * GUARD_TIERS + (uint64_t)t));
                nn_rng rng = guard_job_rng(a->job, "order", hash);

                a->unit[a->n_unit] = (guard_unit){(guard_tier)t, group, d, a->n_unit, hash, nn_rng_u64(&rng)};
                a->n_unit++;
            }
        }
    }
    qsort(a->unit, a->n_unit, sizeof *a->unit, by_order);
    return NN_OK;
}

static void count_without_phrases(augmenter *a)
{
    guard_phrase unused;

    for (size_t g = 0; g < a->n_group; g++) {
        const size_t row = a->group[g].row[GUARD_MEMBER_UNSAFE];

        if (row == GUARD_NO_ROW) continue;
        if (guard_phrases_of(&a->maker.book, &a->seeds->row[row], false, SIZE_MAX, &unused) == 0) a->without_phrases++;
    }
}

/* --- rows --------------------------------------------------------------------------------- */

static void write_step(guard_buf *b, const char *key, const char *value)
{
    guard_json_comma(b);
    guard_buf_str(b, "{");
    guard_json_key(b, key);
    guard_json_str(b, value, strlen(value));
}

static nn_status write_ops(augmenter *a, size_t member, nn_err *err)
{
    const guard_maker *m = &a->maker;
    const guard_phrase *phrase = &m->phrase[member];

    guard_buf_clear(&a->ops);
    guard_buf_str(&a->ops, "[");
    if (phrase->concept) {
        write_step(&a->ops, "concept", phrase->concept->concept);
        guard_json_key(&a->ops, member == GUARD_MEMBER_TWIN ? "twin" : "act");
        guard_json_u64(&a->ops, phrase->at);
        guard_buf_str(&a->ops, "}");
    }
    if (m->frame) {
        write_step(&a->ops, "frame", m->frame->name);
        guard_buf_str(&a->ops, "}");
    }
    if (m->style) {
        write_step(&a->ops, "style", m->style->name);
        guard_buf_str(&a->ops, "}");
    }
    guard_buf_str(&a->ops, "]");
    return guard_buf_status(&a->ops, err);
}

/* The seed a member's row stands for: its own, or the unsafe one for a twin that has none. */
static const guard_row *seed_of(const augmenter *a, const guard_group *g, size_t member)
{
    const size_t row = g->row[member] != GUARD_NO_ROW ? g->row[member] : g->row[GUARD_MEMBER_UNSAFE];
    return &a->seeds->row[row];
}

/* A twin keeps the category of what it resembles, so that a generator can be steered to twins of it. */
static guard_text category_of(const augmenter *a, const guard_group *g, size_t member)
{
    const size_t unsafe = g->row[GUARD_MEMBER_UNSAFE];
    const guard_text own = seed_of(a, g, member)->category;

    return !own.s && member == GUARD_MEMBER_TWIN && unsafe != GUARD_NO_ROW ? a->seeds->row[unsafe].category : own;
}

static nn_status set_name(augmenter *a, guard_column *col, size_t row, const char *name, nn_err *err)
{
    return guard_corpus_set_str(a->made, col, row, name, strlen(name), err);
}

static nn_status add_row(augmenter *a, const guard_unit *u, size_t member, const char *partner, char id[GUARD_ID_LEN],
                         nn_err *err)
{
    const guard_maker *m = &a->maker;
    const guard_row *seed = seed_of(a, u->group, member);
    const char *lang = a->plan->lang ? a->plan->lang : "en";
    const bool own = u->tier != GUARD_TIER_CONCEPT || guard_row_is_in(seed, lang);
    void *place = a->place;
    nn_status st = write_ops(a, member, err);

    guard_buf_clear(&a->parents);
    guard_buf_str(&a->parents, seed->id);
    if (member == GUARD_MEMBER_TWIN && partner[0]) guard_buf_fmt(&a->parents, ",%s", partner);
    if (st != NN_OK || (st = guard_buf_status(&a->parents, err)) != NN_OK) return st;
    st = nn_grow(&place, &a->place_cap, a->made->n + 1, sizeof *a->place, err);
    a->place = place;
    if (st != NN_OK) return st;

    guard_row row = {.label = member == GUARD_MEMBER_UNSAFE ? GUARD_UNSAFE : GUARD_SAFE,
                     .text = {m->text[member].bytes, m->text[member].len},
                     .category = category_of(a, u->group, member),
                     .lang = own ? seed->lang : (guard_text){lang, strlen(lang)},
                     .source = {"augment", 7},
                     .concept = seed->concept,
                     .parents = {a->parents.bytes, a->parents.len},
                     .ops = {a->ops.bytes, a->ops.len},
                     .extra = {kind_names[member], strlen(kind_names[member])}};
    guard_row_id(row.id, a->job->stream ? a->job->stream : "augment", a->parents.bytes, a->ops.bytes, u->draw);
    memcpy(id, row.id, GUARD_ID_LEN);
    const size_t at = a->made->n;
    a->place[at] = u->place;
    if ((st = guard_corpus_add(a->made, &row, err)) != NN_OK) return st;
    st = set_name(a, a->tier, at, tier_names[u->tier], err);
    if (st == NN_OK && m->frame) st = set_name(a, a->frame, at, m->frame->name, err);
    if (st == NN_OK && m->style) st = set_name(a, a->style, at, m->style->name, err);
    return st;
}

static nn_status add_rows(augmenter *a, const guard_unit *u, nn_err *err)
{
    const guard_maker *m = &a->maker;
    char partner[GUARD_ID_LEN] = "", id[GUARD_ID_LEN] = "";
    nn_status st = NN_OK;

    for (size_t k = 0; k < GUARD_MEMBERS && st == NN_OK; k++) {
        if (!m->made[k]) continue;
        st = add_row(a, u, k, partner, k == GUARD_MEMBER_UNSAFE ? partner : id, err);
        set_put(&a->known, m->text[k].bytes, m->text[k].len);
    }
    return st;
}

/* All or none: a pair of which one half repeats an earlier text would let frame or style betray the label. */
static bool all_new(const augmenter *a)
{
    const guard_maker *m = &a->maker;
    const size_t most = a->plan->max_bytes ? a->plan->max_bytes : DEFAULT_MAX_BYTES;

    for (size_t k = 0; k < GUARD_MEMBERS; k++) {
        const guard_buf *t = &m->text[k];

        if (!m->made[k]) continue;
        if (t->len == 0 || t->len > most || set_has(&a->known, t->bytes, t->len)) return false;
        for (size_t j = 0; j < k; j++) {
            if (m->made[j] && m->text[j].len == t->len && memcmp(m->text[j].bytes, t->bytes, t->len) == 0) return false;
        }
    }
    return true;
}

/* *full: its rows do not fit below max_rows any more. */
static nn_status make_unit(augmenter *a, const guard_unit *u, bool *full, nn_err *err)
{
    nn_rng rng = guard_job_rng(a->job, "draw", u->hash);

    for (size_t attempt = 0; attempt < ATTEMPTS; attempt++) {
        size_t rows = a->made->n;
        const nn_status st = guard_maker_try(&a->maker, u, attempt, &rng, err);

        if (st != NN_OK) return st;
        if (!all_new(a)) continue;
        for (size_t k = 0; k < GUARD_MEMBERS; k++) rows += a->maker.made[k];
        *full = a->plan->max_rows && rows > a->plan->max_rows;
        return *full ? NN_OK : add_rows(a, u, err);
    }
    a->given_up++;
    return NN_OK;
}

static nn_status make_all(augmenter *a, nn_err *err)
{
    bool full = false;
    nn_status st = NN_OK;

    for (size_t i = 0; i < a->n_unit && !full && st == NN_OK; i++) {
        if (i % 64 == 0 && !guard_job_go_on(a->job, i, a->n_unit, "draws"))
            return nn_fail(err, NN_STOP, "augment: stopped after %zu of %zu draws", i, a->n_unit);
        st = make_unit(a, &a->unit[i], &full, err);
    }
    (void)guard_job_go_on(a->job, a->n_unit, a->n_unit, "draws"); /* all is made: nothing left to stop */
    return st;
}

/* --- the whole ---------------------------------------------------------------------------- */

static nn_status open_made(augmenter *a, nn_err *err)
{
    const char *stage = a->job->stream ? a->job->stream : "augment";
    static const char *const names[] = {"tier", "frame", "style"};
    guard_column *col = NULL;
    nn_status st = guard_corpus_build(&a->made, err);

    for (size_t i = 0; i < 3 && st == NN_OK; i++) {
        st = guard_corpus_column(a->made, names[i], stage, GUARD_COL_STR, &col, err);
    }
    if (st != NN_OK) return st;
    a->tier = &a->made->col[0];
    a->frame = &a->made->col[1];
    a->style = &a->made->col[2];
    return NN_OK;
}

typedef struct {
    size_t place, at;
} placed;

static int by_place(const void *a, const void *b)
{
    const placed *x = a, *y = b;

    if (x->place != y->place) return x->place < y->place ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

/* The made rows tier by tier, in the order of their seeds. */
static nn_status in_order(guard_corpus **out, const augmenter *a, nn_err *err)
{
    const size_t n = a->made->n;
    void *order = NULL, *rows = NULL;
    nn_status st = NN_OK;

    if ((st = nn_alloc(&order, n + 1, sizeof(placed), err)) != NN_OK) goto done;
    if ((st = nn_alloc(&rows, n + 1, sizeof(size_t), err)) != NN_OK) goto done;
    placed *p = order;
    size_t *pick = rows;
    for (size_t i = 0; i < n; i++) p[i] = (placed){a->place[i], i};
    qsort(p, n, sizeof *p, by_place);
    for (size_t i = 0; i < n; i++) pick[i] = p[i].at;
    st = guard_corpus_pick(out, a->made, pick, n, err);
done:
    nn_free(order);
    nn_free(rows);
    return st;
}

/* Seeds first, marked by an empty tier. */
static nn_status join(guard_corpus **out, const augmenter *a, nn_err *err)
{
    guard_corpus *ordered = NULL;
    nn_status st = in_order(&ordered, a, err);

    if (st == NN_OK) st = guard_corpus_concat(out, a->seeds, ordered, err);
    guard_corpus_free(ordered);
    if (st != NN_OK) return st;
    guard_column *tier = &(*out)->col[guard_corpus_find(*out, "tier") - (*out)->col];
    for (size_t i = 0; i < a->seeds->n && st == NN_OK; i++) {
        if (!tier->str[i].s) st = guard_corpus_set_str(*out, tier, i, "", 0, err);
    }
    return st;
}

static nn_status prepare(augmenter *a, nn_err *err)
{
    const size_t most_rows = a->plan->max_rows ? a->plan->max_rows : SIZE_MAX / 8;
    nn_status st = NN_OK;

    if ((st = guard_groups_find(&a->group, &a->n_group, a->seeds, err)) != NN_OK) return st;
    if ((st = guard_maker_open(&a->maker, a->seeds, a->plan, a->job, err)) != NN_OK) return st;
    if ((st = list_units(a, err)) != NN_OK) return st;
    count_without_phrases(a);
    const size_t new_rows = a->n_unit < most_rows / GUARD_MEMBERS ? a->n_unit * GUARD_MEMBERS : most_rows;
    if ((st = set_open(&a->known, a->seeds->n + new_rows, err)) != NN_OK) return st;
    for (size_t i = 0; i < a->seeds->n; i++) set_put(&a->known, a->seeds->row[i].text.s, a->seeds->row[i].text.n);
    return open_made(a, err);
}

static nn_status report(augmenter *a, nn_err *err)
{
    nn_status st = guard_job_metric(a->job, 0, "new_rows", (double)a->made->n, err);

    if (st == NN_OK) st = guard_job_metric(a->job, 0, "seeds_without_phrases", (double)a->without_phrases, err);
    if (st == NN_OK) st = guard_job_metric(a->job, 0, "draws_given_up", (double)a->given_up, err);
    return st;
}

nn_status guard_augment(guard_corpus **out, const guard_corpus *seeds, const guard_augment_plan *plan, guard_job *job,
                        nn_err *err)
{
    augmenter a;
    nn_status st = NN_OK;

    *out = NULL;
    memset(&a, 0, sizeof a);
    a.seeds = seeds;
    a.plan = plan;
    a.job = job;
    if ((st = prepare(&a, err)) != NN_OK) goto done;
    if ((st = make_all(&a, err)) != NN_OK) goto done;
    if ((st = report(&a, err)) != NN_OK) goto done;
    if ((st = join(out, &a, err)) != NN_OK) {
        guard_corpus_free(*out);
        *out = NULL;
    }
done:
    guard_maker_close(&a.maker);
    guard_corpus_free(a.made);
    nn_free(a.group);
    nn_free(a.unit);
    nn_free(a.known.slot);
    nn_free(a.place);
    guard_buf_free(&a.ops);
    guard_buf_free(&a.parents);
    return st;
}
