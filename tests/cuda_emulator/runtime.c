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

cudaError_t cudaPeekAtLastError(void) { return lost != cudaSuccess ? lost : last_error; }

cudaError_t cudaGetLastError(void) {
    cudaError_t error = cudaPeekAtLastError();
    last_error = cudaSuccess;
    return error;
}

static const struct error_text {
    cudaError_t error;
    const char *name, *text;
} ERRORS[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration",
     "invalid configuration argument"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorInvalidDeviceFunction, "cudaErrorInvalidDeviceFunction", "invalid device function"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress",
     "an illegal memory access was encountered"},
    {cudaErrorLaunchOutOfResources, "cudaErrorLaunchOutOfResources",
     "too many resources requested for launch"},
    {cudaErrorNotPermitted, "cudaErrorNotPermitted", "operation not permitted"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureUnmatched, "cudaErrorStreamCaptureUnmatched",
     "the capture was not initiated in this stream"},
    {cudaErrorStreamCaptureUnjoined, "cudaErrorStreamCaptureUnjoined",
     "capturing stream has unjoined work"},
    {cudaErrorStreamCaptureIsolation, "cudaErrorStreamCaptureIsolation",
     "dependency created on uncaptured work in another stream"},
    {cudaErrorCapturedEvent, "cudaErrorCapturedEvent",
     "operation not permitted on an event last recorded in a capturing stream"},
};

static const struct error_text *error_find(cudaError_t error) {
    static const struct error_text unknown = {
        .name = "unrecognized error code", .text = "unrecognized error code"};
    for (size_t i = 0; i < sizeof ERRORS / sizeof *ERRORS; i++)
        if (ERRORS[i].error == error) return &ERRORS[i];
    return &unknown;
}

const char *cudaGetErrorName(cudaError_t error) { return error_find(error)->name; }
const char *cudaGetErrorString(cudaError_t error) { return error_find(error)->text; }

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
    case cudaDevAttrMaxThreadsPerBlock:
        *value = THREADS_MAX;
        break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
        *value = SHARED_DEFAULT;
        break;
    case cudaDevAttrWarpSize:
        *value = 32;
        break;
    case cudaDevAttrClockRate:
        *value = 1000000;
        break;
    case cudaDevAttrMultiProcessorCount:
        *value = 4;
        break;
    case cudaDevAttrMemoryClockRate:
        *value = 1000000;
        break;
    case cudaDevAttrGlobalMemoryBusWidth:
        *value = 64;
        break;
    case cudaDevAttrL2CacheSize:
        *value = 1 << 20;
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
    case cudaDevAttrMemoryPoolsSupported:
        *value = 1;
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
        .sharedMemPerBlock = SHARED_DEFAULT,
        .regsPerBlock = 65536,
        .warpSize = 32,
        .maxThreadsPerBlock = THREADS_MAX,
        .maxThreadsDim = {1024, 1024, 64},
        .maxGridSize = {0x7fffffff, 65535, 65535},
        .major = emu_settings()->capability / 10,
        .minor = emu_settings()->capability % 10,
        .multiProcessorCount = 4,
        .concurrentKernels = 1,
        .asyncEngineCount = 2,
        .unifiedAddressing = 1,
        .memoryBusWidth = 64,
        .l2CacheSize = 1 << 20,
        .maxThreadsPerMultiProcessor = 1536,
        .sharedMemPerMultiprocessor = emu_settings()->shared_optin + 1024,
        .regsPerMultiprocessor = 65536,
        .sharedMemPerBlockOptin = emu_settings()->shared_optin,
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

cudaError_t cudaDeviceSynchronize(void) {
    cudaError_t error = may_wait();
    return runtime_return(error == cudaSuccess ? queue_drain_all() : error);
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

cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned flags) {
    (void)flags;
    cudaError_t error = may_wait();
    if (error == cudaSuccess && !(*out = pinned_alloc(bytes))) error = cudaErrorMemoryAllocation;
    return runtime_return(error);
}

cudaError_t cudaMallocHost(void **out, size_t bytes) { return cudaHostAlloc(out, bytes, 0); }

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

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t *pool, int device) {
    (void)device;
    *pool = NULL;
    return runtime_return(device_here());
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, enum cudaMemPoolAttr attribute,
                                    void *value) {
    (void)pool, (void)value;
    return runtime_return(attribute == cudaMemPoolAttrReleaseThreshold ? device_here()
                                                                       : cudaErrorInvalidValue);
}

/* ---- copies and fills: rows of `width` bytes, a pitch apart ---- */

struct copy_work {
    struct work work;
    char *dst;
    const char *src;
    size_t dst_pitch, src_pitch, width, height;
    int value;    /* what a fill fills with */
    char *staged; /* a copy of host memory that was not page-locked; src points to it */
};

static void check_live(const struct copy_work *c) {
    size_t span = (c->height - 1) * c->dst_pitch + c->width;
    if (device_owns(c->dst) && !device_holds(c->dst, span))
        emu_report("use-after-free", "a copy or fill writes %zu bytes to memory freed since", span);
    span = (c->height - 1) * c->src_pitch + c->width;
    if (c->src && device_owns(c->src) && !device_holds(c->src, span))
        emu_report("use-after-free", "a copy reads %zu bytes from memory freed since", span);
}

static cudaError_t copy_run(struct work *work) {
    struct copy_work *c = (struct copy_work *)work;
    check_live(c);
    for (size_t row = 0; row < c->height; row++) {
        char *dst = c->dst + row * c->dst_pitch;
        if (c->src) memmove(dst, c->src + row * c->src_pitch, c->width);
        else memset(dst, c->value, c->width);
        if (device_owns(dst))
            checker_written(dst, c->width, c->src ? c->src + row * c->src_pitch : NULL);
    }
    return cudaSuccess;
}

static void copy_drop(struct work *work) { free(((struct copy_work *)work)->staged); }

/* What a device accepts: device memory where `kind` says so, inside one allocation, and host memory where
 * it says that. */
static bool side_fits(const void *address, size_t span, bool wants_device, bool either) {
    if (device_owns(address)) return (wants_device || either) && device_holds(address, span);
    return !wants_device || either;
}

static cudaError_t copy_check(const struct copy_work *c, enum cudaMemcpyKind kind) {
    if (c->width > c->dst_pitch || (c->src && c->width > c->src_pitch))
        return cudaErrorInvalidValue;
    bool either = kind == cudaMemcpyDefault;
    bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    size_t rows = c->height - 1;
    bool fits = side_fits(c->dst, rows * c->dst_pitch + c->width, to_device, either) &&
                (!c->src || side_fits(c->src, rows * c->src_pitch + c->width, from_device, either));
    return fits ? cudaSuccess : cudaErrorInvalidValue;
}

/* Host memory that is not page-locked is read before the call returns; in a capture it is read by whoever
 * runs the graph, and so is what it holds by then. */
static void stage(struct copy_work *c) {
    if (!c->src || device_owns(c->src) || queue_capturing()) return;
    size_t span = (c->height - 1) * c->src_pitch + c->width;
    if (pinned_holds(c->src, span)) return;
    c->staged = malloc(span);
    if (!c->staged) abort();
    memcpy(c->staged, c->src, span);
    c->src = c->staged;
}

static cudaError_t copy_submit(struct copy_work model, enum cudaMemcpyKind kind,
                               cudaStream_t stream) {
    cudaError_t error = device_here();
    if (error != cudaSuccess || model.width == 0 || model.height == 0) return error;
    if ((error = copy_check(&model, kind)) != cudaSuccess) return error;
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
    struct copy_work c = {.dst = dst,
                          .src = src,
                          .dst_pitch = bytes,
                          .src_pitch = bytes,
                          .width = bytes,
                          .height = 1};
    return runtime_return(copy_submit(c, kind, stream));
}

cudaError_t cudaMemcpy2DAsync(void *dst, size_t dst_pitch, const void *src, size_t src_pitch,
                              size_t width, size_t height, enum cudaMemcpyKind kind,
                              cudaStream_t stream) {
    if (width && height && (!src || !dst)) return runtime_return(cudaErrorInvalidValue);
    struct copy_work c = {.dst = dst,
                          .src = src,
                          .dst_pitch = dst_pitch,
                          .src_pitch = src_pitch,
                          .width = width,
                          .height = height};
    return runtime_return(copy_submit(c, kind, stream));
}

cudaError_t cudaMemsetAsync(void *dst, int value, size_t bytes, cudaStream_t stream) {
    struct copy_work c = {
        .dst = dst, .dst_pitch = bytes, .width = bytes, .height = 1, .value = value};
    if (bytes && !device_owns(dst)) return runtime_return(cudaErrorInvalidValue);
    return runtime_return(copy_submit(c, cudaMemcpyHostToDevice, stream));
}

/* The default stream's own calls: they wait for the streams that wait for it, and are done at once. */
static cudaError_t at_once(struct copy_work c, enum cudaMemcpyKind kind) {
    cudaError_t error = may_wait();
    if (error != cudaSuccess || c.width == 0) return error;
    if ((error = copy_check(&c, kind)) != cudaSuccess) return error;
    if ((error = queue_drain_blocking()) != cudaSuccess) return error;
    device_open();
    copy_run(&c.work);
    device_close();
    return cudaSuccess;
}

cudaError_t cudaMemcpy(void *dst, const void *src, size_t bytes, enum cudaMemcpyKind kind) {
    if (bytes && (!src || !dst)) return runtime_return(cudaErrorInvalidValue);
    struct copy_work c = {.dst = dst,
                          .src = src,
                          .dst_pitch = bytes,
                          .src_pitch = bytes,
                          .width = bytes,
                          .height = 1};
    return runtime_return(at_once(c, kind));
}

cudaError_t cudaMemset(void *dst, int value, size_t bytes) {
    struct copy_work c = {
        .dst = dst, .dst_pitch = bytes, .width = bytes, .height = 1, .value = value};
    if (bytes && !device_owns(dst)) return runtime_return(cudaErrorInvalidValue);
    return runtime_return(at_once(c, cudaMemcpyHostToDevice));
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
    if (error != cudaSuccess || attribute == cudaFuncAttributePreferredSharedMemoryCarveout)
        return runtime_return(error);
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
