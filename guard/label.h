/* label.h - a guard of a language model as it is: the verdict is what the model would say next, "unsafe" against
 * "safe".
 *
 * Reads: classify.h, template.h, nn/pretrained.h.   Read next: label.c.
 * After a prompt template the logits of two tokens are compared. They are products of the last hidden state with two
 * rows of the output matrix, so those two rows are a verdict head: the guard that they make has windows, calibration,
 * thresholds and a file as every other, and its logits are the model's own, bit for bit.
 */
#ifndef GUARD_LABEL_H
#define GUARD_LABEL_H
#include "guard/classify.h"
#include "guard/template.h"
#include "nn/pretrained.h"

typedef struct {
    const char *name;
    size_t window, stride;          /* tokens; at most the model's context */
    const guard_taxonomy *taxonomy; /* of the rows; there is no category head */
} guard_label_options;

/* f and label as guard_format_of_templates made them with tok, which is copied. Thresholds are unset: calibrate. The
 * guard's matrices lie in p's files: p is closed after it. */
NN_CHECKED nn_status guard_from_labels(guard_classifier **out, const nn_pretrained *p, const nn_tok *tok,
                                       const guard_format *f, const int32_t label[2], const guard_label_options *o,
                                       nn_err *err);
/* Writes the two rows of p's output matrix into m's verdict head, which is of p's width. */
NN_CHECKED nn_status guard_label_head(nn_model *m, const nn_pretrained *p, const int32_t label[2], nn_err *err);
/* Whether tok is of a size that p's embedding has rows for, and a window that its context has positions for. */
NN_CHECKED nn_status guard_check_base(const nn_pretrained *p, const nn_tok *tok, size_t window, nn_err *err);
#endif
