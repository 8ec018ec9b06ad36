/* plat_memory.c - how much memory this process may still take. With plat_posix.c and par_posix.c the only files that
 * include POSIX headers; what it reads are Linux's files, and where they are absent nothing limits.
 *
 * Three limits, the least counts: what the machine can give without swapping (MemAvailable in /proc/meminfo), what the
 * process's group of a container may take (cgroup v2: memory.max less memory.current; v1: memory.limit_in_bytes less
 * memory.usage_in_bytes; of the group and of all above it; page cache that can be dropped counts as free), and what
 * setrlimit allows.
 */
#define _XOPEN_SOURCE 700
#include "nn/plat.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define LINE_CAP 1024u

/* The number behind `key` at the beginning of a line; key "": the file's first. False when there is none ("max"). */
static bool read_number(const char *path, const char *key, uint64_t *out)
{
    char line[LINE_CAP];
    bool found = false;
    FILE *f = fopen(path, "r");

    if (!f) return false;
    while (!found && fgets(line, sizeof line, f)) {
        const size_t len = strlen(key);

        if (strncmp(line, key, len) == 0) found = sscanf(line + len, "%" SCNu64, out) == 1;
    }
    fclose(f);
    return found;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t less(uint64_t limit, uint64_t used)
{
    return limit > used ? limit - used : 0;
}

/* --- groups ------------------------------------------------------------------------------------------------------ */

/* The names that the two versions have for the same. */
typedef struct {
    const char *root, *max, *used, *cache;
} group_files;

static uint64_t group_free(const group_files *g, const char *group)
{
    char path[2 * LINE_CAP];
    uint64_t max = 0, used = 0, cache = 0;

    snprintf(path, sizeof path, "%s%s/%s", g->root, group, g->max);
    if (!read_number(path, "", &max)) return UINT64_MAX;
    snprintf(path, sizeof path, "%s%s/%s", g->root, group, g->used);
    if (!read_number(path, "", &used)) return UINT64_MAX;
    snprintf(path, sizeof path, "%s%s/memory.stat", g->root, group);
    if (!read_number(path, g->cache, &cache)) cache = 0;
    return less(max, less(used, cache));
}

/* The group and those above it: "/a/b", "/a", "". */
static uint64_t groups_free(const group_files *g, const char *name)
{
    char group[LINE_CAP];
    uint64_t room = UINT64_MAX;

    snprintf(group, sizeof group, "%s", name);
    for (;;) {
        room = least(room, group_free(g, group));
        char *end = strrchr(group, '/');
        if (!end) return room;
        *end = '\0';
    }
}

/* Lines of /proc/self/cgroup: "0::/name" (version 2) or "9:memory:/name" (version 1). */
static uint64_t cgroup_free(void)
{
    static const group_files v2 = {"/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file "};
    static const group_files v1 = {"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
                                   "total_inactive_file "};
    char line[LINE_CAP];
    uint64_t room = UINT64_MAX;
    FILE *f = fopen("/proc/self/cgroup", "r");

    if (!f) return room;
    while (fgets(line, sizeof line, f)) {
        char *controllers = strchr(line, ':');
        char *name = controllers ? strchr(controllers + 1, ':') : NULL;

        if (!name) continue;
        *name++ = '\0';
        name[strcspn(name, "\n")] = '\0';
        if (controllers[1] == '\0') room = least(room, groups_free(&v2, name));
        if (strstr(controllers, "memory")) room = least(room, groups_free(&v1, name));
    }
    fclose(f);
    return room;
}

/* --- the public face --------------------------------------------------------------------------------------------- */

uint64_t nn_memory_free_bytes(void)
{
    uint64_t kilobytes = 0;
    const uint64_t machine = read_number("/proc/meminfo", "MemAvailable:", &kilobytes) ? kilobytes * 1024 : UINT64_MAX;

    return least(machine, cgroup_free());
}

uint64_t nn_memory_room_bytes(void)
{
    static const struct {
        int limit;
        const char *used;
    } kind[] = {{RLIMIT_AS, "VmSize:"}, {RLIMIT_DATA, "VmData:"}};
    uint64_t room = UINT64_MAX;

    for (size_t i = 0; i < sizeof kind / sizeof *kind; i++) {
        struct rlimit r;
        uint64_t kilobytes = 0;

        if (getrlimit(kind[i].limit, &r) != 0 || r.rlim_cur == RLIM_INFINITY) continue;
        (void)read_number("/proc/self/status", kind[i].used, &kilobytes);
        room = least(room, less((uint64_t)r.rlim_cur, kilobytes * 1024));
    }
    return room;
}
