#include "guard/dataset.h"
#include "guard/csv.h"
#include "guard/import.h"
#include "nn/arena.h"
#include "nn/rng.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const guard_importer *const importers[] = {&guard_import_toxicchat, &guard_import_openai_moderation,
                                                  &guard_import_wildguard, &guard_import_harmbench,
                                                  &guard_import_xstest};
enum { N_IMPORTER = sizeof importers / sizeof *importers };
static const char jsonl_rule[] = "label is the row's own: 1 unsafe, 0 safe, null none";

/* One file being read. */
typedef struct {
    const char *path, *bytes;
    size_t len;
    const guard_import *o;
    const guard_importer *by; /* NULL: our own JSONL */
    guard_import_report *report;
    guard_corpus *c;
    guard_scratch scratch;
    char where[400];
} reader;

static void say_where(reader *r, size_t line)
{
    snprintf(r->where, sizeof r->where, "%s:%zu", r->path, line);
}

/* --- a record becomes a row ---------------------------------------------------------------- */

static nn_status add_record(reader *r, const guard_record *rec, bool repaired, nn_err *err)
{
    guard_row row = {.label = GUARD_LABEL_NONE};
    guard_scratch *s = &r->scratch;
    bool skip = false;
    nn_status st = NN_OK;

    guard_buf_clear(&s->text);
    guard_buf_clear(&s->category);
    guard_buf_clear(&s->extra);
    guard_buf_str(&s->extra, "{");
    if ((st = r->by->row(&row, &skip, s, rec, r->o, err)) != NN_OK) return st;
    if (skip) {
        r->report->skipped++;
        return NN_OK;
    }
    row.extra = guard_extra_end(&s->extra);
    row.source = (guard_text){r->by->format, strlen(r->by->format)};
    if ((st = guard_buf_status(&s->text, err)) != NN_OK) return st;
    if ((st = guard_buf_status(&s->category, err)) != NN_OK) return st;
    if ((st = guard_buf_status(&s->extra, err)) != NN_OK) return st;
    if ((st = guard_row_check(&row, rec->where, r->o->max_bytes, err)) != NN_OK) return st;
    r->report->repaired += repaired;
    return guard_corpus_add(r->c, &row, err);
}

/* --- CSV ----------------------------------------------------------------------------------- */

static nn_status check_header(const reader *r, const guard_record *header, nn_err *err)
{
    for (const char *const *need = r->by->need; *need; need++) {
        if (!guard_record_find(header, *need)) {
            return nn_fail(err, NN_CONTENT, "%s:1: header: no column %s, want %s's own header", r->path, *need,
                           r->by->format);
        }
    }
    for (size_t i = 0; i < header->n; i++) {
        const guard_field *f = guard_record_find(header, header->field[i].name.s);
        if (f != &header->field[i]) {
            return nn_fail(err, NN_CONTENT,
                           "%s:1: header: column %zu has the name of another, want names that differ", r->path,
                           i + 1);
        }
    }
    return NN_OK;
}

/* The first record names the fields of all others; its bytes are copied because the next record replaces them. */
static nn_status take_header(guard_field **field, guard_buf *names, const guard_csv *csv, nn_err *err)
{
    void *block = NULL;
    size_t at = 0;
    nn_status st = nn_alloc(&block, csv->n_field, sizeof(guard_field), err);

    *field = block;
    if (st != NN_OK) return st;
    for (size_t i = 0; i < csv->n_field; i++) guard_buf_add(names, csv->field[i].s, csv->field[i].n + 1);
    if ((st = guard_buf_status(names, err)) != NN_OK) return st;
    for (size_t i = 0; i < csv->n_field; i++) {
        (*field)[i] = (guard_field){{names->bytes + at, csv->field[i].n}, {NULL, 0}, false};
        (*field)[i].value = (*field)[i].name;
        at += csv->field[i].n + 1;
    }
    return NN_OK;
}

static nn_status read_csv(reader *r, nn_err *err)
{
    guard_csv csv;
    guard_buf names = {0};
    guard_field *field = NULL;
    bool more = false;
    nn_status st = NN_OK;

    guard_csv_init(&csv, r->bytes, r->len, r->path);
    if ((st = guard_csv_next(&csv, &more, err)) != NN_OK || !more) goto done;
    if ((st = take_header(&field, &names, &csv, err)) != NN_OK) goto done;
    const guard_record rec = {r->where, field, csv.n_field};
    if ((st = check_header(r, &rec, err)) != NN_OK) goto done;

    while ((st = guard_csv_next(&csv, &more, err)) == NN_OK && more) {
        for (size_t i = 0; i < csv.n_field; i++) field[i].value = csv.field[i];
        say_where(r, csv.at_line);
        if ((st = add_record(r, &rec, csv.repaired, err)) != NN_OK) break;
    }
done:
    nn_free(field);
    guard_buf_free(&names);
    guard_csv_free(&csv);
    return st;
}

/* --- JSONL --------------------------------------------------------------------------------- */

/* The next line that is not blank; false at the end. *pos moves behind it, *number is its own. */
static bool next_line(guard_text *line, size_t *number, const char *bytes, size_t len, size_t *pos)
{
    while (*pos < len) {
        const char *start = bytes + *pos;
        const char *end = memchr(start, '\n', len - *pos);
        size_t n = end ? (size_t)(end - start) : len - *pos;

        *pos += n + (end != NULL);
        ++*number;
        while (n && memchr(" \t\r", start[n - 1], 3)) n--;
        if (n == 0) continue;
        *line = (guard_text){start, n};
        return true;
    }
    return false;
}

/* Fields of a benchmark's JSONL line. Strings come from jansson, everything else as it stands. */
static nn_status fields_of(guard_field **out, size_t *n, json_t *root, guard_text line, nn_err *err)
{
    guard_members raw;
    const char *key;
    json_t *v;
    void *block = NULL;
    const nn_status st = nn_alloc(&block, json_object_size(root), sizeof(guard_field), err);

    *out = block;
    *n = 0;
    if (st != NN_OK) return st;
    guard_members_open(&raw, line.s, line.n);
    json_object_foreach(root, key, v)
    {
        const bool more = guard_members_next(&raw);
        guard_text value = raw.value;

        NN_ASSERT(more);
        (void)more; /* unused when NDEBUG */
        if (json_is_string(v)) value = (guard_text){json_string_value(v), json_string_length(v)};
        if (json_is_null(v)) value = (guard_text){NULL, 0};
        (*out)[(*n)++] = (guard_field){{key, strlen(key)}, value, !json_is_string(v)};
    }
    return NN_OK;
}

static nn_status record_line(reader *r, guard_text line, nn_err *err)
{
    guard_field *field = NULL;
    guard_buf spare = {0};
    json_t *root = NULL;
    bool repaired = false;
    guard_record rec = {r->where, NULL, 0};
    nn_status st = NN_OK;

    if ((st = guard_text_repair(&line, &spare, &repaired, err)) != NN_OK) goto done;
    if ((st = guard_json_parse(&root, line.s, line.n, true, r->where, err)) != NN_OK) goto done;
    if (!json_is_object(root)) {
        st = nn_fail(err, NN_CONTENT, "%s: line: not an object, want one JSON object a line", r->where);
        goto done;
    }
    if ((st = fields_of(&field, &rec.n, root, line, err)) != NN_OK) goto done;
    rec.field = field;
    st = add_record(r, &rec, repaired, err);
done:
    nn_free(field);
    json_decref(root);
    guard_buf_free(&spare);
    return st;
}

static nn_status read_jsonl(reader *r, nn_err *err)
{
    size_t pos = 0, number = 0;
    guard_text line = {NULL, 0};
    nn_status st = NN_OK;

    while (st == NN_OK && next_line(&line, &number, r->bytes, r->len, &pos)) {
        bool repaired = false;

        say_where(r, number);
        if (r->by) {
            st = record_line(r, line, err);
            continue;
        }
        st = guard_dataset_line_limit(r->c, line.s, line.n, r->where, r->o->max_bytes, &repaired, err);
        r->report->repaired += repaired;
    }
    return st;
}

/* --- which format -------------------------------------------------------------------------- */

static size_t first_visible(const reader *r)
{
    size_t i = 0;

    while (i < r->len && memchr(" \t\r\n", r->bytes[i], 4)) i++;
    return i;
}

static bool is_blank(const reader *r)
{
    return first_visible(r) == r->len;
}

static bool is_json(const reader *r)
{
    const size_t i = first_visible(r);
    return i < r->len && (r->bytes[i] == '{' || r->bytes[i] == '[');
}

/* By the first object: `text` is ours; else a benchmark's own names. *out stays NULL: ours, whose reader says what is
 * wrong. */
static nn_status guess_json(const guard_importer **out, const reader *r, nn_err *err)
{
    static const char *const letters[] = {"S", "H", "V", "HR", "SH", "S3", "H2", "V2"};
    size_t pos = 0, number = 0;
    guard_text line = {NULL, 0};
    guard_buf spare = {0};
    json_t *root = NULL;
    bool repaired = false;
    nn_status st = NN_OK;

    if (!next_line(&line, &number, r->bytes, r->len, &pos)) return NN_OK;
    if ((st = guard_text_repair(&line, &spare, &repaired, err)) != NN_OK) goto done;
    st = guard_json_parse(&root, line.s, line.n, false, r->path, NULL);
    if (st == NN_CONTENT) st = NN_OK;
    if (st != NN_OK) nn_fail(err, st, "%s: no memory for its first line", r->path);
    if (json_object_get(root, "prompt") && !json_object_get(root, "text")) {
        if (json_object_get(root, "prompt_harm_label")) *out = &guard_import_wildguard;
        for (size_t i = 0; i < sizeof letters / sizeof *letters && !*out; i++) {
            if (json_object_get(root, letters[i])) *out = &guard_import_openai_moderation;
        }
    }
done:
    json_decref(root);
    guard_buf_free(&spare);
    return st;
}

static nn_status guess_csv(const guard_importer **out, const reader *r, nn_err *err)
{
    guard_csv csv;
    guard_buf names = {0};
    guard_field *field = NULL;
    bool more = false;
    nn_status st = NN_OK;

    guard_csv_init(&csv, r->bytes, r->len, r->path);
    if ((st = guard_csv_next(&csv, &more, err)) != NN_OK) goto done;
    if (more && (st = take_header(&field, &names, &csv, err)) != NN_OK) goto done;
    const guard_record header = {r->path, field, more ? csv.n_field : 0};
    for (size_t i = 0; i < N_IMPORTER && !*out; i++) {
        if (importers[i] == &guard_import_openai_moderation) continue; /* published as JSONL only */
        if (check_header(&(reader){.path = r->path, .by = importers[i]}, &header, NULL) == NN_OK)
            *out = importers[i];
    }
    if (!*out) {
        st = nn_fail(err, NN_CONTENT,
                     "%s:1: header: of no known file, want JSONL or that of toxicchat, wildguard, harmbench or xstest",
                     r->path);;
    }
done:
    nn_free(field);
    guard_buf_free(&names);
    guard_csv_free(&csv);
    return st;
}

static nn_status choose_format(reader *r, nn_err *err)
{
    const char *want = r->o->format;

    if (!want) {
        if (!is_json(r)) return guess_csv(&r->by, r, err);
        return guess_json(&r->by, r, err);
    }
    for (size_t i = 0; i < N_IMPORTER && !r->by; i++) {
        if (strcmp(importers[i]->format, want) == 0) r->by = importers[i];
    }
    if (r->by || strcmp(want, "jsonl") == 0) return NN_OK;
    return nn_fail(err, NN_USAGE,
                   "format '%s': not known, want jsonl, toxicchat, openai_moderation, wildguard, harmbench or xstest",
                   want);
}

/* --- a seeded sample ----------------------------------------------------------------------- */

typedef struct {
    uint64_t draw;
    size_t at;
} drawn_row;

static int by_draw(const void *a, const void *b)
{
    const drawn_row *x = a, *y = b;

    if (x->draw != y->draw) return x->draw < y->draw ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

static int by_place(const void *a, const void *b)
{
    const size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return (x > y) - (x < y);
}

/* The `cap` rows of the smallest draws, each a function of (seed, row id). */
static nn_status sample(guard_corpus **c, size_t cap, uint64_t seed, nn_err *err)
{
    const size_t n = (*c)->n;
    guard_corpus *chosen = NULL;
    void *draws = NULL, *places = NULL;
    nn_status st = NN_OK;

    if ((st = nn_alloc(&draws, n, sizeof(drawn_row), err)) != NN_OK) goto done;
    if ((st = nn_alloc(&places, cap, sizeof(size_t), err)) != NN_OK) goto done;
    drawn_row *d = draws;
    size_t *pick = places;
    for (size_t i = 0; i < n; i++) {
        nn_rng rng = nn_rng_at(seed, "sample", guard_row_hash(&(*c)->row[i]));
        d[i] = (drawn_row){nn_rng_u64(&rng), i};
    }
    qsort(d, n, sizeof *d, by_draw);
    for (size_t i = 0; i < cap; i++) pick[i] = d[i].at;
    qsort(pick, cap, sizeof *pick, by_place);
    if ((st = guard_corpus_pick(&chosen, *c, pick, cap, err)) != NN_OK) goto done;
    guard_corpus_free(*c);
    *c = chosen;
done:
    nn_free(draws);
    nn_free(places);
    return st;
}

/* --- the whole file ------------------------------------------------------------------------ */

static void count_labels(guard_import_report *report, const guard_corpus *c)
{
    report->rows = c->n;
    for (size_t i = 0; i < c->n; i++) {
        if (c->row[i].label == GUARD_UNSAFE) report->unsafe++;
        else if (c->row[i].label == GUARD_SAFE) report->safe++;
        else report->unlabelled++;
    }
}

static nn_status read_rows(reader *r, nn_err *err)
{
    nn_status st = NN_OK;

    if (r->len >= 3 && memcmp(r->bytes, "\xef\xbb\xbf", 3) == 0) r->bytes += 3, r->len -= 3;
    if (is_blank(r)) return nn_fail(err, NN_CONTENT, "%s: no rows, want at least one", r->path);
    if ((st = choose_format(r, err)) != NN_OK) return st;
    if (r->by && r->by->check && (st = r->by->check(r->o, err)) != NN_OK) return st;
    strcpy(r->report->format, r->by ? r->by->format : "jsonl");
    r->report->rule = r->by ? r->by->rule : jsonl_rule;
    if ((st = guard_corpus_build(&r->c, err)) != NN_OK) return st;
    st = is_json(r) || !r->by ? read_jsonl(r, err) : read_csv(r, err);
    if (st == NN_OK && r->c->n == 0 && r->report->skipped == 0) {
        st = nn_fail(err, NN_CONTENT, "%s: no rows, want at least one", r->path);
    }
    return st;
}

nn_status guard_dataset_read(guard_corpus **out, guard_import_report *report, const char *path,
                             const guard_import *o, nn_err *err)
{
    static const guard_import plain;
    guard_import_report unseen = {"", NULL, 0, 0, 0, 0, 0, 0};
    reader r = {.path = path, .o = o ? o : &plain, .report = report ? report : &unseen};
    char *bytes = NULL;
    nn_status st = NN_OK;

    *out = NULL;
    memset(r.report, 0, sizeof *r.report);
    if ((st = guard_slurp(&bytes, &r.len, path, GUARD_FILE_MAX, err)) != NN_OK) return st;
    r.bytes = bytes;
    st = read_rows(&r, err);
    if (st == NN_OK && r.o->cap && r.o->cap < r.c->n) st = sample(&r.c, r.o->cap, r.o->seed, err);
    if (st == NN_OK) {
        count_labels(r.report, r.c);
        *out = r.c;
        r.c = NULL;
    }
    guard_corpus_free(r.c);
    guard_buf_free(&r.scratch.text);
    guard_buf_free(&r.scratch.category);
    guard_buf_free(&r.scratch.extra);
    nn_free(bytes);
    return st;
}
