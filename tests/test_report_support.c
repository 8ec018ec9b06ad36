#include "tests/test_report_support.h"
#include "guard/evaluate.h"
#include "guard/gguard.h"
#include "guard/report.h"
#include "nn/plat.h"
#include "nn/sha256.h"
#include "tests/support.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- rows --------------------------------------------------------------------------------- */

static const char nasty[] = "</p></details><script>alert(\"1\")</script> & 'q' <img src=x onerror=y> "
                            "\xe2\x80\xaerevo \x01";

static guard_text whole(const char *s)
{
    return (guard_text){s, strlen(s)};
}

/* A row whose text holds `word`, markup, a control character, a zero byte and a character that turns the direction. */
static void add_row(guard_corpus *c, size_t i, int label, const char *word, const char *source)
{
    static const char *const category[] = {"fraud", "cyber", "<b>bold", "violence"};
    char text[400], id[32], parent[32];
    guard_row r;
    nn_err err = {NN_OK, ""};

    memset(&r, 0, sizeof r);
    snprintf(id, sizeof id, "%s %zu %d", source, i, label);
    guard_row_id(r.id, "test", id, word, i);
    const int n = snprintf(text, sizeof text, "%s row %zu: %s", word, i, nasty);
    text[n] = '\0';
    text[n + 1] = 'z'; /* a zero byte, then one more letter */
    r.text = (guard_text){text, (size_t)n + 2};
    r.label = label;
    r.category = whole(strcmp(word, NEVER_WORD) == 0 ? "fraud,child_safety" : category[i % 4]);
    r.lang = whole(i % 7 ? "en" : "ar<");
    r.source = whole(source);
    guard_row_id(parent, "test", "parent", "", i);
    r.parents = whole(parent);
    r.ops = whole("[\"structure:<how>\",{\"style\":\"upper\"}]");
    expect_ok(guard_corpus_add(c, &r, &err), &err);
}

static guard_column *column(guard_corpus *c, const char *name, guard_col_kind kind)
{
    guard_column *col = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(guard_corpus_column(c, name, "test", kind, &col, &err), &err);
    return col;
}

static void set(guard_corpus *c, const char *name, size_t row, const char *s)
{
    guard_column *col = (guard_column *)guard_corpus_find(c, name);
    nn_err err = {NN_OK, ""};

    expect_ok(guard_corpus_set_str(c, col, row, s, strlen(s), &err), &err);
}

static guard_corpus *new_corpus(void)
{
    guard_corpus *c = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(guard_corpus_build(&c, &err), &err);
    return c;
}

/* --- stages ------------------------------------------------------------------------------- */

static void begin(guard_run *r, guard_stage *s, const char *name, const char *const *in, size_t n_in)
{
    nn_err err = {NN_OK, ""};

    expect_ok(guard_run_stage_begin(r, s, name, "[]", in, n_in, &err), &err);
}

static void end(guard_run *r, guard_stage *s, const char *path, const char *note, uint64_t tokens)
{
    const char *const output[] = {path};
    nn_err err = {NN_OK, ""};

    expect_ok(guard_run_stage_end(r, s, output, path ? 1 : 0, note, tokens, &err), &err);
}

static void end_corpus(guard_run *r, guard_stage *s, guard_corpus *c, const char *suffix, const char *note,
                       char hash[65])
{
    char path[512];
    nn_err err = {NN_OK, ""};

    guard_run_path(r, s, "corpus", suffix, path, sizeof path);
    expect_ok(guard_corpus_write(c, path, hash, &err), &err);
    guard_corpus_free(c);
    end(r, s, path, note, 0);
}

static void rule(guard_run *r, const guard_stage *s, const char *name, size_t kept, size_t dropped)
{
    nn_err err = {NN_OK, ""};

    expect_ok(guard_run_rule(r, s, name, kept, dropped, &err), &err);
}

static void metric(guard_run *r, const guard_stage *s, size_t step, const char *name, double v)
{
    nn_err err = {NN_OK, ""};

    expect_ok(guard_run_metric(r, s, step, name, v, &err), &err);
}

static void load(guard_run *r, char hash[65])
{
    char input[65];
    const char *const in[] = {input};
    guard_corpus *c = new_corpus();
    guard_stage s;
    nn_err err = {NN_OK, ""};

    nn_sha256_hex("seeds", 5, input);
    expect_ok(guard_run_input(r, "data/se|eds<b>.jsonl", input, &err), &err);
    begin(r, &s, "load", in, 1);
    for (size_t i = 0; i < 12; i++) add_row(c, i, (int)(i % 2), i % 2 ? HIDDEN_WORD : OPEN_WORD, "seeds");
    end_corpus(r, &s, c, ".jsonl", NULL, hash);
}

static void augment(guard_run *r, const char *seeds, size_t rows, char hash[65])
{
    static const char *const tier[] = {"", "concept", "structure", "style"};
    guard_corpus *c = new_corpus();
    guard_stage s;

    begin(r, &s, "augment", &seeds, 1);
    for (size_t i = 0; i < rows; i++) {
        const bool unsafe = i % 2 != 0, never = i % 8 == 7;
        add_row(c, i, unsafe, never ? NEVER_WORD : unsafe ? HIDDEN_WORD : OPEN_WORD, "augment");
    }
    column(c, "tier", GUARD_COL_STR);
    for (size_t i = 0; i < rows; i++) set(c, "tier", i, tier[i / 2 % 4]);
    end_corpus(r, &s, c, ".jsonl", NULL, hash);
}

static void curate(guard_run *r, const char *in, size_t rows, char hash[65])
{
    static const char *const tier[] = {"", "concept", "structure", "style"};
    static const char *const reason[] = {"repeats an earlier row", "a majority <of> judges disagrees with the label",
                                         "unlike anything people wrote"};
    guard_corpus *c = new_corpus();
    guard_stage s;
    size_t kept = 0;

    begin(r, &s, "curate", &in, 1);
    for (size_t i = 0; i < rows; i++) add_row(c, i, (int)(i % 2), HIDDEN_WORD, "augment");
    column(c, "tier", GUARD_COL_STR);
    column(c, "reason", GUARD_COL_STR);
    double *keep = column(c, "kept", GUARD_COL_BOOL)->num;
    for (size_t i = 0; i < rows; i++) {
        set(c, "tier", i, tier[i / 2 % 4]);
        keep[i] = i / 2 % 4 == 0 || i % 5 != 0;
        kept += keep[i] > 0.0;
        if (keep[i] == 0.0) set(c, "reason", i, reason[i % 3 ? (i % 2) : 2]);
    }
    rule(r, &s, "keep", kept, rows - kept);
    end_corpus(r, &s, c, ".jsonl", NULL, hash);
}

/* A loss that falls, with a spike at step 7 and a higher one near the end. */
static void train(guard_run *r, const char *corpus, size_t steps, const char *file, char hash[65])
{
    char path[512];
    guard_stage s;
    nn_err err = {NN_OK, ""};

    begin(r, &s, "train_guard", &corpus, 1);
    for (size_t i = 0; i < steps; i++) {
        const double loss = 0.15 + 0.55 / (1.0 + 12.0 * (double)i / (double)steps);
        metric(r, &s, i, "loss", i == 7 ? 9.5 : i + 5 == steps ? 9.75 : loss + 0.02 * (double)(i % 5));
        metric(r, &s, i, "lr", 0.002 * (double)(steps - i) / (double)steps);
        metric(r, &s, i, "grad_norm", 1.0 + (double)(i % 3));
        if (i % 20 == 19) metric(r, &s, i, "valid_loss", loss + 0.07);
    }
    guard_run_path(r, &s, "models", ".gguf", path, sizeof path);
    expect_ok(nn_file_write(path, file, strlen(file), &err), &err);
    nn_sha256_hex(file, strlen(file), hash);
    end(r, &s, path, NULL, 150000);
}

static void attack(guard_run *r, const char *guard, const char *stopped)
{
    static const struct {
        const char *name;
        double from, to;
    } seen[] = {{"reward", 0.1, 0.6},       {"kl", 0.0, 2.5},          {"fooled", 0.1, 0.45},
                {"reward_judge", 0.7, 0.85}, {"held_judges", 0.72, 0.6}, {"distinct2", 0.9, 0.7},
                {"repetition", 0.05, 0.1},  {"length", 14.0, 11.0},    {"empty", 0.0, 0.05}};
    char hash[65], note[300];
    guard_corpus *c = new_corpus();
    guard_stage s;

    begin(r, &s, "attack", &guard, 1);
    for (size_t step = 0; step < 10; step++) {
        for (size_t k = 0; k < sizeof seen / sizeof *seen; k++)
            metric(r, &s, step + 1, seen[k].name, seen[k].from + (seen[k].to - seen[k].from) * (double)step / 9.0);
    }
    for (size_t i = 0; i < 8; i++) add_row(c, i, (int)(i % 2), HIDDEN_WORD, "generator");
    snprintf(note, sizeof note, "{\"stopped\":\"%s\"}", stopped);
    end_corpus(r, &s, c, "_rollouts.jsonl", note, hash);
}

static void harvest(guard_run *r, const char *guard, bool ruled, size_t round, char hash[65])
{
    guard_corpus *c = new_corpus();
    guard_stage s;

    begin(r, &s, ruled ? "where" : "harvest", &guard, 1);
    for (size_t i = 0; i < 60; i++) add_row(c, i + 100 * round, (int)(i % 2), HIDDEN_WORD, "generator");
    double *v = column(c, "round", GUARD_COL_NUM)->num;
    for (size_t i = 0; i < c->n; i++) v[i] = (double)round;
    v = column(c, "fooled", GUARD_COL_BOOL)->num;
    for (size_t i = 0; i < c->n; i++) v[i] = i % 3 == 0;
    if (ruled) {
        v = column(c, "kept", GUARD_COL_BOOL)->num;
        for (size_t i = 0; i < c->n; i++) v[i] = i % 3 == 0;
        rule(r, &s, "hard_negative", 20, 40);
    }
    end_corpus(r, &s, c, ".jsonl", NULL, hash);
}

static void accept(guard_run *r, const char *guard, bool yes)
{
    char note[200];
    guard_stage s;

    begin(r, &s, "accept", &guard, 1);
    snprintf(note, sizeof note, "{\"accepted\":%s,\"recall\":0.8125,\"recall_before\":%s,\"target_fpr\":0.05}",
             yes ? "true" : "false", yes ? "0.78" : "0.84");
    end(r, &s, NULL, note, 0);
}

/* --- evaluation and shipping ---------------------------------------------------------------- */

/* Scores that a guard of quality q gives: spread around its label. */
static double score(size_t i, bool unsafe, double q)
{
    const double noise = (double)((i * 2654435761u) % 1000u) / 1000.0;

    return (unsafe ? q : 1.0 - q) * 0.6 + 0.4 * noise;
}

static void fill_result(guard_result *x, const char *guard, const char *name, const guard_corpus *c, const double *p)
{
    int *label = calloc(c->n, sizeof *label);
    nn_err err = {NN_OK, ""};

    memset(x, 0, sizeof *x);
    snprintf(x->guard, sizeof x->guard, "%s", guard);
    snprintf(x->set, sizeof x->set, "%s", name);
    for (size_t i = 0; i < c->n; i++) label[i] = c->row[i].label;
    expect_ok(guard_metrics_compute(&x->all, label, p, c->n, 0.6, &err), &err);
    expect_ok(guard_metrics_bootstrap(&x->ci, label, p, c->n, 0.6, 50, 1, &err), &err);
    free(label);
    x->target_fpr = 0.05;
    x->fpr_twins = 0.21;
    x->fpr_ordinary = 0.02;
    x->ci_twins = (guard_interval){0.15, 0.3};
    x->ci_ordinary = (guard_interval){0.0, 0.05};
    x->n_twins = x->n_ordinary = c->n / 4;
    if (x->all.positive == x->all.n) { /* one class: recall and nothing else */
        const double recall = x->all.recall;
        const size_t n = x->all.n;

        x->all = (guard_metrics){n, n, x->all.flagged, 0.6, (double)NAN, recall, (double)NAN, (double)NAN,
                                 (double)NAN, (double)NAN, (double)NAN, (double)NAN};
        x->ci = (guard_intervals){{(double)NAN, (double)NAN}, x->ci.recall, {(double)NAN, (double)NAN},
                                  {(double)NAN, (double)NAN}, {(double)NAN, (double)NAN}, {(double)NAN, (double)NAN}};
        x->fpr_twins = x->fpr_ordinary = (double)NAN;
    }
}

static void evaluate(guard_run *r, const char *corpus, const char *const *model, const char *name, bool one_class)
{
    static const char *const guard[] = {"wide <alone>", "decoder alone", "guard, seeds", "guard, round 2"};
    static const double q[] = {0.62, 0.58, 0.7, 0.85};
    const char *const in[] = {corpus, model[0], model[0], model[0], model[1]};
    guard_corpus *c = new_corpus();
    guard_buf note = {NULL, 0, 0, NN_OK};
    char hash[65], col[48];
    guard_stage s;

    begin(r, &s, "evaluate", in, 5);
    for (size_t i = 0; i < 300; i++) add_row(c, i, one_class || i % 3 == 0, HIDDEN_WORD, "test");
    guard_buf_str(&note, "{\"results\":[");
    for (size_t g = 0; g < 4; g++) {
        guard_result x;

        snprintf(col, sizeof col, "p@%.30s", guard[g]);
        double *p = column(c, col, GUARD_COL_NUM)->num;
        for (size_t i = 0; i < c->n; i++) p[i] = score(i + 7 * g, c->row[i].label == GUARD_UNSAFE, q[g]);
        fill_result(&x, guard[g], name, c, p);
        guard_json_comma(&note);
        guard_result_json(&note, &x);
    }
    guard_buf_str(&note, "]}");
    end_corpus(r, &s, c, ".jsonl", note.bytes, hash);
    guard_buf_free(&note);
}

static void ship(guard_run *r, const char *guard)
{
    static const float rate[] = {0.01f, 0.02f, 0.05f, 0.1f}, threshold[] = {0.93f, 0.88f, 0.71f, 0.52f};
    static const float weight[64] = {0.0f};
    nn_gguf_writer *w = NULL;
    char path[512];
    guard_stage s;
    nn_err err = {NN_OK, ""};

    begin(r, &s, "ship", &guard, 1);
    snprintf(path, sizeof path, "%s/guard.gguf", guard_run_dir(r));
    expect_ok(nn_gguf_writer_build(&w, &err), &err);
    nn_gguf_put_str(w, "general.name", "quick <i>start</i> | one");
    nn_gguf_put_str(w, "general.license", "CC-BY-4.0");
    nn_gguf_put_u32(w, GUARD_KEY_WINDOW, 256);
    nn_gguf_put_f32s(w, GUARD_KEY_RATES, rate, 4);
    nn_gguf_put_f32s(w, GUARD_KEY_THRESHOLDS, threshold, 4);
    nn_gguf_put_tensor(w, "guard.wide.weight", NN_F32, weight, 8, 8);
    expect_ok(nn_gguf_save(w, path, &err), &err);
    nn_gguf_writer_free(w);
    end(r, &s, path, NULL, 0);
}

static void rounds(guard_run *r, const char *curated, char guard[65], size_t steps)
{
    for (size_t i = 1; i <= 2; i++) {
        char found[65], hard[65], next[65], file[32];

        attack(r, guard, i == 1 ? "" : "reward rises <while> judges stop believing");
        harvest(r, guard, false, i, found);
        harvest(r, found, true, i, hard);
        snprintf(file, sizeof file, "guard of round %zu", i);
        train(r, curated, steps, file, next);
        accept(r, next, i == 2);
        if (i == 2) memcpy(guard, next, 65);
    }
}

static void all_stages(guard_run *r, report_run o)
{
    char seeds[65], augmented[65], curated[65], first[65], guard[65];
    const char *const model[] = {first, guard};

    load(r, seeds);
    if (o.bare) return;
    train(r, seeds, o.steps, "guard on seeds", first);
    augment(r, seeds, o.rows, augmented);
    curate(r, augmented, o.rows, curated);
    memcpy(guard, first, sizeof guard);
    rounds(r, curated, guard, o.steps);
    evaluate(r, seeds, model, "te<s>t", false);
    evaluate(r, seeds, model, "all unsafe", true);
    ship(r, guard);
}

void report_run_make(const char *dir, report_run o)
{
    static const char *const options[] = {"data=../shared/data", "x='</dd><script>`$(id)\n"};
    const guard_run_options open = {dir, 7, false, "scripts/qu\"ick<u>.lua", options, o.bare ? 0 : 2};
    static const char *const output[] = {"report.html", "report.json", "model_card.md"};
    guard_run *r = NULL;
    guard_stage s;
    nn_err err = {NN_OK, ""};

    expect_ok(guard_run_open(&r, &open, &err), &err);
    expect_ok(guard_run_script(r, "qu\"ick<u>.lua", "return 1\n", 9, &err), &err);
    all_stages(r, o);
    begin(r, &s, "report", NULL, 0);
    expect_ok(guard_report_write(dir, &err), &err);
    expect_ok(guard_run_stage_end(r, &s, output, 3, NULL, 0, &err), &err);
    expect_ok(guard_run_finish(r, &err), &err);
    guard_run_close(r);
}

/* --- a strict reader of HTML ---------------------------------------------------------------- */

typedef struct {
    const char *at;
    char open[64][16]; /* elements that wait for their end */
    bool folds[64];    /* a details of unsafe text */
    size_t depth;
} page_reader;

size_t count_of(const char *text, const char *word)
{
    size_t n = 0;

    for (const char *at = strstr(text, word); at; at = strstr(at + 1, word)) n++;
    return n;
}

static bool is_one_of(const char *name, const char *list)
{
    char padded[40];

    snprintf(padded, sizeof padded, " %s ", name);
    return strstr(list, padded) != NULL;
}

/* name="value", all of them known and none that runs or fetches anything. */
static void read_attribute(page_reader *p, bool *unsafe)
{
    static const char known[] = " lang charset name content http-equiv id class href scope role viewBox width "
                                "height d x y cx cy r transform aria-hidden aria-label dir ";
    char name[24];
    const size_t n = strcspn(p->at, "=> ");

    cr_assert(n > 0 && n < sizeof name && strncmp(p->at + n, "=\"", 2) == 0, "attribute without quotes: %.40s",
              p->at);
    memcpy(name, p->at, n);
    name[n] = '\0';
    cr_assert(is_one_of(name, known), "attribute %s", name);
    const char *value = p->at + n + 2;
    const size_t len = strcspn(value, "\"<");
    cr_assert(value[len] == '"', "attribute %s: no closing quote", name);
    cr_assert(strcmp(name, "href") != 0 || value[0] == '#', "address outside the page: %.*s", (int)len, value);
    *unsafe = *unsafe || (strcmp(name, "class") == 0 && strncmp(value, "unsafe\"", 7) == 0);
    p->at = value + len + 1;
}

static void read_tag(page_reader *p)
{
    static const char known[] = " html head title style body header main footer nav section h1 h2 h3 p a b span "
                                "small div ul li dl dt dd code table caption thead tbody tr th td figure "
                                "figcaption svg desc path text rect circle details summary meta ";
    char name[16];
    const bool closes = p->at[1] == '/';
    bool unsafe = false;

    p->at += closes ? 2 : 1;
    const size_t n = strspn(p->at, "abcdefghijklmnopqrstuvwxyz123");
    cr_assert(n > 0 && n < sizeof name, "tag: %.40s", p->at);
    memcpy(name, p->at, n);
    name[n] = '\0';
    cr_assert(is_one_of(name, known), "element %s", name);
    p->at += n;
    if (closes) {
        cr_assert(p->depth > 0 && strcmp(p->open[p->depth - 1], name) == 0, "</%s> closes <%s>: %.60s", name,
                  p->depth ? p->open[p->depth - 1] : "nothing", p->at);
        cr_assert(*p->at == '>');
        p->depth--;
        p->at++;
        return;
    }
    while (*p->at == ' ') {
        p->at++;
        read_attribute(p, &unsafe);
    }
    const bool empty = *p->at == '/';
    p->at += empty;
    cr_assert(*p->at == '>', "tag %s: %.40s", name, p->at);
    p->at++;
    if (empty || strcmp(name, "meta") == 0) return;
    cr_assert(p->depth < 64);
    memcpy(p->open[p->depth], name, n + 1);
    p->folds[p->depth++] = unsafe && strcmp(name, "details") == 0;
}

static void check_entity(const char *at)
{
    static const char *const known[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};

    for (size_t i = 0; i < 5; i++) {
        if (strncmp(at, known[i], strlen(known[i])) == 0) return;
    }
    cr_assert(false, "entity: %.20s", at);
}

static bool is_folded(const page_reader *p)
{
    bool folded = false;

    for (size_t i = 0; i < p->depth; i++) {
        folded = folded || p->folds[i];
        if (strcmp(p->open[i], "summary") == 0) return false;
    }
    return folded;
}

static void read_text(page_reader *p)
{
    const bool folded = is_folded(p);

    for (; *p->at && *p->at != '<'; p->at++) {
        const unsigned char c = (unsigned char)*p->at;

        cr_assert(c >= 0x20 || c == '\n' || c == '\t', "control character %d", c);
        if (c == '&') check_entity(p->at);
        cr_assert(folded || strncmp(p->at, HIDDEN_WORD, sizeof HIDDEN_WORD - 1) != 0, "unfolded: %.60s", p->at);
    }
}

void expect_html(const char *page)
{
    page_reader p;

    memset(&p, 0, sizeof p);
    cr_assert(strncmp(page, "<!DOCTYPE html>\n", 16) == 0);
    for (p.at = page + 16; *p.at;) {
        if (*p.at == '<') read_tag(&p);
        else read_text(&p);
    }
    cr_expect(p.depth == 0, "%s is not closed", p.depth ? p.open[p.depth - 1] : "");
}
