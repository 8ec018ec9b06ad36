/* import_xstest.c - XSTest (Röttger et al. 2024, arXiv:2308.01263), CSV as published. */
#include "guard/import.h"

static const char *const need[] = {"prompt", "type", "label", NULL};

static nn_status row_of(guard_row *row, bool *skip, guard_scratch *s, const guard_record *rec,
                        const guard_import *o, nn_err *err)
{
    static const char *const used[] = {"prompt", "label", NULL};
    nn_status st = guard_record_label(&row->label, skip, rec, "label", "safe", "unsafe", err);

    (void)o;
    if (st != NN_OK || *skip) return st;
    if ((st = guard_record_text(&row->text, rec, "prompt", false, err)) != NN_OK) return st;
    guard_record_rest(&s->extra, rec, used);
    return NN_OK;
}

const guard_importer guard_import_xstest = {"xstest", "label is the file's own safe / unsafe; type is kept", need,
                                            row_of, NULL};
