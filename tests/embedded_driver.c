/* embedded_driver.c - a guard file and a text in, a verdict out: what runs where there is nothing but C.
 *
 *     embedded guard.gguf "text"            one line; exit 0 safe, 1 flagged, 2 wrong use, 4 no valid guard, 5
 *     a limit embedded guard.gguf - < texts         one line for each line, as for tests on other machines
 *
 * `make embedded` links it with the inference part alone: no Lua, jansson, zlib, threads or POSIX. The file is
 * read here and opened from memory.
 */
#include "guard/parapet.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES = 4096, EXIT_FLAGGED = 1 };

/* The whole file, or NULL; free() it. */
static unsigned char *read_file(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    unsigned char *bytes = NULL;
    long end = -1;

    if (!f) return NULL;
    if (fseek(f, 0, SEEK_END) == 0) end = ftell(f);
    if (end > 0 && fseek(f, 0, SEEK_SET) == 0) bytes = malloc((size_t)end);
    *len = bytes ? fread(bytes, 1, (size_t)end, f) : 0;
    fclose(f);
    return bytes;
}

/* The logit's bits stand beside it: runs on two machines are compared by this line. */
static nn_status judge(guard_session *s, const char *text, size_t len, bool *flagged, nn_err *err)
{
    guard_verdict v;
    unsigned bits = 0;
    const nn_status st = guard_check(s, text, len, NULL, 0, &v, err);

    if (st != NN_OK) return st;
    memcpy(&bits, &v.logit, sizeof v.logit);
    printf("%s p %.4f threshold %.4f logit %08x window %zu of %zu\n", v.flagged ? "unsafe" : "safe",
           (double)v.p_unsafe, (double)v.threshold, bits, v.window_index + 1, v.window_count);
    *flagged = v.flagged;
    return NN_OK;
}

static nn_status judge_lines(guard_session *s, bool *flagged, nn_err *err)
{
    char line[LINE_BYTES];
    bool any = false;
    nn_status st = NN_OK;

    while (st == NN_OK && fgets(line, sizeof line, stdin)) {
        st = judge(s, line, strcspn(line, "\n"), flagged, err);
        any = any || *flagged;
    }
    *flagged = any;
    return st;
}

int main(int argc, char **argv)
{
    const guard_session_options o = {NULL, 1, LINE_BYTES};
    guard_classifier *g = NULL;
    guard_session *s = NULL;
    nn_err err = {NN_OK, ""};
    bool flagged = false;
    size_t len = 0;
    nn_status st;

    if (argc != 3) {
        fprintf(stderr, "usage: %s GUARD.gguf TEXT|-\n", argv[0]);
        return NN_USAGE;
    }
    unsigned char *bytes = read_file(argv[1], &len);
    if (!bytes) {
        fprintf(stderr, "%s: cannot be read\n", argv[1]);
        return NN_FILE;
    }
    if ((st = guard_classifier_open_memory(&g, bytes, len, &err)) == NN_OK)
        st = guard_session_open(&s, g, &o, &err);
    if (st == NN_OK)
        st = strcmp(argv[2], "-") == 0 ? judge_lines(s, &flagged, &err)
                                       : judge(s, argv[2], strlen(argv[2]), &flagged, &err);
    if (st != NN_OK) fprintf(stderr, "%s\n", err.text);
    guard_session_close(s);
    guard_classifier_close(g);
    free(bytes);
    return st != NN_OK ? (int)st : flagged ? EXIT_FLAGGED : 0;
}
