#include "tests/peer.h"

#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static const char *python(void) {
    const char *given = getenv("GRPO_PEERS_PYTHON");
    return given ? given : "build/peers/bin/python";
}

bool peer_open(struct peer *p, const char *script, const char *job) {
    int in[2], out[2];
    char path[256];
    if (access(python(), X_OK) != 0) return false;
    snprintf(path, sizeof path, "tools/peers/%s", script);
    if (pipe(in) != 0 || pipe(out) != 0) return false;
    char *argv[] = {(char *)(intptr_t)python(), path, (char *)(intptr_t)job, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", 1 /* O_WRONLY */, 0);
    int ends[] = {in[0], in[1], out[0], out[1]};
    for (int i = 0; i < 4; i++) posix_spawn_file_actions_addclose(&actions, ends[i]);
    bool started = posix_spawn(&p->pid, argv[0], &actions, NULL, argv, environ) == 0;
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    p->to = fdopen(in[1], "w");
    p->from = fdopen(out[0], "r");
    char line[64] = "";
    if (started && p->from && fgets(line, sizeof line, p->from) && strcmp(line, "ready\n") == 0)
        return p->to != NULL;
    if (started) peer_close(p);
    return false;
}

double peer_round(struct peer *p) {
    char line[64];
    if (fputc('\n', p->to) == EOF || fflush(p->to) != 0 || !fgets(line, sizeof line, p->from))
        return -1;
    return strtod(line, NULL);
}

void peer_close(struct peer *p) {
    if (p->to) fclose(p->to); /* its input ends, and so does it */
    if (p->from) fclose(p->from);
    waitpid(p->pid, NULL, 0);
}
