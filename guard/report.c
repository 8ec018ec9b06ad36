/* report.c - reads the facts of a run folder once and writes them three times: for people, programs, users. */
#include "guard/report_impl.h"
#include "nn/plat.h"
#include "nn/arena.h"

static nn_status write_one(const report_facts *f, const char *name,
                           void (*print)(guard_buf *b, const report_facts *f), nn_err *err)
{
    guard_buf b = {NULL, 0, 0, NN_OK};
    char *path = NULL;
    nn_status st = guard_path_join(&path, f->dir, name, err);

    print(&b, f);
    if (st == NN_OK && (st = guard_buf_status(&b, err)) != NN_OK) nn_err_prefix(err, name);
    if (st == NN_OK) st = nn_file_write(path, b.bytes, b.len, err);
    guard_buf_free(&b);
    nn_free(path);
    return st;
}

nn_status guard_report_write(const char *dir, nn_err *err)
{
    report_facts f;
    nn_status st = report_facts_read(&f, dir, err);

    if (st == NN_OK) st = write_one(&f, "report.html", report_html, err);
    if (st == NN_OK) st = write_one(&f, "report.json", report_json, err);
    if (st == NN_OK) st = write_one(&f, "model_card.md", report_card, err);
    report_facts_free(&f);
    return st;
}
