/* test_report_support.h - a run folder with every stage that a report speaks of, full of hostile names and texts; and a
 * reader of HTML that is stricter than a browser.
 */
#ifndef TESTS_TEST_REPORT_SUPPORT_H
#define TESTS_TEST_REPORT_SUPPORT_H
#include "guard/run.h"

/* Stands in every text that is unsafe, dropped or generated, and in none that may be shown openly. */
#define HIDDEN_WORD "zqhidden"
/* Stands in every text that may be shown openly. */
#define OPEN_WORD "zqopen"
/* Stands in texts of a category that is named by hash alone. */
#define NEVER_WORD "zqnever"

typedef struct {
    size_t rows;  /* of the augmented corpus */
    size_t steps; /* of each training */
    bool bare;    /* one load and nothing else */
} report_run;

/* Makes the folder and writes its report as a stage of it. */
void report_run_make(const char *dir, report_run o);

/* Fails the test unless the page is well formed: every element closed in order, attributes quoted and known, entities
 * known, no script, no address outside the page; and HIDDEN_WORD stands only inside a details that opens with a click,
 * not in its summary. */
void expect_html(const char *page);
size_t count_of(const char *text, const char *word);
#endif
