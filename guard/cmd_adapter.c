/* cmd_adapter.c - adapters on the command line: what they change is the model, so a verb only says which.
 *
 * Reads: cmd_adapter.h, nn/lora.h.
 */
#include "guard/cmd_adapter.h"
#include <stdio.h>
#include <string.h>

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash && slash[1] ? slash + 1 : path;
}

static size_t stem_len(const char *name)
{
    const size_t n = strlen(name);

    return n > 5 && strcmp(name + n - 5, ".gguf") == 0 ? n - 5 : n;
}

/* Whether one name begins as the other: tiny, tiny.gguf and tiny-Q4_0.gguf are taken for one model. */
static bool same_name(const char *a, const char *b)
{
    const size_t n = stem_len(a), m = stem_len(b);

    return strncmp(a, b, n < m ? n : m) == 0;
}

/* What a file says reaches the terminal without what moves its cursor. */
static void say_other_base(const char *verb, const char *base, const char *model)
{
    char name[256];
    size_t n = 0;

    for (const char *s = base; *s && n < sizeof name - 1; s++)
        name[n++] = (unsigned char)*s < 32 || *s == 127 ? '?' : *s;
    name[n] = '\0';
    fprintf(stderr, "parapet %s: the adapter says its base is %s; it is merged into %s, whose shapes fit\n", verb, name,
            model);
}

nn_status cmd_adapt_with(const char *verb, const char *folder, nn_pretrained *p, nn_err *err)
{
    const char *model = nn_pretrained_path(p);
    const nn_status st = nn_pretrained_adapt(p, folder, err);

    if (st != NN_OK) return st;
    const char *base = nn_lora_base(nn_pretrained_adapter(p));
    if (base[0] && !same_name(last_part(base), last_part(model))) say_other_base(verb, base, model);
    return NN_OK;
}

nn_status cmd_adapt(const cmd_line *line, nn_pretrained *p, nn_err *err)
{
    const char *folder = cmd_given(line, "--adapter");

    return folder ? cmd_adapt_with(line->verb->verb, folder, p, err) : NN_OK;
}
