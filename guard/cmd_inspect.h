/* cmd_inspect.h - what parapet inspect says, gathered once and written as text or as JSON. Private to
 * guard/cmd_inspect*.c.
 *
 * Reads: buf.h.   Read next: cmd_inspect.c (which file is what), cmd_inspect_model.c (a model that we could run),
 * cmd_inspect_print.c (how it is written).
 * Everything goes into one buffer, printed at the end: a file that is refused half-way still shows what was read of it.
 */
#ifndef GUARD_CMD_INSPECT_H
#define GUARD_CMD_INSPECT_H
#include "guard/buf.h"
#include "guard/cmd.h"
#include "nn/gguf.h"
#include "nn/pretrained.h"

typedef struct {
    guard_buf out;
    bool json, keys_only;
    unsigned depth; /* of sections within each other */
} inspection;

/* A named group of facts; in text an indented block. */
void inspect_begin(inspection *r, const char *section);
void inspect_end(inspection *r);
/* One fact. Strings come from files: in text, what is not printable ASCII is a dot, and long ones are cut. */
void inspect_str(inspection *r, const char *key, const char *s, size_t len);
void inspect_text(inspection *r, const char *key, const char *s); /* a string of ours, whole */
void inspect_u64(inspection *r, const char *key, uint64_t v);
void inspect_float(inspection *r, const char *key, double v);
void inspect_bool(inspection *r, const char *key, bool v);
/* v bytes; in text with the unit that reads best. */
void inspect_bytes(inspection *r, const char *key, uint64_t v);

/* --- parts of a file ------------------------------------------------------------------------------------- */
void inspect_metadata(inspection *r, const nn_gguf *g);
/* Tensors one by one; their number, weights and bytes. */
typedef struct {
    size_t n;
    uint64_t weights, bytes;
} inspect_sums;
void inspect_tensors_begin(inspection *r);
void inspect_tensor(inspection *r, const nn_st_tensor *t, inspect_sums *sums);
void inspect_tensors_end(inspection *r, const inspect_sums *sums);

/* A model of somebody else that we run: configuration, tokenizer, memory, metadata, tensors. */
NN_CHECKED nn_status inspect_pretrained(inspection *r, const nn_pretrained *p, nn_err *err);
void inspect_tokenizer(inspection *r, const nn_tok *tok); /* its facts, in a section that is open */
void inspect_config_json(inspection *r, const char *path);
#endif
