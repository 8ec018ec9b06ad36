#include "tests/stub_server.h"
#include "nn/rng.h"
#include "tests/support.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <jansson.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KEPT 512u
#define LONGEST (1u << 22) /* bytes of one request */

/* Mapped from a file, so that every process of the server writes into the memory that the test reads. */
typedef struct {
    size_t n, connections, distinct;
    stub_request request[KEPT];
} stub_records;

struct stub_server {
    pid_t pid;
    int alive; /* end of a pipe: closed when the test ends */
    int lock;  /* the records' file */
    stub_records *records;
    char url[64];
};

/* --- records ------------------------------------------------------------------------------------------------------ */

/* fcntl's locks belong to processes, unlike flock's, which forked ones share. */
static void set_lock(int fd, short type)
{
    struct flock l = {.l_type = type, .l_whence = SEEK_SET};

    while (fcntl(fd, F_SETLKW, &l) != 0) continue;
}

static bool same_body(const stub_request *a, const stub_request *b)
{
    return a->body_len == b->body_len && strcmp(a->body, b->body) == 0;
}

/* Fills in the numbers of *r and keeps a copy. */
static void record(const stub_server *s, stub_request *r)
{
    stub_records *all = s->records;

    set_lock(s->lock, F_WRLCK);
    r->number = all->n++;
    for (size_t i = 0; i < r->number && i < KEPT; i++) r->seen += same_body(&all->request[i], r);
    all->distinct += r->seen == 0;
    r->distinct = all->distinct;
    if (r->number < KEPT) all->request[r->number] = *r;
    set_lock(s->lock, F_UNLCK);
}

/* --- one connection, in its own process --------------------------------------------------------------------------- */

/* Header lines and as much of the body as came with them. False: the other end has gone. */
static bool read_head(int fd, char *bytes, size_t *len, size_t *head)
{
    for (*len = 0; *len < LONGEST;) {
        const ssize_t n = read(fd, bytes + *len, LONGEST - *len);
        if (n <= 0) return false;
        *len += (size_t)n;
        bytes[*len] = '\0';
        const char *end = strstr(bytes, "\r\n\r\n");
        if (!end) continue;
        *head = (size_t)(end - bytes) + 4;
        return true;
    }
    return false;
}

static bool read_request(int fd, char *bytes, stub_request *r)
{
    const stub_call c = {r, fd, false};
    size_t len = 0, head = 0;

    memset(r, 0, sizeof *r);
    if (!read_head(fd, bytes, &len, &head)) return false;
    snprintf(r->head, sizeof r->head, "%.*s", (int)head, bytes);
    r->body_len = (size_t)strtoul(stub_header(&c, "Content-Length"), NULL, 10);
    while (len - head < r->body_len && len < LONGEST) {
        const ssize_t n = read(fd, bytes + len, LONGEST - len);
        if (n <= 0) return false;
        len += (size_t)n;
    }
    bytes[len] = '\0';
    snprintf(r->body, sizeof r->body, "%s", bytes + head);
    return true;
}

static void serve(const stub_server *s, int fd, stub_behaviour behave)
{
    char *bytes = malloc(LONGEST + 1);
    stub_request *r = malloc(sizeof *r);
    stub_call c = {r, fd, false};

    while (bytes && r && !c.end && read_request(fd, bytes, r)) {
        record(s, r);
        behave(&c);
    }
    free(bytes);
    free(r);
    close(fd);
    _exit(0);
}

/* --- the server's process ----------------------------------------------------------------------------------------- */

/* Until the test is gone; then the whole group goes. */
static void accept_all(const stub_server *s, int listener, int test, stub_behaviour behave)
{
    struct pollfd watch[2] = {{.fd = listener, .events = POLLIN}, {.fd = test, .events = POLLIN}};

    for (;;) {
        if (poll(watch, 2, -1) < 0) continue;
        if (watch[1].revents) kill(0, SIGKILL);
        const int fd = watch[0].revents ? accept(listener, NULL, NULL) : -1, at_once = 1;
        if (fd < 0) continue;
        /* Otherwise the body waits until the head is acknowledged, 40 ms a reply. */
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
        set_lock(s->lock, F_WRLCK);
        s->records->connections++;
        set_lock(s->lock, F_UNLCK);
        if (fork() == 0) {
            close(listener);
            serve(s, fd, behave);
        }
        close(fd);
    }
}

/* Open files that the server inherited would keep the test's runner waiting for their ends. */
static void become_server(const stub_server *s, int listener, int test, stub_behaviour behave)
{
    const struct sigaction no_children = {.sa_handler = SIG_IGN};

    setpgid(0, 0);
    sigaction(SIGCHLD, &no_children, NULL);
    sigaction(SIGPIPE, &no_children, NULL);
    for (int fd = 3; fd < 256; fd++) {
        if (fd != listener && fd != test && fd != s->lock) close(fd);
    }
    accept_all(s, listener, test, behave);
    _exit(0);
}

static int open_listener(stub_server *s)
{
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof a;

    cr_assert(fd >= 0 && bind(fd, (const struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 64) == 0, "no socket");
    cr_assert(getsockname(fd, (struct sockaddr *)&a, &len) == 0);
    snprintf(s->url, sizeof s->url, "http://127.0.0.1:%u/v1", (unsigned)ntohs(a.sin_port));
    return fd;
}

static void map_records(stub_server *s)
{
    s->lock = open(path_in(temp_dir(), "records"), O_RDWR | O_CREAT, 0600);
    cr_assert(s->lock >= 0 && ftruncate(s->lock, (off_t)sizeof *s->records) == 0);
    s->records = mmap(NULL, sizeof *s->records, PROT_READ | PROT_WRITE, MAP_SHARED, s->lock, 0);
    cr_assert(s->records != MAP_FAILED);
}

stub_server *stub_start(stub_behaviour behave)
{
    static stub_server servers[8]; /* a test uses a few and ends */
    static size_t used = 0;
    stub_server *s = &servers[used++];
    int test[2];

    cr_assert(used <= sizeof servers / sizeof *servers && pipe(test) == 0);
    s->alive = test[1];
    cr_assert(fcntl(s->alive, F_SETFD, FD_CLOEXEC) == 0); /* a program that the test runs must not keep it */
    map_records(s);
    const int listener = open_listener(s);
    fflush(NULL);
    s->pid = fork();
    cr_assert(s->pid >= 0);
    if (s->pid == 0) become_server(s, listener, test[0], behave);
    (void)setpgid(s->pid, s->pid); /* both sides do, so that stub_stop never comes too early */
    close(listener);
    close(test[0]);
    return s;
}

void stub_stop(stub_server *s)
{
    if (s->pid <= 0) return;
    kill(-s->pid, SIGKILL);
    (void)waitpid(s->pid, NULL, 0);
    s->pid = 0;
    close(s->alive);
}

const char *stub_url(const stub_server *s)
{
    return s->url;
}

size_t stub_requests(const stub_server *s)
{
    set_lock(s->lock, F_RDLCK);
    const size_t n = s->records->n;
    set_lock(s->lock, F_UNLCK);
    return n;
}

size_t stub_connections(const stub_server *s)
{
    set_lock(s->lock, F_RDLCK);
    const size_t n = s->records->connections;
    set_lock(s->lock, F_UNLCK);
    return n;
}

const stub_request *stub_request_at(const stub_server *s, size_t i)
{
    cr_assert(i < stub_requests(s) && i < KEPT, "request %zu was never made, or not kept", i);
    return &s->records->request[i];
}

/* --- for behaviours ----------------------------------------------------------------------------------------------- */

const char *stub_prompt(const stub_call *c)
{
    static char text[STUB_BODY];
    json_t *root = json_loads(c->r->body, JSON_ALLOW_NUL, NULL);
    const json_t *messages = json_object_get(root, "messages");
    const json_t *last = json_array_get(messages, json_array_size(messages) - 1);
    const char *s = json_string_value(messages ? json_object_get(last, "content") : json_object_get(root, "prompt"));

    snprintf(text, sizeof text, "%s", s ? s : "");
    json_decref(root);
    return text;
}

bool stub_completes(const stub_call *c)
{
    return strstr(c->r->head, "/chat/completions ") == NULL;
}

const char *stub_header(const stub_call *c, const char *name)
{
    static char value[STUB_HEAD];
    const size_t n = strlen(name);

    value[0] = '\0';
    for (const char *line = c->r->head; (line = strstr(line, "\r\n")) != NULL;) {
        line += 2;
        if (strncasecmp(line, name, n) != 0 || line[n] != ':') continue;
        const char *at = line + n + 1;
        at += strspn(at, " ");
        snprintf(value, sizeof value, "%.*s", (int)strcspn(at, "\r\n"), at);
        break;
    }
    return value;
}

void stub_raw(stub_call *c, const char *bytes, size_t len)
{
    while (len > 0) {
        const ssize_t n = write(c->fd, bytes, len);
        if (n <= 0) { /* nobody reads any more */
            c->end = true;
            return;
        }
        bytes += n;
        len -= (size_t)n;
    }
}

void stub_reply(stub_call *c, int status, const char *headers, const char *body, size_t len)
{
    char head[1024];
    const int n = snprintf(head, sizeof head, "HTTP/1.1 %d Stub\r\n%sContent-Length: %zu\r\n\r\n", status,
                           headers ? headers : "", len);

    stub_raw(c, head, (size_t)n);
    stub_raw(c, body, len);
}

static void send_json(stub_call *c, int status, const char *headers, json_t *root)
{
    char *text = json_dumps(root, JSON_COMPACT | JSON_PRESERVE_ORDER);

    if (text) stub_reply(c, status, headers, text, strlen(text));
    free(text);
    json_decref(root);
}

void stub_finish(stub_call *c, const char *text, const char *finish)
{
    json_t *words = text ? json_string(text) : json_null();
    json_t *choice = stub_completes(c)
                         ? json_pack("{s:i, s:o, s:s}", "index", 0, "text", words, "finish_reason", finish)
                         : json_pack("{s:i, s:{s:s, s:o}, s:s}", "index", 0, "message", "role", "assistant", "content",
                                     words, "finish_reason", finish);

    send_json(c, 200, NULL, json_pack("{s:s, s:[o]}", "object", "stub", "choices", choice));
}

void stub_answer(stub_call *c, const char *text)
{
    stub_finish(c, text, "stop");
}

void stub_status(stub_call *c, int status, const char *headers, const char *message)
{
    send_json(c, status, headers, json_pack("{s:{s:s, s:s}}", "error", "message", message, "type", "stub"));
}

void stub_nap(double seconds)
{
    const struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};

    nanosleep(&t, NULL);
}

void stub_echo(stub_call *c)
{
    char text[STUB_BODY + 8];

    snprintf(text, sizeof text, "echo: %s", stub_prompt(c));
    stub_answer(c, text);
}

void stub_echo_shuffled(stub_call *c)
{
    const char *seed = getenv("STUB_SEED");

    stub_nap((double)(nn_hash64(c->r->body, strlen(c->r->body), seed ? strtoull(seed, NULL, 10) : 0) % 31) / 1000.0);
    stub_echo(c);
}
