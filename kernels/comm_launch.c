#include "kernels/comm_launch.h"

#include <stdlib.h>
#include <string.h>

enum { RANKS_MAX = 4096, PORT_DEFAULT = 29500, PORT_MAX = 65535 };

/* The variables of one launcher. */
struct launcher {
    const char *name, *rank, *size, *local_rank, *local_size;
};

static const struct launcher LAUNCHERS[] = {
    {"mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
     "OMPI_COMM_WORLD_LOCAL_SIZE"},
    {"torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"},
    /* Not SLURM_NTASKS: it is there in a batch script too, which is one process. */
    {"srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", NULL},
};
enum { LAUNCHERS_N = sizeof LAUNCHERS / sizeof *LAUNCHERS };

/* A variable as a number in [low, high]; *out stays as it is where there is none. */
static status read_number(char *(*get)(const char *), const char *name, int low, int high,
                          int *out) {
    const char *text = name ? get(name) : NULL;
    if (!text || !*text) return NULL;
    char *end;
    long value = strtol(text, &end, 10);
    if (*end || text[strspn(text, "0123456789")] || value < low || value > high)
        return fail(EXIT_BAD_CONFIG, "the environment's %s=%.40s, expected a number from %d to %d",
                    name, text, low, high);
    *out = (int)value;
    return NULL;
}

/* size = 0: this launcher did not start the process. */
static status launcher_read(const struct launcher *l, char *(*get)(const char *),
                            struct launch *out) {
    int rank = -1, size = 0, local_rank = -1, local_size = 0;
    *out = (struct launch){.size = 0};
    TRY(read_number(get, l->size, 1, RANKS_MAX, &size));
    /* Slurm numbers the process of a batch script too, without a step. */
    if (strcmp(l->name, "srun") == 0 && size == 0) return NULL;
    TRY(read_number(get, l->rank, 0, RANKS_MAX - 1, &rank));
    if (rank < 0 && size == 0) return NULL;
    if (rank < 0 || size == 0)
        return fail(EXIT_BAD_CONFIG, "the environment has %s without %s, expected both or neither",
                    size ? l->size : l->rank, size ? l->rank : l->size);
    if (rank >= size)
        return fail(EXIT_BAD_CONFIG, "the environment's %s=%d, expected less than %s=%d", l->rank,
                    rank, l->size, size);
    TRY(read_number(get, l->local_rank, 0, size - 1, &local_rank));
    TRY(read_number(get, l->local_size, 1, size, &local_size));
    *out = (struct launch){.by = l->name,
                           .rank = rank,
                           .size = size,
                           .local_rank = local_rank < 0 ? 0 : local_rank,
                           .local_size = local_size ? local_size : 1};
    return NULL;
}

/* Two launchers of one process agree where one passes the other's numbers on under its own names. */
static status launchers_check(const struct launch *mpi, const struct launch *torch) {
    if (!mpi->size || !torch->size || (mpi->rank == torch->rank && mpi->size == torch->size))
        return NULL;
    return fail(EXIT_BAD_CONFIG,
                "the environment's OMPI_COMM_WORLD_RANK=%d of %d contradicts RANK=%d of "
                "WORLD_SIZE=%d; unset what does not belong to this launch",
                mpi->rank, mpi->size, torch->rank, torch->size);
}

status launch_read(struct launch *out, char *(*get)(const char *name)) {
    struct launch found[LAUNCHERS_N];
    for (int i = 0; i < LAUNCHERS_N; i++) TRY(launcher_read(&LAUNCHERS[i], get, &found[i]));
    TRY(launchers_check(&found[0], &found[1]));
    *out = (struct launch){.size = 1, .local_size = 1};
    for (int i = LAUNCHERS_N - 1; i >= 0; i--)
        if (found[i].size) *out = found[i];
    const char *address = get("MASTER_ADDR");
    out->address = address && *address ? address : NULL;
    out->port = PORT_DEFAULT;
    TRY(read_number(get, "MASTER_PORT", 1, PORT_MAX - 1, &out->port));
    /* torchrun itself listens on the port it names, for the processes of PyTorch; the next one is ours. */
    const char *taken = get("TORCHELASTIC_USE_AGENT_STORE");
    out->port += taken && strcmp(taken, "True") == 0;
    return NULL;
}
