/* import_toxicchat.c - ToxicChat (Lin et al. 2023, arXiv:2310.17389), CSV as published. */
#include "guard/import.h"

static const char *const need[] = {"user_input", "toxicity", NULL};

static nn_status row_of(guard_row *row, bool *skip, guard_scratch *s, const guard_record *rec,
                        const guard_import *o, nn_err *err)
{
    static const char *const used[] = {"user_input", "toxicity", "jailbreaking", NULL};
    const guard_field *jailbreak = guard_record_find(rec, "jailbreaking");
    nn_status st = guard_record_label(&row->label, skip, rec, "toxicity", "0", "1", err);

    (void)o;
    if (st != NN_OK || *skip) return st;
    if ((st = guard_record_text(&row->text, rec, "user_input", false, err)) != NN_OK) return st;
    guard_record_rest(&s->extra, rec, used);
    if (jailbreak && (guard_text_is(jailbreak->value, "0") || guard_text_is(jailbreak->value, "1"))) {
        guard_json_key(&s->extra, "jailbreaking"); /* a number, as in JSONL copies */
        guard_buf_add(&s->extra, jailbreak->value.s, 1);
    }
    return NN_OK;
}

const guard_importer guard_import_toxicchat = {
    "toxicchat", "user_input is unsafe when toxicity is 1; jailbreaking is kept, it is not the label", need, row_of,
    NULL};
