#include "kernels/mpi/comm_mpi.h"

#include <mpi.h>
#include <stdlib.h>
#include <time.h>

/* Messages travel in pieces, so that those that are done tell whether anything moves. */
enum { PIECE_BYTES = 4 << 20 };

struct mpi_transport {
    struct transport transport; /* first */
    char error[MPI_MAX_ERROR_STRING];
};

static const char *describe(struct mpi_transport *t, int code) {
    int length;
    if (MPI_Error_string(code, t->error, &length) != MPI_SUCCESS) return "unknown error";
    return t->error;
}

/* MPI waits by asking over and over. Ranks may share processors, and rank 0 may have a checkpoint to write
 * meanwhile, so whoever waits in vain asks less and less often. */
static void pause_after(int idle) {
    enum { EAGER = 200, SHORTEST_NS = 5000, LONGEST_NS = 500000 };
    if (idle < EAGER) return;
    long ns = (long)(idle - EAGER) * SHORTEST_NS;
    nanosleep(&(struct timespec){.tv_nsec = ns < LONGEST_NS ? ns : LONGEST_NS}, NULL);
}

static int wait_all(MPI_Request *requests, int *done, int n) {
    for (int left = n, idle = 0; left > 0; idle++) {
        int finished, code = MPI_Testsome(n, requests, &finished, done, MPI_STATUSES_IGNORE);
        if (code != MPI_SUCCESS) return code;
        if (finished == MPI_UNDEFINED) return MPI_SUCCESS;
        left -= finished;
        if (finished > 0) idle = 0;
        pause_after(idle);
    }
    return MPI_SUCCESS;
}

/* Starts all pieces; *n counts them. */
static int start_all(const struct message *messages, int n_messages, MPI_Request *requests,
                     int *n) {
    for (int i = 0; i < n_messages; i++) {
        const struct message *m = &messages[i];
        for (size_t at = 0; at < m->bytes; at += PIECE_BYTES) {
            int bytes = (int)(m->bytes - at < PIECE_BYTES ? m->bytes - at : PIECE_BYTES), code;
            char *data = (char *)m->data + at;
            MPI_Request *request = &requests[*n];
            code = m->send ? MPI_Isend(data, bytes, MPI_BYTE, m->peer, 0, MPI_COMM_WORLD, request)
                           : MPI_Irecv(data, bytes, MPI_BYTE, m->peer, 0, MPI_COMM_WORLD, request);
            if (code != MPI_SUCCESS) return code;
            ++*n;
        }
    }
    return MPI_SUCCESS;
}

static const char *transfer(struct transport *transport, const struct message *messages, int n) {
    struct mpi_transport *t = (struct mpi_transport *)transport;
    size_t pieces = 0;
    for (int i = 0; i < n; i++) pieces += (messages[i].bytes + PIECE_BYTES - 1) / PIECE_BYTES;
    if (pieces == 0) return NULL;
    MPI_Request *requests = malloc(pieces * sizeof *requests);
    int *done = malloc(pieces * sizeof *done), started = 0;
    const char *error = "out of memory";
    if (requests && done) {
        int code = start_all(messages, n, requests, &started);
        if (code == MPI_SUCCESS) code = wait_all(requests, done, started);
        error = code == MPI_SUCCESS ? NULL : describe(t, code);
    }
    free(requests);
    free(done);
    return error;
}

/* A rank that ends without MPI_Finalize makes mpirun end the others. */
static void transport_close(struct transport *transport, bool orderly) {
    if (orderly) MPI_Finalize();
    free(transport);
}

struct transport *comm_mpi_open(int *rank, int *size, const char **error) {
    static const struct transport functions = {"MPI", transfer, NULL, transport_close};
    int provided;
    *error = "MPI_Init failed";
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS) return NULL;
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, rank);
    MPI_Comm_size(MPI_COMM_WORLD, size);
    struct mpi_transport *t = calloc(1, sizeof *t);
    *error = "out of memory";
    if (t) t->transport = functions;
    return t ? &t->transport : NULL;
}
