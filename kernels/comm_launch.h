/* How this process was launched: alone, or as one rank of several. Open MPI's mpirun, torchrun and Slurm's
 * srun say so in environment variables:
 *
 *     mpirun      OMPI_COMM_WORLD_RANK, _SIZE, _LOCAL_RANK, _LOCAL_SIZE
 *     torchrun    RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE
 *     srun        SLURM_PROCID, SLURM_STEP_NUM_TASKS, SLURM_LOCALID
 *
 * Where several are there, the upper one counts: mpirun and torchrun are themselves started by srun. */
#pragma once

#include "base/status.h"

struct launch {
    const char *by; /* static text: "mpirun", "torchrun", "srun"; NULL: alone */
    int rank, size; /* 0 and 1 when alone */
    int local_rank; /* among the ranks of this host: which GPU is its own */
    int local_size; /* ranks on this host; 1 where the launcher does not say */
    /* Where rank 0 listens, from MASTER_ADDR and MASTER_PORT; borrowed from the environment. */
    const char *address; /* NULL: not said */
    int port;            /* 29500 when not said; the one after it where torchrun listens itself */
};

/* Reads the variables through `get`, a getenv. EXIT_BAD_CONFIG when they are incomplete, are no numbers, or
 * contradict each other. */
status launch_read(struct launch *out, char *(*get)(const char *name));
