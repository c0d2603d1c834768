/* Streams and events. Work waits in its stream until somebody synchronises; then heads of streams are
 * taken at random, as far as events allow. So what is ordered by luck on a device is not ordered here. */
#include "tests/cuda_emulator/capture.h"
#include "tests/cuda_emulator/internals.h"

#include <stdlib.h>

enum { QUEUE_LONGEST = 1024 }; /* a device makes the host wait, too, when it is far behind */

/* One recording of an event: what a waiting stream waits for, even if the event is recorded again. */
struct ticket {
    int refs;
    bool done;
};

struct CUevent_st {
    struct ticket *ticket; /* of the last recording; NULL before the first */
    struct capture_point captured;
};

struct CUstream_st {
    struct work *head, **tail;
    int length;
    struct capture_point capture;
    struct CUstream_st *next;
};

static struct CUstream_st *streams;

/* ---- works ---- */

void *work_new(size_t bytes, work_run *run, void (*drop)(struct work *)) {
    struct work *work = calloc(1, bytes);
    if (!work) abort();
    work->run = run;
    work->drop = drop;
    return work;
}

void work_delete(struct work *work) {
    if (work->drop) work->drop(work);
    free(work);
}

bool queue_is_stream(cudaStream_t stream) {
    for (struct CUstream_st *s = streams; s; s = s->next)
        if (s == stream) return true;
    return false;
}

static struct work *take(struct CUstream_st *s) {
    struct work *work = s->head;
    s->head = work->next;
    if (!s->head) s->tail = &s->head;
    s->length--;
    return work;
}

static bool head_ready(const struct CUstream_st *s) {
    return s->head && (!s->head->ready || s->head->ready(s->head));
}

/* Runs the head of a stream that is picked at random; false when no stream has one that may run. */
static bool step(void) {
    struct CUstream_st *chosen = NULL;
    uint32_t seen = 0;
    for (struct CUstream_st *s = streams; s; s = s->next)
        if (head_ready(s) && emu_random(++seen) == 0) chosen = s;
    if (!chosen) return false;
    struct work *work = take(chosen);
    if (runtime_lost() == cudaSuccess) {
        cudaError_t error = work->run(work);
        if (error != cudaSuccess) runtime_lose(error);
    }
    work_delete(work);
    return true;
}

_Noreturn static void report_waiting_forever(void) {
    emu_report("deadlock",
               "a stream waits for an event that is recorded in work which waits itself");
}

cudaError_t queue_drain(cudaStream_t stream) {
    device_open();
    while (stream->head)
        if (!step()) report_waiting_forever();
    device_close();
    return runtime_lost();
}

static bool anything_queued(void) {
    for (struct CUstream_st *s = streams; s; s = s->next)
        if (s->head) return true;
    return false;
}

cudaError_t queue_drain_all(void) {
    device_open();
    while (anything_queued())
        if (!step()) report_waiting_forever();
    device_close();
    return runtime_lost();
}

cudaError_t work_submit(cudaStream_t stream, struct work *work) {
    cudaError_t error = runtime_lost();
    if (error == cudaSuccess && !queue_is_stream(stream)) error = cudaErrorInvalidResourceHandle;
    if (error == cudaSuccess && capture_active(&stream->capture))
        return capture_add(&stream->capture, work);
    if (error != cudaSuccess) {
        work_delete(work);
        return error;
    }
    *stream->tail = work;
    stream->tail = &work->next;
    if (++stream->length > QUEUE_LONGEST || emu_settings()->eager) return queue_drain(stream);
    return cudaSuccess;
}

/* ---- streams ---- */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags) {
    if (flags != cudaStreamNonBlocking) return runtime_return(cudaErrorNotSupported);
    if (runtime_lost() != cudaSuccess) return runtime_return(runtime_lost());
    struct CUstream_st *made = calloc(1, sizeof *made);
    if (!made) abort();
    made->tail = &made->head;
    made->next = streams;
    streams = made;
    *out = made;
    return runtime_return(cudaSuccess);
}

/* A device would finish the stream's work some time later; here it is done now. */
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    if (!queue_is_stream(stream)) return runtime_return(cudaErrorInvalidResourceHandle);
    if (capture_active(&stream->capture)) return runtime_return(queue_refuse_capture());
    cudaError_t error = queue_drain(stream);
    struct CUstream_st **at = &streams;
    while (*at != stream) at = &(*at)->next;
    *at = stream->next;
    capture_point_clear(&stream->capture);
    free(stream);
    return runtime_return(error);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    if (!queue_is_stream(stream)) return runtime_return(cudaErrorInvalidResourceHandle);
    if (capture_active(&stream->capture)) return runtime_return(queue_refuse_capture());
    return runtime_return(queue_drain(stream));
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
    if (!queue_is_stream(stream)) return runtime_return(cudaErrorInvalidResourceHandle);
    if (capture_active(&stream->capture)) return runtime_return(queue_refuse_capture());
    if (runtime_lost() != cudaSuccess) return runtime_return(runtime_lost());
    device_open();
    if (emu_random(2)) step(); /* time passes */
    device_close();
    return stream->head ? cudaErrorNotReady : runtime_return(cudaSuccess);
}

/* ---- what a stream does for an event ---- */

struct ticket_work {
    struct work work;
    struct ticket *ticket;
};

static void ticket_release(struct ticket *ticket) {
    if (ticket && --ticket->refs == 0) free(ticket);
}
static void ticket_drop(struct work *work) { ticket_release(((struct ticket_work *)work)->ticket); }

static cudaError_t ticket_signal(struct work *work) {
    ((struct ticket_work *)work)->ticket->done = true;
    return cudaSuccess;
}
static cudaError_t ticket_pass(struct work *work) {
    (void)work;
    return cudaSuccess;
}
static bool ticket_done(const struct work *work) {
    return ((const struct ticket_work *)work)->ticket->done || runtime_lost() != cudaSuccess;
}

static struct work *ticket_work(struct ticket *ticket, work_run *run) {
    struct ticket_work *made = work_new(sizeof *made, run, ticket_drop);
    made->ticket = ticket;
    ticket->refs++;
    return &made->work;
}

/* ---- events ---- */

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags) {
    (void)flags;
    if (runtime_lost() != cudaSuccess) return runtime_return(runtime_lost());
    *out = calloc(1, sizeof **out);
    if (!*out) abort();
    return runtime_return(cudaSuccess);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    if (!event || !queue_is_stream(stream)) return runtime_return(cudaErrorInvalidResourceHandle);
    if (capture_active(&stream->capture)) {
        capture_point_copy(&event->captured, &stream->capture);
        return runtime_return(cudaSuccess);
    }
    capture_point_clear(&event->captured);
    ticket_release(event->ticket);
    event->ticket = calloc(1, sizeof *event->ticket);
    if (!event->ticket) abort();
    event->ticket->refs = 1;
    return runtime_return(work_submit(stream, ticket_work(event->ticket, ticket_signal)));
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) {
    (void)flags;
    if (!event || !queue_is_stream(stream)) return runtime_return(cudaErrorInvalidResourceHandle);
    if (capture_active(&event->captured))
        return runtime_return(capture_join(&stream->capture, &event->captured));
    if (capture_active(&stream->capture)) {
        queue_refuse_capture();
        return runtime_return(cudaErrorStreamCaptureIsolation);
    }
    if (!event->ticket)
        return runtime_return(cudaSuccess); /* never recorded: nothing to wait for */
    struct work *work = ticket_work(event->ticket, ticket_pass);
    work->ready = ticket_done;
    return runtime_return(work_submit(stream, work));
}

/* ---- captures, as far as streams know them ---- */

struct capture_point *queue_capture_of(cudaStream_t stream) {
    return &stream->capture;
}

bool queue_capturing(void) {
    for (struct CUstream_st *s = streams; s; s = s->next)
        if (capture_active(&s->capture)) return true;
    return false;
}

cudaError_t queue_refuse_capture(void) {
    for (struct CUstream_st *s = streams; s; s = s->next)
        if (capture_active(&s->capture)) capture_invalidate(&s->capture);
    return cudaErrorStreamCaptureUnsupported;
}

bool queue_capture_left(const struct capture_point *end) {
    for (struct CUstream_st *s = streams; s; s = s->next)
        if (s->capture.capture == end->capture && !capture_reaches(end, &s->capture)) return true;
    return false;
}

void queue_capture_end(const struct capture *capture) {
    for (struct CUstream_st *s = streams; s; s = s->next)
        if (s->capture.capture == capture) capture_point_clear(&s->capture);
}
