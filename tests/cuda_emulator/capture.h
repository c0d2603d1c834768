/* Graphs, and streams that are captured into one. A capture is the graph it makes; a point in it is what
 * the next work of a stream would depend on. */
#pragma once

#include "tests/cuda_emulator/internals.h"

struct capture;

struct capture_point {
    struct capture *capture; /* NULL: none */
    int *after;              /* nodes that the next one depends on */
    int n;
};

bool capture_active(const struct capture_point *point); /* of a capture that has not ended */
void capture_point_copy(struct capture_point *to, const struct capture_point *from);
void capture_point_clear(struct capture_point *point);

/* Adds a node and moves the point to it; owns the work. */
cudaError_t capture_add(struct capture_point *point, struct work *work);
/* What comes next depends on `other` too; a stream that was not capturing does from now on. */
cudaError_t capture_join(struct capture_point *point, const struct capture_point *other);
void capture_invalidate(struct capture_point *point);

/* ---- what queue.c tells about its streams ---- */

struct capture_point *queue_capture_of(cudaStream_t stream);
/* Some stream's works would not be waited for by those who wait for `end`. */
bool queue_capture_left(const struct capture_point *end);
/* No stream captures into this any more. */
void queue_capture_end(const struct capture *capture);
bool capture_reaches(const struct capture_point *end, const struct capture_point *point);
