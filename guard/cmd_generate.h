/* cmd_generate.h - what the two kinds of generating share. Private to guard/cmd_generate*.c.
 *
 * Read next: cmd_generate.c (flags, which kind), cmd_generate_lm.c (a run's generator), cmd_generate_text.c (a language
 * model that somebody trained).
 */
#ifndef GUARD_CMD_GENERATE_H
#define GUARD_CMD_GENERATE_H
#include "guard/cmd.h"
#include "nn/decode.h"

/* The flags that mean the same for both. */
typedef struct {
    nn_sampler sampler;
    uint64_t seed, threads;
} generate_wishes;

/* Requests of a run's generator, one a line. */
NN_CHECKED nn_status generate_requests(const cmd_line *line, const char *model, const generate_wishes *w, nn_err *err);
/* One text, as it comes. */
NN_CHECKED nn_status generate_text(const cmd_line *line, const char *model, const generate_wishes *w, nn_err *err);
#endif
