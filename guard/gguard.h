/* gguard.h - the keys of guard.gguf, written once for reader and writer.
 *
 * Reads: classify_impl.h, nn/gguf.h.   Read next: gguard_read.h, gguard.c (reads), gguard_write.c (writes).
 * The decoder stands there as qwen3, qwen2 or llama does (its keys, llama.cpp's tensor names), the vocabulary as its
 * family is written (nn/tok_gguf_write.h), so that other programs can load both. What they do not know stands under
 * guard.*: taxonomy, prompt format, window, thresholds, calibration, hashes, the wide part, the n-gram memory and the
 * heads. Private to guard/.
 */
#ifndef GUARD_GGUARD_H
#define GUARD_GGUARD_H
#include "guard/classify_impl.h"
#include "nn/config_keys.h"

#define GUARD_FILE_VERSION 1u
#define GUARD_ARCH_OTHER "parapet" /* wide part alone, or a decoder that is none of llama.cpp's */
#define GUARD_PROMPT_FORMAT "BOS TASK_PROMPT text LABEL; BOS TASK_RESPONSE prompt-tail RESPONSE response LABEL"
#define GUARD_PROMPT_OTHER "guard.format" /* ids in a vocabulary of another family */

#define GUARD_KEY_VERSION "guard.version"
#define GUARD_KEY_PROMPT "guard.prompt_format"
#define GUARD_KEY_WINDOW "guard.window"
#define GUARD_KEY_STRIDE "guard.stride"
#define GUARD_KEY_RATES "guard.threshold.rates"
#define GUARD_KEY_THRESHOLDS "guard.threshold.values"
#define GUARD_KEY_CALIBRATION "guard.calibration" /* a, b */
#define GUARD_KEY_LEDGER "guard.ledger"
#define GUARD_KEY_CORPUS "guard.corpus.sha256"
/* int8 matrices (nn/quantize.h): a tensor of type I8 in panels, beside it NAME.scale; absent: none is int8. */
#define GUARD_KEY_I8 "guard.int8.layout"
#define GUARD_I8_LAYOUT "n16k4"
#define GUARD_I8_ALIGN 64u /* bytes: a step of a panel is one cache line */
#define GUARD_KEY_DECODER "guard.decoder"     /* whether there is one */
#define GUARD_KEY_WIDE_BITS "guard.wide.bits" /* absent: no wide part */
#define GUARD_KEY_WIDE_BIAS "guard.wide.bias"
#define GUARD_WIDE_WEIGHT "guard.wide.weight"
#define GUARD_WIDE_IDF "guard.wide.idf"

/* Ids of a format that is not ours, by guard_format_part. */
extern const char *const guard_format_keys[GUARD_FORMAT_PARTS];
#define GUARD_KEY_PLACES "guard.format.places" /* how prompt, prompt before a response and response are encoded */
#define GUARD_KEY_RESPONSE "guard.format.response"

#define GUARD_ROPE_DIVISOR "rope_freqs.weight" /* absent: none */
/* How many divisors of frequencies a model has; 0 where a file claims a width of heads that no model has. */
size_t guard_divisors(const nn_config *c);
bool guard_has_divisors(const nn_config *c); /* any that is not 0 */
/* What llama.cpp calls a model of this shape, GUARD_ARCH_OTHER when it has no name for it. */
const char *guard_architecture(const nn_config *c);

/* gguard_write.c: a configuration's keys; the tensor that goes with them, if any; tokenizer and format. */
void guard_put_config(nn_gguf_writer *w, const nn_config *c);
void guard_put_divisors(nn_gguf_writer *w, const nn_config *c);
NN_CHECKED nn_status guard_put_tokenizer(nn_gguf_writer *w, const guard_parts *p, nn_err *err);

/* One row a text of the taxonomy's categories: key and where it stands in a guard_category. */
typedef struct {
    const char *key;
    size_t at, cap;
} guard_taxonomy_text;
#define GUARD_TAXONOMY_TEXTS 5
extern const guard_taxonomy_text guard_taxonomy_texts[GUARD_TAXONOMY_TEXTS];
#define GUARD_KEY_SEVERITY "guard.taxonomy.severity"

/* The decoder's sizes in the order of the file; behind them stand two that are ours. */
#define GUARD_CONFIG_KEYS 8
extern const nn_config_key guard_config_keys[GUARD_CONFIG_KEYS];
#define GUARD_KEY_MEMORY "guard.memory.rows"
#define GUARD_KEY_CATEGORIES "guard.category.rows"
#endif
