#include "reward/python_worker.h"

#include "base/arena.h"
#include "base/clock.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REPLY_MAX = 64 << 20, RECEIVE_SIZE = 64 * 1024 };

/* The adapter's text stands in the program: no installed file needs to be found. */
extern const char python_adapter[];
__asm__(".pushsection .rodata\n"
        ".globl python_adapter\n"
        "python_adapter:\n"
        ".incbin \"reward/python/grpo_reward.py\"\n"
        ".byte 0\n"
        ".popsection\n");

/* Spawns the process with `theirs` as its standard input and output. Returns an errno. */
static int spawn(pid_t *pid, int theirs, const struct worker_command *c) {
    char *argv[] = {(char *)c->interpreter, "-c", (char *)python_adapter, (char *)c->function,
                    (char *)c->style,       NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_adddup2(&actions, theirs, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, theirs, STDOUT_FILENO);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    int error = posix_spawnp(pid, c->interpreter, &actions, &attributes, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return error;
}

status worker_start(struct worker *w, const struct worker_command *command) {
    int ends[2];
    REQUIRE(w->pid == 0);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return fail_errno(EXIT_IO, errno, "cannot open a socket to a reward's process");
    pid_t pid;
    int error = spawn(&pid, ends[1], command);
    close(ends[1]);
    if (error) {
        close(ends[0]);
        return fail_errno(EXIT_BAD_CONFIG, error, "reward.python.interpreter=%s cannot be started",
                          command->interpreter);
    }
    *w = (struct worker){.pid = pid, .fd = ends[0]};
    return NULL;
}

void worker_hand(struct worker *w, char *line, size_t n) {
    free(w->out);
    w->out = line;
    w->n_out = n;
    w->sent = 0;
}

bool worker_has_more(const struct worker *w) { return w->sent < w->n_out; }

static bool would_block(void) { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

bool worker_send(struct worker *w) {
    while (worker_has_more(w)) {
        ssize_t n = send(w->fd, w->out + w->sent, w->n_out - w->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0) return would_block();
        w->sent += (size_t)n;
    }
    return true;
}

bool worker_receive(struct worker *w) {
    for (;;) {
        if (w->in_capacity - w->n_in < RECEIVE_SIZE) {
            if (w->n_in > REPLY_MAX) return false;
            w->in_capacity = 2 * w->in_capacity + RECEIVE_SIZE;
            w->in = memory_grow(w->in, w->in_capacity, 1);
        }
        ssize_t n = recv(w->fd, w->in + w->n_in, w->in_capacity - w->n_in, MSG_DONTWAIT);
        if (n < 0) return would_block();
        if (n == 0) return false;
        w->n_in += (size_t)n;
    }
}

bool worker_line(const struct worker *w, struct span *line) {
    const char *newline = w->n_in ? memchr(w->in, '\n', w->n_in) : NULL;
    if (!newline) return false;
    *line = (struct span){w->in, (size_t)(newline - w->in)};
    return true;
}

void worker_drop_line(struct worker *w) {
    struct span line;
    if (!worker_line(w, &line)) return;
    w->n_in -= line.n + 1;
    memmove(w->in, w->in + line.n + 1, w->n_in);
}

void worker_stop(struct worker *w, double grace_s) {
    if (w->pid == 0) return;
    close(w->fd);
    double until = clock_seconds() + grace_s;
    bool ended = false;
    const struct timespec pause = {.tv_nsec = 5 * 1000 * 1000};
    while (!(ended = waitpid(w->pid, NULL, WNOHANG) == w->pid) && clock_seconds() < until)
        nanosleep(&pause, NULL);
    kill(-w->pid, SIGKILL); /* the group outlives its first process while it has another */
    if (!ended)
        while (waitpid(w->pid, NULL, 0) < 0 && errno == EINTR) continue;
    free(w->out);
    free(w->in);
    *w = (struct worker){0};
}
