/* import_openai_moderation.c - OpenAI's moderation set (Markov et al. 2023, arXiv:2208.03274), JSONL as published.
 *
 * A category that nobody judged is not there: the row's label counts it as 0 (the published protocol), but it stays
 * unknown for the category head, so what was judged is kept in `cats`.
 */
#include "guard/import.h"

static const char *const need[] = {"prompt", NULL};
static const struct {
    const char *letter, *name;
} cats[] = {{"S", "sexual"},     {"H", "hate"},           {"V", "violence"},          {"HR", "harassment"},
            {"SH", "self-harm"}, {"S3", "sexual/minors"}, {"H2", "hate/threatening"}, {"V2", "violence/graphic"}};

static nn_status row_of(guard_row *row, bool *skip, guard_scratch *s, const guard_record *rec,
                        const guard_import *o, nn_err *err)
{
    static const char *const used[] = {"prompt", "S", "H", "V", "HR", "SH", "S3", "H2", "V2", "cats", NULL};
    nn_status st = guard_record_text(&row->text, rec, "prompt", false, err);
    size_t judged = 0;

    (void)o;
    if (st != NN_OK) return st;
    row->label = GUARD_SAFE;
    guard_record_rest(&s->extra, rec, used);
    guard_json_key(&s->extra, "cats");
    guard_buf_str(&s->extra, "{");
    for (size_t i = 0; i < sizeof cats / sizeof *cats; i++) {
        int label = GUARD_LABEL_NONE;
        bool missing = true;

        if (guard_record_find(rec, cats[i].letter)) {
            st = guard_record_label(&label, &missing, rec, cats[i].letter, "0", "1", err);
            if (st != NN_OK) return st;
        }
        if (missing) continue;
        judged++;
        guard_json_key(&s->extra, cats[i].name);
        guard_json_u64(&s->extra, (uint64_t)label);
        if (label != GUARD_UNSAFE) continue;
        row->label = GUARD_UNSAFE;
        if (s->category.len) guard_buf_str(&s->category, ",");
        guard_buf_str(&s->category, cats[i].name);
    }
    guard_buf_str(&s->extra, "}");
    *skip = judged == 0;
    if (s->category.len) row->category = (guard_text){s->category.bytes, s->category.len};
    return NN_OK;
}

const guard_importer guard_import_openai_moderation = {
    "openai_moderation", "unsafe when any category is 1; a category that is missing is unknown, not 0", need,
    row_of, NULL};
