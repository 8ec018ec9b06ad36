/* cmd_line.c - see cmd.h. */
#include "guard/cmd.h"
#include "guard/nearest.h"
#include "nn/plat.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t count_flags(const cmd_verb *v)
{
    size_t n = 0;
    while (v->flags[n].name != NULL) n++;
    return n;
}

static nn_status unknown_flag(const cmd_verb *v, const char *word, nn_err *err)
{
    const char *names[32];
    const size_t n = count_flags(v);
    for (size_t i = 0; i < n; i++) names[i] = v->flags[i].name;
    const char *near = guard_nearest(word, names, n);
    if (near != NULL) return nn_fail(err, NN_USAGE, "unknown flag '%s', did you mean '%s'?", word, near);
    return nn_fail(err, NN_USAGE, "unknown flag '%s', want one of those in 'parapet %s --help'", word, v->verb);
}

/* One flag at argv[*i]: --flag VALUE, --flag=VALUE or a switch. A value that may be left out does not begin with
 * "-". */
static nn_status take_flag(cmd_line *c, int argc, char **argv, int *i, nn_err *err)
{
    const char *word = argv[*i], *eq = strchr(word, '=');
    const size_t len = eq != NULL ? (size_t)(eq - word) : strlen(word), n = count_flags(c->verb);
    size_t f = 0;
    while (f < n && (strlen(c->verb->flags[f].name) != len || strncmp(c->verb->flags[f].name, word, len) != 0)) f++;
    if (f == n) return unknown_flag(c->verb, word, err);
    const cmd_flag *flag = &c->verb->flags[f];
    const char *value = "";
    if (flag->value == NULL) {
        if (eq != NULL) return nn_fail(err, NN_USAGE, "%s: a switch, it takes no value", flag->name);
    } else if (eq != NULL) {
        value = eq + 1;
    } else if (flag->value[0] == '[') {
        if (*i + 1 < argc && argv[*i + 1][0] != '-') value = argv[++*i];
    } else {
        if (*i + 1 >= argc) return nn_fail(err, NN_USAGE, "%s: no value, want %s", flag->name, flag->value);
        value = argv[++*i];
    }
    c->given[f] = value;
    if (strcmp(flag->name, "--set") != 0) return NN_OK;
    if (strchr(value, '=') == NULL || value[0] == '=')
        return nn_fail(err, NN_USAGE, "--set %s: want NAME=VALUE", value);
    if (c->n_set == CMD_MAX_SET) return nn_fail(err, NN_USAGE, "--set: more than %d", CMD_MAX_SET);
    c->set[c->n_set++] = value;
    return NN_OK;
}

nn_status cmd_parse(cmd_line *c, const cmd_verb *verb, int argc, char **argv, nn_err *err)
{
    bool only_words = false;
    memset(c, 0, sizeof *c);
    c->verb = verb;
    for (int i = 1; i < argc; i++) {
        if (!only_words && strcmp(argv[i], "--") == 0) {
            only_words = true;
        } else if (!only_words && argv[i][0] == '-' && argv[i][1] != '\0') {
            const nn_status st = take_flag(c, argc, argv, &i, err);
            if (st != NN_OK) return st;
        } else {
            if (c->n_word == CMD_MAX_WORDS) return nn_fail(err, NN_USAGE, "more than %d words", CMD_MAX_WORDS);
            c->word[c->n_word++] = argv[i];
        }
    }
    return NN_OK;
}

const char *cmd_given(const cmd_line *c, const char *flag)
{
    for (size_t i = 0; c->verb->flags[i].name != NULL; i++)
        if (strcmp(c->verb->flags[i].name, flag) == 0) return c->given[i];
    NN_ASSERT(false); /* a flag that the verb does not declare */
    return NULL;
}

nn_status cmd_number(const cmd_line *c, const char *flag, uint64_t min, uint64_t max, uint64_t def, uint64_t *out,
                     nn_err *err)
{
    const char *text = cmd_given(c, flag);
    *out = def;
    if (text == NULL) return NN_OK;
    char *end = NULL;
    errno = 0;
    const unsigned long long v = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || *end != '\0' || errno != 0 || v < min || v > max)
        return nn_fail(err, NN_USAGE, "%s: '%s', want a whole number from %llu to %llu", flag, text,
                       (unsigned long long)min, (unsigned long long)max);
    *out = v;
    return NN_OK;
}

nn_status cmd_real(const cmd_line *c, const char *flag, double min, double max, double def, double *out, nn_err *err)
{
    const char *text = cmd_given(c, flag);
    *out = def;
    if (text == NULL) return NN_OK;
    char *end = NULL;
    const double v = strtod(text, &end);
    if (end == text || *end != '\0' || !(v >= min && v <= max))
        return nn_fail(err, NN_USAGE, "%s: '%s', want a number from %g to %g", flag, text, min, max);
    *out = v;
    return NN_OK;
}

/* errno of the first write that failed; later calls of the library forget it. */
static int unwritten;

bool cmd_write(const void *bytes, size_t len)
{
    if (fwrite(bytes, 1, len, stdout) == len && fflush(stdout) == 0) return true;
    if (unwritten == 0) unwritten = errno;
    return false;
}

int cmd_end(const char *verb, nn_status st, int done, nn_err *err)
{
    if ((fflush(stdout) != 0 || ferror(stdout) != 0) && unwritten == 0) unwritten = errno;
    if (unwritten == EPIPE && st == NN_OK) return NN_LIMIT;
    if (unwritten != 0 && st == NN_OK)
        st = nn_fail(err, NN_LIMIT, "standard output: cannot be written: %s", strerror(unwritten));
    if (st == NN_OK) return done;
    const int signal = nn_stop_signal();
    fprintf(stderr, "parapet %s: %s\n", verb, err->text[0] != '\0' ? err->text : nn_status_text(st));
    return st == NN_STOP && signal != 0 ? 128 + signal : (int)st;
}

void cmd_help(const cmd_verb *v)
{
    printf("parapet %s %s\n\n%s\n", v->verb, v->usage, v->doc);
    if (count_flags(v) > 0) puts("");
    for (const cmd_flag *f = v->flags; f->name != NULL; f++) {
        char left[64];
        snprintf(left, sizeof left, "%s%s%s", f->name, f->value != NULL ? " " : "", f->value != NULL ? f->value : "");
        printf("  %-22s %s", left, f->doc);
        if (f->def != NULL) printf(" (default %s)", f->def);
        puts("");
    }
}

nn_status cmd_model_path(const char *given, char *out, size_t cap, nn_err *err)
{
    char dir[1024];
    const char *env = getenv("PARAPET_MODEL");
    if (given == NULL && env != NULL && env[0] != '\0') given = env;
    if (given != NULL) {
        snprintf(out, cap, "%s", given);
        return NN_OK;
    }
    if (nn_exe_dir(dir, sizeof dir)) {
        snprintf(out, cap, "%s/../share/parapet/guard.gguf", dir);
        if (nn_path_exists(out)) return NN_OK;
        snprintf(out, cap, "%s/../data/guard.gguf", dir);
        if (nn_path_exists(out)) return NN_OK;
    }
    snprintf(out, cap, "data/guard.gguf");
    if (nn_path_exists(out)) return NN_OK;
    return nn_fail(err, NN_FILE,
                   "no guard found, want --model FILE, PARAPET_MODEL, or data/guard.gguf (parapet run makes one)");
}
