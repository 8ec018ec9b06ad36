/* augment_impl.h - what the files of augmentation share: groups of seeds, and styles.
 *
 * Reads: augment.h, pairs.h.   Read next: augment_group.c (who belongs together), augment_style.c, augment.c.
 * Private to guard/.
 */
#ifndef GUARD_AUGMENT_IMPL_H
#define GUARD_AUGMENT_IMPL_H
#include "guard/augment.h"
#include "guard/pairs.h"

/* Rows of the seeds that draw one frame and one style: a request, its twin, an ordinary one of the same concept. */
enum { GUARD_MEMBER_UNSAFE, GUARD_MEMBER_TWIN, GUARD_MEMBER_ORDINARY, GUARD_MEMBERS };

typedef struct {
    size_t row[GUARD_MEMBERS]; /* GUARD_NO_ROW: none; at least one is there */
    size_t leader;             /* the first that is there: its id names the group's draws */
} guard_group;

/* All labelled prompts of c, each in one group; who is with whom depends on ids, not on the order of rows. Rows whose
 * label is of a response are left out: a response does not answer a wrapped prompt. *out by nn_alloc. */
NN_CHECKED nn_status guard_groups_find(guard_group **out, size_t *n, const guard_corpus *c, nn_err *err);
/* Whether a row's language is `lang` ("es", also "es-..."); NULL: English, and so is a row that names none. */
bool guard_row_is_in(const guard_row *r, const char *lang);

/* --- styles -------------------------------------------------------------------------------------- */

/* Room for one text as code points; grows as needed. A zeroed one is empty and valid. */
typedef struct {
    uint32_t *cp;
    bool *touched;
    size_t cp_cap, touched_cap;
} guard_style_room;

void guard_style_room_free(guard_style_room *room);
bool guard_style_any_language(guard_style_kind kind); /* harmless in languages other than English */
/* out: the mutated text. Positions are drawn from rng; `piece` (PREFIX, SUFFIX) is the pair's: the caller draws it. */
NN_CHECKED nn_status guard_style_apply(guard_buf *out, const guard_style *s, size_t piece, const char *text, size_t n,
                                       nn_rng *rng, guard_style_room *room, nn_err *err);
/* The case of one letter, for Latin, Greek and Cyrillic; other letters stay, so does what has no single counterpart. */
uint32_t guard_letter_lower(uint32_t cp);
uint32_t guard_letter_upper(uint32_t cp);

/* --- phrases ------------------------------------------------------------------------------------- */

/* The lexicon in the order in which it is asked. Borrows the concepts. */
typedef struct {
    const guard_concept **named; /* those with a category, by concept, then in the lexicon's order */
    const guard_concept **ordinary;
    size_t n_named, n_ordinary;
} guard_phrasebook;

typedef struct {
    const guard_concept *concept;
    const char *text;
    size_t at; /* among the acts or the twins of its concept */
} guard_phrase;

NN_CHECKED nn_status guard_phrasebook_build(guard_phrasebook *b, const guard_concept *concept, size_t n, nn_err *err);
void guard_phrasebook_free(guard_phrasebook *b);
/* How many acts (or twins) there are for the concept and categories of a row; row NULL: ordinary acts. When `pick` is
 * below that, *out is phrase number `pick`. */
size_t guard_phrases_of(const guard_phrasebook *b, const guard_row *row, bool twin, size_t pick, guard_phrase *out);

/* --- units: what draws together --------------------------------------------------------------------- */

typedef enum { GUARD_TIER_CONCEPT, GUARD_TIER_STRUCTURE, GUARD_TIER_STYLE, GUARD_TIERS } guard_tier;

/* One draw for one group: up to a row for each member, all made or none. */
typedef struct {
    guard_tier tier;
    const guard_group *group;
    size_t draw, place;   /* number within the group; place in the output */
    uint64_t hash, order; /* of tier, leader's id and draw; units are made in the order of `order`, drawn from hash */
} guard_unit;

/* Alternatives that are drawn by weight; what cannot be drawn weighs 0. */
typedef struct {
    double *weight, total;
    size_t n;
} guard_lot;

/* Makes texts, one unit at a time. */
typedef struct {
    const guard_corpus *seeds;
    const guard_augment_plan *plan;
    const guard_job *job;
    guard_phrasebook book;
    guard_lot frame_act, frame_text, style_english, style_any;
    guard_style_room room;
    guard_buf text[GUARD_MEMBERS], poured; /* text: the unit's results, empty for a member that gets none */
    bool made[GUARD_MEMBERS];
    guard_phrase phrase[GUARD_MEMBERS];    /* what the results are made of; frame and style NULL when there is none */
    const guard_frame *frame;
    const guard_style *style;
} guard_maker;

NN_CHECKED nn_status guard_maker_open(guard_maker *m, const guard_corpus *seeds, const guard_augment_plan *plan,
                                      const guard_job *job, nn_err *err);
void guard_maker_close(guard_maker *m);
/* Whether a unit of that tier and group can be made at all. */
bool guard_maker_serves(const guard_maker *m, guard_tier tier, const guard_group *g);
/* One attempt: fills made, text, phrase, frame, style with the next draws of rng. */
NN_CHECKED nn_status guard_maker_try(guard_maker *m, const guard_unit *u, size_t attempt, nn_rng *rng, nn_err *err);
#endif
