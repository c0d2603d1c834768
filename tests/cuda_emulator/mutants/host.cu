/* Bugs of the host: launches, streams, events, graphs, memory that is freed or reused too early. */
#include "tests/cuda_emulator/mutants/lab.cuh"

static __global__ void add(float *y, float v) { y[threadIdx.x] += v; }
static __global__ void add_from(float *y, const float *v) { y[threadIdx.x] += *v; }
static __global__ void scaled(float *y, const float *x, float v) {
    y[threadIdx.x] = x[threadIdx.x] * v;
}

static __global__ void use_dynamic(float *y) {
    float *v = (float *)smem_raw;
    v[threadIdx.x] = 1;
    y[threadIdx.x] = v[threadIdx.x];
}

static enum outcome outcome_of(cudaError_t error) {
    return error == cudaSuccess ? MUTANT_RIGHT : MUTANT_REFUSED;
}

/* ---- launches that a device refuses ---- */

static enum outcome too_many_threads(bool planted) {
    cudaStream_t s = lab_stream();
    float *y = lab_ramp<float>(s, 2048);
    return outcome_of(lab_try(s, 1, planted ? 1056 : 1024, 0, add, y, 1.0f));
}

static enum outcome empty_grid(bool planted) {
    cudaStream_t s = lab_stream();
    float *y = lab_ramp<float>(s, 64);
    return outcome_of(lab_try(s, planted ? 0 : 1, 64, 0, add, y, 1.0f));
}

static enum outcome no_opt_in(bool planted) {
    cudaStream_t s = lab_stream();
    float *y = lab_ramp<float>(s, 64);
    size_t bytes = 64 << 10;
    if (!planted)
        must(cudaFuncSetAttribute(use_dynamic, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  (int)bytes));
    return outcome_of(lab_try(s, 1, 64, bytes, use_dynamic, y));
}

static enum outcome too_much_opt_in(bool planted) {
    int bytes = (planted ? 100 : 99) << 10;
    return outcome_of(
        cudaFuncSetAttribute(use_dynamic, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
}

static enum outcome copy_too_long(bool planted) {
    cudaStream_t s = lab_stream();
    float host[65] = {0}, *y = lab_alloc<float>(64);
    size_t bytes = (planted ? 65 : 64) * sizeof *y;
    return outcome_of(cudaMemcpyAsync(y, host, bytes, cudaMemcpyHostToDevice, s));
}

/* ---- work that nothing orders ---- */

static enum outcome missing_event(bool planted) {
    cudaStream_t a = lab_stream(), b = lab_stream();
    float *x = lab_ramp<float>(a, 64), *y = lab_alloc<float>(64);
    cudaEvent_t event;
    must(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    must(cudaStreamSynchronize(a));
    lab_launch(a, 1, 64, 0, add, x, 1.0f);
    must(cudaEventRecord(event, a));
    if (!planted) must(cudaStreamWaitEvent(b, event, 0));
    lab_launch(b, 1, 64, 0, scaled, y, (const float *)x, 2.0f);
    return lab_expect(b, y, 64, [](int i) { return 2 * (i % 13 + 1); });
}

static enum outcome event_before_work(bool planted) {
    cudaStream_t a = lab_stream(), b = lab_stream();
    float *x = lab_ramp<float>(a, 64), *y = lab_alloc<float>(64);
    cudaEvent_t event;
    must(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    must(cudaStreamSynchronize(a));
    if (planted) must(cudaEventRecord(event, a));
    lab_launch(a, 1, 64, 0, add, x, 1.0f);
    if (!planted) must(cudaEventRecord(event, a));
    must(cudaStreamWaitEvent(b, event, 0));
    lab_launch(b, 1, 64, 0, scaled, y, (const float *)x, 2.0f);
    return lab_expect(b, y, 64, [](int i) { return 2 * (i % 13 + 1); });
}

static enum outcome pinned_reused(bool planted) {
    cudaStream_t s = lab_stream();
    float *pinned, *x = lab_alloc<float>(64), *y = lab_alloc<float>(64);
    must(cudaMallocHost(&pinned, 64 * sizeof *pinned));
    for (int i = 0; i < 64; i++) pinned[i] = (float)i;
    must(cudaMemcpyAsync(x, pinned, 64 * sizeof *x, cudaMemcpyHostToDevice, s));
    if (!planted) must(cudaStreamSynchronize(s));
    for (int i = 0; i < 64; i++) pinned[i] = 0;
    lab_launch(s, 1, 64, 0, scaled, y, (const float *)x, 2.0f);
    return lab_expect(s, y, 64, [](int i) { return 2 * i; });
}

static enum outcome result_before_sync(bool planted) {
    cudaStream_t s = lab_stream();
    float *pinned, *x = lab_ramp<float>(s, 64);
    must(cudaMallocHost(&pinned, 64 * sizeof *pinned));
    must(cudaMemcpyAsync(pinned, x, 64 * sizeof *x, cudaMemcpyDeviceToHost, s));
    if (!planted) must(cudaStreamSynchronize(s));
    return pinned[5] == 5 ? MUTANT_RIGHT : MUTANT_WRONG;
}

/* ---- memory that is freed while it is needed ---- */

static enum outcome kernel_after_async_free(bool planted) {
    cudaStream_t s = lab_stream();
    float *x = lab_ramp<float>(s, 64), *y = lab_alloc<float>(64);
    if (planted) must(cudaFreeAsync(x, s));
    lab_launch(s, 1, 64, 0, scaled, y, (const float *)x, 2.0f);
    if (!planted) must(cudaFreeAsync(x, s));
    return lab_expect(s, y, 64, [](int i) { return 2 * (i % 13); });
}

static enum outcome copy_after_free(bool planted) {
    cudaStream_t s = lab_stream();
    float host[64], *x = lab_ramp<float>(s, 64);
    if (planted) must(cudaFree(x));
    return outcome_of(cudaMemcpyAsync(host, x, sizeof host, cudaMemcpyDeviceToHost, s));
}

static enum outcome freed_twice(bool planted) {
    float *x = lab_alloc<float>(64);
    must(cudaFree(x));
    return planted ? outcome_of(cudaFree(x)) : MUTANT_RIGHT;
}

/* ---- graphs ---- */

static enum outcome allocation_in_capture(bool planted) {
    cudaStream_t s = lab_stream();
    float *x = lab_ramp<float>(s, 64), *y = NULL;
    cudaGraph_t graph;
    if (!planted) y = lab_alloc<float>(64);
    must(cudaStreamSynchronize(s));
    must(cudaStreamBeginCapture(s, cudaStreamCaptureModeGlobal));
    if (planted && cudaMalloc(&y, 64 * sizeof *y) != cudaSuccess) y = x;
    lab_try(s, 1, 64, 0, scaled, y, (const float *)x, 2.0f);
    return outcome_of(cudaStreamEndCapture(s, &graph));
}

static enum outcome wait_in_capture(bool planted) {
    cudaStream_t s = lab_stream();
    float *x = lab_ramp<float>(s, 64);
    cudaGraph_t graph;
    must(cudaStreamBeginCapture(s, cudaStreamCaptureModeGlobal));
    lab_launch(s, 1, 64, 0, add, x, 1.0f);
    if (planted) cudaStreamSynchronize(s);
    return outcome_of(cudaStreamEndCapture(s, &graph));
}

/* Captures y += 1 on a, then x = y * 2 on b, then y += x[3] on a. */
static cudaError_t capture_fork(cudaGraph_t *graph, float *x, float *y, bool fork, bool join) {
    cudaStream_t a = lab_stream(), b = lab_stream();
    cudaEvent_t event;
    must(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    must(cudaStreamBeginCapture(a, cudaStreamCaptureModeGlobal));
    if (!fork) must(cudaEventRecord(event, a));
    lab_launch(a, 1, 64, 0, add, y, 1.0f);
    if (fork) must(cudaEventRecord(event, a));
    must(cudaStreamWaitEvent(b, event, 0));
    lab_launch(b, 1, 64, 0, scaled, x, (const float *)y, 2.0f);
    if (join) {
        must(cudaEventRecord(event, b));
        must(cudaStreamWaitEvent(a, event, 0));
    }
    lab_launch(a, 1, 64, 0, add_from, y, (const float *)x + 3);
    return cudaStreamEndCapture(a, graph);
}

static enum outcome unjoined_capture(bool planted) {
    cudaGraph_t graph;
    float *x = lab_alloc<float>(64), *y = lab_alloc<float>(64);
    return outcome_of(capture_fork(&graph, x, y, true, !planted));
}

static enum outcome missing_dependency(bool planted) {
    cudaStream_t s = lab_stream();
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    float *y = lab_ramp<float>(s, 64), *x = lab_alloc<float>(64);
    must(cudaStreamSynchronize(s));
    must(capture_fork(&graph, x, y, !planted, true));
    must(cudaGraphInstantiate(&exec, graph, 0));
    must(cudaGraphLaunch(exec, s));
    return lab_expect(s, y, 64, [](int i) { return i % 13 + 1 + 8; });
}

/* A graph holds the values that its launches had, not the variables they came from. */
static enum outcome stale_scalar(bool planted) {
    cudaStream_t s = lab_stream();
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    float *y = lab_ramp<float>(s, 64), *device_step = lab_alloc<float>(1), step = 0;
    must(cudaStreamSynchronize(s));
    must(cudaStreamBeginCapture(s, cudaStreamCaptureModeGlobal));
    if (planted) lab_launch(s, 1, 64, 0, add, y, step);
    else lab_launch(s, 1, 64, 0, add_from, y, (const float *)device_step);
    must(cudaStreamEndCapture(s, &graph));
    must(cudaGraphInstantiate(&exec, graph, 0));
    for (step = 1; step <= 3; step++) {
        must(cudaMemcpyAsync(device_step, &step, sizeof step, cudaMemcpyHostToDevice, s));
        must(cudaGraphLaunch(exec, s));
    }
    return lab_expect(s, y, 64, [](int i) { return i % 13 + 6; });
}

/* Captures y += *v, and maybe a copy of `value` to v before it, and instantiates that. */
static cudaGraphExec_t graph_of_sum(cudaStream_t s, int threads, float *y, float *v,
                                    const float *value) {
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    must(cudaStreamSynchronize(s));
    must(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal));
    if (value) must(cudaMemcpyAsync(v, value, sizeof *v, cudaMemcpyHostToDevice, s));
    lab_launch(s, 1, threads, 0, add_from, y, (const float *)v);
    must(cudaStreamEndCapture(s, &graph));
    must(cudaGraphInstantiate(&exec, graph, 0));
    must(cudaGraphDestroy(graph));
    return exec;
}

/* A copy in a graph reads the host's memory when the graph runs. */
static enum outcome captured_copy(bool planted) {
    cudaStream_t s = lab_stream();
    float *y = lab_ramp<float>(s, 64), *v = lab_alloc<float>(1), value = 1;
    cudaGraphExec_t exec = graph_of_sum(s, 64, y, v, planted ? &value : NULL);
    if (!planted) must(cudaMemcpyAsync(v, &value, sizeof value, cudaMemcpyHostToDevice, s));
    value = 2;
    must(cudaGraphLaunch(exec, s));
    return lab_expect(s, y, 64, [](int i) { return i % 13 + 1; });
}

/* A graph that was made for fewer rows than there are now. */
static enum outcome stale_grid(bool planted) {
    cudaStream_t s = lab_stream();
    float *y = lab_ramp<float>(s, 64), *v = lab_ramp<float>(s, 2) + 1;
    cudaGraphExec_t exec = graph_of_sum(s, planted ? 32 : 64, y, v, NULL);
    must(cudaGraphLaunch(exec, s));
    return lab_expect(s, y, 64, [](int i) { return i % 13 + 1; });
}

static enum outcome stale_pointer(bool planted) {
    cudaStream_t s = lab_stream();
    float *y = lab_ramp<float>(s, 64), *v = lab_ramp<float>(s, 2), *moved;
    cudaGraphExec_t exec = graph_of_sum(s, 64, y, v, NULL);
    must(cudaFree(v));
    moved = lab_ramp<float>(s, 2);
    if (!planted) exec = graph_of_sum(s, 64, y, moved, NULL);
    must(cudaGraphLaunch(exec, s));
    return lab_expect(s, y, 64, [](int i) { return i % 13; });
}

static enum outcome read_in_capture(bool planted) {
    cudaStream_t s = lab_stream();
    float *x = lab_ramp<float>(s, 64), host = 0;
    cudaGraph_t graph;
    must(cudaStreamSynchronize(s));
    must(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal));
    lab_launch(s, 1, 64, 0, add, x, 1.0f);
    if (planted) cudaMemcpyAsync(&host, x, sizeof host, cudaMemcpyDeviceToHost, s);
    return outcome_of(cudaStreamEndCapture(s, &graph));
}

/* ---- errors nobody looks at ---- */

template <bool PLANTED> static __global__ void trapping(float *y) {
    if (PLANTED && threadIdx.x == 7) __trap();
    y[threadIdx.x] = 1;
}

static enum outcome lost_device(bool planted) {
    cudaStream_t s = lab_stream();
    float *y = lab_alloc<float>(64);
    LAB_LAUNCH(planted, s, 1, 64, 0, trapping, y);
    cudaStreamSynchronize(s);
    void *more;
    return outcome_of(cudaMalloc(&more, 64));
}

/* ---- faults on demand: what is refused here is what the backend has to cope with ---- */

static enum outcome injected_alloc_failure(bool planted) {
    if (planted) setenv("CUDA_EMULATOR_FAIL_ALLOC", "2", 1);
    float *x = lab_alloc<float>(64), *y;
    cudaError_t error = cudaMalloc(&y, 64);
    must(cudaFree(x)); /* the device is still there */
    return outcome_of(error);
}

static enum outcome injected_kernel_failure(bool planted) {
    if (planted) setenv("CUDA_EMULATOR_FAIL_KERNEL", "2", 1);
    cudaStream_t s = lab_stream();
    float *y = lab_ramp<float>(s, 64);
    for (int i = 0; i < 3; i++) lab_launch(s, 1, 64, 0, add, y, 1.0f);
    cudaStreamSynchronize(s);
    cudaGetLastError();
    return outcome_of(cudaGetLastError()); /* not forgotten: the device is lost */
}

static enum outcome injected_lack_of_driver(bool planted) {
    if (planted) setenv("CUDA_EMULATOR_DRIVER", "0", 1);
    int count;
    return outcome_of(cudaGetDeviceCount(&count));
}

static enum outcome injected_capture_failure(bool planted) {
    if (planted) setenv("CUDA_EMULATOR_FAIL_CAPTURE", "1", 1);
    cudaStream_t s = lab_stream();
    cudaGraph_t graph;
    must(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal));
    return outcome_of(cudaStreamEndCapture(s, &graph));
}

static enum outcome injected_graph_failure(bool planted) {
    if (planted) setenv("CUDA_EMULATOR_FAIL_GRAPH", "1", 1);
    cudaStream_t s = lab_stream();
    float *y = lab_ramp<float>(s, 64), *v = lab_ramp<float>(s, 1);
    must(cudaGraphLaunch(graph_of_sum(s, 64, y, v, NULL), s));
    return outcome_of(cudaStreamSynchronize(s));
}

static enum outcome too_little_memory(bool planted) {
    if (planted) setenv("CUDA_EMULATOR_MEMORY", "1000000", 1);
    lab_alloc<char>(600000);
    void *more;
    return outcome_of(cudaMalloc(&more, 600000));
}

static const struct mutant host_mutants[] = {
    {"1056 threads", "refused", "refused", "refused", too_many_threads},
    {"an empty grid", "refused", "refused", "refused", empty_grid},
    {"dynamic shared memory without opting in", "refused", "refused", "refused", no_opt_in},
    {"opting in to too much shared memory", "refused", "refused", "refused", too_much_opt_in},
    {"a copy that is too long", "refused", "refused", "refused", copy_too_long},
    {"no event between streams", "wrong", "wrong", "wrong", missing_event},
    {"an event recorded too early", "wrong", "wrong", "wrong", event_before_work},
    {"page-locked memory reused", "wrong", "wrong", "wrong", pinned_reused},
    {"a result read before it is there", "wrong", "wrong", "wrong", result_before_sync},
    {"a kernel after cudaFreeAsync", "use-after-free", "use-after-free|out-of-bounds",
     "use-after-free", kernel_after_async_free},
    {"a copy after cudaFree", "refused", "refused", "refused", copy_after_free},
    {"memory freed twice", "refused", "refused", "refused", freed_twice},
    {"an allocation in a capture", "refused", "refused", "refused", allocation_in_capture},
    {"a wait in a capture", "refused", "refused", "refused", wait_in_capture},
    {"a capture that is not joined", "refused", "refused", "refused", unjoined_capture},
    {"a graph without a dependency", "wrong", "wrong", "wrong", missing_dependency},
    {"a host scalar in a graph", "wrong", "wrong", "wrong", stale_scalar},
    {"a copy of ordinary memory in a graph", "wrong", "wrong", "wrong", captured_copy},
    {"a graph for fewer rows", "wrong", "wrong", "wrong", stale_grid},
    {"a graph whose memory was freed", "use-after-free", "use-after-free|out-of-bounds",
     "use-after-free", stale_pointer},
    {"a result read in a capture", "refused", "refused", "refused", read_in_capture},
    {"a device that was lost", "refused", "refused", "refused", lost_device},
    {"an allocation that fails on demand", "refused", "refused", "refused", injected_alloc_failure},
    {"a kernel that fails on demand", "refused", "refused", "refused", injected_kernel_failure},
    {"a capture that fails on demand", "refused", "refused", "refused", injected_capture_failure},
    {"a graph that fails on demand", "refused", "refused", "refused", injected_graph_failure},
    {"no driver", "refused", "refused", "refused", injected_lack_of_driver},
    {"too little memory", "refused", "refused", "refused", too_little_memory},
};
LAB_LIST(host_mutants);
