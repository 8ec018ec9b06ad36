/* cmd_adapter.h - the flag --adapter of generate, perplexity and convert.
 *
 * Reads: cmd.h, nn/pretrained.h.   Read next: cmd_adapter.c.
 */
#ifndef GUARD_CMD_ADAPTER_H
#define GUARD_CMD_ADAPTER_H
#include "guard/cmd.h"
#include "nn/pretrained.h"

#define CMD_ADAPTER_DOC "folder of PEFT's (LoRA) for this model, merged into its weights"

/* nn_pretrained_adapt, and a note on stderr where the folder names another base: the same model has another name on
 * every machine, so that is no mistake by itself. */
NN_CHECKED nn_status cmd_adapt_with(const char *verb, const char *folder, nn_pretrained *p, nn_err *err);
NN_CHECKED nn_status cmd_adapt(const cmd_line *line, nn_pretrained *p, nn_err *err); /* as --adapter says, or nothing */
#endif
