/* main.c - the command line: finds the verb and hands over.
 *
 * Read next: cmd.h, then cmd_run.c or cmd_check.c.
 */
#include "guard/cmd.h"
#include "guard/parapet.h"
#include "guard/nearest.h"
#include "nn/plat.h"
#include <stdio.h>
#include <string.h>

const cmd_verb *const cmd_verbs[] = {&cmd_run,   &cmd_plan,    &cmd_check,   &cmd_eval,      &cmd_generate,
                                     &cmd_audit, &cmd_lineage, &cmd_inspect, &cmd_tokenize, &cmd_perplexity,
                                     &cmd_convert, &cmd_quantize, &cmd_help_verb, NULL};

static int unknown_verb(const char *word)
{
    const char *names[24];
    size_t n = 0;
    for (; cmd_verbs[n] != NULL; n++) names[n] = cmd_verbs[n]->verb;
    const char *near = guard_nearest(word, names, n);
    if (near != NULL) fprintf(stderr, "parapet: '%s' is not a verb, did you mean '%s'? (parapet help)\n", word, near);
    else fprintf(stderr, "parapet: '%s' is not a verb, want one of those in 'parapet help'\n", word);
    return NN_USAGE;
}

int main(int argc, char **argv)
{
    nn_stop_install();
    if (argc < 2) {
        fprintf(stderr, "parapet: no verb, want one of those in 'parapet help'\n");
        return NN_USAGE;
    }
    const char *word = argv[1];
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) word = "help";
    if (strcmp(word, "--version") == 0) {
        puts("parapet " PARAPET_VERSION);
        return NN_OK;
    }
    for (size_t i = 0; cmd_verbs[i] != NULL; i++) {
        if (strcmp(word, cmd_verbs[i]->verb) != 0) continue;
        for (int k = 2; k < argc && strcmp(argv[k], "--") != 0; k++)
            if (strcmp(argv[k], "--help") == 0 || strcmp(argv[k], "-h") == 0) {
                cmd_help(cmd_verbs[i]);
                return NN_OK;
            }
        return cmd_verbs[i]->run(argc - 1, argv + 1);
    }
    return unknown_verb(word);
}
