/* decode.h - generating text: many sequences at once, each with its own length.
 *
 * Reads: model.h, rng.h.   Read next: decode.c, sample.c.
 * Why: rollouts are what the adversary does all day. A row finishes, its place is refilled; because a draw is a
 * function of (seed, stream, row id, position) and attention keeps the contract, the text of a row does not depend on
 * who its neighbours were.
 */
#ifndef NN_DECODE_H
#define NN_DECODE_H
#include "nn/model.h"
#include "nn/rng.h"

typedef struct {
    float temperature; /* 0: greedy */
    size_t top_k;      /* 0: all */
    float top_p;       /* 1: all */
    /* [V] not 0: never drawn, except `stop` (control tokens are never text, and stand anywhere among another model's
     * ids). NULL: none. Borrowed. */
    const unsigned char *banned;
    int32_t stop; /* -1: none */
} nn_sampler;

nn_sampler nn_sampler_default(void); /* temperature 1, no cuts, nothing banned, stop -1 */

/* Draws one id from logits [V]; ties break by id. *logprob (may be NULL) gets log p(id) of the full softmax at
 * temperature 1, the bytes that nn_xent would give. scratch: V pairs (nn_sample_scratch bytes). */
int32_t nn_sample(const nn_exec *x, const nn_sampler *s, const float *logits, size_t V, nn_rng *rng, float *logprob,
                  void *scratch);
size_t nn_sample_scratch(size_t V);

/* One sequence to generate. Caller owns all arrays. */
typedef struct {
    const int32_t *prompt;
    size_t n_prompt; /* >= 1 */
    size_t max_new;
    nn_rng rng;     /* position p is used for new token p */
    int32_t *out;   /* [max_new] */
    float *logprob; /* [max_new] or NULL */
    size_t n_out;   /* set: tokens drawn, the stop token included when it came */
    bool stopped;   /* set: ended by the stop token */
} nn_decode_row;

/* Room for `slots` sequences of config.max_t; nothing is allocated later. In floats, L layers, V ids:
 *   caches       slots x L x nn_attn_cache_floats (K x max_t x 2D, rounded up): nearly all of it
 *   a round      max(slots, 128) rows of activations
 *   logits       min(slots, 64) x 3V, the sampler's scratch included
 *   weights      once more, packed, unless the model is packed (nn_model_pack) or int8
 * More than there is: NN_LIMIT. A model packed at build must be so in every batch. */
typedef struct nn_decoder nn_decoder;
NN_CHECKED nn_status nn_decoder_build(nn_decoder **out, const nn_model *m, size_t slots, nn_err *err);
void nn_decoder_free(nn_decoder *d);
/* nn_state_round_inputs for what is decoded from now on: a model whose matrices are stored says what llama.cpp has it
 * say, as far as rounding decides. */
void nn_decoder_round_inputs(nn_decoder *d, bool on);
/* What build would take for a model with this configuration, the packed weights apart; for the plan. */
size_t nn_decoder_bytes(const nn_config *c, size_t slots);
/* Runs all rows to their end; rows wait for a free slot. on_token may be NULL (row, position, id); it may end its row by
 * setting max_new to position + 1. Models with an n-gram memory are not decoded. */
void nn_decode_batch(const nn_model *m, nn_decoder *d, const nn_exec *x, nn_decode_row *rows, size_t n,
                     const nn_sampler *s, void (*on_token)(void *ctx, size_t row, size_t pos, int32_t id), void *ctx);
#endif
