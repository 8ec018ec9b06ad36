/* peer_process.h - a peer that is another program: started once, asked over pipes, waiting in between.
 *
 * Why: both sides of a comparison must be warm, and must not run at the same time.
 */
#ifndef BENCH_PEER_PROCESS_H
#define BENCH_PEER_PROCESS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

typedef struct {
    pid_t pid; /* 0: not running */
    FILE *to, *from;
} peer_process;

/* argv ends with NULL; argv[0] is looked for in PATH. False when it cannot be started. */
bool peer_process_open(peer_process *p, const char *const *argv);
/* Writes one line (NULL: none), waits for one line; false when the peer has ended. */
bool peer_process_ask(peer_process *p, const char *line, char *answer, size_t cap);
void peer_process_close(peer_process *p); /* end of its input; waits for its end */
#endif
