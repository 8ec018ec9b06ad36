/* import_harmbench.c - HarmBench behaviours (Mazeika et al. 2024, arXiv:2402.04249), CSV as published. */
#include "guard/import.h"
#include <string.h>

static const char *const need[] = {"Behavior", "FunctionalCategory", NULL};
static const char *const kinds[] = {"standard", "contextual", "copyright", NULL};

static bool is_kind(const char *s, size_t n)
{
    size_t i = 0;

    while (kinds[i] && !(strlen(kinds[i]) == n && memcmp(kinds[i], s, n) == 0)) i++;
    return kinds[i] != NULL;
}

/* Whether `name` stands in a comma list; with name NULL, whether every entry is a known kind. */
static bool in_list(const char *list, const guard_text *name)
{
    for (;;) {
        const size_t n = strcspn(list, ",");

        if (name ? name->n == n && memcmp(name->s, list, n) == 0 : !is_kind(list, n)) return name != NULL;
        if (!list[n]) return name == NULL;
        list += n + 1;
    }
}

static nn_status check(const guard_import *o, nn_err *err)
{
    if (!o->functional || in_list(o->functional, NULL)) return NN_OK;
    return nn_fail(err, NN_USAGE,
                   "harmbench: functional '%s', want a comma list of standard, contextual, copyright",
                   o->functional);
}

static nn_status row_of(guard_row *row, bool *skip, guard_scratch *s, const guard_record *rec,
                        const guard_import *o, nn_err *err)
{
    static const char *const used[] = {"Behavior", "ContextString", NULL};
    const guard_field *before = guard_record_find(rec, "ContextString"),
                      *semantic = guard_record_find(rec, "SemanticCategory");
    guard_text kind = {NULL, 0};
    nn_status st = guard_record_text(&kind, rec, "FunctionalCategory", false, err);

    if (st != NN_OK) return st;
    if (!is_kind(kind.s, kind.n)) {
        return guard_field_fail(rec->where, "FunctionalCategory", kind, "standard, contextual or copyright", err);
    }
    *skip = o->functional && !in_list(o->functional, &kind);
    if (*skip) return NN_OK;
    if ((st = guard_record_text(&row->text, rec, "Behavior", false, err)) != NN_OK) return st;
    if (before && !before->json && before->value.n) {
        guard_buf_add(&s->text, before->value.s, before->value.n);
        guard_buf_str(&s->text, "\n\n");
        guard_buf_add(&s->text, row->text.s, row->text.n);
        row->text = (guard_text){s->text.bytes, s->text.len};
    }
    row->label = GUARD_UNSAFE;
    if (semantic && !semantic->json && semantic->value.n) row->category = semantic->value;
    guard_record_rest(&s->extra, rec, used);
    return NN_OK;
}

const guard_importer guard_import_harmbench = {
    "harmbench",
    "every behaviour is unsafe; ContextString is put before it; functional chooses the kinds, others are skipped",
    need, row_of, check};
