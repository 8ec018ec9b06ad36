/* augment_text.c - the texts of one unit: phrases poured into a frame, a text wrapped, a surface mutated.
 *
 * The members of a unit share the frame, the style and, for openings and closings, the piece; each has its own phrase
 * and its own places where the style touches it.
 */
#include "guard/augment_impl.h"
#include "nn/arena.h"
#include "nn/unicode.h"
#include <stdlib.h>
#include <string.h>

/* --- phrases ------------------------------------------------------------------------------ */

typedef struct {
    const guard_concept *c;
    size_t place;
} named_entry;

static int by_concept(const void *a, const void *b)
{
    const named_entry *x = a, *y = b;
    const int c = strcmp(x->c->concept, y->c->concept);

    return c ? c : (x->place > y->place) - (x->place < y->place);
}

nn_status guard_phrasebook_build(guard_phrasebook *b, const guard_concept *concept, size_t n, nn_err *err)
{
    void *entries = NULL, *named = NULL, *ordinary = NULL;
    nn_status st = NN_OK;

    memset(b, 0, sizeof *b);
    if ((st = nn_alloc(&entries, n + 1, sizeof(named_entry), err)) != NN_OK) goto done;
    if ((st = nn_alloc(&named, n + 1, sizeof *b->named, err)) != NN_OK) goto done;
    b->named = named;
    if ((st = nn_alloc(&ordinary, n + 1, sizeof *b->ordinary, err)) != NN_OK) goto done;
    b->ordinary = ordinary;
    named_entry *e = entries;
    for (size_t i = 0; i < n; i++) {
        if (concept[i].category[0]) e[b->n_named++] = (named_entry){&concept[i], i};
        else b->ordinary[b->n_ordinary++] = &concept[i];
    }
    qsort(e, b->n_named, sizeof *e, by_concept);
    for (size_t i = 0; i < b->n_named; i++) b->named[i] = e[i].c;
done:
    nn_free(entries);
    return st;
}

void guard_phrasebook_free(guard_phrasebook *b)
{
    nn_free(b->named);
    nn_free(b->ordinary);
    memset(b, 0, sizeof *b);
}

static int compare_name(const char *name, guard_text t)
{
    const size_t len = strlen(name), n = len < t.n ? len : t.n;
    const int c = n ? memcmp(name, t.s, n) : 0;

    return c ? c : (len > t.n) - (len < t.n);
}

/* The first entry whose concept is not below the row's. */
static size_t first_of(const guard_phrasebook *b, guard_text concept)
{
    size_t low = 0, high = b->n_named;

    while (low < high) {
        const size_t mid = low + (high - low) / 2;

        if (compare_name(b->named[mid]->concept, concept) < 0) low = mid + 1;
        else high = mid;
    }
    return low;
}

size_t guard_phrases_of(const guard_phrasebook *b, const guard_row *row, bool twin, size_t pick, guard_phrase *out)
{
    const guard_concept *const *line = row ? b->named : b->ordinary;
    const size_t n_line = row ? b->n_named : b->n_ordinary;
    size_t total = 0;

    for (size_t i = row ? first_of(b, row->concept) : 0; i < n_line; i++) {
        if (row && compare_name(line[i]->concept, row->concept) != 0) break;
        if (row && row->category.s && !guard_row_has_category(row, line[i]->category)) continue;
        const size_t n = twin ? line[i]->n_twin : line[i]->n_act;

        if (pick >= total && pick - total < n) {
            const size_t at = pick - total;
            *out = (guard_phrase){line[i], twin ? line[i]->twin[at] : line[i]->act[at], at};
        }
        total += n;
    }
    return total;
}

/* --- lots --------------------------------------------------------------------------------- */

static nn_status lot_open(guard_lot *lot, size_t n, nn_err *err)
{
    void *block = NULL;
    const nn_status st = nn_alloc(&block, n + 1, sizeof *lot->weight, err);

    *lot = (guard_lot){block, 0.0, n};
    return st;
}

static void lot_put(guard_lot *lot, size_t i, double weight)
{
    NN_ASSERT(weight >= 0.0);
    lot->weight[i] = weight;
    lot->total += weight;
}

static size_t lot_draw(const guard_lot *lot, nn_rng *rng)
{
    double left = nn_rng_double(rng) * lot->total;
    size_t last = 0; /* takes what rounding leaves over */

    for (size_t i = 0; i < lot->n; i++) {
        if (lot->weight[i] <= 0.0) continue;
        last = i;
        if (left < lot->weight[i]) break;
        left -= lot->weight[i];
    }
    return last;
}

static bool can_style(const guard_style *s)
{
    const bool words = s->kind == GUARD_STYLE_REPLACE || s->kind == GUARD_STYLE_PREFIX || s->kind == GUARD_STYLE_SUFFIX;
    return !words || s->n > 0;
}

static nn_status open_lots(guard_maker *m, nn_err *err)
{
    const guard_augment_plan *p = m->plan;
    nn_status st = NN_OK;

    if ((st = lot_open(&m->frame_act, p->n_frame, err)) != NN_OK) return st;
    if ((st = lot_open(&m->frame_text, p->n_frame, err)) != NN_OK) return st;
    if ((st = lot_open(&m->style_english, p->n_style, err)) != NN_OK) return st;
    if ((st = lot_open(&m->style_any, p->n_style, err)) != NN_OK) return st;
    for (size_t i = 0; i < p->n_frame; i++) {
        const bool act = strstr(p->frame[i].pattern, "{act}") != NULL;
        lot_put(act ? &m->frame_act : &m->frame_text, i, p->frame[i].weight);
    }
    for (size_t i = 0; i < p->n_style; i++) {
        const double weight = can_style(&p->style[i]) ? p->style[i].weight : 0.0;

        lot_put(&m->style_english, i, weight);
        lot_put(&m->style_any, i, guard_style_any_language(p->style[i].kind) ? weight : 0.0);
    }
    return NN_OK;
}

nn_status guard_maker_open(guard_maker *m, const guard_corpus *seeds, const guard_augment_plan *plan,
                           const guard_job *job, nn_err *err)
{
    nn_status st = NN_OK;

    memset(m, 0, sizeof *m);
    m->seeds = seeds;
    m->plan = plan;
    m->job = job;
    if ((st = guard_phrasebook_build(&m->book, plan->concept, plan->n_concept, err)) != NN_OK) return st;
    return open_lots(m, err);
}

void guard_maker_close(guard_maker *m)
{
    guard_phrasebook_free(&m->book);
    nn_free(m->frame_act.weight);
    nn_free(m->frame_text.weight);
    nn_free(m->style_english.weight);
    nn_free(m->style_any.weight);
    guard_style_room_free(&m->room);
    for (size_t k = 0; k < GUARD_MEMBERS; k++) guard_buf_free(&m->text[k]);
    guard_buf_free(&m->poured);
}

/* --- what a unit can be ------------------------------------------------------------------- */

static bool is_in(const guard_maker *m, const guard_group *g, const char *lang)
{
    for (size_t k = 0; k < GUARD_MEMBERS; k++) {
        if (g->row[k] != GUARD_NO_ROW && !guard_row_is_in(&m->seeds->row[g->row[k]], lang)) return false;
    }
    return true;
}

/* A pair needs acts and twins: an act alone would teach that its frame is unsafe. */
static bool has_pair(const guard_maker *m, const guard_group *g)
{
    const size_t row = g->row[GUARD_MEMBER_UNSAFE];
    guard_phrase unused;

    return row != GUARD_NO_ROW && guard_phrases_of(&m->book, &m->seeds->row[row], false, SIZE_MAX, &unused) > 0 &&
           guard_phrases_of(&m->book, &m->seeds->row[row], true, SIZE_MAX, &unused) > 0;
}

static bool has_ordinary(const guard_maker *m, const guard_group *g)
{
    guard_phrase unused;

    return g->row[GUARD_MEMBER_ORDINARY] != GUARD_NO_ROW &&
           guard_phrases_of(&m->book, NULL, false, SIZE_MAX, &unused) > 0;
}

/* Tier 1 copies nothing of the seed's text, so its rows are in the plan's language whatever the seed's is. */
bool guard_maker_serves(const guard_maker *m, guard_tier tier, const guard_group *g)
{
    if (tier == GUARD_TIER_CONCEPT) return m->frame_act.total > 0.0 && (has_pair(m, g) || has_ordinary(m, g));
    if (tier == GUARD_TIER_STRUCTURE) return m->frame_text.total > 0.0 && is_in(m, g, m->plan->lang);
    return (is_in(m, g, NULL) ? m->style_english.total : m->style_any.total) > 0.0;
}

/* --- one attempt -------------------------------------------------------------------------- */

static void draw_phrase(guard_maker *m, size_t member, const guard_row *of, bool twin, nn_rng *rng)
{
    guard_phrase none;
    const size_t n = guard_phrases_of(&m->book, of, twin, SIZE_MAX, &none);

    guard_phrases_of(&m->book, of, twin, (size_t)nn_rng_below(rng, n), &m->phrase[member]);
    m->made[member] = true;
}

static void draw_phrases(guard_maker *m, const guard_group *g, nn_rng *rng)
{
    if (has_pair(m, g)) {
        const guard_row *seed = &m->seeds->row[g->row[GUARD_MEMBER_UNSAFE]];

        draw_phrase(m, GUARD_MEMBER_UNSAFE, seed, false, rng);
        draw_phrase(m, GUARD_MEMBER_TWIN, seed, true, rng);
    }
    if (has_ordinary(m, g)) draw_phrase(m, GUARD_MEMBER_ORDINARY, NULL, false, rng);
}

/* Frame and style of the unit; *piece for openings and closings. */
static void draw_wrapper(guard_maker *m, const guard_unit *u, size_t *piece, nn_rng *rng)
{
    const guard_augment_plan *p = m->plan;
    const bool ours = !p->lang || strcmp(p->lang, "en") == 0; /* poured phrases and frames are English */
    const bool english = u->tier == GUARD_TIER_CONCEPT ? ours : is_in(m, u->group, NULL);
    const guard_lot *styles = english ? &m->style_english : &m->style_any;

    m->frame = NULL;
    m->style = NULL;
    *piece = 0;
    if (u->tier == GUARD_TIER_CONCEPT) m->frame = &p->frame[lot_draw(&m->frame_act, rng)];
    if (u->tier == GUARD_TIER_STRUCTURE) m->frame = &p->frame[lot_draw(&m->frame_text, rng)];
    const bool styled = u->tier == GUARD_TIER_STYLE || nn_rng_double(rng) < p->style_share;
    if (!styled || styles->total <= 0.0) return;
    m->style = &p->style[lot_draw(styles, rng)];
    if (m->style->n > 0) *piece = (size_t)nn_rng_below(rng, m->style->n);
}

/* The pattern with its slot filled; a phrase that opens the pattern gets a capital. */
static void pour(guard_buf *out, const char *pattern, const char *slot, const char *s, size_t n)
{
    const char *at = strstr(pattern, slot);
    size_t used = 0;

    NN_ASSERT(at != NULL);
    guard_buf_clear(out);
    guard_buf_add(out, pattern, (size_t)(at - pattern));
    if (at == pattern && strcmp(slot, "{act}") == 0 && n > 0) {
        uint32_t cp;
        bool bad;
        char bytes[4];

        used = nn_utf8_decode((const unsigned char *)s, n, &cp, &bad);
        guard_buf_add(out, bytes, nn_utf8_encode(guard_letter_upper(cp), bytes));
    }
    guard_buf_add(out, s + used, n - used);
    guard_buf_str(out, at + strlen(slot));
}

static nn_status write_member(guard_maker *m, const guard_unit *u, size_t member, size_t piece, nn_rng *rng,
                              nn_err *err)
{
    const guard_row *seed = u->group->row[member] != GUARD_NO_ROW ? &m->seeds->row[u->group->row[member]] : NULL;
    guard_buf *poured = m->style ? &m->poured : &m->text[member];
    nn_status st = NN_OK;

    if (u->tier == GUARD_TIER_STYLE)
        return guard_style_apply(&m->text[member], m->style, piece, seed->text.s, seed->text.n, rng, &m->room, err);
    if (u->tier == GUARD_TIER_CONCEPT) {
        const char *phrase = m->phrase[member].text;
        pour(poured, m->frame->pattern, "{act}", phrase, strlen(phrase));
    } else {
        pour(poured, m->frame->pattern, "{text}", seed->text.s, seed->text.n);
    }
    if ((st = guard_buf_status(poured, err)) != NN_OK || !m->style) return st;
    return guard_style_apply(&m->text[member], m->style, piece, poured->bytes, poured->len, rng, &m->room, err);
}

nn_status guard_maker_try(guard_maker *m, const guard_unit *u, size_t attempt, nn_rng *rng, nn_err *err)
{
    size_t piece = 0;
    nn_status st = NN_OK;

    draw_wrapper(m, u, &piece, rng);
    for (size_t k = 0; k < GUARD_MEMBERS; k++) {
        m->made[k] = u->tier != GUARD_TIER_CONCEPT && u->group->row[k] != GUARD_NO_ROW;
        m->phrase[k] = (guard_phrase){NULL, NULL, 0};
        guard_buf_clear(&m->text[k]);
    }
    if (u->tier == GUARD_TIER_CONCEPT) draw_phrases(m, u->group, rng);
    for (size_t k = 0; k < GUARD_MEMBERS && st == NN_OK; k++) {
        nn_rng places = guard_job_rng(m->job, "places", nn_mix64(u->hash + attempt * GUARD_MEMBERS + k));

        if (m->made[k]) st = write_member(m, u, k, piece, &places, err);
    }
    return st;
}
