/* A Python process that scores: started, spoken to in JSON lines over a socket, killed when it is silent.
 * reward/python/grpo_reward.py is its side. Nothing here blocks, but for worker_stop. */
#pragma once

#include "base/span.h"
#include "base/status.h"

#include <sys/types.h>

struct worker_command {
    const char *interpreter, *function, *style; /* borrowed */
};

struct worker {
    pid_t pid; /* 0: there is no process */
    int fd;    /* our end of the socket, which is its standard input and output */
    char *out; /* [n_out], owned: what is to be sent; bytes before `sent` are gone */
    size_t n_out, sent;
    char *in; /* [in_capacity], owned: what came; n_in bytes without a newline so far */
    size_t n_in, in_capacity;
};

/* Starts the process, in a group of its own, so that a terminal's signals do not reach it: a run that is
 * interrupted finishes its step, and needs its rewards for it. EXIT_BAD_CONFIG: no such interpreter. */
status worker_start(struct worker *w, const struct worker_command *command);

/* Hands it a line, newline included, to be sent when the socket takes it; the worker frees it. */
void worker_hand(struct worker *w, char *line, size_t n);

/* Sends what the socket takes. False when the process is gone. */
bool worker_send(struct worker *w);
bool worker_has_more(const struct worker *w); /* to send */

/* Receives what is there. False when the process is gone, or says more than anybody asked for. */
bool worker_receive(struct worker *w);

/* The first line received, without its newline; false when none is complete. worker_drop_line forgets it. */
bool worker_line(const struct worker *w, struct span *line);
void worker_drop_line(struct worker *w);

/* Ends the process and what it started: closing its input asks it to end, and after grace_s seconds it is
 * killed. Frees everything; the worker can be started again. Without a process it does nothing. */
void worker_stop(struct worker *w, double grace_s);
