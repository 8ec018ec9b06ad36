/* cmd_check.c - parapet check: one text, or rows in and rows out, through the public C API. */
#include "guard/buf.h"
#include "guard/classify.h"
#include "guard/cmd.h"
#include "guard/dataset.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include <stdio.h>
#include <string.h>

#define CHECK_MAX_BYTES ((size_t)1 << 20)

static const cmd_flag check_flags[] = {
    {"--model", "FILE", "data/guard.gguf", "guard to use"},
    {"--response", "TEXT", NULL, "judge this answer to TEXT instead of TEXT"},
    {"--jsonl", NULL, NULL, "rows in on stdin (or the files named), rows with verdicts out"},
    {"--json", NULL, NULL, "one JSON object"},
    {"--explain", NULL, NULL, "parts of the logit, windows and likeliest categories"},
    {"--fpr", "RATE", "0.05", "use the threshold stored for this false-positive rate"},
    {"--threshold", "P", NULL, "use this threshold instead"},
    {"--max-bytes", "N", "1048576", "longer texts are refused"},
    {"--threads", "N", "1", "threads of one request"},
    {"--kernels", "NAME", NULL, "kernel table: base, avx2, neon"},
    {NULL, NULL, NULL, NULL}};

typedef struct {
    guard_classifier *g;
    guard_session *s;
    float threshold;
    bool json, explain;
    size_t max_bytes;
    char sha256[65]; /* of the guard, for JSON alone: hashing is most of a start */
} checker;

static void verdict_json(guard_buf *b, const checker *c, const guard_verdict *v)
{
    const guard_taxonomy *t = guard_classifier_taxonomy(c->g);
    guard_buf_str(b, "{");
    guard_json_key(b, "version");
    guard_json_u64(b, 1);
    guard_json_key(b, "flagged");
    guard_json_bool(b, v->flagged);
    guard_json_key(b, "p_unsafe");
    guard_json_float(b, v->p_unsafe);
    guard_json_key(b, "threshold");
    guard_json_float(b, v->threshold);
    guard_json_key(b, "categories");
    guard_buf_str(b, "{");
    for (size_t i = 0; i < v->n_category; i++) {
        guard_json_key(b, t->category[i].name);
        guard_json_float(b, v->category[i]);
    }
    guard_buf_str(b, "}");
    guard_json_key(b, "window");
    guard_buf_str(b, "{");
    guard_json_key(b, "index");
    guard_json_u64(b, v->window_index);
    guard_json_key(b, "count");
    guard_json_u64(b, v->window_count);
    guard_json_key(b, "start");
    guard_json_u64(b, v->window_start);
    guard_json_key(b, "end");
    guard_json_u64(b, v->window_end);
    guard_buf_str(b, "}");
    guard_json_key(b, "tokens");
    guard_json_u64(b, v->tokens);
    guard_json_key(b, "bytes_replaced");
    guard_json_u64(b, v->bytes_replaced);
    if (c->explain) {
        guard_json_key(b, "logit");
        guard_json_float(b, v->logit);
        guard_json_key(b, "wide_logit");
        guard_json_float(b, v->wide_logit);
        guard_json_key(b, "decoder_logit");
        guard_json_float(b, v->decoder_logit);
    }
    guard_json_key(b, "model");
    guard_buf_str(b, "{");
    guard_json_key(b, "name");
    guard_json_str(b, guard_classifier_name(c->g), strlen(guard_classifier_name(c->g)));
    guard_json_key(b, "sha256");
    guard_json_str(b, c->sha256, strlen(c->sha256));
    guard_buf_str(b, "}}");
}

#define CATEGORY_WORTH_NAMING 0.2f /* a category head that knows nothing gives each about 0.05 */

/* The most probable category. */
static size_t top_category(const guard_verdict *v)
{
    size_t best = 0;
    for (size_t i = 1; i < v->n_category; i++)
        if (v->category[i] > v->category[best]) best = i;
    return best;
}

static void verdict_text(guard_buf *b, const checker *c, const guard_verdict *v)
{
    char p[32], t[32], w[32], d[32];
    const guard_taxonomy *tax = guard_classifier_taxonomy(c->g);
    guard_fmt_fixed(p, (double)v->p_unsafe, 3);
    guard_fmt_fixed(t, (double)v->threshold, 3);
    guard_buf_fmt(b, "%s  p(unsafe) %s, threshold %s", v->flagged ? "unsafe" : "safe", p, t);
    if (v->flagged && v->n_category > 0 && v->category[top_category(v)] >= CATEGORY_WORTH_NAMING)
        guard_buf_fmt(b, ", most like %s", tax->category[top_category(v)].name);
    if (v->bytes_replaced > 0) guard_buf_fmt(b, ", %zu ill-formed byte sequences read as U+FFFD", v->bytes_replaced);
    guard_buf_str(b, "\n");
    if (!c->explain) return;
    guard_fmt_fixed(w, (double)v->wide_logit, 3);
    guard_fmt_fixed(d, (double)v->decoder_logit, 3);
    guard_buf_fmt(b, "  logit: wide part %s + decoder %s\n  window %zu of %zu, bytes %zu to %zu; %zu tokens\n", w, d,
                  v->window_index + 1, v->window_count, v->window_start, v->window_end, v->tokens);
    for (size_t i = 0; i < v->n_category; i++) {
        if (v->category[i] < 0.1f) continue;
        guard_fmt_fixed(p, (double)v->category[i], 3);
        guard_buf_fmt(b, "  %-16s %s\n", tax->category[i].name, p);
    }
}

static nn_status check_one(const checker *c, const char *text, size_t len, const char *response, size_t response_len,
                           guard_verdict *v, nn_err *err)
{
    const nn_status st = guard_check(c->s, text, len, response, response_len, v, err);
    if (st != NN_OK) return st;
    v->threshold = c->threshold;
    v->flagged = v->p_unsafe >= c->threshold;
    return NN_OK;
}

/* Each row goes out as it came, with the verdict in one more field. */
static nn_status check_rows(const checker *c, const char *path, bool *flagged, nn_err *err)
{
    guard_corpus *rows = NULL;
    guard_import_report report;
    guard_buf b = {0};
    guard_verdict v;
    guard_import o = {0};
    o.max_bytes = c->max_bytes;
    nn_status st = guard_dataset_read(&rows, &report, path, &o, err);
    for (size_t i = 0; st == NN_OK && i < rows->n; i++) {
        const guard_row *r = &rows->row[i];
        st = check_one(c, r->text.s, r->text.n, r->response.s, r->response.n, &v, err);
        if (st != NN_OK) break;
        guard_buf_clear(&b);
        guard_corpus_json(&b, rows, i);
        if ((st = guard_buf_status(&b, err)) != NN_OK) break;
        while (b.bytes[b.len - 1] == '\n') b.len--;
        b.bytes[--b.len] = '\0'; /* the object's last brace: one more field comes before it */
        guard_json_key(&b, "verdict");
        verdict_json(&b, c, &v);
        guard_buf_str(&b, "}\n");
        if ((st = guard_buf_status(&b, err)) != NN_OK) break;
        fwrite(b.bytes, 1, b.len, stdout);
        *flagged |= v.flagged;
    }
    guard_corpus_free(rows);
    guard_buf_free(&b);
    return st;
}

static nn_status check_text(const checker *c, const cmd_line *line, bool *flagged, nn_err *err)
{
    nn_file in = {0};
    guard_buf b = {0};
    guard_verdict v;
    const char *text = line->word[0], *response = cmd_given(line, "--response");
    size_t len = strlen(text);
    nn_status st = NN_OK;
    if (strcmp(text, "-") == 0) {
        if ((st = nn_file_read(&in, "-", c->max_bytes + 1, err)) != NN_OK) return st; /* a newline may end it */
        text = in.bytes != NULL ? (const char *)in.bytes : "";
        len = in.len;
        if (len > 0 && text[len - 1] == '\n') len--; /* what echo adds */
    }
    st = check_one(c, text, len, response, response != NULL ? strlen(response) : 0, &v, err);
    if (st == NN_OK) {
        if (c->json) verdict_json(&b, c, &v);
        if (c->json) guard_buf_str(&b, "\n");
        else verdict_text(&b, c, &v);
        st = guard_buf_status(&b, err);
        *flagged = v.flagged;
    }
    if (st == NN_OK) fwrite(b.bytes, 1, b.len, stdout);
    guard_buf_free(&b);
    nn_file_close(&in);
    return st;
}

static nn_status open_checker(checker *c, const cmd_line *line, nn_err *err)
{
    char path[1024];
    uint64_t max_bytes, threads;
    double fpr, threshold;
    nn_status st = cmd_number(line, "--max-bytes", 1, (uint64_t)1 << 32, CHECK_MAX_BYTES, &max_bytes, err);
    if (st == NN_OK) st = cmd_number(line, "--threads", 1, NN_PAR_MAX, 1, &threads, err);
    if (st == NN_OK) st = cmd_real(line, "--fpr", 0.0001, 0.5, 0.05, &fpr, err);
    if (st == NN_OK) st = cmd_real(line, "--threshold", 0.0, 1.0, -1.0, &threshold, err);
    if (st == NN_OK) st = cmd_model_path(cmd_given(line, "--model"), path, sizeof path, err);
    if (st == NN_OK) st = guard_classifier_open(&c->g, path, err);
    if (st != NN_OK) return st;
    const guard_session_options o = {cmd_given(line, "--kernels"), (size_t)threads, (size_t)max_bytes};
    c->max_bytes = (size_t)max_bytes;
    c->threshold = threshold >= 0.0 ? (float)threshold : guard_classifier_threshold(c->g, fpr);
    c->json = cmd_given(line, "--json") != NULL;
    c->explain = cmd_given(line, "--explain") != NULL;
    if (c->json || cmd_given(line, "--jsonl") != NULL) guard_classifier_sha256(c->g, c->sha256);
    return guard_session_open(&c->s, c->g, &o, err);
}

static nn_status check_all(const cmd_line *line, bool *flagged, nn_err *err)
{
    checker c = {0};
    const bool rows = cmd_given(line, "--jsonl") != NULL;
    if (!rows && line->n_word != 1)
        return nn_fail(err, NN_USAGE, "%zu texts, want one (quote it), or - for standard input", line->n_word);
    nn_status st = open_checker(&c, line, err);
    if (st == NN_OK && !rows) st = check_text(&c, line, flagged, err);
    if (st == NN_OK && rows && line->n_word == 0) st = check_rows(&c, "-", flagged, err);
    for (size_t i = 0; st == NN_OK && rows && i < line->n_word; i++) st = check_rows(&c, line->word[i], flagged, err);
    guard_session_close(c.s);
    guard_classifier_close(c.g);
    return st;
}

static int check_main(int argc, char **argv)
{
    cmd_line line;
    nn_err err = {0};
    bool flagged = false;
    nn_status st = cmd_parse(&line, &cmd_check, argc, argv, &err);
    if (st == NN_OK) st = check_all(&line, &flagged, &err);
    return cmd_end("check", st, flagged ? 1 : 0, &err);
}

const cmd_verb cmd_check = {"check", "TEXT | - | --jsonl [FILE...]",
                            "Says whether a text is safe. Exit status 0 safe, 1 flagged.", check_flags, check_main};
