#include "kernels/comm.h"

#include "base/module.h"
#include "kernels/comm_tcp.h"
#include "kernels/cuda_backend.h"
#include "kernels/cuda_nccl.h"
#include "kernels/mpi/comm_mpi.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MEETING_MS = 120000 }; /* for all ranks to have been started */

struct comm {
    struct launch launch;
    int rank, size;
    struct transport *host; /* moves host memory */
    struct transport
        *device; /* moves device memory: `host` where the device is the host; NULL: none */
    struct message *messages; /* [2 * size] room for one transfer */
    int n;                    /* messages so far */
    bool agreed;              /* a failure was brought before all */
    struct nccl_join join;    /* how `device` was joined, if that is NCCL */
};

int comm_rank(const struct comm *c) { return c ? c->rank : 0; }
int comm_size(const struct comm *c) { return c ? c->size : 1; }
int comm_local_size(const struct comm *c) { return c ? c->launch.local_size : 1; }
const char *comm_name(const struct comm *c) {
    return !c ? "" : c->device ? c->device->name : c->host->name;
}

/* ---- joining and leaving ---------------------------------------------------------------------------- */

static status open_mpi(struct comm *c) {
    void *library;
    int rank, size;
    const char *error;
    status failed = module_open(&library, COMM_MPI_LIBRARY);
    if (failed)
        return status_context(failed,
                              "mpirun started %d ranks, but MPI is not there: build where "
                              "mpicc works (Debian: libopenmpi-dev), or set MASTER_ADDR",
                              c->size);
    comm_mpi_opener *open = NULL;
    TRY(module_symbol(library, COMM_MPI_SYMBOL, &open));
    c->host = open(&rank, &size, &error);
    if (!c->host) return fail(EXIT_IO, "cannot start MPI: %s", error);
    if (rank != c->rank || size != c->size)
        return fail(EXIT_BAD_CONFIG,
                    "mpirun calls this rank %d of %d, MPI calls it %d of %d: it was built with "
                    "another MPI than mpirun's",
                    c->rank, c->size, rank, size);
    return NULL;
}

status comm_open(struct comm **out) {
    struct launch launch;
    *out = NULL;
    TRY(launch_read(&launch, getenv));
    if (launch.size == 1) return NULL;
    struct comm *c = memory_new(1, sizeof *c);
    c->launch = launch;
    c->rank = launch.rank;
    c->size = launch.size;
    c->messages = memory_new(2 * (size_t)c->size, sizeof *c->messages);
    /* Who says where rank 0 listens means TCP. */
    bool mpi = strcmp(launch.by, "mpirun") == 0 && !launch.address;
    status failed = mpi ? open_mpi(c) : comm_tcp_open(&c->host, &launch, MEETING_MS);
    if (failed) {
        status_free(comm_close(c, NULL));
        return failed;
    }
    c->device = c->host;
    *out = c;
    return NULL;
}

status comm_close(struct comm *c, status ended) {
    if (!c) return ended;
    bool orderly = !ended || c->agreed, told = ended && orderly && c->rank > 0;
    if (c->device && c->device != c->host) c->device->close(c->device, orderly);
    if (c->host) c->host->close(c->host, orderly);
    free(c->join.functions);
    free(c->messages);
    free(c);
    if (!told) return ended;
    status_free(ended);
    return NULL;
}

/* ---- messages ---------------------------------------------------------------------------------------- */

static void put_message(struct comm *c, int peer, bool send, void *data, size_t bytes) {
    REQUIRE(peer != c->rank && c->n < 2 * c->size);
    if (bytes > 0) c->messages[c->n++] = (struct message){peer, send, data, bytes};
}

static status transfer(struct comm *c, struct transport *t) {
    const char *error = t->transfer(t, c->messages, c->n);
    c->n = 0;
    return error ? fail(EXIT_IO, "rank %d: %s: %s", c->rank, t->name, error) : NULL;
}

/* All ranks' pieces for all. */
static status share(struct comm *c, struct transport *t, char *data, size_t width,
                    const int64_t *cut) {
    char *mine = data + width * (size_t)cut[c->rank];
    size_t bytes = width * (size_t)(cut[c->rank + 1] - cut[c->rank]);
    for (int r = 0; r < c->size; r++) {
        if (r == c->rank) continue;
        put_message(c, r, true, mine, bytes);
        put_message(c, r, false, data + width * (size_t)cut[r],
                    width * (size_t)(cut[r + 1] - cut[r]));
    }
    return transfer(c, t);
}

status comm_share(struct comm *c, void *data, size_t width, const int64_t *cut) {
    return c ? share(c, c->host, data, width, cut) : NULL;
}

status comm_collect(struct comm *c, void *data, size_t width, const int64_t *cut) {
    if (!c) return NULL;
    for (int r = 1; r < c->size; r++) {
        char *piece = (char *)data + width * (size_t)cut[r];
        size_t bytes = width * (size_t)(cut[r + 1] - cut[r]);
        if (c->rank == 0) put_message(c, r, false, piece, bytes);
        else if (r == c->rank) put_message(c, 0, true, piece, bytes);
    }
    return transfer(c, c->host);
}

status comm_broadcast(struct comm *c, void *data, size_t n) {
    if (!c) return NULL;
    for (int r = 1; r < c->size; r++) {
        if (c->rank == 0) put_message(c, r, true, data, n);
        else if (r == c->rank) put_message(c, 0, false, data, n);
    }
    return transfer(c, c->host);
}

status comm_share_each(struct comm *c, void *all, size_t width) {
    if (!c) return NULL;
    int64_t *cut = memory_new((size_t)c->size + 1, sizeof *cut);
    for (int r = 0; r <= c->size; r++) cut[r] = r;
    status lost = comm_share(c, all, width, cut);
    free(cut);
    return lost;
}

status comm_share_texts(struct comm *c, struct span mine, struct arena *arena, struct span *out) {
    out[0] = mine;
    if (!c) return NULL;
    int64_t *length = ARENA_ARRAY(arena, c->size, int64_t);
    int64_t *cut = ARENA_ARRAY(arena, c->size + 1, int64_t);
    length[c->rank] = (int64_t)mine.n;
    TRY(comm_share_each(c, length, sizeof *length));
    for (int r = 0; r < c->size; r++) cut[r + 1] = cut[r] + length[r];
    char *all = arena_alloc(arena, (size_t)cut[c->size]);
    if (mine.n) memcpy(all + cut[c->rank], mine.p, mine.n);
    TRY(comm_share(c, all, 1, cut));
    for (int r = 0; r < c->size; r++) out[r] = (struct span){all + cut[r], (size_t)length[r]};
    return NULL;
}

void comm_cut(const struct comm *c, int64_t n, int64_t *cut) {
    for (int r = 0; r <= comm_size(c); r++) cut[r] = n * r / comm_size(c);
}

/* ---- device memory ------------------------------------------------------------------------------------ */

/* Whether NCCL can be loaded here. */
static bool nccl_find(struct comm *c, const struct cuda_nccl **nccl, const char *device) {
    const char *library = getenv(NCCL_LIBRARY_VARIABLE);
    bool emulated = strcmp(device, "cuda") != 0, named = library && *library;
    cuda_nccl_function *functions;
    if (emulated && !named) return false; /* what the system has is for GPUs */
    status failed = cuda_backend_symbol(device, CUDA_NCCL_SYMBOL, &functions);
    *nccl = failed ? NULL : functions();
    status_free(failed);
    return *nccl && (*nccl)->load(&c->join, named ? library : "libnccl.so.2");
}

/* Joins over NCCL: rank 0 makes the id, the hosts pass it on. */
static status nccl_join(struct comm *c, const struct cuda_nccl *nccl, struct stream *s) {
    struct nccl_join *j = &c->join;
    j->stream = s;
    j->rank = c->rank;
    j->size = c->size;
    j->host = c->host;
    bool named = c->rank > 0 || nccl->name(j);
    TRY(comm_agree(c, named ? NULL : fail(EXIT_IO, "NCCL: %s", j->error), NULL));
    TRY(comm_broadcast(c, j->id, sizeof j->id));
    c->device = nccl->open(j);
    return c->device ? NULL : fail(EXIT_IO, "rank %d: NCCL: %s", c->rank, j->error);
}

status comm_use_device(struct comm *c, struct stream *s, const char *device) {
    if (!c || strcmp(device, "cpu") == 0 || strcmp(device, "ref") == 0) return NULL;
    const struct cuda_nccl *nccl = NULL;
    bool missing = !nccl_find(c, &nccl, device);
    c->device = NULL;
    TRY(comm_agree(c, NULL, &missing));
    return missing ? NULL : nccl_join(c, nccl, s);
}

/* By way of the host's memory. */
static status share_staged(struct comm *c, struct stream *s, buf data, const int64_t *cut) {
    int64_t n = cut[c->rank + 1] - cut[c->rank], all = cut[c->size];
    float *host = memory_new((size_t)all, sizeof *host);
    if (n) op_read(s, host + cut[c->rank], buf_f32(data, cut[c->rank]), (size_t)n * sizeof *host);
    status lost = share(c, c->host, (char *)host, sizeof *host, cut);
    if (!lost && all) op_write(s, data, host, (size_t)all * sizeof *host);
    free(host);
    return lost;
}

status comm_share_floats(struct comm *c, struct stream *s, buf data, const int64_t *cut) {
    if (!c) return NULL;
    return c->device ? share(c, c->device, data.addr, sizeof(float), cut)
                     : share_staged(c, s, data, cut);
}

/* from and to are addresses that the transport knows. */
static status exchange(struct comm *c, struct transport *t, float *from, const int64_t *cut,
                       float *to) {
    int64_t n = cut[c->rank + 1] - cut[c->rank];
    for (int r = 0; r < c->size; r++) {
        if (r == c->rank) continue;
        put_message(c, r, true, from + cut[r], (size_t)(cut[r + 1] - cut[r]) * sizeof *from);
        put_message(c, r, false, to + r * n, (size_t)n * sizeof *to);
    }
    return transfer(c, t);
}

static status exchange_staged(struct comm *c, struct stream *s, buf from, const int64_t *cut,
                              buf to) {
    int64_t n = cut[c->rank + 1] - cut[c->rank], all = cut[c->size];
    float *host = memory_new((size_t)(all + c->size * n), sizeof *host), *got = host + all;
    if (all) op_read(s, host, from, (size_t)all * sizeof *host);
    status lost = exchange(c, c->host, host, cut, got);
    if (!lost && n) op_write(s, to, got, (size_t)(c->size * n) * sizeof *got);
    free(host);
    return lost;
}

status comm_exchange_floats(struct comm *c, struct stream *s, buf from, const int64_t *cut,
                            buf to) {
    int rank = comm_rank(c);
    int64_t n = cut[rank + 1] - cut[rank];
    if (c && c->device)
        TRY(exchange(c, c->device, (float *)(void *)from.addr, cut, (float *)(void *)to.addr));
    else if (c) TRY(exchange_staged(c, s, from, cut, to));
    if (n) op_copy(s, buf_f32(to, rank * n), buf_f32(from, cut[rank]), (size_t)n * sizeof(float));
    return NULL;
}

/* ---- agreement --------------------------------------------------------------------------------------- */

enum { SENTENCE_MAX = 1024 };

/* What a rank brings before the others. */
struct vote {
    int32_t code, wish;
    char sentence[SENTENCE_MAX];
};

/* The failure of the lowest rank that has one. */
static status votes_failure(const struct comm *c, const struct vote *votes) {
    for (int r = 0; r < c->size; r++) {
        if (votes[r].code == EXIT_OK) continue;
        status s = fail((enum exit_code)votes[r].code, "%s", votes[r].sentence);
        return r == 0 ? s : status_context(s, "rank %d", r);
    }
    return NULL;
}

status comm_agree(struct comm *c, status failed, bool *any) {
    if (!c) return failed;
    struct vote *votes = memory_new((size_t)c->size, sizeof *votes), *mine = &votes[c->rank];
    mine->code = (int32_t)status_code(failed);
    mine->wish = any && *any;
    snprintf(mine->sentence, sizeof mine->sentence, "%s", status_text(failed));
    status lost = comm_share_each(c, votes, sizeof *votes);
    for (int r = 0; !lost && any && r < c->size; r++) *any = *any || votes[r].wish;
    status all = lost ? NULL : votes_failure(c, votes);
    free(votes);
    c->agreed = all != NULL;
    if (lost && failed) { /* what a rank met itself says more than that nobody listened */
        status_free(lost);
        return failed;
    }
    status_free(failed);
    return lost ? lost : all;
}
