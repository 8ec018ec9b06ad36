/* report.h - report.html, report.json and model_card.md: what a run did, for people, programs and users of the guard.
 *
 * Reads: run.h, ledger.h, manifest.h.   Read next: report.c, report_impl.h.
 * Why: who gets a run folder must be able to read it without this program. The report is made from the folder alone
 * (run.json, ledger.jsonl, metrics.jsonl, corpus/, guard.gguf), never from machine.json or timing.jsonl, so anybody can
 * make it again. It speaks of the ledger up to the first stage named "report", which is its own: the same folder
 * gives the same bytes before and after that stage is committed. One self-contained page: inline CSS and SVG, no
 * script, no network. Texts are hostile and are escaped; unsafe ones are hidden until clicked.
 * Threads: none; corpora and metrics are streamed, so memory grows with the number of stages, not of rows.
 */
#ifndef GUARD_REPORT_H
#define GUARD_REPORT_H
#include "nn/err.h"

/* Writes report.html, report.json and model_card.md into dir. NN_FILE "object: problem, want ..." when the folder is
 * not what its ledger says. */
NN_CHECKED nn_status guard_report_write(const char *dir, nn_err *err);
#endif
