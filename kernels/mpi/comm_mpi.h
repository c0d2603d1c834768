/* MPI as a transport. It lives in a shared object of its own, libgrpo_mpi.so, built where Open MPI's headers
 * are and loaded only under mpirun: the program itself needs no MPI. */
#pragma once

#include "kernels/comm_transport.h"

#define COMM_MPI_LIBRARY "libgrpo_mpi.so"
#define COMM_MPI_SYMBOL "comm_mpi_open"

/* Starts MPI with all ranks of the launch. NULL: *error says why, in static text. */
struct transport *comm_mpi_open(int *rank, int *size, const char **error);
typedef struct transport *comm_mpi_opener(int *rank, int *size, const char **error);
