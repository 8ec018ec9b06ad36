/* augment.h - tiered augmentation of human seeds: concept expansion, query structures, style mutations, with safe
 * twins.
 *
 * Tier 1 (concept): a seed's category and concept draw phrases from a lexicon: harmful acts and their safe twins,
 * each a base-form verb phrase.
 * Tier 2 (structure): frames and wrappers, "{act}" takes a phrase, "{text}" a whole text.
 * Tier 3 (style): mutations of the surface.
 * A pair (an unsafe text and its safe twin) draws one frame and one style, so wrapper and surface never predict the
 * label. All of it is data handed over from Lua; the loops are here. Each row says parents and ops: lineage follows it
 * to its seed.
 */
#ifndef GUARD_AUGMENT_H
#define GUARD_AUGMENT_H
#include "guard/corpus.h"
#include "guard/job.h"

typedef struct {
    const char *category, *concept; /* category "" : ordinary acts, always safe, no twins */
    const char *const *act;
    size_t n_act;
    const char *const *twin;
    size_t n_twin;
} guard_concept;

typedef struct {
    const char *name;
    const char *pattern; /* holds {act} or {text} once */
    double weight;
} guard_frame;

typedef enum {
    GUARD_STYLE_LOWER,
    GUARD_STYLE_UPPER,
    GUARD_STYLE_TYPO,
    GUARD_STYLE_DROP_PUNCTUATION,
    GUARD_STYLE_LEET,
    GUARD_STYLE_SPACES,
    GUARD_STYLE_STRETCH,
    GUARD_STYLE_HOMOGLYPH,
    GUARD_STYLE_REPLACE,
    GUARD_STYLE_PREFIX,
    GUARD_STYLE_SUFFIX
} guard_style_kind;

typedef struct {
    const char *name;
    guard_style_kind kind;
    double weight, rate;     /* rate: share of words or letters touched */
    const char *const *from; /* REPLACE: words; PREFIX, SUFFIX: from[i] are the pieces */
    const char *const *to;
    size_t n;
} guard_style;

typedef struct {
    const guard_concept *concept;
    size_t n_concept;
    const guard_frame *frame;
    size_t n_frame;
    const guard_style *style;
    size_t n_style;
    const char *lang; /* of phrases and frames; NULL: English, and so are words of styles always */
    size_t per_seed_concept, per_seed_structure, per_seed_style; /* new rows a seed */
    double style_share; /* share of concept and structure rows that also get a style */
    size_t max_rows;    /* 0: none */
    size_t max_bytes;   /* longer results are not made; 0: 2000 */
} guard_augment_plan;

/* out: the seeds followed by the new rows (columns: tier, frame, style). Phrases are used only for concepts present
 * in `seeds` (so that valid and test concepts stay unseen); category "" always. The rows of one draw (an unsafe text,
 * its twin, an ordinary one) are made together or not at all: none repeats a text or is too long. max_rows keeps a
 * seeded uniform sample of draws. Metrics of step 0: new_rows, seeds_without_phrases, draws_given_up. */
NN_CHECKED nn_status guard_augment(guard_corpus **out, const guard_corpus *seeds, const guard_augment_plan *plan,
                                   guard_job *job, nn_err *err);
/* JSONL lexicon: {"category","concept","lang","acts":[..],"twins":[..]}; lang may be absent, and is the same in all
 * lines. Strings owned by the lexicon. */
typedef struct guard_lexicon guard_lexicon;
NN_CHECKED nn_status guard_lexicon_read(guard_lexicon **out, const char *path, nn_err *err);
void guard_lexicon_free(guard_lexicon *l);
const guard_concept *guard_lexicon_concepts(const guard_lexicon *l, size_t *n);
const char *guard_lexicon_lang(const guard_lexicon *l); /* NULL: not said */
/* Each phrase as a row, bare: acts unsafe, twins safe with the act of their number as parent, ordinary acts safe; sources
 * lexicon/act, lexicon/twin, lexicon/ordinary. For concepts that no seed was written for: these rows are their seeds. */
NN_CHECKED nn_status guard_lexicon_rows(guard_corpus **out, const guard_lexicon *l, nn_err *err);
#endif
