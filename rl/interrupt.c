#include "rl/interrupt.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

/* The one mutable global of the program: a signal handler has no other way to be heard. */
static volatile sig_atomic_t stop_requested;

static void on_signal_quiet(int number) {
    (void)number;
    if (stop_requested) _exit(EXIT_TRY_AGAIN);
    stop_requested = 1;
}

static void on_signal(int number) {
    int saved = errno;
    static const char sentence[] =
        "\ngrpo: stopping where nothing is lost; once more to leave at once\n";
    on_signal_quiet(number);
    /* Only a hint: if stderr cannot take it, the stop happens all the same. */
    if (write(STDERR_FILENO, sentence, sizeof sentence - 1) < 0) errno = saved;
    errno = saved;
}

status interrupt_install(bool speak) {
    struct sigaction stop = {.sa_handler = speak ? on_signal : on_signal_quiet,
                             .sa_flags = SA_RESTART};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigemptyset(&stop.sa_mask);
    sigemptyset(&ignore.sa_mask);
    if (sigaction(SIGINT, &stop, NULL) || sigaction(SIGTERM, &stop, NULL) ||
        sigaction(SIGUSR1, &stop, NULL) || sigaction(SIGXFSZ, &ignore, NULL))
        return fail_errno(EXIT_OUR_BUG, errno, "cannot set up signal handling");
    return NULL;
}

bool interrupt_requested(void) { return stop_requested != 0; }
