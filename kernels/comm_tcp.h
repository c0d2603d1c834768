/* TCP as a transport: for launchers that bring no MPI (torchrun, srun), and for the hosts' memory beside
 * NCCL.
 *
 * Rank 0 listens where the launch says. The others come to it, and are told where each of them listens;
 * then every two ranks have a connection. A connection that ends is a rank that is lost: whoever sees it
 * tells the others which one before it ends itself. */
#pragma once

#include "kernels/comm_launch.h"
#include "kernels/comm_transport.h"

/* Meets the other ranks of the launch within timeout_ms. EXIT_IO: a rank did not come, or the network
 * refused. EXIT_BAD_CONFIG: ranks of different launches met, or the launch does not say where. */
status comm_tcp_open(struct transport **out, const struct launch *launch, int timeout_ms);
