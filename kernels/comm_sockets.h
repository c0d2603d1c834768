/* How the ranks of a launch find one another: a connection between every two. */
#pragma once

#include "kernels/comm_launch.h"

struct sockets {
    int size;
    int *fd; /* [size] owned: to each rank; -1 for this one */
};

/* As comm_tcp_open. On failure nothing stays open. */
status sockets_open(struct sockets *out, const struct launch *launch, int timeout_ms);
void sockets_close(struct sockets *s);
