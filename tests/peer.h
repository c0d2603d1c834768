/* A peer to compare with: another program that does the same work, in a process of its own. It says "ready",
 * then answers every empty line with the processor seconds that the work took. */
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

struct peer {
    FILE *to, *from;
    pid_t pid;
};

/* Starts `tools/peers/SCRIPT JOB` with the Python that GRPO_PEERS_PYTHON names, without it
 * build/peers/bin/python (tools/peers/install.sh). false: it is not there, or did not get ready. */
bool peer_open(struct peer *p, const char *script, const char *job);

/* Processor seconds of one round; negative when the peer is gone. */
double peer_round(struct peer *p);

void peer_close(struct peer *p);
