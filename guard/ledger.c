#include "guard/ledger.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define LEDGER_MAX_BYTES ((size_t)1 << 30)

const char guard_ledger_first[NN_SHA256_HEX] = "0000000000000000000000000000000000000000000000000000000000000000";

void guard_entry_free(guard_entry *e)
{
    nn_free(e->in);
    nn_free(e->note);
    guard_hashes_free(&e->out);
    memset(e, 0, sizeof *e);
}

nn_status guard_entry_input(guard_entry *e, const char *const *hash, size_t n, nn_err *err)
{
    void *block = NULL;
    const nn_status st = nn_alloc(&block, n, sizeof *e->in, err);

    if (st != NN_OK) return st;
    nn_free(e->in);
    e->in = block;
    e->n_in = n;
    for (size_t i = 0; i < n; i++) strncat(e->in[i], hash[i], sizeof e->in[i] - 1);
    return NN_OK;
}

/* --- writing ------------------------------------------------------------------------------ */

static void entry_print(guard_buf *b, const guard_entry *e)
{
    guard_buf_str(b, "{");
    guard_put_u64(b, "n", e->n);
    guard_put_str(b, "kind", e->rule ? "rule" : "stage");
    guard_put_u64(b, "ordinal", e->ordinal);
    guard_put_str(b, "name", e->name);
    guard_put_str(b, "key", e->key);
    guard_put_str(b, "args", e->args);
    guard_json_key(b, "in");
    guard_buf_str(b, "[");
    for (size_t i = 0; i < e->n_in; i++) {
        guard_json_comma(b);
        guard_json_str(b, e->in[i], strlen(e->in[i]));
    }
    guard_buf_str(b, "]");
    guard_put_hashes(b, "out", &e->out);
    guard_json_key(b, "note");
    guard_buf_str(b, e->note ? e->note : "null");
    guard_put_u64(b, "tokens", e->tokens);
    guard_put_u64(b, "metrics", e->metrics);
    guard_put_str(b, "prev", e->prev);
    guard_buf_str(b, "}\n");
}

/* Room for n more entries, so that moving them in cannot fail after they are on disk. */
static nn_status make_room(guard_ledger *l, size_t n, nn_err *err)
{
    void *block = l->entry;
    const nn_status st = nn_grow(&block, &l->cap, l->n + n, sizeof *l->entry, err);

    l->entry = block;
    return st;
}

nn_status guard_ledger_append(guard_ledger *l, const char *path, guard_entry *e, size_t n, nn_err *err)
{
    guard_buf text = {NULL, 0, 0, NN_OK};
    nn_status st = make_room(l, n, err);
    const char *prev = guard_ledger_head(l); /* after the entries have moved to more room */

    for (size_t i = 0; i < n && st == NN_OK; i++) {
        const size_t start = text.len;

        e[i].n = l->n + i + 1;
        memcpy(e[i].prev, prev, sizeof e[i].prev);
        entry_print(&text, e + i);
        if ((st = guard_buf_status(&text, err)) != NN_OK) break;
        nn_sha256_hex(text.bytes + start, text.len - start - 1, e[i].sha256);
        prev = e[i].sha256;
    }
    if (st == NN_OK) st = nn_file_append(path, text.bytes, text.len, err);
    if (st == NN_OK) {
        memcpy(l->entry + l->n, e, n * sizeof *e);
        memset(e, 0, n * sizeof *e);
        l->n += n;
        l->bytes += text.len;
    }
    guard_buf_free(&text);
    return st;
}

/* --- reading ------------------------------------------------------------------------------ */

static nn_status bad(const char *where, const char *what, nn_err *err)
{
    return nn_fail(err, NN_FILE, "%s: %s, want a ledger entry", where, what);
}

static nn_status get_hash(char out[NN_SHA256_HEX], const json_t *v, const char *where, nn_err *err)
{
    const char *s = json_string_value(v);

    if (!s || !guard_is_sha256(s)) return bad(where, "a hash that is not 64 hexadecimal digits", err);
    memcpy(out, s, NN_SHA256_HEX);
    return NN_OK;
}

static nn_status get_count(uint64_t *out, const json_t *o, const char *key, const char *where, nn_err *err)
{
    const json_t *v = json_object_get(o, key);

    if (!json_is_integer(v) || json_integer_value(v) < 0) return bad(where, "a count that is not a whole number", err);
    *out = (uint64_t)json_integer_value(v);
    return NN_OK;
}

static nn_status get_out(guard_hashes *out, const json_t *list, const char *where, nn_err *err)
{
    nn_status st = json_is_array(list) ? NN_OK : bad(where, "no list \"out\"", err);

    for (size_t i = 0; i < json_array_size(list) && st == NN_OK; i++) {
        const json_t *f = json_array_get(list, i);
        const char *path = json_string_value(json_object_get(f, "path"));
        char sha256[NN_SHA256_HEX];

        if (!path || !guard_path_is_inside(path)) return bad(where, "an output path that leaves the folder", err);
        if ((st = get_hash(sha256, json_object_get(f, "sha256"), where, err)) == NN_OK) {
            st = guard_hashes_add(out, path, sha256, err);
        }
    }
    return st;
}

static nn_status get_in(guard_entry *e, const json_t *list, const char *where, nn_err *err)
{
    void *block = NULL;
    nn_status st = json_is_array(list) ? NN_OK : bad(where, "no list \"in\"", err);

    if (st != NN_OK || (st = nn_alloc(&block, json_array_size(list), sizeof *e->in, err)) != NN_OK) return st;
    e->in = block;
    e->n_in = json_array_size(list);
    for (size_t i = 0; i < e->n_in && st == NN_OK; i++) st = get_hash(e->in[i], json_array_get(list, i), where, err);
    return st;
}

/* The note's own bytes: key order is fixed and quotes inside strings are escaped, so the first ,"note": and the last
 * ,"tokens": of the line are the entry's own. */
static nn_status get_note(char **out, const char *line, size_t len, const char *where, nn_err *err)
{
    static const char head[] = ",\"note\":", tail[] = ",\"tokens\":";
    size_t from = 0, to = len;

    while (from < len && (len - from < sizeof head - 1 || memcmp(line + from, head, sizeof head - 1) != 0)) from++;
    while (to > from && (len - to < sizeof tail - 1 || memcmp(line + to, tail, sizeof tail - 1) != 0)) to--;
    from += sizeof head - 1;
    if (from >= to) return bad(where, "no note", err);
    if (to - from == 4 && memcmp(line + from, "null", 4) == 0) return NN_OK;
    return guard_text_copy(out, line + from, to - from, err);
}

static nn_status parse_fields(guard_entry *e, const json_t *o, const char *where, nn_err *err)
{
    const char *kind = json_string_value(json_object_get(o, "kind"));
    const char *name = json_string_value(json_object_get(o, "name"));
    uint64_t n = 0, ordinal = 0;
    nn_status st = NN_OK;

    if (!kind || (strcmp(kind, "stage") != 0 && strcmp(kind, "rule") != 0))
        return bad(where, "a kind other than stage and rule", err);
    if (!name || !name[0] || strlen(name) >= sizeof e->name) return bad(where, "no name", err);
    e->rule = kind[0] == 'r';
    memcpy(e->name, name, strlen(name) + 1);
    if ((st = get_count(&n, o, "n", where, err)) != NN_OK) return st;
    if ((st = get_count(&ordinal, o, "ordinal", where, err)) != NN_OK) return st;
    e->n = (size_t)n;
    e->ordinal = (size_t)ordinal;
    if ((st = get_count(&e->tokens, o, "tokens", where, err)) != NN_OK) return st;
    if ((st = get_count(&e->metrics, o, "metrics", where, err)) != NN_OK) return st;
    if ((st = get_hash(e->key, json_object_get(o, "key"), where, err)) != NN_OK) return st;
    if ((st = get_hash(e->args, json_object_get(o, "args"), where, err)) != NN_OK) return st;
    if ((st = get_hash(e->prev, json_object_get(o, "prev"), where, err)) != NN_OK) return st;
    if ((st = get_in(e, json_object_get(o, "in"), where, err)) != NN_OK) return st;
    return get_out(&e->out, json_object_get(o, "out"), where, err);
}

nn_status guard_entry_parse(guard_entry *e, const char *line, size_t len, const char *where, nn_err *err)
{
    json_error_t why;
    json_t *o = json_loadb(line, len, JSON_REJECT_DUPLICATES, &why);
    nn_status st = NN_OK;

    memset(e, 0, sizeof *e);
    if (!json_is_object(o)) st = bad(where, "a line that is not a JSON object", err);
    else st = parse_fields(e, o, where, err);
    if (st == NN_OK) st = get_note(&e->note, line, len, where, err);
    json_decref(o);
    nn_sha256_hex(line, len, e->sha256);
    if (st != NN_OK) guard_entry_free(e);
    return st;
}

/* The chain's two rules: lines count up from 1, and each names the hash of the one before. */
static nn_status check_link(const guard_ledger *l, const guard_entry *e, const char *where, nn_err *err)
{
    const char *head = guard_ledger_head(l);

    if (e->n != l->n + 1)
        return nn_fail(err, NN_FILE, "%s: numbered %zu, want %zu: out of order", where, e->n, l->n + 1);
    if (strcmp(e->prev, head) == 0) return NN_OK;
    return nn_fail(err, NN_FILE, "%s: the entry before it has hash %.12s, want %.12s: altered", where, head, e->prev);
}

/* Adds every whole line of the file; *end gets the length of the lines up to the last stage. */
static nn_status read_lines(guard_ledger *l, const char *path, const nn_file *file, nn_err *err)
{
    const char *text = (const char *)file->bytes;
    size_t committed = 0, at = 0;
    nn_status st = NN_OK;

    while (at < file->len && st == NN_OK) {
        const char *end = memchr(text + at, '\n', file->len - at);
        char where[300];

        if (!end) break; /* torn by a crash while it was appended */
        snprintf(where, sizeof where, "%.250s: entry %zu", path, l->n + 1);
        const size_t len = (size_t)(end - (text + at));
        guard_entry e;
        if ((st = make_room(l, 1, err)) != NN_OK) break;
        if ((st = guard_entry_parse(&e, text + at, len, where, err)) != NN_OK) break;
        if ((st = check_link(l, &e, where, err)) != NN_OK) {
            guard_entry_free(&e);
            break;
        }
        l->entry[l->n++] = e;
        at += len + 1;
        if (!e.rule) {
            committed = l->n;
            l->bytes = at;
        }
    }
    while (l->n > committed) guard_entry_free(l->entry + --l->n);
    return st;
}

nn_status guard_ledger_read(guard_ledger *l, const char *path, nn_err *err)
{
    nn_file file = {NULL, 0, NULL, NULL};
    nn_status st = NN_OK;

    *l = (guard_ledger){NULL, 0, 0, 0};
    if (!nn_path_exists(path)) return NN_OK;
    if ((st = nn_file_read(&file, path, LEDGER_MAX_BYTES, err)) == NN_OK) st = read_lines(l, path, &file, err);
    nn_file_close(&file);
    if (st != NN_OK) guard_ledger_free(l);
    return st;
}

void guard_ledger_free(guard_ledger *l)
{
    for (size_t i = 0; i < l->n; i++) guard_entry_free(l->entry + i);
    nn_free(l->entry);
    *l = (guard_ledger){NULL, 0, 0, 0};
}

const char *guard_ledger_head(const guard_ledger *l)
{
    return l->n ? l->entry[l->n - 1].sha256 : guard_ledger_first;
}

const guard_entry *guard_ledger_stage(const guard_ledger *l, size_t ordinal)
{
    for (size_t i = 0; i < l->n; i++) {
        if (!l->entry[i].rule && l->entry[i].ordinal == ordinal) return l->entry + i;
    }
    return NULL;
}
