/* NCCL as a transport. Point to point only: what is added is added by operations (law 4).
 *
 * What is needed of NCCL is declared here, so that neither its header nor its library need be there. The
 * communicator does not block: every call comes back, and whoever waits looks meanwhile whether a rank was
 * lost, which NCCL by itself may take for one that is slow. */
#include "kernels/cuda/device_stream.cuh"
#include "kernels/cuda/library.cuh"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

extern "C" {
#include "kernels/cuda_nccl.h"
}

/* ---- NCCL's interface, as of 2.14 --------------------------------------------------------------------- */

enum nccl_result { NCCL_SUCCESS = 0, NCCL_IN_PROGRESS = 7 };
enum { NCCL_CHAR = 0 };

struct nccl_id {
    char bytes[NCCL_ID_BYTES];
};

/* The first version of a structure that NCCL tells apart by size and version. */
struct nccl_config {
    size_t size;
    unsigned magic, version;
    int blocking;
};
static const unsigned CONFIG_MAGIC = 0xcafebeef, CONFIG_VERSION = 21400;

struct nccl {
    int (*get_id)(struct nccl_id *id);
    int (*init)(void **comm, int size, struct nccl_id id, int rank, struct nccl_config *config);
    int (*send)(const void *data, size_t n, int type, int peer, void *comm, cudaStream_t queue);
    int (*receive)(void *data, size_t n, int type, int peer, void *comm, cudaStream_t queue);
    int (*group_start)(void);
    int (*group_end)(void);
    int (*async_error)(void *comm, int *result);
    int (*abandon)(void *comm);
    int (*destroy)(void *comm);
    const char *(*error_string)(int result);
};

static const struct nccl *functions_of(const struct nccl_join *j) {
    return static_cast<const struct nccl *>(j->functions);
}

static const struct library_function FUNCTIONS[] = {
    {"ncclGetUniqueId", offsetof(struct nccl, get_id)},
    {"ncclCommInitRankConfig", offsetof(struct nccl, init)},
    {"ncclSend", offsetof(struct nccl, send)},
    {"ncclRecv", offsetof(struct nccl, receive)},
    {"ncclGroupStart", offsetof(struct nccl, group_start)},
    {"ncclGroupEnd", offsetof(struct nccl, group_end)},
    {"ncclCommGetAsyncError", offsetof(struct nccl, async_error)},
    {"ncclCommAbort", offsetof(struct nccl, abandon)},
    {"ncclCommDestroy", offsetof(struct nccl, destroy)},
    {"ncclGetErrorString", offsetof(struct nccl, error_string)}};

static bool nccl_load(struct nccl_join *j, const char *library) {
    j->functions = calloc(1, sizeof(struct nccl));
    return j->functions && library_load(j->functions, library, FUNCTIONS);
}

/* ---- waiting ------------------------------------------------------------------------------------------ */

struct nccl_transport {
    struct transport transport; /* first */
    struct nccl_join *join;
    void *comm;
};

enum { PATIENCE_MS = 3000 }; /* for the hosts to say which rank is lost, once NCCL has failed */

static void nap(void) {
    struct timespec t = {0, 20000};
    nanosleep(&t, NULL);
}

static const char *watch_hosts(struct nccl_join *j) {
    return j->host->watch ? j->host->watch(j->host) : NULL;
}

/* What went wrong: a lost rank by its number if the hosts know it, otherwise as NCCL has it. */
static const char *describe(struct nccl_join *j, int result) {
    const char *lost = watch_hosts(j);
    for (int ms = 0; !lost && j->host->watch && ms < PATIENCE_MS; ms++) {
        struct timespec t = {0, 1000000};
        nanosleep(&t, NULL);
        lost = watch_hosts(j);
    }
    snprintf(j->error, sizeof j->error, "%s", lost ? lost : functions_of(j)->error_string(result));
    return j->error;
}

/* Until the communicator has done what it was asked for. */
static const char *settle(struct nccl_transport *t, int result) {
    while (result == NCCL_IN_PROGRESS) {
        const char *lost = watch_hosts(t->join);
        if (lost) return lost;
        nap();
        int asked = functions_of(t->join)->async_error(t->comm, &result);
        if (asked != NCCL_SUCCESS) result = asked;
    }
    return result == NCCL_SUCCESS ? NULL : describe(t->join, result);
}

/* Until the stream has. */
static const char *drain(struct nccl_transport *t) {
    struct device_stream *d = device_of(t->join->stream);
    cudaError_t error;
    while ((error = cudaStreamQuery(d->queue)) == cudaErrorNotReady) {
        int result = NCCL_SUCCESS, asked = functions_of(t->join)->async_error(t->comm, &result);
        if (asked != NCCL_SUCCESS) result = asked;
        if (result != NCCL_SUCCESS && result != NCCL_IN_PROGRESS) return describe(t->join, result);
        const char *lost = watch_hosts(t->join);
        if (lost) return lost;
        nap();
    }
    return device_ok(d, error, "nccl") ? NULL : cudaGetErrorString(d->error);
}

/* ---- the transport ------------------------------------------------------------------------------------ */

/* What waits for a rank that is lost waits for ever: it has to be off the stream before anybody synchronises
 * with that, if only to close it. */
static const char *give_up(struct nccl_transport *t, const char *failed) {
    if (failed && t->comm) functions_of(t->join)->abandon(t->comm);
    if (failed) t->comm = NULL;
    return failed;
}

static const char *nccl_transfer(struct transport *transport, const struct message *messages,
                                 int n) {
    struct nccl_transport *t = reinterpret_cast<struct nccl_transport *>(transport);
    const struct nccl *f = functions_of(t->join);
    cudaStream_t queue = device_of(t->join->stream)->queue;
    int result = f->group_start();
    for (int i = 0; i < n && result == NCCL_SUCCESS; i++) {
        const struct message *m = &messages[i];
        result = m->send ? f->send(m->data, m->bytes, NCCL_CHAR, m->peer, t->comm, queue)
                         : f->receive(m->data, m->bytes, NCCL_CHAR, m->peer, t->comm, queue);
        if (result == NCCL_IN_PROGRESS) result = NCCL_SUCCESS; /* group_end tells */
    }
    int ended = f->group_end();
    const char *failed = settle(t, result == NCCL_SUCCESS ? ended : result);
    return give_up(t, failed ? failed : drain(t));
}

static void nccl_close(struct transport *transport, bool orderly) {
    struct nccl_transport *t = reinterpret_cast<struct nccl_transport *>(transport);
    if (t->comm && orderly) functions_of(t->join)->destroy(t->comm);
    else if (t->comm) functions_of(t->join)->abandon(t->comm);
    free(t);
}

static bool nccl_name(struct nccl_join *j) {
    struct nccl_id id = {};
    int result = functions_of(j)->get_id(&id);
    memcpy(j->id, id.bytes, sizeof j->id);
    if (result != NCCL_SUCCESS)
        snprintf(j->error, sizeof j->error, "%s", functions_of(j)->error_string(result));
    return result == NCCL_SUCCESS;
}

static struct transport *nccl_open(struct nccl_join *j) {
    struct nccl_transport *t = static_cast<struct nccl_transport *>(calloc(1, sizeof *t));
    snprintf(j->error, sizeof j->error, "out of memory");
    if (!t) return NULL;
    t->transport.name = "NCCL";
    t->transport.transfer = nccl_transfer;
    t->transport.close = nccl_close;
    t->join = j;
    struct nccl_id id = {};
    memcpy(id.bytes, j->id, sizeof id.bytes);
    struct nccl_config config = {sizeof config, CONFIG_MAGIC, CONFIG_VERSION, 0};
    const char *failed = settle(t, functions_of(j)->init(&t->comm, j->size, id, j->rank, &config));
    if (!failed) return &t->transport;
    if (failed != j->error) snprintf(j->error, sizeof j->error, "%s", failed);
    nccl_close(&t->transport, false);
    return NULL;
}

extern "C" __attribute__((visibility("default"))) const struct cuda_nccl *grpo_cuda_nccl(void);
extern "C" const struct cuda_nccl *grpo_cuda_nccl(void) {
    static const struct cuda_nccl functions = {nccl_load, nccl_name, nccl_open};
    return &functions;
}
