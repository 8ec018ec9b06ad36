/* server_url.c - which addresses a server may have: stricter than RFC 3986, where two parsers may differ. */
#include "guard/ask/secret.h"
#include "guard/ask/server_impl.h"
#include <stdio.h>
#include <string.h>

#define URL_MAX 500u /* bytes */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The whole of s[len] is 127.A.B.C, numbers of 0 to 255 without a zero before them. */
static bool is_loopback_number(const char *s, size_t len)
{
    unsigned part[4];
    char text[16], again[64];
    int used = 0;

    if (len >= sizeof text) return false;
    memcpy(text, s, len);
    text[len] = '\0';
    if (sscanf(text, "%3u.%3u.%3u.%3u%n", part, part + 1, part + 2, part + 3, &used) != 4 || (size_t)used != len)
        return false;
    snprintf(again, sizeof again, "%u.%u.%u.%u", part[0], part[1], part[2], part[3]);
    return part[0] == 127 && part[1] < 256 && part[2] < 256 && part[3] < 256 && strcmp(text, again) == 0;
}

static bool is_local(const char *host, size_t len)
{
    return (len == 9 && memcmp(host, "localhost", 9) == 0) || (len == 5 && memcmp(host, "[::1]", 5) == 0) ||
           is_loopback_number(host, len);
}

/* Length of a host at s; 0: none. */
static size_t host_len(const char *s)
{
    size_t n = 0;

    if (*s == '[') {
        for (n = 1; is_digit(s[n]) || is_letter(s[n]) || s[n] == ':' || s[n] == '.'; n++) continue;
        return n > 2 && s[n] == ']' ? n + 1 : 0;
    }
    while (is_digit(s[n]) || is_letter(s[n]) || (s[n] && strchr(".-_", s[n]))) n++;
    return n;
}

/* Length of ":PORT" at s, 0 when s begins otherwise; *bad: no port of 1 to 65535. */
static size_t port_len(const char *s, bool *bad)
{
    unsigned long port = 0;
    size_t n = 1;

    *bad = false;
    if (*s != ':') return 0;
    for (; n <= 5 && is_digit(s[n]); n++) port = port * 10 + (unsigned long)(s[n] - '0');
    *bad = port < 1 || port > 65535 || is_digit(s[n]);
    return n;
}

/* Characters, before anything is quoted. */
static nn_status check_text(const char *url, const char *key, nn_err *err)
{
    const size_t len = strlen(url);

    if (len == 0 || len > URL_MAX)
        return nn_fail(err, NN_USAGE, "server: url of %zu bytes, want 1 to %u", len, URL_MAX);
    if (strchr(url, '@'))
        return nn_fail(err, NN_USAGE, "server: url holds '@', want none: user and password do not belong there");
    if (guard_secret_in(url, key)) return nn_fail(err, NN_USAGE, "server: url holds the key, want it as key alone");
    if (strchr(url, '?') || strchr(url, '#'))
        return nn_fail(err, NN_USAGE, "server: url holds '?' or '#', want a base such as http://127.0.0.1:8080/v1");
    for (size_t i = 0; i < len; i++) {
        if (url[i] <= ' ' || url[i] > '~' || strchr("\"<>\\^`{|}", url[i]))
            return nn_fail(err, NN_USAGE, "server: url: byte %zu is none that an address has", i + 1);
    }
    return NN_OK;
}

/* The url is an endpoint's and not the base above it. */
static bool is_endpoint(const char *url)
{
    static const char tail[] = "/completions";
    size_t len = strlen(url);

    while (len > 0 && url[len - 1] == '/') len--;
    return len >= sizeof tail - 1 && memcmp(url + len - (sizeof tail - 1), tail, sizeof tail - 1) == 0;
}

nn_status server_url_check(const char *url, const char *key, bool *local, nn_err *err)
{
    const bool tls = strncmp(url, "https://", 8) == 0;
    bool bad = false;

    *local = false;
    const nn_status st = check_text(url, key, err);
    if (st != NN_OK) return st;
    if (!tls && strncmp(url, "http://", 7) != 0)
        return nn_fail(err, NN_USAGE, "server: url '%.200s', want http:// or https:// at its beginning", url);
    const char *host = url + (tls ? 8 : 7);
    const size_t n = host_len(host), port = port_len(host + n, &bad);
    if (n == 0 || bad || (host[n + port] && host[n + port] != '/'))
        return nn_fail(err, NN_USAGE, "server: url '%.200s', want a host and maybe a port of 1 to 65535 after //", url);
    if (is_endpoint(url))
        return nn_fail(err, NN_USAGE, "server: url '%.200s', want the base, without /chat/completions or /completions",
                       url);
    *local = is_local(host, n);
    if (key && !tls && !*local)
        return nn_fail(err, NN_USAGE, "server: url '%.200s' with a key: http would send the key in clear to another "
                                      "machine, want https (http is for localhost, 127.0.0.1 and [::1])", url);
    return NN_OK;
}
