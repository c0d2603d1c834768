/* Work that comes again, kept as CUDA graphs: one call starts what hundreds did.
 *
 * The first time under a key everything runs as without graphs: kernels are loaded, and scratch memory grows
 * to what is needed, neither of which may happen in a capture. The second time the calls are captured, and
 * what they make is kept. A graph holds grids, numbers and addresses as they were, so all are dropped before
 * memory is freed. Where a capture fails, everything goes on as without graphs. */
#include "kernels/cuda/device_stream.cuh"

#include <stdlib.h>
#include <string.h>

enum { GRAPHS_MAX = 64 };

/* Work that was seen under a key. */
struct kept {
    const void *owner;
    int shape;
    uint64_t used;         /* when it was needed last; 0: an empty place */
    cudaGraphExec_t graph; /* NULL: it was seen once */
};

struct graphs {
    struct kept kept[GRAPHS_MAX];
    uint64_t clock; /* counts calls */
    bool capturing, refused;
};

status graphs_open(struct device_stream *d) {
    d->graphs = static_cast<struct graphs *>(calloc(1, sizeof *d->graphs));
    return d->graphs ? NULL : fail(EXIT_OUR_BUG, "out of memory");
}

void graphs_close(struct device_stream *d) {
    graphs_forget(d);
    free(d->graphs);
    d->graphs = NULL;
}

/* A graph may still be running. */
static void drop(struct device_stream *d, struct kept *k) {
    if (k->graph) {
        cudaStreamSynchronize(d->queue); /* errors are sync's to report */
        cudaGraphExecDestroy(k->graph);
    }
    memset(k, 0, sizeof *k);
}

void graphs_forget(struct device_stream *d) {
    for (int i = 0; d->graphs && i < GRAPHS_MAX; i++) drop(d, &d->graphs->kept[i]);
}

bool graphs_capturing(const struct device_stream *d) { return d->graphs && d->graphs->capturing; }

static struct kept *find(struct graphs *g, const void *owner, int shape) {
    for (int i = 0; i < GRAPHS_MAX; i++) {
        struct kept *k = &g->kept[i];
        if (k->used && k->owner == owner && k->shape == shape) return k;
    }
    return NULL;
}

/* Notes that there is work under a key, in place of what was not needed for longest. */
static void note(struct device_stream *d, const void *owner, int shape) {
    struct kept *oldest = d->graphs->kept;
    for (int i = 1; i < GRAPHS_MAX; i++)
        if (d->graphs->kept[i].used < oldest->used) oldest = &d->graphs->kept[i];
    drop(d, oldest);
    *oldest = {owner, shape, ++d->graphs->clock, NULL};
}

/* NULL where that fails; the stream is as it was. */
static cudaGraphExec_t capture(struct device_stream *d, void (*make)(void *), void *context) {
    cudaGraph_t graph = NULL;
    cudaGraphExec_t made = NULL;
    cudaError_t error = cudaStreamBeginCapture(d->queue, cudaStreamCaptureModeThreadLocal);
    if (error == cudaSuccess) {
        d->graphs->capturing = true;
        make(context);
        d->graphs->capturing = false;
        error = cudaStreamEndCapture(d->queue, &graph);
    }
    if (error == cudaSuccess) error = d->error;
    if (error == cudaSuccess) error = cudaGraphInstantiate(&made, graph, 0);
    if (graph) cudaGraphDestroy(graph);
    if (error == cudaSuccess) return made;
    cudaGetLastError();
    d->error = cudaSuccess; /* nothing has run */
    return NULL;
}

static void graphs_repeat(struct stream *s, const void *owner, int shape, void (*make)(void *),
                          void *context) {
    struct device_stream *d = device_of(s);
    struct graphs *g = d->graphs;
    if (!g || g->refused || d->error != cudaSuccess) {
        make(context);
        return;
    }
    struct kept *k = find(g, owner, shape);
    if (k && !k->graph) {
        k->graph = capture(d, make, context);
        g->refused = !k->graph;
    }
    if (k && k->graph) {
        k->used = ++g->clock;
        device_ok(d, cudaGraphLaunch(k->graph, d->queue), "repeat");
        return;
    }
    make(context);
    if (!k) note(d, owner, shape); /* afterwards: memory that it freed has made all be forgotten */
}

void cuda_graphs(struct ops *table) { table->repeat = graphs_repeat; }
