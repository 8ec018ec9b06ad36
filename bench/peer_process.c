/* peer_process.c - pipes to a child. */
#define _POSIX_C_SOURCE 200809L
#include "bench/peer_process.h"
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void child(const int in[2], const int out[2], const char *const *argv)
{
    union {
        const char *const *in;
        char *const *out;
    } lent = {argv}; /* execvp reads, but says char *const * */

    dup2(in[0], 0);
    dup2(out[1], 1);
    close(in[0]), close(in[1]), close(out[0]), close(out[1]);
    execvp(argv[0], lent.out);
    _exit(127);
}

bool peer_process_open(peer_process *p, const char *const *argv)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1};

    memset(p, 0, sizeof *p);
    if (pipe(in) != 0) return false;
    if (pipe(out) != 0) {
        close(in[0]), close(in[1]);
        return false;
    }
    fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0) child(in, out, argv);
    close(in[0]), close(out[1]);
    if (pid < 0) {
        close(in[1]), close(out[0]);
        return false;
    }
    signal(SIGPIPE, SIG_IGN); /* a peer that ended is seen by what it does not answer */
    p->pid = pid;
    p->to = fdopen(in[1], "w");
    p->from = fdopen(out[0], "r");
    return p->to && p->from;
}

bool peer_process_ask(peer_process *p, const char *line, char *answer, size_t cap)
{
    if (!p->to || !p->from) return false;
    if (line && (fprintf(p->to, "%s\n", line) < 0 || fflush(p->to) != 0)) return false;
    if (!fgets(answer, (int)cap, p->from)) return false;
    answer[strcspn(answer, "\n")] = '\0';
    return true;
}

void peer_process_close(peer_process *p)
{
    if (p->to) fclose(p->to);
    if (p->from) fclose(p->from);
    if (p->pid > 0) waitpid(p->pid, NULL, 0);
    memset(p, 0, sizeof *p);
}
