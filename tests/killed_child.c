#include "tests/killed_child.h"

#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static pid_t start_traced(void (*action)(void *), void *ctx) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) _exit(1);
        raise(SIGSTOP);
        action(ctx);
        _exit(0);
    }
    return child;
}

/* Lets the child run to its next stop; false when it ended, with its wait status. */
static bool next_stop(pid_t child, int *wait_status) {
    if (ptrace(PTRACE_SYSCALL, child, NULL, NULL) != 0) return false;
    assert_int_equal(waitpid(child, wait_status, 0), child);
    return WIFSTOPPED(*wait_status);
}

bool killed_child_run(void (*action)(void *), void *ctx, long n, long *made) {
    int wait_status;
    pid_t child = start_traced(action, ctx);
    assert_int_equal(waitpid(child, &wait_status, 0), child);
    assert_true(WIFSTOPPED(wait_status));
    ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_TRACESYSGOOD);
    /* Each call stops twice: as it is entered and as it returns. */
    long stops = 0;
    while (next_stop(child, &wait_status)) {
        if (WSTOPSIG(wait_status) == (SIGTRAP | 0x80)) stops++;
        if ((stops + 1) / 2 < n) continue;
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &wait_status, 0), child);
        assert_true(WIFSIGNALED(wait_status));
        *made = n;
        return true;
    }
    assert_true(WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0);
    *made = (stops + 1) / 2;
    return false;
}

static void nothing(void *ctx) { (void)ctx; }

bool killed_child_possible(void) {
    int wait_status;
    pid_t child = start_traced(nothing, NULL);
    assert_int_equal(waitpid(child, &wait_status, 0), child);
    if (!WIFSTOPPED(wait_status)) return false;
    bool possible = ptrace(PTRACE_SYSCALL, child, NULL, NULL) == 0;
    kill(child, SIGKILL);
    waitpid(child, &wait_status, 0);
    return possible;
}

int limited_child_run(int (*action)(void *), void *ctx, unsigned long bytes) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit limit = {bytes, bytes};
        signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(1);
        _exit(action(ctx));
    }
    int wait_status;
    assert_int_equal(waitpid(child, &wait_status, 0), child);
    assert_true(WIFEXITED(wait_status));
    return WEXITSTATUS(wait_status);
}
