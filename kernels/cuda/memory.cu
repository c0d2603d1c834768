/* Opening a device, and its memory. */
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/device_stream.cuh"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern "C" {
#include "kernels/comm_launch.h"
}

enum { LOAD_THREADS = 256, LOAD_PIECE = 1 << 22 /* numbers copied at a time */ };
enum { OLDEST_MAJOR = 8 }; /* sm_80: bf16 tensor cores, asynchronous copies to shared memory */

bool device_ok(struct device_stream *d, cudaError_t error, const char *where) {
    if (error != cudaSuccess && d->error == cudaSuccess) {
        d->error = error;
        d->where = where;
    }
    return d->error == cudaSuccess;
}

buf device_scratch(struct stream *s, size_t bytes, const char *where) {
    struct device_stream *d = device_of(s);
    if (bytes <= d->scratch_bytes || d->error != cudaSuccess) return d->scratch;
    void *block = NULL;
    if (graphs_capturing(d)) { /* what a graph allocated would be its own */
        device_ok(d, cudaErrorStreamCaptureUnsupported, where);
        return NO_BUF;
    }
    graphs_forget(d);
    if (d->scratch.addr) device_ok(d, cudaFreeAsync(d->scratch.addr, d->queue), where);
    d->scratch.addr = NULL;
    d->scratch_bytes = 0;
    if (!device_ok(d, cudaMallocAsync(&block, bytes, d->queue), where)) return NO_BUF;
    d->scratch.addr = static_cast<char *>(block);
    d->scratch_bytes = bytes;
    return d->scratch;
}

static status memory_alloc(struct stream *s, size_t bytes, buf *out) {
    struct device_stream *d = device_of(s);
    void *block = NULL;
    size_t available = 0, total = 0;
    out->addr = NULL;
    cudaError_t error = cudaMalloc(&block, bytes ? bytes : 1);
    if (error == cudaSuccess) {
        out->addr = static_cast<char *>(block);
        return NULL;
    }
    cudaGetLastError(); /* too little memory leaves the device usable */
    if (error != cudaErrorMemoryAllocation) {
        device_ok(d, error, "alloc");
        return fail(EXIT_OUR_BUG, "cuda: alloc of %zu bytes: %s", bytes, cudaGetErrorString(error));
    }
    cudaMemGetInfo(&available, &total);
    return fail(EXIT_BAD_CONFIG,
                "cannot allocate %zu bytes for tensors on a GPU with %zu of %zu free, expected a "
                "smaller model or batch",
                bytes, available, total);
}

static void memory_free(struct stream *s, buf b) {
    struct device_stream *d = device_of(s);
    if (!buf_has(b)) return;
    graphs_forget(d);
    device_ok(d, cudaFree(b.addr), "free");
}

/* A GPU's memory needs no first touch. */
static void memory_touch(struct stream *s, buf b, size_t bytes) {
    (void)s, (void)b, (void)bytes;
}

/* The source is ordinary memory: CUDA takes its bytes before the call returns, but those of a captured copy
 * whenever the graph runs. */
static void memory_write(struct stream *s, buf dst, const void *src, size_t bytes) {
    struct device_stream *d = device_of(s);
    REQUIRE(!graphs_capturing(d));
    if (bytes && d->error == cudaSuccess)
        device_ok(d, cudaMemcpyAsync(dst.addr, src, bytes, cudaMemcpyHostToDevice, d->queue),
                  "write");
}

/* After an error the host reads zeros: ids and counts that it can live with until it calls sync. */
static void memory_read(struct stream *s, void *dst, buf src, size_t bytes) {
    struct device_stream *d = device_of(s);
    if (bytes && d->error == cudaSuccess &&
        device_ok(d, cudaMemcpyAsync(dst, src.addr, bytes, cudaMemcpyDeviceToHost, d->queue),
                  "read"))
        device_ok(d, cudaStreamSynchronize(d->queue), "read");
    if (bytes && d->error != cudaSuccess) memset(dst, 0, bytes);
}

static void memory_copy(struct stream *s, buf dst, buf src, size_t bytes) {
    struct device_stream *d = device_of(s);
    if (bytes && d->error == cudaSuccess)
        device_ok(d, cudaMemcpyAsync(dst.addr, src.addr, bytes, cudaMemcpyDeviceToDevice, d->queue),
                  "copy");
}

static void memory_zero(struct stream *s, buf dst, size_t bytes) {
    struct device_stream *d = device_of(s);
    if (bytes && d->error == cudaSuccess)
        device_ok(d, cudaMemsetAsync(dst.addr, 0, bytes, d->queue), "zero");
}

static __global__ void load_numbers(float *to, const char *from, enum number_form form, int64_t n,
                                    int32_t *flaw) {
    int64_t i = global_thread();
    if (i >= n) return;
    uint32_t bits = number_bits(from, form, i);
    to[i] = __uint_as_float(bits);
    if (!number_is_finite(bits)) *flaw = 1;
}

/* The bytes as they are go to the device, half as many where numbers are halves. */
static void numbers_load(struct stream *s, buf dst, const void *src, enum number_form form,
                         int64_t n, buf flaw) {
    int64_t width = number_bytes(form);
    for (int64_t first = 0; first < n; first += LOAD_PIECE) {
        int64_t count = n - first < LOAD_PIECE ? n - first : (int64_t)LOAD_PIECE;
        buf raw = device_scratch(s, (size_t)(count * width), "load");
        memory_write(s, raw, static_cast<const char *>(src) + first * width,
                     (size_t)(count * width));
        launch(s, "load", dim3(blocks_for(count, LOAD_THREADS)), LOAD_THREADS, 0, load_numbers,
               (float *)(void *)buf_f32(dst, first).addr, (const char *)raw.addr, form, count,
               (int32_t *)(void *)flaw.addr);
    }
}

static status memory_sync(struct stream *s) {
    struct device_stream *d = device_of(s);
    if (d->error == cudaSuccess) device_ok(d, cudaStreamSynchronize(d->queue), "sync");
    if (d->error == cudaSuccess) return NULL;
    enum exit_code code = d->error == cudaErrorMemoryAllocation ? EXIT_BAD_CONFIG : EXIT_OUR_BUG;
    return fail(code, "cuda: %s: %s", d->where, cudaGetErrorString(d->error));
}

static void memory_close(struct stream *s) {
    struct device_stream *d = device_of(s);
    cudaStreamSynchronize(d->queue); /* errors were sync's to report */
    graphs_close(d);
    cublas_close(d);
    if (d->scratch.addr) cudaFreeAsync(d->scratch.addr, d->queue);
    cudaStreamDestroy(d->queue);
    free(d);
}

static void fill_table(struct ops *table) {
    table->alloc = memory_alloc;
    table->free = memory_free;
    table->touch = memory_touch;
    table->write = memory_write;
    table->read = memory_read;
    table->copy = memory_copy;
    table->zero = memory_zero;
    table->load = numbers_load;
    table->sync = memory_sync;
    table->close = memory_close;
    cuda_graphs(table);
    cuda_gemm(table);
    cuda_attention(table);
    cuda_attention_backward(table);
    cuda_rope(table);
    cuda_norms(table);
    cuda_swiglu(table);
    cuda_router(table);
    cuda_dispatch(table);
    cuda_logsoftmax(table);
    cuda_draw(table);
    cuda_rows(table);
    cuda_adamw(table);
}

/* Of several visible devices each rank of a host takes its own. */
static status choose_device(const char *device, int count, int *index) {
    struct launch launch;
    TRY(launch_read(&launch, getenv));
    *index = count > 1 ? launch.local_rank : 0;
    if (*index < count) return NULL;
    return fail(EXIT_BAD_CONFIG, "device=%s: %d GPUs for rank %d of this host, expected one for each rank",
                device, count, *index);
}

/* Without a driver its version is 0. */
static status driver_refused(const char *device) {
    int version = 0;
    if (cudaDriverGetVersion(&version) != cudaSuccess || version == 0)
        return fail(EXIT_BAD_CONFIG,
                    "device=%s: there is no NVIDIA driver, expected version 580 or later", device);
    return fail(EXIT_BAD_CONFIG,
                "device=%s: the NVIDIA driver is for CUDA %d.%d, expected version 580 or later, "
                "which is for CUDA 13",
                device, version / 1000, version % 1000 / 10);
}

/* A sentence when the device cannot be used; otherwise it is the current one. */
static status check_device(const char *device, int *shared_max) {
    int count = 0, major = 0, minor = 0, index = 0;
    cudaError_t error = cudaGetDeviceCount(&count);
    if (error == cudaErrorInsufficientDriver) return driver_refused(device);
    if (error == cudaErrorNoDevice || (error == cudaSuccess && count == 0))
        return fail(EXIT_BAD_CONFIG, "device=%s: there is no CUDA device, expected one", device);
    if (error == cudaSuccess) TRY(choose_device(device, count, &index));
    if (error == cudaSuccess) error = cudaSetDevice(index);
    if (error == cudaSuccess)
        error = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index);
    if (error == cudaSuccess)
        error = cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index);
    if (error == cudaSuccess)
        error = cudaDeviceGetAttribute(shared_max, cudaDevAttrMaxSharedMemoryPerBlockOptin, index);
    if (error != cudaSuccess)
        return fail(EXIT_BAD_CONFIG, "device=%s: %s", device, cudaGetErrorString(error));
    if (major < OLDEST_MAJOR)
        return fail(EXIT_BAD_CONFIG,
                    "device=%s: the GPU has compute capability %d.%d, expected 8.0 or later",
                    device, major, minor);
    return NULL;
}

static status device_open(struct stream **out, const struct stream_config *config) {
    int shared_max = 0;
    *out = NULL;
    TRY(check_device(config->device, &shared_max));
    struct device_stream *d = static_cast<struct device_stream *>(calloc(1, sizeof *d));
    if (!d) return fail(EXIT_OUR_BUG, "out of memory");
    cudaError_t error = cudaStreamCreateWithFlags(&d->queue, cudaStreamNonBlocking);
    if (error != cudaSuccess) {
        free(d);
        return fail(EXIT_BAD_CONFIG, "device=%s: %s", config->device, cudaGetErrorString(error));
    }
    d->shared_max = (size_t)shared_max;
    d->table.name = config->cublas ? "cuda-cublas" : "cuda";
    fill_table(&d->table);
    d->stream.ops = &d->table;
    status failed = config->graphs ? graphs_open(d) : NULL;
    if (!failed && config->cublas) failed = cublas_open(d, config->device);
    if (failed) memory_close(&d->stream);
    else *out = &d->stream;
    return failed;
}

/* Multiply-adds of bf16 a processor and cycle, dense; products of one generation that differ: unknown. */
static double tensor_width(int major, int minor) {
    if (major == 8 && minor == 0) return 1024;
    if (major == 9) return 2048;
    if (major == 10) return 4096;
    return 0;
}

static status device_describe(struct cuda_device *out) {
    struct cudaDeviceProp properties;
    int index = 0, core_khz = 0, memory_khz = 0, bus_bits = 0;
    cudaError_t error = cudaGetDevice(&index);
    if (error == cudaSuccess) error = cudaGetDeviceProperties(&properties, index);
    if (error == cudaSuccess)
        error = cudaDeviceGetAttribute(&core_khz, cudaDevAttrClockRate, index);
    if (error == cudaSuccess)
        error = cudaDeviceGetAttribute(&memory_khz, cudaDevAttrMemoryClockRate, index);
    if (error == cudaSuccess)
        error = cudaDeviceGetAttribute(&bus_bits, cudaDevAttrGlobalMemoryBusWidth, index);
    if (error == cudaSuccess) error = cudaDriverGetVersion(&out->driver);
    if (error == cudaSuccess) error = cudaRuntimeGetVersion(&out->runtime);
    if (error != cudaSuccess) return fail(EXIT_BAD_CONFIG, "cuda: %s", cudaGetErrorString(error));
    snprintf(out->name, sizeof out->name, "%s", properties.name);
    out->major = properties.major;
    out->minor = properties.minor;
    out->processors = properties.multiProcessorCount;
    out->memory = properties.totalGlobalMem;
    double a_cycle = 2e-9 * core_khz * out->processors; /* TFLOP/s of one multiply-add a cycle */
    out->memory_gb_s = 2e3 * memory_khz * bus_bits / 8 * 1e-9; /* two transfers a clock */
    out->fp32_tflop_s = a_cycle * (out->major == 8 && out->minor == 0 ? 64 : 128);
    out->bf16_tflop_s = a_cycle * tensor_width(out->major, out->minor);
    return NULL;
}

extern "C" __attribute__((visibility("default"))) const struct cuda_backend *
grpo_cuda_backend(void);
extern "C" const struct cuda_backend *grpo_cuda_backend(void) {
    static const struct cuda_backend backend = {cuda_backend_layout(), device_open,
                                                device_describe};
    return &backend;
}
