/* The runtime's calls that are not about streams: errors, the device, memory, copies, launches. */
#include "tests/cuda_emulator/checker.h"
#include "tests/cuda_emulator/internals.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHARED_DEFAULT = 48 << 10, THREADS_MAX = 1024 };

/* ---- errors ---- */

static cudaError_t last_error, lost;

cudaError_t runtime_lost(void) { return lost; }

void runtime_lose(cudaError_t error) {
    if (lost == cudaSuccess) lost = error;
}

cudaError_t runtime_return(cudaError_t error) {
    if (error != cudaSuccess) last_error = error;
    return error;
}

/* What every call that needs a working device begins with. */
static cudaError_t device_here(void) {
    if (emu_settings()->driver < CUDART_VERSION) return cudaErrorInsufficientDriver;
    return emu_settings()->devices == 0 ? cudaErrorNoDevice : lost;
}

cudaError_t cudaGetLastError(void) {
    cudaError_t error = lost != cudaSuccess ? lost : last_error;
    last_error = cudaSuccess;
    return error;
}

static const struct error_text {
    cudaError_t error;
    const char *text;
} ERRORS[] = {
    {cudaSuccess, "no error"},
    {cudaErrorInvalidValue, "invalid argument"},
    {cudaErrorMemoryAllocation, "out of memory"},
    {cudaErrorInvalidConfiguration, "invalid configuration argument"},
    {cudaErrorInsufficientDriver, "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorNoDevice, "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "invalid device ordinal"},
    {cudaErrorInvalidResourceHandle, "invalid resource handle"},
    {cudaErrorNotReady, "device not ready"},
    {cudaErrorIllegalAddress, "an illegal memory access was encountered"},
    {cudaErrorLaunchFailure, "unspecified launch failure"},
    {cudaErrorNotSupported, "operation not supported"},
    {cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated,
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureUnmatched, "the capture was not initiated in this stream"},
    {cudaErrorStreamCaptureUnjoined, "capturing stream has unjoined work"},
    {cudaErrorStreamCaptureIsolation, "dependency created on uncaptured work in another stream"},
};

const char *cudaGetErrorString(cudaError_t error) {
    for (size_t i = 0; i < sizeof ERRORS / sizeof *ERRORS; i++)
        if (ERRORS[i].error == error) return ERRORS[i].text;
    return "unrecognized error code";
}

/* ---- the device: unless told otherwise an sm_80 that has no more than the smallest later one ---- */

cudaError_t cudaGetDeviceCount(int *count) {
    *count = emu_settings()->devices;
    return runtime_return(device_here());
}

cudaError_t cudaGetDevice(int *device) {
    *device = 0;
    return runtime_return(device_here());
}

cudaError_t cudaSetDevice(int device) {
    bool is_there = device >= 0 && device < emu_settings()->devices;
    return runtime_return(is_there ? device_here() : cudaErrorInvalidDevice);
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device) {
    (void)device;
    switch (attribute) {
    case cudaDevAttrClockRate:
        *value = 1000000;
        break;
    case cudaDevAttrMemoryClockRate:
        *value = 1000000;
        break;
    case cudaDevAttrGlobalMemoryBusWidth:
        *value = 64;
        break;
    case cudaDevAttrComputeCapabilityMajor:
        *value = emu_settings()->capability / 10;
        break;
    case cudaDevAttrComputeCapabilityMinor:
        *value = emu_settings()->capability % 10;
        break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
        *value = (int)emu_settings()->shared_optin;
        break;
    default:
        return runtime_return(cudaErrorInvalidValue);
    }
    return runtime_return(device_here());
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *prop, int device) {
    if (device < 0 || device >= emu_settings()->devices)
        return runtime_return(cudaErrorInvalidDevice);
    *prop = (struct cudaDeviceProp){
        .name = "CUDA emulator",
        .totalGlobalMem = emu_settings()->memory_bytes,
        .major = emu_settings()->capability / 10,
        .minor = emu_settings()->capability % 10,
        .multiProcessorCount = 4,
    };
    return runtime_return(device_here());
}

cudaError_t cudaRuntimeGetVersion(int *version) {
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version) {
    *version = emu_settings()->driver;
    return cudaSuccess;
}

/* A call that waits for the device, or may: not allowed during a capture. */
static cudaError_t may_wait(void) {
    cudaError_t error = device_here();
    if (error == cudaSuccess && queue_capturing()) error = queue_refuse_capture();
    return error;
}

/* ---- memory ---- */

static cudaError_t allocate(void **out, size_t bytes) {
    *out = bytes ? device_alloc(bytes) : NULL;
    return bytes && !*out ? cudaErrorMemoryAllocation : cudaSuccess;
}

cudaError_t cudaMalloc(void **out, size_t bytes) {
    cudaError_t error = may_wait();
    return runtime_return(error == cudaSuccess ? allocate(out, bytes) : error);
}

/* As on a device, everything that is queued is done first. */
cudaError_t cudaFree(void *address) {
    cudaError_t error = may_wait();
    if (!address || error != cudaSuccess) return runtime_return(error);
    error = queue_drain_all();
    if (error == cudaSuccess && !device_free(address)) error = cudaErrorInvalidValue;
    return runtime_return(error);
}

cudaError_t cudaMallocAsync(void **out, size_t bytes, cudaStream_t stream) {
    if (!queue_is_stream(stream)) return runtime_return(cudaErrorInvalidResourceHandle);
    return cudaMalloc(out, bytes);
}

struct free_work {
    struct work work;
    void *address;
};
static cudaError_t free_run(struct work *work) {
    void *address = ((struct free_work *)work)->address;
    if (!device_free(address)) emu_report("use-after-free", "%p is freed twice", address);
    return cudaSuccess;
}

cudaError_t cudaFreeAsync(void *address, cudaStream_t stream) {
    cudaError_t error = may_wait();
    if (error == cudaSuccess && !device_holds(address, 1)) error = cudaErrorInvalidValue;
    if (error != cudaSuccess) return runtime_return(error);
    struct free_work *made = work_new(sizeof *made, free_run, NULL);
    made->address = address;
    return runtime_return(work_submit(stream, &made->work));
}

cudaError_t cudaMallocHost(void **out, size_t bytes) {
    cudaError_t error = may_wait();
    if (error == cudaSuccess && !(*out = pinned_alloc(bytes))) error = cudaErrorMemoryAllocation;
    return runtime_return(error);
}

cudaError_t cudaFreeHost(void *address) {
    cudaError_t error = may_wait();
    if (!address || error != cudaSuccess) return runtime_return(error);
    error = queue_drain_all();
    if (error == cudaSuccess && !pinned_free(address)) error = cudaErrorInvalidValue;
    return runtime_return(error);
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes) {
    *free_bytes = device_bytes_free();
    *total_bytes = emu_settings()->memory_bytes;
    return runtime_return(device_here());
}

/* ---- copies and fills ---- */

struct copy_work {
    struct work work;
    char *dst;
    const char *src; /* NULL: a fill */
    size_t bytes;
    int value;    /* what a fill fills with */
    char *staged; /* a copy of host memory that was not page-locked; src points to it */
};

static cudaError_t copy_run(struct work *work) {
    struct copy_work *c = (struct copy_work *)work;
    bool to_device = device_owns(c->dst);
    if (to_device && !device_holds(c->dst, c->bytes))
        emu_report("use-after-free", "a copy or fill writes %zu bytes to memory freed since",
                   c->bytes);
    if (c->src && device_owns(c->src) && !device_holds(c->src, c->bytes))
        emu_report("use-after-free", "a copy reads %zu bytes from memory freed since", c->bytes);
    if (c->src) memmove(c->dst, c->src, c->bytes);
    else memset(c->dst, c->value, c->bytes);
    if (to_device) checker_written(c->dst, c->bytes, c->src);
    return cudaSuccess;
}

static void copy_drop(struct work *work) { free(((struct copy_work *)work)->staged); }

/* What a device accepts: device memory where the kind of copy says so, inside one allocation, and host memory
 * where it says that. */
static bool side_fits(const void *address, size_t bytes, bool wants_device) {
    return device_owns(address) ? wants_device && device_holds(address, bytes) : !wants_device;
}

static bool copy_fits(const struct copy_work *c, enum cudaMemcpyKind kind) {
    bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    return side_fits(c->dst, c->bytes, to_device) &&
           (!c->src || side_fits(c->src, c->bytes, from_device));
}

/* Host memory that is not page-locked is read before the call returns; in a capture it is read by whoever
 * runs the graph, and so is what it holds by then. */
static void stage(struct copy_work *c) {
    if (!c->src || device_owns(c->src) || queue_capturing()) return;
    if (pinned_holds(c->src, c->bytes)) return;
    c->staged = malloc(c->bytes);
    if (!c->staged) abort();
    memcpy(c->staged, c->src, c->bytes);
    c->src = c->staged;
}

static cudaError_t copy_submit(struct copy_work model, enum cudaMemcpyKind kind,
                               cudaStream_t stream) {
    cudaError_t error = device_here();
    if (error != cudaSuccess || model.bytes == 0) return error;
    if (!copy_fits(&model, kind)) return cudaErrorInvalidValue;
    bool host_waits = !device_owns(model.dst) && !pinned_holds(model.dst, 1);
    if (host_waits && queue_capturing()) return queue_refuse_capture();
    struct copy_work *made = work_new(sizeof *made, copy_run, copy_drop);
    model.work = made->work;
    *made = model;
    stage(made);
    error = work_submit(stream, &made->work);
    /* A copy to host memory that is not page-locked returns when it is done. */
    return error == cudaSuccess && host_waits ? queue_drain(stream) : error;
}

cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream) {
    if (bytes && (!src || !dst)) return runtime_return(cudaErrorInvalidValue);
    struct copy_work c = {.dst = dst, .src = src, .bytes = bytes};
    return runtime_return(copy_submit(c, kind, stream));
}

cudaError_t cudaMemsetAsync(void *dst, int value, size_t bytes, cudaStream_t stream) {
    struct copy_work c = {.dst = dst, .bytes = bytes, .value = value};
    return runtime_return(copy_submit(c, cudaMemcpyHostToDevice, stream));
}

/* ---- host functions ---- */

struct host_work {
    struct work work;
    cudaHostFn_t function;
    void *data;
};
static cudaError_t host_run(struct work *work) {
    const struct host_work *h = (const struct host_work *)work;
    device_close();
    h->function(h->data);
    device_open();
    return cudaSuccess;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void *data) {
    struct host_work *made = work_new(sizeof *made, host_run, NULL);
    made->function = function;
    made->data = data;
    return runtime_return(work_submit(stream, &made->work));
}

/* ---- launches ---- */

static struct opted_in {
    const void *kernel;
    size_t bytes;
    struct opted_in *next;
} * opted_in;

static size_t dynamic_limit(const void *kernel) {
    for (const struct opted_in *o = opted_in; o; o = o->next)
        if (o->kernel == kernel) return o->bytes;
    return SHARED_DEFAULT;
}

cudaError_t emu_func_set_attribute(const void *kernel, enum cudaFuncAttribute attribute,
                                   int value) {
    cudaError_t error = device_here();
    if (error != cudaSuccess) return runtime_return(error);
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
        (size_t)value > emu_settings()->shared_optin)
        return runtime_return(cudaErrorInvalidValue);
    struct opted_in *o = opted_in;
    while (o && o->kernel != kernel) o = o->next;
    if (!o) {
        o = malloc(sizeof *o);
        if (!o) abort();
        *o = (struct opted_in){.kernel = kernel, .next = opted_in};
        opted_in = o;
    }
    o->bytes = (size_t)value;
    return runtime_return(cudaSuccess);
}

struct launch_work {
    struct work work;
    struct emu_call *call;
    dim3 grid, block;
    size_t shared_bytes;
};

static void launch_drop(struct work *work) { free(((struct launch_work *)work)->call); }

static cudaError_t launch_run(struct work *work) {
    static uint64_t kernels;
    const struct launch_work *l = (const struct launch_work *)work;
    if (++kernels == emu_settings()->failing_kernel) return cudaErrorIllegalAddress;
    return emu_run_grid(l->call, l->grid, l->block, l->shared_bytes);
}

static cudaError_t launch_check(const cudaLaunchConfig_t *c, const void *kernel) {
    dim3 grid = c->gridDim, block = c->blockDim;
    uint64_t threads = (uint64_t)block.x * block.y * block.z;
    if (c->numAttrs) return cudaErrorNotSupported;
    if (!grid.x || !grid.y || !grid.z || grid.x > 0x7fffffff || grid.y > 65535 || grid.z > 65535)
        return cudaErrorInvalidConfiguration;
    if (!threads || block.x > 1024 || block.y > 1024 || block.z > 64 || threads > THREADS_MAX)
        return cudaErrorInvalidConfiguration;
    return c->dynamicSmemBytes > dynamic_limit(kernel) ? cudaErrorInvalidValue : cudaSuccess;
}

cudaError_t emu_launch(const cudaLaunchConfig_t *config, struct emu_call *call) {
    cudaError_t error = device_here();
    if (error == cudaSuccess) error = launch_check(config, call->kernel);
    if (error != cudaSuccess) {
        free(call);
        return runtime_return(error);
    }
    struct launch_work *made = work_new(sizeof *made, launch_run, launch_drop);
    made->call = call;
    made->grid = config->gridDim;
    made->block = config->blockDim;
    made->shared_bytes = config->dynamicSmemBytes;
    return runtime_return(work_submit(config->stream, &made->work));
}
