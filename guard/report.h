/* report.h - report.html, report.json and the model card from a finished run folder.
 *
 * Reads only the run folder, so the report of a run can be made again by anybody. Self-contained HTML: inline SVG and CSS, no network. Unsafe text is hidden until
 * clicked. Same folder, same bytes.
 */
#ifndef GUARD_REPORT_H
#define GUARD_REPORT_H
#include "guard/buf.h"

/* results: JSON array of guard_result_json, curves: JSON (precision-recall points by guard), from the evaluate stages. Writes report.html, report.json, model_card.md into dir. */
NN_CHECKED nn_status guard_report_write(const char *dir, nn_err *err);
#endif
