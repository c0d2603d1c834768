#include "tests/peer.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static const double FAREWELL_SECONDS = 10;

static const char *python(void) {
    const char *given = getenv("GRPO_PEERS_PYTHON");
    return given && given[0] ? given : "build/peers/bin/python";
}

/* One socket is its input and its output: writing to a peer that died is an error then, not a signal. */
static bool start(struct peer *p, const char *script, const char *job) {
    int ends[2];
    char path[256];
    snprintf(path, sizeof path, "tools/peers/%s", script);
    char *argv[] = {(char *)(intptr_t)python(), path, (char *)(intptr_t)job, NULL};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return false;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", 1 /* O_WRONLY */, 0);
    bool started = posix_spawn(&p->pid, argv[0], &actions, NULL, argv, environ) == 0;
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (started) p->fd = ends[0];
    else close(ends[0]);
    return started;
}

static bool give_up(struct peer *p, const char *why) {
    snprintf(p->trouble, sizeof p->trouble, "%s", why);
    peer_close(p);
    return false;
}

/* Its next line, cut to fit, without its end. */
static bool line_read(struct peer *p, char *line, size_t room) {
    double end = clock_seconds() + p->patience;
    for (char *newline; !(newline = memchr(p->text, '\n', p->n));) {
        struct pollfd wait = {.fd = p->fd, .events = POLLIN};
        double left = end - clock_seconds();
        if (p->n == sizeof p->text) return give_up(p, "its answer is too long");
        int ready = left > 0 ? poll(&wait, 1, (int)(1e3 * left) + 1) : 0;
        if (ready < 0 && errno == EINTR) continue;
        if (ready <= 0) return give_up(p, "it did not answer in time");
        ssize_t n = read(p->fd, p->text + p->n, sizeof p->text - p->n);
        if (n <= 0) return give_up(p, "it ended early");
        p->n += (size_t)n;
    }
    size_t n = (size_t)((char *)memchr(p->text, '\n', p->n) - p->text);
    snprintf(line, room, "%.*s", (int)n, p->text);
    p->n -= n + 1;
    memmove(p->text, p->text + n + 1, p->n);
    return true;
}

bool peer_open(struct peer *p, const char *script, const char *job, double patience_s) {
    char line[sizeof p->trouble];
    *p = (struct peer){.fd = -1, .patience = patience_s};
    if (access(python(), X_OK) != 0) return give_up(p, "not installed");
    if (!start(p, script, job)) return give_up(p, "it cannot be started");
    if (!line_read(p, line, sizeof line)) return false;
    return strcmp(line, "ready") == 0 || give_up(p, line);
}

bool peer_round(struct peer *p, double *seconds, double *bytes) {
    char line[sizeof p->trouble];
    double s, b;
    if (p->fd < 0) return false;
    if (send(p->fd, "\n", 1, MSG_NOSIGNAL) != 1) return give_up(p, "it ended early");
    if (!line_read(p, line, sizeof line)) return false;
    if (sscanf(line, "%lf %lf", &s, &b) != 2 || !(s > 0)) return give_up(p, line);
    *seconds = s;
    *bytes = b;
    return true;
}

void peer_close(struct peer *p) {
    if (p->fd < 0) return;
    close(p->fd); /* its input ends, and so does it */
    p->fd = -1;
    double end = clock_seconds() + (p->trouble[0] ? 0 : FAREWELL_SECONDS);
    while (waitpid(p->pid, NULL, WNOHANG) == 0) {
        if (clock_seconds() > end) {
            kill(p->pid, SIGKILL);
            waitpid(p->pid, NULL, 0);
            return;
        }
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
}
