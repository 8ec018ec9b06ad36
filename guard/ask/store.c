/* store.c - answers by address, in memory and as lines.
 *
 * Reads: store.h, guard/import.h (JSON).   Read next: ask.c.
 * Addresses lie in a tree whose nodes each look at one bit (as Morrison's PATRICIA of 1968). WHY no hash table:
 * addresses of a file are whatever its writer put there, and chosen ones would make a table crawl; no bit stands twice
 * on a way down this tree, so it is never deeper than an address has bits.
 */
#include "guard/ask/store.h"
#include "guard/folder.h"
#include "guard/import.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include "nn/unicode.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define ADDRESS_BYTES 32u

typedef struct {
    guard_stored it;
    unsigned char address[ADDRESS_BYTES];
    size_t origin; /* index into names */
    bool used;
    char text[1]; /* it.len + 1 bytes */
} entry;

/* Below child[0] bit `bit` of the address is 0. A child is an entry's index times 2, or a node's times 2 plus 1. */
typedef struct {
    size_t bit, child[2];
} node;

struct guard_store {
    entry **entry;
    size_t n, entry_cap;
    node *node; /* [n - 1] */
    size_t node_cap, root;
    size_t *used;
    size_t n_used, used_cap;
    char **name; /* of files that were read; 0: this run */
    size_t n_name, name_cap;
    FILE *journal;
    char *journal_path;
    guard_buf line;
};

/* --- addresses ---------------------------------------------------------------------------- */

static unsigned digit_of(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static void pack(unsigned char out[ADDRESS_BYTES], const char *hex)
{
    for (size_t i = 0; i < ADDRESS_BYTES; i++)
        out[i] = (unsigned char)(digit_of(hex[2 * i]) << 4 | digit_of(hex[2 * i + 1]));
}

static void unpack(char hex[2 * ADDRESS_BYTES + 1], const unsigned char *address)
{
    for (size_t i = 0; i < ADDRESS_BYTES; i++) {
        hex[2 * i] = "0123456789abcdef"[address[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[address[i] & 15];
    }
    hex[2 * ADDRESS_BYTES] = '\0';
}

static size_t bit_of(const unsigned char *address, size_t bit)
{
    return (size_t)(address[bit / 8] >> (7 - bit % 8) & 1);
}

/* Index of the address' entry; n when there is none. */
static size_t find(const guard_store *s, const unsigned char *address)
{
    size_t at = s->root;

    if (s->n == 0) return 0;
    while (at & 1) at = s->node[at / 2].child[bit_of(address, s->node[at / 2].bit)];
    return memcmp(s->entry[at / 2]->address, address, ADDRESS_BYTES) == 0 ? at / 2 : s->n;
}

/* Hangs entry s->n, whose address is new, beside the entry at the end of its way; there is room for the node. */
static void hang(guard_store *s)
{
    const unsigned char *address = s->entry[s->n]->address;
    size_t bit = 0;

    if (s->n == 0) {
        s->root = 0;
        return;
    }
    size_t *at = &s->root;
    while (*at & 1) at = s->node[*at / 2].child + bit_of(address, s->node[*at / 2].bit);
    const unsigned char *other = s->entry[*at / 2]->address;
    while (bit_of(address, bit) == bit_of(other, bit)) bit++;
    node *fresh = s->node + (s->n - 1);
    fresh->bit = bit;
    fresh->child[bit_of(address, bit)] = s->n * 2;
    fresh->child[!bit_of(address, bit)] = *at;
    *at = (s->n - 1) * 2 + 1;
}

/* --- build ---------------------------------------------------------------------------------- */

static nn_status add_name(guard_store *s, const char *name, nn_err *err)
{
    nn_status st = nn_grow((void **)&s->name, &s->name_cap, s->n_name + 1, sizeof *s->name, err);

    if (st == NN_OK && (st = guard_text_copy(&s->name[s->n_name], name, strlen(name), err)) == NN_OK) s->n_name++;
    return st;
}

nn_status guard_store_build(guard_store **out, nn_err *err)
{
    guard_store *s = NULL;
    nn_status st = nn_alloc((void **)&s, 1, sizeof *s, err);

    *out = NULL;
    if (st == NN_OK && (st = add_name(s, "this run", err)) != NN_OK) {
        guard_store_free(s);
        return st;
    }
    *out = s;
    return st;
}

void guard_store_free(guard_store *s)
{
    if (!s) return;
    if (s->journal) fclose(s->journal); /* every line was flushed: nothing is left that could fail */
    for (size_t i = 0; i < s->n; i++) nn_free(s->entry[i]);
    for (size_t i = 0; i < s->n_name; i++) nn_free(s->name[i]);
    nn_free(s->entry);
    nn_free(s->node);
    nn_free(s->used);
    nn_free(s->name);
    nn_free(s->journal_path);
    guard_buf_free(&s->line);
    nn_free(s);
}

size_t guard_store_count(const guard_store *s)
{
    return s->n;
}

const guard_stored *guard_store_find(const guard_store *s, const char address[65])
{
    unsigned char key[ADDRESS_BYTES];

    NN_ASSERT(guard_is_sha256(address));
    pack(key, address);
    const size_t i = find(s, key);
    return i < s->n ? &s->entry[i]->it : NULL;
}

/* --- putting -------------------------------------------------------------------------------- */

static void write_line(guard_buf *b, const entry *e)
{
    char hex[2 * ADDRESS_BYTES + 1];

    unpack(hex, e->address);
    guard_buf_str(b, "{");
    guard_put_str(b, "address", hex);
    guard_put_str(b, "end", e->it.refused ? "refused" : "answered");
    guard_json_key(b, "text");
    guard_json_str(b, e->it.text, e->it.len);
    guard_buf_str(b, "}\n");
}

static nn_status append(guard_store *s, const entry *e, nn_err *err)
{
    nn_status st;

    if (!s->journal) return NN_OK;
    guard_buf_clear(&s->line);
    write_line(&s->line, e);
    if ((st = guard_buf_status(&s->line, err)) != NN_OK) return st;
    if (fwrite(s->line.bytes, 1, s->line.len, s->journal) == s->line.len && fflush(s->journal) == 0) return NN_OK;
    fclose(s->journal); /* half a line may stand at its end: nothing may come after it */
    s->journal = NULL;
    return nn_fail(err, NN_LIMIT, "%s: cannot be written, want room for %zu bytes", s->journal_path, s->line.len);
}

static nn_status make_entry(entry **out, const unsigned char *key, bool refused, const char *text, size_t len,
                            size_t origin, nn_err *err)
{
    entry *e = NULL;

    *out = NULL;
    if (len > SIZE_MAX - sizeof *e) return nn_fail(err, NN_LIMIT, "answer of %zu bytes", len);
    const nn_status st = nn_alloc((void **)&e, sizeof *e + len, 1, err);
    if (st != NN_OK) return st;
    memcpy(e->address, key, ADDRESS_BYTES);
    if (len) memcpy(e->text, text, len);
    e->it = (guard_stored){refused, e->text, len};
    e->origin = origin;
    *out = e;
    return NN_OK;
}

static nn_status same_again(const guard_store *s, const entry *e, const char *address, bool refused, const char *text,
                            size_t len, size_t origin, nn_err *err)
{
    if (e->it.refused == refused && e->it.len == len && (len == 0 || memcmp(e->it.text, text, len) == 0)) return NN_OK;
    return nn_fail(err, NN_CONTENT, "%s: another answer to %.16s... than in %s, want one answer to a question",
                   s->name[origin], address, s->name[e->origin]);
}

static nn_status put(guard_store *s, const char *address, bool refused, const char *text, size_t len, size_t origin,
                     nn_err *err)
{
    unsigned char key[ADDRESS_BYTES];
    entry *e = NULL;
    nn_status st;

    pack(key, address);
    const size_t i = find(s, key);
    if (i < s->n) return same_again(s, s->entry[i], address, refused, text, len, origin, err);
    if ((st = nn_grow((void **)&s->entry, &s->entry_cap, s->n + 1, sizeof *s->entry, err)) != NN_OK) return st;
    if ((st = nn_grow((void **)&s->node, &s->node_cap, s->n + 1, sizeof *s->node, err)) != NN_OK) return st;
    if ((st = make_entry(&e, key, refused, text, len, origin, err)) != NN_OK) return st;
    if (origin == 0 && (st = append(s, e, err)) != NN_OK) {
        nn_free(e);
        return st;
    }
    s->entry[s->n] = e;
    hang(s);
    s->n++;
    return NN_OK;
}

nn_status guard_store_put(guard_store *s, const char address[65], bool refused, const char *text, size_t len,
                          nn_err *err)
{
    size_t bad = 0;

    NN_ASSERT(guard_is_sha256(address));
    nn_utf8_repair(NULL, text, len, &bad);
    if (bad) return nn_fail(err, NN_CONTENT, "answer to %.16s...: not UTF-8, want text", address);
    return put(s, address, refused, text, len, 0, err);
}

/* --- reading -------------------------------------------------------------------------------- */

static nn_status put_object(guard_store *s, const json_t *o, const char *where, nn_err *err)
{
    const json_t *address = json_object_get(o, "address"), *end = json_object_get(o, "end"),
                 *text = json_object_get(o, "text");

    if (json_object_size(o) != 3 || !address || !end || !text)
        return nn_fail(err, NN_FILE, "%s: no answer, want an object of address, end and text", where);
    if (!json_is_string(address) || json_string_length(address) != 64 || !guard_is_sha256(json_string_value(address)))
        return nn_fail(err, NN_FILE, "%s: address: want 64 lower-case hexadecimal digits", where);
    const char *word = json_is_string(end) ? json_string_value(end) : "";
    const bool refused = strcmp(word, "refused") == 0;
    if (!refused && strcmp(word, "answered") != 0)
        return nn_fail(err, NN_FILE, "%s: end: want \"answered\" or \"refused\"", where);
    if (!json_is_string(text)) return nn_fail(err, NN_FILE, "%s: text: want a string", where);
    return put(s, json_string_value(address), refused, json_string_value(text), json_string_length(text),
               s->n_name - 1, err);
}

static nn_status read_line(guard_store *s, const char *line, size_t len, const char *where, nn_err *err)
{
    json_t *o = NULL;
    nn_status st = guard_json_parse(&o, line, len, true, where, err);

    if (st == NN_OK) st = put_object(s, o, where, err);
    json_decref(o);
    return st;
}

nn_status guard_store_read(guard_store *s, const char *path, bool torn_end_allowed, nn_err *err)
{
    char where[400];
    nn_file f = {NULL, 0, NULL, NULL};
    size_t pos = 0;
    nn_status st;

    if ((st = nn_file_open(&f, path, err)) != NN_OK) return st;
    if ((st = add_name(s, path, err)) != NN_OK) goto done;
    for (size_t line = 1; pos < f.len && st == NN_OK; line++) {
        const char *begin = (const char *)f.bytes + pos, *end = memchr(begin, '\n', f.len - pos);

        snprintf(where, sizeof where, "%s:%zu", path, line);
        if (!end && torn_end_allowed) break;
        if (!end) {
            st = nn_fail(err, NN_FILE, "%s: line: cut short, want a line end", where);
            break;
        }
        const size_t n = (size_t)(end - begin);
        st = read_line(s, begin, n, where, err);
        pos += n + 1;
    }
done:
    nn_file_close(&f);
    return st;
}

static bool is_answers(const char *name)
{
    const size_t len = strlen(name);

    return len > 6 && strcmp(name + len - 6, ".jsonl") == 0;
}

nn_status guard_store_read_run(guard_store *s, const char *dir, nn_err *err)
{
    char **name = NULL, *answers = NULL, *path = NULL;
    size_t n = 0;
    nn_status st;

    if ((st = guard_path_join(&answers, dir, "answers", err)) != NN_OK) return st;
    if (nn_path_exists(answers)) st = nn_dir_list(&name, &n, answers, err);
    for (size_t i = 0; i < n && st == NN_OK; i++) {
        if (!is_answers(name[i])) continue;
        nn_free(path);
        if ((st = guard_path_join(&path, answers, name[i], err)) == NN_OK) st = guard_store_read(s, path, false, err);
    }
    for (size_t i = 0; i < n; i++) nn_free(name[i]);
    nn_free(name);
    nn_free(path);
    nn_free(answers);
    return st;
}

/* --- journal -------------------------------------------------------------------------------- */

/* Bytes up to the last line end. */
static nn_status whole_lines(uint64_t *len, const char *path, nn_err *err)
{
    nn_file f = {NULL, 0, NULL, NULL};
    const nn_status st = nn_file_open(&f, path, err);

    *len = f.len;
    while (st == NN_OK && *len > 0 && f.bytes[*len - 1] != '\n') --*len;
    nn_file_close(&f);
    return st;
}

nn_status guard_store_journal(guard_store *s, const char *path, nn_err *err)
{
    uint64_t len = 0;
    nn_status st = NN_OK;

    if (s->journal) fclose(s->journal);
    nn_free(s->journal_path);
    s->journal = NULL;
    s->journal_path = NULL;
    if (!path) return NN_OK;
    if (nn_path_exists(path)) {
        if ((st = whole_lines(&len, path, err)) == NN_OK) st = nn_file_truncate(path, len, err);
        if (st != NN_OK) return st;
    }
    if ((st = guard_text_copy(&s->journal_path, path, strlen(path), err)) != NN_OK) return st;
    s->journal = fopen(path, "ab");
    return s->journal ? NN_OK : nn_fail(err, NN_FILE, "%s: cannot be opened, want a place to write to", path);
}

/* --- what a stage used ---------------------------------------------------------------------- */

nn_status guard_store_used(guard_store *s, const char address[65], nn_err *err)
{
    unsigned char key[ADDRESS_BYTES];

    pack(key, address);
    const size_t i = find(s, key);
    NN_ASSERT(i < s->n);
    if (s->entry[i]->used) return NN_OK;
    const nn_status st = nn_grow((void **)&s->used, &s->used_cap, s->n_used + 1, sizeof *s->used, err);
    if (st != NN_OK) return st;
    s->used[s->n_used++] = i;
    s->entry[i]->used = true;
    return NN_OK;
}

nn_status guard_store_write_used(guard_store *s, const char *path, nn_err *err)
{
    guard_buf b = {0};
    nn_status st;

    for (size_t i = 0; i < s->n_used; i++) write_line(&b, s->entry[s->used[i]]);
    if ((st = guard_buf_status(&b, err)) == NN_OK) st = nn_file_write(path, b.bytes ? b.bytes : "", b.len, err);
    for (size_t i = 0; i < s->n_used && st == NN_OK; i++) s->entry[s->used[i]]->used = false;
    if (st == NN_OK) s->n_used = 0;
    guard_buf_free(&b);
    return st;
}
