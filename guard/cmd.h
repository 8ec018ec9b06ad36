/* cmd.h - flags of the command line, and one function a verb.
 *
 * Read next: main.c, cmd_check.c (the smallest).   Exit statuses are nn_status's: 0 done or safe, 1 flagged or a failed
 * gate, 2 usage, 3 content, 4 file, 5 limit, 130 and 143 after signals. Results go to stdout, everything else to
 * stderr.
 */
#ifndef GUARD_CMD_H
#define GUARD_CMD_H
#include "nn/err.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    const char *name;  /* "--json" */
    const char *value; /* NULL: a switch; else what stands in help: "N", "FILE"; "[NAME]" may be left out */
    const char *def;   /* default shown in help, or NULL */
    const char *doc;
} cmd_flag;

#define CMD_MAX_WORDS 256
#define CMD_MAX_SET 64

typedef struct {
    const char *verb;
    const char *usage; /* after the verb */
    const char *doc;   /* one sentence */
    const cmd_flag *flags;
    int (*run)(int argc, char **argv);
} cmd_verb;

typedef struct {
    const cmd_verb *verb;
    const char *given[32];           /* by position in flags; "" for a switch */
    const char *word[CMD_MAX_WORDS]; /* what is not a flag */
    size_t n_word;
    const char *set[CMD_MAX_SET]; /* every --set */
    size_t n_set;
} cmd_line;

/* argv[0] is the verb. NN_USAGE for an unknown flag (with the nearest), a missing value, too many words. */
NN_CHECKED nn_status cmd_parse(cmd_line *c, const cmd_verb *verb, int argc, char **argv, nn_err *err);
const char *cmd_given(const cmd_line *c, const char *flag); /* value, "" for a switch, NULL when absent */
/* A whole number of a flag, or def; NN_USAGE when it is none or outside. */
NN_CHECKED nn_status cmd_number(const cmd_line *c, const char *flag, uint64_t min, uint64_t max, uint64_t def,
                                uint64_t *out, nn_err *err);
NN_CHECKED nn_status cmd_real(const cmd_line *c, const char *flag, double min, double max, double def, double *out,
                              nn_err *err);
/* Bytes on standard output, now; false when they cannot be written, which cmd_end says. */
bool cmd_write(const void *bytes, size_t len);
/* How a verb ends: standard output flushed (a full disk is NN_LIMIT, and so, without a word, is a reader that has gone),
 * "parapet verb: text" on stderr when st or that failed. Returns the exit status: `done` when all went well. */
int cmd_end(const char *verb, nn_status st, int done, nn_err *err);
void cmd_help(const cmd_verb *verb); /* on stdout */
/* The model to use: --model, $PARAPET_MODEL, ../share/parapet/guard.gguf beside the executable, data/guard.gguf. */
NN_CHECKED nn_status cmd_model_path(const char *given, char *out, size_t cap, nn_err *err);

extern const cmd_verb cmd_run, cmd_plan, cmd_check, cmd_eval, cmd_generate, cmd_audit, cmd_lineage, cmd_inspect,
    cmd_quantize, cmd_convert, cmd_help_verb, cmd_tokenize, cmd_perplexity;
extern const cmd_verb *const cmd_verbs[]; /* ended by NULL */
#endif
