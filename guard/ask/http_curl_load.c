/* http_curl_load.c - see http_curl_load.h. */
#include "guard/ask/http_curl_load.h"
#include <dlfcn.h>
#include <stdbool.h>
#include <string.h>

static void *open_library(void)
{
    static const char *const name[] = {"libcurl.so.4", "libcurl.so", "libcurl.4.dylib", "libcurl.dylib"};
    void *library = NULL;

    for (size_t i = 0; i < sizeof name / sizeof *name && !library; i++) library = dlopen(name[i], RTLD_NOW | RTLD_LOCAL);
    return library;
}

/* ISO C has no cast from what dlsym returns to a function's address; POSIX gives both one size. */
static bool find(void *library, const char *name, void *function, size_t size)
{
    void *symbol = dlsym(library, name);

    if (symbol && size == sizeof symbol) memcpy(function, &symbol, size);
    return symbol && size == sizeof symbol;
}

nn_status curl_library_load(curl_library *c, nn_err *err)
{
#define FIND(name) find(library, "curl_" #name, &c->name, sizeof c->name)
    void *library = open_library();

    memset(c, 0, sizeof *c);
    if (!library)
        return nn_fail(err, NN_USAGE, "server: libcurl is not on this machine, want libcurl.so.4 (Debian: libcurl4)");
    const bool all = FIND(global_init) && FIND(global_cleanup) && FIND(easy_init) && FIND(easy_cleanup) &&
                     FIND(easy_setopt) && FIND(easy_getinfo) && FIND(easy_strerror) && FIND(multi_init) &&
                     FIND(multi_cleanup) && FIND(multi_setopt) && FIND(multi_add_handle) &&
                     FIND(multi_remove_handle) && FIND(multi_perform) && FIND(multi_poll) && FIND(multi_info_read) &&
                     FIND(multi_strerror) && FIND(slist_append) && FIND(slist_free_all);
#undef FIND
    return all ? NN_OK : nn_fail(err, NN_USAGE, "server: the libcurl of this machine is too old, want 7.66 or newer");
}
