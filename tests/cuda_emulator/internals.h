/* The emulator's inside: what its .c files share. Code in .cu files sees emulator.h only. */
#pragma once

#include "tests/cuda_emulator/emulator.h"

/* ---- settings.c: the environment, and chance ---- */

enum emu_order { ORDER_RANDOM, ORDER_FORWARD, ORDER_BACKWARD };

struct emu_settings {
    uint64_t seed;        /* CUDA_EMULATOR_SEED */
    enum emu_order order; /* CUDA_EMULATOR_ORDER: of threads and blocks */
    bool eager;           /* CUDA_EMULATOR_EAGER: work runs when it is queued */
    size_t memory_bytes;  /* CUDA_EMULATOR_MEMORY */
    size_t shared_optin;  /* CUDA_EMULATOR_SHARED: most shared memory of a block, opted in */
    int devices;          /* CUDA_EMULATOR_DEVICES */
    int capability;       /* CUDA_EMULATOR_CAPABILITY, 80 for 8.0 */
    int driver;           /* CUDA_EMULATOR_DRIVER, 13000 for 13.0; 0: there is none */
    /* The first of these (1, 2, ...) to fail: CUDA_EMULATOR_FAIL_ALLOC finds no memory, FAIL_KERNEL and
     * FAIL_GRAPH (its launch) lose the device, FAIL_CAPTURE is refused, as are all that follow. */
    uint64_t failing_alloc, failing_kernel, failing_graph, failing_capture;
};
const struct emu_settings *emu_settings(void); /* read at the first call */

uint32_t emu_random(uint32_t below);

/* ---- bug_report.c ---- */

/* Prints "cuda-emulator: KIND: sentence" and where the device is, and ends the process with exit code
 * 70. For what can only be a bug of the code under test. */
_Noreturn void emu_report(const char *kind, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Writes the function and line that a code address lies in, as far as addr2line knows them. */
void emu_describe_code(const void *address, char *out, size_t bytes);

/* ---- block.c: runs kernels ---- */

/* Runs a whole grid; the error that loses the device, or cudaSuccess. Device memory is open. */
cudaError_t emu_run_grid(const struct emu_call *call, dim3 grid, dim3 block, size_t shared_bytes);

/* Writes what runs now ("kernel k launched at f.cu:3, block (0,0,0), thread (1,0,0)"); false when
 * nothing does. */
bool emu_describe_position(char *out, size_t bytes);

/* Memory that is a running thread's own, or constant: its stack, its parameters, the library's data. */
bool emu_private_memory(const void *address);

/* ---- device_memory.c ---- */

/* NULL when the device is full. Filled with 0xff, ends close to an inaccessible page, at an address that
 * no allocation had before. */
void *device_alloc(size_t bytes);
bool device_free(void *address); /* false: not the start of a live allocation */
/* True for [address, address + bytes) within one live allocation. */
bool device_holds(const void *address, size_t bytes);
bool device_owns(const void *address); /* anywhere in the device's address range */
size_t device_bytes_free(void);
/* Device memory can be touched only between these two, which nest. */
void device_open(void);
void device_close(void);

/* Page-locked host memory. */
void *pinned_alloc(size_t bytes);
bool pinned_free(void *address);
bool pinned_holds(const void *address, size_t bytes);

/* ---- queue.c: streams, events, and the works that wait in them ---- */

struct work;
typedef cudaError_t work_run(struct work *work);

/* Something a stream or a graph does. `run` may be called many times (graphs); `drop` frees what the
 * work owns, but not the work. */
struct work {
    struct work *next;
    work_run *run;
    void (*drop)(struct work *work);
    bool (*ready)(const struct work *work); /* NULL: always */
};

/* A zeroed work of `bytes`, which begins with a struct work. */
void *work_new(size_t bytes, work_run *run, void (*drop)(struct work *));
/* Queues the work, or adds it to the graph that the stream captures; owns it. */
cudaError_t work_submit(cudaStream_t stream, struct work *work);
void work_delete(struct work *work);

cudaError_t queue_drain_all(void);            /* runs everything that is queued */
cudaError_t queue_drain(cudaStream_t stream); /* until this stream is empty */
bool queue_is_stream(cudaStream_t stream);
bool queue_capturing(void); /* some stream is capturing */
/* A call that is not allowed while a stream captures: ends that capture as invalid. */
cudaError_t queue_refuse_capture(void);

/* ---- runtime.c ---- */

cudaError_t runtime_return(cudaError_t error); /* remembers it for cudaGetLastError */
cudaError_t runtime_lost(void);                /* the error that lost the device, or cudaSuccess */
void runtime_lose(cudaError_t error);
