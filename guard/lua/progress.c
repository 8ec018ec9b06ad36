/* progress.c - what a person sees while a run works: one line a stage on stderr, with the share done and the time left.
 *
 * Why: nothing here reaches the run folder; a pipe gets plain lines, a terminal a line that is rewritten.
 */
#include "guard/lua/stage.h"
#include "nn/plat.h"
#include <stdio.h>
#include <string.h>

#define BAR 24

struct host_progress {
    char name[48];
    double started, shown;
    bool tty;
};

static struct host_progress the_line; /* stderr is one per process, and so is its line */

static void clock_text(char out[16], double seconds)
{
    const unsigned s = seconds < 0.0 ? 0u : (unsigned)(seconds + 0.5);
    if (s >= 3600) snprintf(out, 16, "%u:%02u:%02u", s / 3600, s / 60 % 60, s % 60);
    else snprintf(out, 16, "%u:%02u", s / 60, s % 60);
}

void lua_progress_stage(lua_host *h, const char *name, bool finished)
{
    snprintf(the_line.name, sizeof the_line.name, "[%2u/%u] %s", (unsigned)(h->stage_done + 1),
             (unsigned)h->stage_total, name);
    the_line.started = the_line.shown = nn_now_s();
    the_line.tty = nn_is_tty(2);
    if (h->o.quiet || finished || !the_line.tty) return;
    fprintf(stderr, "%-32s", the_line.name);
    fflush(stderr);
}

bool lua_progress(void *ctx, uint64_t done, uint64_t total, const char *unit)
{
    (void)ctx;
    const double now = nn_now_s();
    if (nn_stop_signal() != 0) return false;
    if (!the_line.tty || now - the_line.shown < 0.2 || total == 0) return true;
    the_line.shown = now;
    const double share = (double)(done < total ? done : total) / (double)total;
    char bar[BAR + 1], left[16];
    for (int i = 0; i < BAR; i++) bar[i] = (double)i < share * BAR ? '#' : '.';
    bar[BAR] = '\0';
    clock_text(left, share > 0.0 ? (now - the_line.started) * (1.0 - share) / share : 0.0);
    fprintf(stderr, "\r%-32s [%s] %3d%%  %s left  %llu %s   ", the_line.name, bar, (int)(share * 100.0), left,
            (unsigned long long)done, unit);
    fflush(stderr);
    return true;
}

void lua_progress_end(lua_host *h, double seconds, uint64_t tokens)
{
    char took[16];
    const bool tty = the_line.tty;
    h->stage_done++;
    the_line.tty = false; /* work between stages has no line */
    if (h->o.quiet) return;
    clock_text(took, seconds);
    fprintf(stderr, "%s%-32s %s", tty ? "\r\033[K" : "", the_line.name, took);
    if (tokens > 0) fprintf(stderr, "  %llu tokens", (unsigned long long)tokens);
    fprintf(stderr, "\n");
}

void lua_progress_stored(const lua_host *h, size_t stored, size_t answers)
{
    if (h->o.quiet || stored == 0) return;
    fprintf(stderr, "%s%-32s %llu of %llu answers were stored\n", the_line.tty ? "\r\033[K" : "", the_line.name,
            (unsigned long long)stored, (unsigned long long)answers);
}

void lua_progress_unanswered(const lua_host *h, size_t dropped, size_t asked, const char *why)
{
    char text[201];
    if (h->o.quiet || dropped == 0) return;
    fprintf(stderr, "%s%-32s %llu of %llu questions without an answer", the_line.tty ? "\r\033[K" : "", the_line.name,
            (unsigned long long)dropped, (unsigned long long)asked);
    if (why != NULL) { /* somebody else's words: no byte of them may move a terminal's cursor */
        snprintf(text, sizeof text, "%s", why);
        for (char *c = text; *c != '\0'; c++)
            if (*c < ' ' || *c > '~') *c = '?';
        fprintf(stderr, "; the first refusal: %s", text);
    }
    fprintf(stderr, "\n");
}
