/* server_reply.c - what a server's JSON says: an answer, a refusal, or why not.
 *
 * The bytes are untrusted: jansson parses them (its own limit on depth, its own check of UTF-8), and nothing of them is
 * quoted before it was looked through for the key.
 */
#include "guard/ask/secret.h"
#include "guard/ask/server_impl.h"
#include "guard/import.h"
#include <jansson.h>
#include <string.h>

#define QUOTE_MAX 200u    /* bytes of a server's message that we repeat */
#define MESSAGE_MAX 4096u /* bytes of one that are looked at */

/* NULL with NN_OK: the body is not JSON. */
static nn_status parse(json_t **root, const char *body, size_t len, nn_err *err)
{
    nn_err why = {NN_OK, ""}; /* jansson quotes the text near a mistake: not passed on */

    *root = NULL;
    if (guard_json_parse(root, body, len, false, "reply", &why) != NN_LIMIT) return NN_OK;
    return nn_fail(err, NN_LIMIT, "server: no memory for a reply of %zu bytes", len);
}

/* Control characters become blanks (C1's too, which are C2 80 to C2 9F), and the text is cut between characters. */
static void add_line(guard_buf *out, const char *s, size_t len)
{
    size_t n = len < QUOTE_MAX ? len : QUOTE_MAX;

    while (n < len && n > 0 && ((unsigned char)s[n] & 0xC0) == 0x80) n--;
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)s[i];
        const bool c1 = c == 0xC2 && i + 1 < n && (unsigned char)s[i + 1] < 0xA0;
        guard_buf_add(out, c < ' ' || c == 0x7F || c1 ? " " : s + i, 1);
        if (c1) i++;
    }
    if (n < len) guard_buf_str(out, "...");
}

/* {"error":{"message":"..."}} is OpenAI's; the others are those of servers that follow it loosely. */
static const json_t *message_of(const json_t *root)
{
    const json_t *error = json_object_get(root, "error");
    const json_t *const place[] = {json_object_get(error, "message"), error, json_object_get(root, "message"),
                                   json_object_get(root, "detail")};

    for (size_t i = 0; i < sizeof place / sizeof *place; i++) {
        if (json_is_string(place[i]) && json_string_length(place[i]) > 0) return place[i];
    }
    return NULL;
}

/* Appends one cleaned line. */
static nn_status add_clean(guard_buf *out, const json_t *text, const char *key, nn_err *err)
{
    const size_t len = json_string_length(text);
    guard_buf hidden = {NULL, 0, 0, NN_OK};

    guard_secret_hide(&hidden, json_string_value(text), len < MESSAGE_MAX ? len : MESSAGE_MAX, key, GUARD_SECRET_PART);
    nn_status st = guard_buf_status(&hidden, err);
    if (st == NN_OK) add_line(out, hidden.bytes, hidden.len);
    guard_buf_free(&hidden);
    if (st == NN_OK) st = guard_buf_status(out, err);
    return st;
}

static nn_status add_message(guard_buf *out, const json_t *root, const char *key, nn_err *err)
{
    const json_t *text = message_of(root);

    if (!text) return guard_buf_status(out, err);
    guard_buf_str(out, " ('");
    const nn_status st = add_clean(out, text, key, err);
    guard_buf_str(out, "')");
    return st == NN_OK ? guard_buf_status(out, err) : st;
}

nn_status server_message(guard_buf *out, const char *body, size_t len, const char *key, nn_err *err)
{
    json_t *root = NULL;
    nn_status st = parse(&root, body, len, err);

    if (st == NN_OK) st = add_message(out, root, key, err);
    json_decref(root);
    return st;
}

static nn_status odd(server_said *said, guard_buf *text, const json_t *root, const char *key, nn_err *err)
{
    *said = SERVER_ODD;
    guard_buf_str(text, root ? "a reply that lacks choices with a text" : "a reply that is not JSON");
    return add_message(text, root, key, err);
}

static nn_status refusal(server_said *said, guard_buf *text, const char *finish, const json_t *words, const char *key,
                         nn_err *err)
{
    *said = SERVER_REFUSAL;
    if (json_is_string(words) && json_string_length(words) > 0) return add_clean(text, words, key, err);
    guard_buf_str(text, strcmp(finish, "content_filter") == 0 ? "content filter" : "no text");
    return guard_buf_status(text, err);
}

static nn_status read_choice(server_said *said, guard_buf *text, const json_t *root, bool completion, const char *key,
                             nn_err *err)
{
    const json_t *choice = json_array_get(json_object_get(root, "choices"), 0);
    const json_t *message = json_object_get(choice, "message");
    const json_t *words = json_object_get(completion ? choice : message, completion ? "text" : "content");
    const char *finish = json_string_value(json_object_get(choice, "finish_reason"));
    const bool there = words && !json_is_null(words);

    if (!finish) finish = "";
    if (!json_is_object(completion ? choice : message) || (there && !json_is_string(words)))
        return odd(said, text, root, key, err);
    if (!there || strcmp(finish, "content_filter") == 0)
        return refusal(said, text, finish, json_object_get(message, "refusal"), key, err);
    *said = SERVER_ANSWER;
    /* A server that says everything it was sent says the key too. Only as a whole: a short one may be a common word. */
    const char *hidden = key && strlen(key) >= GUARD_SECRET_PART ? key : NULL;
    guard_secret_hide(text, json_string_value(words), json_string_length(words), hidden, GUARD_SECRET_MAX);
    return guard_buf_status(text, err);
}

nn_status server_reply_parse(server_said *said, guard_buf *text, const char *body, size_t len,
                             bool completion, const char *key, nn_err *err)
{
    json_t *root = NULL;
    nn_status st = parse(&root, body, len, err);

    *said = SERVER_ODD;
    if (st == NN_OK) st = read_choice(said, text, root, completion, key, err);
    json_decref(root);
    return st;
}
