/* A peer to compare with: another program that does the same work, in a process of its own, on the same core.
 * It says "ready", then answers every empty line with the processor seconds that a round of the work took and
 * the most bytes of memory that its process has held. It may die or hang: it is then given up, and `trouble`
 * says why, which is what the table shows in place of a figure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct peer {
    pid_t pid;
    int fd;          /* both its standard input and output; -1: it is gone */
    double patience; /* seconds that an answer may take */
    char text[256];  /* what it wrote and was not read yet [n] */
    size_t n;
    char trouble[128]; /* why there is nothing to compare with; "" while there is */
};

/* Starts `tools/peers/SCRIPT JOB` with the Python that GRPO_PEERS_PYTHON names, without it
 * build/peers/bin/python (tools/peers/install.sh), and waits until it is ready. false: see `trouble`. */
bool peer_open(struct peer *p, const char *script, const char *job, double patience_s);

/* One round; *bytes is the peak of its memory so far. false: see `trouble`; nothing is stored then. */
bool peer_round(struct peer *p, double *seconds, double *bytes);

/* Ends it, by force when it does not end by itself; `trouble` stays. A peer that is gone is fine. */
void peer_close(struct peer *p);
