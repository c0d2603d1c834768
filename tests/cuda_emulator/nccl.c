/* A stand-in for NCCL, as far as the CUDA backend uses it: ranks are processes, each with an emulated device,
 * that meet at sockets in a temporary directory, whose name is the id. GRPO_NCCL_LIBRARY names the library of
 * the emulated backend, which exports these functions.
 *
 * Like NCCL's, transfers are work on a stream: bytes leave the device when the stream gets there, not before.
 * Messages of two ranks that differ in length are reported as the bug they are. A rank that is lost is an
 * asynchronous error of the others. */
#include "tests/cuda_emulator/internals.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { SUCCESS = 0, SYSTEM_ERROR = 2, INVALID_ARGUMENT = 4, REMOTE_ERROR = 6, IN_PROGRESS = 7 };
enum { ID_BYTES = 128, MESSAGES_MAX = 64, CONFIG_MAGIC = (int)0xcafebeef };

struct id {
    char directory[ID_BYTES];
};

struct config {
    size_t size;
    unsigned magic, version;
    int blocking;
};

/* A message of a group, with pinned memory between device and socket. */
struct piece {
    int peer;
    bool send;
    void *device, *host;
    uint64_t header; /* its length: goes first */
    size_t bytes, done;
};

struct nccl_comm {
    int rank, size, error;
    int slow; /* how often it still says that it is at work */
    int *fd;  /* [size] */
    char directory[ID_BYTES];
    struct piece pieces[MESSAGES_MAX];
    int n;
    bool queued; /* pieces[] belong to work on a stream */
    cudaStream_t stream;
};

#define EXPORT __attribute__((visibility("default")))
EXPORT int ncclGetUniqueId(struct id *id);
EXPORT int ncclCommInitRankConfig(struct nccl_comm **out, int size, struct id id, int rank,
                                  struct config *config);
EXPORT int ncclSend(const void *data, size_t n, int type, int peer, struct nccl_comm *comm,
                    cudaStream_t stream);
EXPORT int ncclRecv(void *data, size_t n, int type, int peer, struct nccl_comm *comm,
                    cudaStream_t stream);
EXPORT int ncclGroupStart(void);
EXPORT int ncclGroupEnd(void);
EXPORT int ncclCommGetAsyncError(struct nccl_comm *comm, int *result);
EXPORT int ncclCommAbort(struct nccl_comm *comm);
EXPORT int ncclCommDestroy(struct nccl_comm *comm);
EXPORT const char *ncclGetErrorString(int result);

/* ---- meeting ------------------------------------------------------------------------------------------ */

int ncclGetUniqueId(struct id *id) {
    snprintf(id->directory, sizeof id->directory, "/tmp/nccl-emulated-XXXXXX");
    return mkdtemp(id->directory) ? SUCCESS : SYSTEM_ERROR;
}

static struct sockaddr_un address_of(const struct nccl_comm *comm, int rank) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "%.80s/%d", comm->directory, rank);
    return a;
}

/* Lower ranks are gone to, higher ones come. */
static bool meet(struct nccl_comm *comm) {
    struct sockaddr_un mine = address_of(comm, comm->rank);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), patience_ms = 20000;
    bool ok = listener >= 0 && bind(listener, (struct sockaddr *)&mine, sizeof mine) == 0 &&
              listen(listener, comm->size) == 0;
    for (int r = 0; ok && r < comm->rank; r++) {
        struct sockaddr_un theirs = address_of(comm, r);
        comm->fd[r] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        while (connect(comm->fd[r], (struct sockaddr *)&theirs, sizeof theirs) != 0 &&
               patience_ms-- > 0)
            usleep(1000);
        ok = patience_ms > 0 && write(comm->fd[r], &comm->rank, sizeof comm->rank) > 0;
    }
    for (int r = comm->rank + 1; ok && r < comm->size; r++) {
        int who = -1, fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        ok = fd >= 0 && read(fd, &who, sizeof who) == sizeof who;
        if (ok) comm->fd[who] = fd;
    }
    if (listener >= 0) close(listener);
    unlink(mine.sun_path);
    rmdir(comm->directory); /* the last one succeeds */
    return ok;
}

int ncclCommInitRankConfig(struct nccl_comm **out, int size, struct id id, int rank,
                           struct config *config) {
    if (config->magic != (unsigned)CONFIG_MAGIC || config->size < sizeof *config || config->blocking)
        return INVALID_ARGUMENT;
    struct nccl_comm *comm = calloc(1, sizeof *comm);
    comm->rank = rank;
    comm->size = size;
    comm->slow = 3;
    comm->fd = malloc((size_t)size * sizeof *comm->fd);
    for (int r = 0; r < size; r++) comm->fd[r] = -1;
    memcpy(comm->directory, id.directory, sizeof comm->directory);
    comm->error = meet(comm) ? SUCCESS : SYSTEM_ERROR;
    *out = comm;
    return IN_PROGRESS;
}

int ncclCommGetAsyncError(struct nccl_comm *comm, int *result) {
    *result = comm->slow > 0 ? IN_PROGRESS : comm->error;
    if (comm->slow > 0) comm->slow--;
    return SUCCESS;
}

int ncclCommDestroy(struct nccl_comm *comm) {
    for (int r = 0; r < comm->size; r++)
        if (comm->fd[r] >= 0) close(comm->fd[r]);
    for (int i = 0; i < comm->n; i++) cudaFreeHost(comm->pieces[i].host);
    free(comm->fd);
    free(comm);
    return SUCCESS;
}
int ncclCommAbort(struct nccl_comm *comm) { return ncclCommDestroy(comm); }

const char *ncclGetErrorString(int result) {
    return result == REMOTE_ERROR ? "remote process exited or there was a network error"
           : result == SYSTEM_ERROR ? "unhandled system error"
                                    : "invalid argument";
}

/* ---- transfers ---------------------------------------------------------------------------------------- */

static struct nccl_comm *grouped; /* of the group that is open */
static int group_depth;

int ncclGroupStart(void) {
    group_depth++;
    return SUCCESS;
}

static int record(struct nccl_comm *comm, struct piece piece, cudaStream_t stream) {
    if (group_depth == 0) emu_report("nccl", "a message outside of a group waits for itself");
    if (comm->queued) /* what the last group left */
        for (int i = 0; i < comm->n; i++) cudaFreeHost(comm->pieces[i].host);
    if (comm->queued) comm->n = 0;
    comm->queued = false;
    if (comm->n == MESSAGES_MAX || piece.peer < 0 || piece.peer >= comm->size ||
        piece.peer == comm->rank || !device_holds(piece.device, piece.bytes))
        return INVALID_ARGUMENT;
    if (cudaMallocHost(&piece.host, piece.bytes) != cudaSuccess) return SYSTEM_ERROR;
    piece.header = piece.bytes;
    comm->pieces[comm->n++] = piece;
    comm->stream = stream;
    grouped = comm;
    return IN_PROGRESS;
}

int ncclSend(const void *data, size_t n, int type, int peer, struct nccl_comm *comm,
             cudaStream_t stream) {
    (void)type; /* bytes */
    struct piece piece = {.peer = peer, .send = true, .device = (void *)(uintptr_t)data, .bytes = n};
    return record(comm, piece, stream);
}
int ncclRecv(void *data, size_t n, int type, int peer, struct nccl_comm *comm, cudaStream_t stream) {
    (void)type;
    return record(comm, (struct piece){.peer = peer, .device = data, .bytes = n}, stream);
}

/* Moves what can be moved at once; false when the peer is lost. */
static bool advance(struct nccl_comm *comm, struct piece *p) {
    while (p->done < sizeof p->header + p->bytes) {
        bool head = p->done < sizeof p->header;
        char *at = head ? (char *)&p->header + p->done : (char *)p->host + p->done - sizeof p->header;
        size_t n = head ? sizeof p->header - p->done : sizeof p->header + p->bytes - p->done;
        ssize_t moved = p->send ? send(comm->fd[p->peer], at, n, MSG_DONTWAIT | MSG_NOSIGNAL)
                                : recv(comm->fd[p->peer], at, n, MSG_DONTWAIT);
        if (moved < 0 && (errno == EAGAIN || errno == EINTR)) return true;
        if (moved <= 0) return false;
        p->done += (size_t)moved;
        if (p->done == sizeof p->header && p->header != p->bytes)
            emu_report("nccl", "rank %d expects %zu bytes, rank %d sends %llu", comm->rank, p->bytes,
                       p->peer, (unsigned long long)p->header);
    }
    return true;
}

/* Work of the stream: the group, all of its messages at once, those of one pair in order. */
static void group_run(void *data) {
    struct nccl_comm *comm = data;
    for (bool left = true; left && comm->error == SUCCESS;) {
        struct pollfd polls[2 * MESSAGES_MAX];
        int n = 0;
        left = false;
        for (int i = 0; i < comm->n; i++) {
            struct piece *p = &comm->pieces[i];
            bool first = true;
            for (int k = 0; k < i; k++)
                first = first && !(comm->pieces[k].peer == p->peer && comm->pieces[k].send == p->send &&
                                   comm->pieces[k].done < sizeof p->header + comm->pieces[k].bytes);
            if (first && !advance(comm, p)) comm->error = REMOTE_ERROR;
            if (p->done == sizeof p->header + p->bytes) continue;
            polls[n++] = (struct pollfd){comm->fd[p->peer], p->send ? POLLOUT : POLLIN, 0};
            left = true;
        }
        if (left && comm->error == SUCCESS) poll(polls, (nfds_t)n, 100);
    }
}

int ncclGroupEnd(void) {
    struct nccl_comm *comm = grouped;
    if (--group_depth > 0 || !comm) return SUCCESS;
    grouped = NULL;
    comm->queued = true;
    comm->slow = 1;
    for (int i = 0; i < comm->n; i++) {
        struct piece *p = &comm->pieces[i];
        if (p->send)
            cudaMemcpyAsync(p->host, p->device, p->bytes, cudaMemcpyDeviceToHost, comm->stream);
    }
    cudaLaunchHostFunc(comm->stream, group_run, comm);
    for (int i = 0; i < comm->n; i++) {
        struct piece *p = &comm->pieces[i];
        if (!p->send)
            cudaMemcpyAsync(p->device, p->host, p->bytes, cudaMemcpyHostToDevice, comm->stream);
    }
    return IN_PROGRESS;
}
