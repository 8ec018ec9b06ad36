#include "tests/support.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES 1024

/* Paths live as long as the test's process; the list keeps them reachable for the leak checker. */
static char *next_path(void)
{
    struct link {
        struct link *before;
        char path[PATH_BYTES];
    };
    static struct link *newest = NULL;
    struct link *l = calloc(1, sizeof *l);

    cr_assert(l != NULL);
    l->before = newest;
    newest = l;
    return l->path;
}

/* [in] got, want of one element each way; larger is worse, NaN is worst. */
static double miss(double got, double want)
{
    const double size = fabs(want) > 1.0 ? fabs(want) : 1.0;
    const double d = fabs(got - want) / size;

    return got == want ? 0.0 : (isnan(d) ? HUGE_VAL : d);
}

void expect_close_double(const char *name, const double *got, const double *want, size_t n, double tol)
{
    double worst = 0.0;
    size_t at = 0;

    for (size_t i = 0; i < n; i++) {
        const double d = miss(got[i], want[i]);

        if (d > worst) {
            worst = d;
            at = i;
        }
    }
    cr_expect(worst <= tol, "%s[%zu of %zu]: got %.17g, want %.17g, miss %.3g, allowed %.3g", name, at, n,
              n ? got[at] : 0.0, n ? want[at] : 0.0, worst, tol);
}

void expect_close(const char *name, const float *got, const float *want, size_t n, double tol)
{
    double worst = 0.0;
    size_t at = 0;

    for (size_t i = 0; i < n; i++) {
        const double d = miss((double)got[i], (double)want[i]);

        if (d > worst) {
            worst = d;
            at = i;
        }
    }
    cr_expect(worst <= tol, "%s[%zu of %zu]: got %.9g, want %.9g, miss %.3g, allowed %.3g", name, at, n,
              n ? (double)got[at] : 0.0, n ? (double)want[at] : 0.0, worst, tol);
}

void expect_same_floats(const char *name, const float *got, const float *want, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (memcmp(got + i, want + i, sizeof *got) != 0) {
            cr_expect(false, "%s[%zu of %zu]: got %a, want %a", name, i, n, (double)got[i], (double)want[i]);
            return;
        }
    }
}

void expect_ok(nn_status status, const nn_err *err)
{
    cr_assert(status == NN_OK, "status %d: %s", (int)status, err ? err->text : "");
}

void expect_fails(nn_status status, nn_status want, const nn_err *err, const char *part)
{
    cr_expect(status == want, "status %d, want %d: %s", (int)status, (int)want, err->text);
    cr_expect(strstr(err->text, part) != NULL, "message \"%s\" lacks \"%s\"", err->text, part);
}

const char *shared_path(const char *name)
{
    const char *root = getenv("PARAPET_SHARED");

    return path_in(root && root[0] ? root : "../shared", name);
}

void skip_test(const char *why)
{
    const char *list = getenv("PARAPET_SKIPS");
    FILE *f = list ? fopen(list, "a") : NULL;

    fprintf(stderr, "skip: %s\n", why);
    if (f) {
        fprintf(f, "%s\n", why);
        fclose(f);
    }
    cr_skip("%s", why);
}

void skip_unless_fixture(const char *name)
{
    const char *path = shared_path(name);
    char why[PATH_BYTES + 32];

    if (access(path, R_OK) == 0) return;
    snprintf(why, sizeof why, "fixture %s is not there", path);
    skip_test(why);
}

const char *temp_dir(void)
{
    const char *root = getenv("TMPDIR");
    char *path = next_path();

    snprintf(path, PATH_BYTES, "%s/parapet-XXXXXX", root && root[0] ? root : "/tmp");
    cr_assert(mkdtemp(path) != NULL, "no temporary folder below %s", path);
    return path;
}

const char *path_in(const char *dir, const char *name)
{
    char *path = next_path();

    cr_assert(strlen(dir) + strlen(name) + 2 <= PATH_BYTES, "path too long: %s/%s", dir, name);
    snprintf(path, PATH_BYTES, "%s/%s", dir, name);
    return path;
}

void write_bytes(const char *path, const void *bytes, size_t len)
{
    FILE *f = fopen(path, "wb");

    cr_assert(f != NULL, "cannot create %s", path);
    const size_t n = len ? fwrite(bytes, 1, len, f) : 0;
    const int closed = fclose(f);
    cr_assert(n == len && closed == 0, "cannot write %s", path);
}

void write_text(const char *path, const char *text)
{
    write_bytes(path, text, strlen(text));
}

char *read_bytes(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    char *bytes = NULL;
    size_t used = 0, room = 0, n;

    cr_assert(f != NULL, "cannot open %s", path);
    do {
        room = room ? 2 * room : 4096;
        bytes = realloc(bytes, room);
        cr_assert(bytes != NULL);
        n = fread(bytes + used, 1, room - used - 1, f);
        used += n;
    } while (n > 0);
    fclose(f);
    bytes[used] = '\0';
    if (len) *len = used;
    return bytes;
}

bool bytes_equal_file(const char *path, const void *bytes, size_t len)
{
    size_t n = 0;
    char *have = read_bytes(path, &n);
    const bool same = n == len && (len == 0 || memcmp(have, bytes, len) == 0);

    free(have);
    return same;
}
