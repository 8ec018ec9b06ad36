/* import_wildguard.c - WildGuardMix (Han et al. 2024, arXiv:2406.18495), CSV or JSONL exported from its parquet. */
#include "guard/import.h"
#include <string.h>

static const char *const need[] = {"prompt", "prompt_harm_label", NULL};

static bool judges_response(const guard_import *o)
{
    return o->task && strcmp(o->task, "response") == 0;
}

static nn_status check(const guard_import *o, nn_err *err)
{
    if (!o->task || strcmp(o->task, "prompt") == 0 || judges_response(o)) return NN_OK;
    return nn_fail(err, NN_USAGE, "wildguard: task '%s', want prompt or response", o->task);
}

/* subcategory speaks of the prompt, so only the prompt task takes it as the row's category. */
static nn_status row_of(guard_row *row, bool *skip, guard_scratch *s, const guard_record *rec,
                        const guard_import *o, nn_err *err)
{
    static const char *const used_prompt[] = {"prompt", "prompt_harm_label", NULL};
    static const char *const used_response[] = {"prompt", "response", "response_harm_label", NULL};
    const bool response = judges_response(o);
    const guard_field *sub = guard_record_find(rec, "subcategory");
    nn_status st =
        guard_record_label(&row->label, skip, rec, response ? "response_harm_label" : "prompt_harm_label",
                           "unharmful", "harmful", err);

    if (st != NN_OK || *skip) return st;
    if ((st = guard_record_text(&row->text, rec, "prompt", false, err)) != NN_OK) return st;
    if (response && (st = guard_record_text(&row->response, rec, "response", false, err)) != NN_OK) return st;
    if (!response && row->label == GUARD_UNSAFE && sub && !sub->json && sub->value.n) row->category = sub->value;
    guard_record_rest(&s->extra, rec, response ? used_response : used_prompt);
    return NN_OK;
}

const guard_importer guard_import_wildguard = {
    "wildguard",
    "prompt_harm_label (task prompt) or response_harm_label (task response): harmful is unsafe, an empty one skipped",
    need, row_of, check};
