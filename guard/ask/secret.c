#include "guard/ask/secret.h"
#include "nn/arena.h"
#include <string.h>

nn_status guard_secret_check(const char *key, nn_err *err)
{
    const size_t len = strlen(key);

    if (len == 0) return nn_fail(err, NN_USAGE, "key: empty, want one, or none at all");
    if (len > GUARD_SECRET_MAX)
        return nn_fail(err, NN_USAGE, "key: %zu characters, want at most %u", len, GUARD_SECRET_MAX);
    for (size_t i = 0; i < len; i++) {
        if (key[i] <= ' ' || key[i] > '~')
            return nn_fail(err, NN_USAGE, "key: character %zu of %zu is a blank or no printable ASCII, want none such",
                           i + 1, len);
    }
    return NN_OK;
}

nn_status guard_secret_copy(char **out, const char *prefix, const char *key, nn_err *err)
{
    const size_t before = strlen(prefix), len = strlen(key);
    void *block = NULL;

    *out = NULL;
    const nn_status st = nn_alloc(&block, before + len + 1, 1, err);
    if (st != NN_OK) return st;
    *out = block;
    memcpy(*out, prefix, before);
    memcpy(*out + before, key, len);
    return NN_OK;
}

bool guard_secret_in(const char *text, const char *key)
{
    return key && strlen(key) >= GUARD_SECRET_PART && strstr(text, key) != NULL;
}

/* WHY volatile: a plain memset before free is a store that nobody reads, which compilers drop. */
void guard_secret_wipe(char *key)
{
    for (volatile char *at = key; at && *at; at++) *at = '\0';
}

void guard_secret_free(char **key)
{
    guard_secret_wipe(*key);
    nn_free(*key);
    *key = NULL;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* How many of the n bytes at `text` stand somewhere in the key, in a row; fewer than `least` may be told as none. So a
 * key that is looked for as a whole is compared in one place, not in as many as it is long. */
static size_t longest_match(const char *text, size_t n, const char *key, size_t key_len, size_t least)
{
    size_t longest = 0;

    for (size_t from = 0; from + (longest > least ? longest + 1 : least) <= key_len; from++) {
        size_t same = 0;
        while (same < n && from + same < key_len && lower(text[same]) == lower(key[from + same])) same++;
        if (same > longest) longest = same;
    }
    return longest;
}

void guard_secret_hide(guard_buf *out, const char *text, size_t len, const char *key, size_t least)
{
    const size_t key_len = key ? strlen(key) : 0;
    size_t kept = 0, i = 0;

    if (least > key_len) least = key_len;
    while (key_len && i < len) {
        const size_t n = longest_match(text + i, len - i, key, key_len, least);
        if (n < least) {
            i++;
            continue;
        }
        guard_buf_add(out, text + kept, i - kept);
        guard_buf_str(out, "[key]");
        i += n;
        kept = i;
    }
    guard_buf_add(out, text + kept, len - kept);
}
