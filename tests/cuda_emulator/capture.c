#include "tests/cuda_emulator/capture.h"

#include <stdlib.h>
#include <string.h>

struct node {
    struct work *work;
    int *after;
    int n_after;
};

struct capture {
    int refs;
    bool ended, invalid;
    cudaStream_t origin;
    struct node *nodes; /* a node depends on earlier ones only */
    int n, capacity;
};

struct CUgraph_st {
    struct capture *capture;
};
struct CUgraphExec_st {
    struct capture *capture;
};

/* ---- captures and points ---- */

static void capture_release(struct capture *c) {
    if (!c || --c->refs > 0) return;
    for (int i = 0; i < c->n; i++) {
        work_delete(c->nodes[i].work);
        free(c->nodes[i].after);
    }
    free(c->nodes);
    free(c);
}

static int *copied(const int *list, int n) {
    int *copy = malloc((size_t)(n + 1) * sizeof *copy);
    if (!copy) abort();
    if (n) memcpy(copy, list, (size_t)n * sizeof *copy);
    return copy;
}

bool capture_active(const struct capture_point *point) {
    return point->capture && !point->capture->ended;
}

void capture_point_clear(struct capture_point *point) {
    capture_release(point->capture);
    free(point->after);
    *point = (struct capture_point){0};
}

void capture_point_copy(struct capture_point *to, const struct capture_point *from) {
    capture_point_clear(to);
    *to = (struct capture_point){from->capture, copied(from->after, from->n), from->n};
    to->capture->refs++;
}

cudaError_t capture_add(struct capture_point *point, struct work *work) {
    struct capture *c = point->capture;
    if (c->invalid) {
        work_delete(work);
        return cudaErrorStreamCaptureInvalidated;
    }
    if (c->n == c->capacity) {
        c->capacity = c->capacity ? 2 * c->capacity : 64;
        c->nodes = realloc(c->nodes, (size_t)c->capacity * sizeof *c->nodes);
        if (!c->nodes) abort();
    }
    c->nodes[c->n] = (struct node){work, point->after, point->n};
    point->after = copied(&c->n, 1);
    point->n = 1;
    c->n++;
    return cudaSuccess;
}

cudaError_t capture_join(struct capture_point *point, const struct capture_point *other) {
    if (!capture_active(point)) {
        capture_point_copy(point, other);
        return cudaSuccess;
    }
    if (point->capture != other->capture) return cudaErrorStreamCaptureIsolation;
    int *both = copied(point->after, point->n + other->n);
    for (int i = 0; i < other->n; i++) both[point->n + i] = other->after[i];
    free(point->after);
    point->after = both;
    point->n += other->n;
    return cudaSuccess;
}

void capture_invalidate(struct capture_point *point) { point->capture->invalid = true; }

bool capture_reaches(const struct capture_point *end, const struct capture_point *point) {
    const struct capture *c = end->capture;
    bool *before = calloc((size_t)c->n + 1, sizeof *before);
    if (!before) abort();
    for (int i = 0; i < end->n; i++) before[end->after[i]] = true;
    for (int i = c->n - 1; i >= 0; i--)
        for (int j = 0; before[i] && j < c->nodes[i].n_after; j++)
            before[c->nodes[i].after[j]] = true;
    bool all = true;
    for (int i = 0; i < point->n; i++) all &= before[point->after[i]];
    free(before);
    return all;
}

/* ---- the runtime's calls ---- */

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode) {
    static uint64_t captures;
    uint64_t failing = emu_settings()->failing_capture;
    (void)mode;
    if (!queue_is_stream(stream)) return runtime_return(cudaErrorStreamCaptureUnsupported);
    struct capture_point *point = queue_capture_of(stream);
    if (capture_active(point)) return runtime_return(queue_refuse_capture());
    capture_point_clear(point);
    point->capture = calloc(1, sizeof *point->capture);
    if (!point->capture) abort();
    point->capture->refs = 1;
    point->capture->origin = stream;
    point->capture->invalid = ++captures >= failing && failing;
    return runtime_return(cudaSuccess);
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out) {
    *out = NULL;
    if (!queue_is_stream(stream)) return runtime_return(cudaErrorInvalidResourceHandle);
    struct capture_point *point = queue_capture_of(stream);
    struct capture *c = point->capture;
    if (!capture_active(point) || c->origin != stream)
        return runtime_return(cudaErrorStreamCaptureUnmatched);
    cudaError_t error = c->invalid                  ? cudaErrorStreamCaptureInvalidated
                        : queue_capture_left(point) ? cudaErrorStreamCaptureUnjoined
                                                    : cudaSuccess;
    c->refs++;
    c->ended = true;
    queue_capture_end(c);
    if (error != cudaSuccess) {
        capture_release(c);
        return runtime_return(error);
    }
    *out = calloc(1, sizeof **out);
    if (!*out) abort();
    (*out)->capture = c;
    return runtime_return(cudaSuccess);
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph,
                                 unsigned long long flags) {
    (void)flags;
    if (!graph) return runtime_return(cudaErrorInvalidValue);
    *out = calloc(1, sizeof **out);
    if (!*out) abort();
    (*out)->capture = graph->capture;
    graph->capture->refs++;
    return runtime_return(cudaSuccess);
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    if (!graph) return runtime_return(cudaErrorInvalidValue);
    capture_release(graph->capture);
    free(graph);
    return runtime_return(cudaSuccess);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
    if (!graph) return runtime_return(cudaErrorInvalidValue);
    capture_release(graph->capture);
    free(graph);
    return runtime_return(cudaSuccess);
}

struct graph_work {
    struct work work;
    struct capture *capture;
};

static void graph_drop(struct work *work) { capture_release(((struct graph_work *)work)->capture); }

static bool node_ready(const struct node *node, const bool *done) {
    for (int i = 0; i < node->n_after; i++)
        if (!done[node->after[i]]) return false;
    return true;
}

/* Runs the nodes in a random order that their dependencies allow. */
static cudaError_t graph_run(struct work *work) {
    static uint64_t graphs;
    const struct capture *c = ((struct graph_work *)work)->capture;
    if (++graphs == emu_settings()->failing_graph) return cudaErrorIllegalAddress;
    bool *done = calloc((size_t)c->n + 1, sizeof *done);
    if (!done) abort();
    cudaError_t error = cudaSuccess;
    int first = 0; /* all before are done */
    for (int left = c->n; left > 0 && error == cudaSuccess; left--) {
        while (done[first]) first++;
        int chosen = first;
        uint32_t seen = 0;
        /* Branches are short: looking a little ahead finds them all. */
        for (int i = first; i < c->n && i < first + 64; i++)
            if (!done[i] && node_ready(&c->nodes[i], done) && emu_random(++seen) == 0) chosen = i;
        done[chosen] = true;
        error = c->nodes[chosen].work->run(c->nodes[chosen].work);
    }
    free(done);
    return error;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
    if (!graph) return runtime_return(cudaErrorInvalidValue);
    struct graph_work *made = work_new(sizeof *made, graph_run, graph_drop);
    made->capture = graph->capture;
    made->capture->refs++;
    return runtime_return(work_submit(stream, &made->work));
}
