/* http_curl_load.h - libcurl, loaded when a server is asked.
 *
 * Read next: http_curl.c (its user).
 * Why not linked: libcurl brings some thirty libraries with it, and starting them took a quarter of the time of `parapet
 * check` (make bench T=start: 11.0 ms, 8.2 without), which asks nobody anything. The types are the header's, the library is the one of the machine.
 */
#ifndef GUARD_ASK_HTTP_CURL_LOAD_H
#define GUARD_ASK_HTTP_CURL_LOAD_H
#include "nn/err.h"
#define CURL_DISABLE_TYPECHECK /* its macros check calls by name, not through pointers */
#include <curl/curl.h>

typedef struct {
    CURLcode (*global_init)(long flags);
    void (*global_cleanup)(void);
    CURL *(*easy_init)(void);
    void (*easy_cleanup)(CURL *easy);
    CURLcode (*easy_setopt)(CURL *easy, CURLoption option, ...);
    CURLcode (*easy_getinfo)(CURL *easy, CURLINFO info, ...);
    const char *(*easy_strerror)(CURLcode code);
    CURLM *(*multi_init)(void);
    CURLMcode (*multi_cleanup)(CURLM *multi);
    CURLMcode (*multi_setopt)(CURLM *multi, CURLMoption option, ...);
    CURLMcode (*multi_add_handle)(CURLM *multi, CURL *easy);
    CURLMcode (*multi_remove_handle)(CURLM *multi, CURL *easy);
    CURLMcode (*multi_perform)(CURLM *multi, int *running);
    CURLMcode (*multi_poll)(CURLM *multi, struct curl_waitfd *extra, unsigned n, int ms, int *ready);
    CURLMsg *(*multi_info_read)(CURLM *multi, int *left);
    const char *(*multi_strerror)(CURLMcode code);
    struct curl_slist *(*slist_append)(struct curl_slist *list, const char *line);
    void (*slist_free_all)(struct curl_slist *list);
} curl_library;

/* NN_USAGE when this machine has no libcurl, or one that is too old. It stays loaded. Threads: any. */
NN_CHECKED nn_status curl_library_load(curl_library *c, nn_err *err);
#endif
