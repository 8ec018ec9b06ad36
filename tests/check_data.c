/* check_data.c - make check-data: schema of data/, and the artefacts a model could learn instead of the task.
 *
 * Fails (exit 1, one line a finding) when a seed breaks the schema of data/README.md or a row of the written corpus
 * that of docs/corpus.md; when two texts outside a twin pair share half of their word trigrams; when the label can be
 * guessed better than chance from a fact of the surface (the 95% bootstrap interval of ROC AUC does not hold 0.5);
 * when a sentence of README, docs/ or tests/ (8 words in a row) stands in a text, or a sentence of the corpus in an
 * evaluation set; with --complete, when a cell of the corpus' plan has under half of its rows.
 * Read next: check_seeds.c, check_corpus.c, check_counts.c, check_overlap.c.
 * usage: check_data [--complete] [--corpus FOLDER] [--taxonomy FILE] [--dev FOLDER] SEEDS DOCUMENT...
 */
#include "tests/check_data.h"
#include <string.h>

static const char usage[] =
    "usage: check_data [--complete] [--corpus FOLDER] [--taxonomy FILE] [--dev FOLDER] SEEDS DOCUMENT...\n";

/* Arguments used; 0 when they make no sense. */
static int read_flags(check_corpus_options *o, int argc, char **argv)
{
    int i = 1;

    for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
        if (strcmp(argv[i], "--complete") == 0) {
            o->complete = true;
            continue;
        }
        const char **to = strcmp(argv[i], "--corpus") == 0     ? &o->folder
                          : strcmp(argv[i], "--taxonomy") == 0 ? &o->taxonomy
                          : strcmp(argv[i], "--dev") == 0      ? &o->dev
                                                               : NULL;
        if (to == NULL || i + 1 == argc) return 0;
        *to = argv[++i];
    }
    return i < argc ? i : 0;
}

int main(int argc, char **argv)
{
    check_corpus_options o = {NULL, "scripts/taxonomy.lua", NULL, false, NULL, NULL, 0};
    check_report r = {stdout, 0, 0};
    guard_corpus *seeds = NULL;
    guard_import_report report;
    const guard_import plain = {0};
    nn_err err = {0};
    const int at = read_flags(&o, argc, argv);

    if (at == 0) {
        fputs(usage, stderr);
        return 2;
    }
    check_need(guard_dataset_read(&seeds, &report, argv[at], &plain, &err), &err);
    o.seeds = seeds;
    o.document = argv + at + 1;
    o.n_document = (size_t)(argc - at - 1);
    check_seeds(&r, seeds, o.document, o.n_document);
    printf("%s: %zu rows, %zu unsafe, %zu findings\n", argv[at], seeds->n, report.unsafe, r.findings);
    if (o.folder != NULL) {
        const size_t before = r.findings;

        check_corpus(&r, &o);
        printf("%s: %zu findings, %zu skipped\n", o.folder, r.findings - before, r.skips);
    }
    guard_corpus_free(seeds);
    return r.findings > 0 ? 1 : 0;
}
