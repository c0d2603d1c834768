/* CUDA C++ for g++: shadows NVIDIA's header of the same name when .cu files are built for the emulator.
 * A kernel is an ordinary function that the emulator calls once a thread; threadIdx and its kin are
 * globals that change whenever another thread runs. README.md says which part of CUDA is here. */
#pragma once

#include <cuda_runtime_api.h>

#ifdef __cplusplus
#include "tests/cuda_emulator/emulator.h"

#include <math.h>
#include <new>
#include <stdlib.h>
#include <string.h>
#include <tuple>
#include <type_traits>

/* ---- keywords ---- */

#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
/* Shared memory is one block's at a time, and one block runs at a time: so it is static. Being
 * thread-local puts all of it in one segment, which the emulator finds and poisons; the address
 * sanitizer guards plain static variables only. */
#ifdef __SANITIZE_ADDRESS__
#define __shared__ __attribute__((aligned(16)))
#else
#define __shared__ thread_local
#endif

#define EMU_TEXT_(x) #x
#define EMU_TEXT(x) EMU_TEXT_(x)
#define EMU_SITE (__FILE__ ":" EMU_TEXT(__LINE__))

/* ---- where a thread is ---- */

extern "C" uint3 threadIdx, blockIdx;
extern "C" dim3 blockDim, gridDim;
static const int warpSize = 32;

/* ---- vectors ---- */

struct __attribute__((aligned(8))) float2 {
    float x, y;
};
struct float3 {
    float x, y, z;
};
struct __attribute__((aligned(16))) float4 {
    float x, y, z, w;
};
struct __attribute__((aligned(8))) int2 {
    int x, y;
};
struct int3 {
    int x, y, z;
};
struct __attribute__((aligned(16))) int4 {
    int x, y, z, w;
};
struct __attribute__((aligned(8))) uint2 {
    unsigned x, y;
};
struct __attribute__((aligned(16))) uint4 {
    unsigned x, y, z, w;
};
struct __attribute__((aligned(16))) double2 {
    double x, y;
};
struct __attribute__((aligned(16))) longlong2 {
    long long x, y;
};
struct __attribute__((aligned(16))) ulonglong2 {
    unsigned long long x, y;
};

static inline float2 make_float2(float x, float y) { return {x, y}; }
static inline float3 make_float3(float x, float y, float z) { return {x, y, z}; }
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
static inline int2 make_int2(int x, int y) { return {x, y}; }
static inline int3 make_int3(int x, int y, int z) { return {x, y, z}; }
static inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
static inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
static inline uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return {x, y, z}; }
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) {
    return {x, y, z, w};
}
static inline double2 make_double2(double x, double y) { return {x, y}; }

/* ---- barriers and fences ---- */

#define __syncthreads() ((void)emu_barrier(EMU_SITE, false))
#define __syncthreads_count(p) ((int)emu_barrier(EMU_SITE, (p) != 0))
#define __syncthreads_or(p) ((int)(emu_barrier(EMU_SITE, (p) != 0) != 0))
#define __syncthreads_and(p) ((int)(emu_barrier(EMU_SITE, (p) == 0) == 0))
/* Fibers see each other's writes at once: fences have nothing to do. */
static inline void __threadfence_block() {}
static inline void __threadfence() {}
#define __trap() emu_trap(EMU_SITE)

/* ---- warp collectives ---- */

#define __syncwarp(...) emu_syncwarp(EMU_SITE, ##__VA_ARGS__)
#define __activemask() emu_active_mask()
#define __shfl_sync(...) emu_shuffle(EMU_SITE, "__shfl_sync", emu_from_index, __VA_ARGS__)
#define __shfl_up_sync(...) emu_shuffle(EMU_SITE, "__shfl_up_sync", emu_from_above, __VA_ARGS__)
#define __shfl_down_sync(...) emu_shuffle(EMU_SITE, "__shfl_down_sync", emu_from_below, __VA_ARGS__)
#define __shfl_xor_sync(...) emu_shuffle(EMU_SITE, "__shfl_xor_sync", emu_from_xor, __VA_ARGS__)
#define __ballot_sync(mask, p) emu_vote(EMU_SITE, "__ballot_sync", mask, (p) != 0)
#define __any_sync(mask, p) ((int)(emu_vote(EMU_SITE, "__any_sync", mask, (p) != 0) != 0))
#define __all_sync(mask, p) ((int)(emu_vote(EMU_SITE, "__all_sync", mask, (p) == 0) == 0))
#define __match_any_sync(mask, v) emu_match(EMU_SITE, mask, v)
#define __reduce_add_sync(mask, v) emu_reduce(EMU_SITE, "__reduce_add_sync", mask, v, '+')
#define __reduce_min_sync(mask, v) emu_reduce(EMU_SITE, "__reduce_min_sync", mask, v, '<')
#define __reduce_max_sync(mask, v) emu_reduce(EMU_SITE, "__reduce_max_sync", mask, v, '>')

static inline void emu_syncwarp(const char *site, unsigned mask = 0xffffffffu) {
    emu_collective("__syncwarp", site, mask, 0, 0);
}

/* Which lane a shuffle reads; its own where the source is outside the segment of `width` lanes. */
static inline unsigned emu_from_index(unsigned lane, unsigned k, unsigned width) {
    return (lane & ~(width - 1)) + (k & (width - 1));
}
static inline unsigned emu_from_above(unsigned lane, unsigned k, unsigned width) {
    return (lane & (width - 1)) < k ? lane : lane - k;
}
static inline unsigned emu_from_below(unsigned lane, unsigned k, unsigned width) {
    return (lane & (width - 1)) + k >= width ? lane : lane + k;
}
static inline unsigned emu_from_xor(unsigned lane, unsigned k, unsigned width) {
    unsigned from = lane ^ k;
    return (from & ~(width - 1)) > (lane & ~(width - 1)) ? lane : from;
}

template <class T> struct emu_shuffled {
    T mine, result;
    unsigned from;
};

/* A lane outside the mask has nothing to read: what comes back is poison. */
template <class T> static void emu_shuffle_work(void *const lanes[32], unsigned) {
    for (int i = 0; i < 32; i++) {
        emu_shuffled<T> *lane = (emu_shuffled<T> *)lanes[i];
        if (!lane) continue;
        const emu_shuffled<T> *from = (const emu_shuffled<T> *)lanes[lane->from & 31];
        if (from) lane->result = from->mine;
        else memset((void *)&lane->result, 0xff, sizeof lane->result);
    }
}

template <class T>
static inline T emu_shuffle(const char *site, const char *kind,
                            unsigned (*source)(unsigned, unsigned, unsigned), unsigned mask,
                            T value, unsigned k, unsigned width = 32) {
    static_assert(std::is_arithmetic<T>::value || sizeof(T) <= 4,
                  "not a type that can be shuffled");
    emu_shuffled<T> lane = {value, value, source(emu_lane(), k, width)};
    emu_collective(kind, site, mask, &lane, emu_shuffle_work<T>);
    return lane.result;
}

static inline void emu_vote_work(void *const lanes[32], unsigned) {
    unsigned votes = 0;
    for (int i = 0; i < 32; i++)
        if (lanes[i] && *(unsigned *)lanes[i]) votes |= 1u << i;
    for (int i = 0; i < 32; i++)
        if (lanes[i]) *(unsigned *)lanes[i] = votes;
}
static inline unsigned emu_vote(const char *site, const char *kind, unsigned mask, bool predicate) {
    unsigned vote = predicate;
    emu_collective(kind, site, mask, &vote, emu_vote_work);
    return vote;
}

template <class T> struct emu_matched {
    T value;
    unsigned same;
};
template <class T> static void emu_match_work(void *const lanes[32], unsigned) {
    for (int i = 0; i < 32; i++)
        for (int j = 0; lanes[i] && j < 32; j++) {
            emu_matched<T> *a = (emu_matched<T> *)lanes[i], *b = (emu_matched<T> *)lanes[j];
            if (b && a->value == b->value) a->same |= 1u << j;
        }
}
template <class T> static inline unsigned emu_match(const char *site, unsigned mask, T value) {
    emu_matched<T> lane = {value, 0};
    emu_collective("__match_any_sync", site, mask, &lane, emu_match_work<T>);
    return lane.same;
}

template <class T> struct emu_reduced {
    T value;
    char sign; /* + sum, < least, > greatest */
};
template <class T> static void emu_reduce_work(void *const lanes[32], unsigned) {
    emu_reduced<T> *first = 0;
    for (int i = 0; i < 32; i++) {
        emu_reduced<T> *lane = (emu_reduced<T> *)lanes[i];
        if (!lane) continue;
        if (!first) first = lane;
        else if (lane->sign == '+') first->value += lane->value;
        else if (lane->sign == '<' ? lane->value < first->value : first->value < lane->value)
            first->value = lane->value;
    }
    for (int i = 0; i < 32; i++)
        if (lanes[i]) ((emu_reduced<T> *)lanes[i])->value = first->value;
}
template <class T>
static inline T emu_reduce(const char *site, const char *kind, unsigned mask, T value, char sign) {
    static_assert(sizeof(T) == 4 && std::is_integral<T>::value,
                  "reductions are of 32-bit integers");
    emu_reduced<T> lane = {value, sign};
    emu_collective(kind, site, mask, &lane, emu_reduce_work<T>);
    return lane.value;
}

/* ---- atomics: relaxed, as CUDA's are ---- */

template <class T> static inline T atomicAdd(T *at, std::common_type_t<T> v) {
    return __atomic_fetch_add(at, v, __ATOMIC_RELAXED);
}
template <class T> static inline T atomicSub(T *at, std::common_type_t<T> v) {
    return __atomic_fetch_sub(at, v, __ATOMIC_RELAXED);
}
template <class T> static inline T atomicOr(T *at, std::common_type_t<T> v) {
    return __atomic_fetch_or(at, v, __ATOMIC_RELAXED);
}
template <class T> static inline T atomicAnd(T *at, std::common_type_t<T> v) {
    return __atomic_fetch_and(at, v, __ATOMIC_RELAXED);
}
template <class T> static inline T atomicExch(T *at, std::common_type_t<T> v) {
    return __atomic_exchange_n(at, v, __ATOMIC_RELAXED);
}
template <class T>
static inline T atomicCAS(T *at, std::common_type_t<T> expected, std::common_type_t<T> v) {
    __atomic_compare_exchange_n(at, &expected, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    return expected;
}
template <class T> static inline T atomicMax(T *at, std::common_type_t<T> v) {
    T old = __atomic_load_n(at, __ATOMIC_RELAXED);
    if (old < v) __atomic_store_n(at, v, __ATOMIC_RELAXED);
    return old;
}
template <class T> static inline T atomicMin(T *at, std::common_type_t<T> v) {
    T old = __atomic_load_n(at, __ATOMIC_RELAXED);
    if (v < old) __atomic_store_n(at, v, __ATOMIC_RELAXED);
    return old;
}

/* ---- bits and arithmetic with a stated rounding; the compiler contracts nothing by itself ---- */

template <class To, class From> static inline To emu_bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "sizes differ");
    To to;
    memcpy((void *)&to, &from, sizeof to);
    return to;
}
static inline int __float_as_int(float x) { return emu_bits<int>(x); }
static inline unsigned __float_as_uint(float x) { return emu_bits<unsigned>(x); }
static inline float __int_as_float(int x) { return emu_bits<float>(x); }
static inline float __uint_as_float(unsigned x) { return emu_bits<float>(x); }

static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
static inline int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)x) : 64; }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __ffsll(long long x) { return __builtin_ffsll(x); }
static inline unsigned __brev(unsigned x) {
    unsigned r = 0;
    for (int i = 0; i < 32; i++) r |= (x >> i & 1) << (31 - i);
    return r;
}
static inline unsigned __umulhi(unsigned a, unsigned b) {
    return (unsigned)((unsigned long long)a * b >> 32);
}
static inline int __mulhi(int a, int b) { return (int)((long long)a * b >> 32); }

static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
static inline float __fsqrt_rn(float a) { return __builtin_sqrtf(a); }
static inline float __frcp_rn(float a) { return 1.0f / a; }
static inline float __double2float_rn(double a) { return (float)a; }
static inline float __int2float_rn(int a) { return (float)a; }
static inline float __uint2float_rn(unsigned a) { return (float)a; }
static inline int __float2int_rn(float a) { return (int)__builtin_rintf(a); }
static inline int __float2int_rz(float a) { return (int)a; }
static inline float __saturatef(float a) { return a > 0 ? (a < 1 ? a : 1) : 0; }
static inline float rsqrtf(float a) { return 1.0f / __builtin_sqrtf(a); }
/* The C library has functions of these names: they are macros here. */
#define __expf(x) __builtin_expf(x)
#define __logf(x) __builtin_logf(x)
#define __sinf(x) __builtin_sinf(x)
#define __cosf(x) __builtin_cosf(x)
#define __powf(x, y) __builtin_powf(x, y)
#define __fdividef(x, y) ((float)(x) / (float)(y))

#define EMU_MIN_MAX(type)                                                                          \
    static inline type min(type a, type b) { return b < a ? b : a; }                               \
    static inline type max(type a, type b) { return a < b ? b : a; }
EMU_MIN_MAX(int)
EMU_MIN_MAX(unsigned)
EMU_MIN_MAX(long)
EMU_MIN_MAX(unsigned long)
EMU_MIN_MAX(long long)
EMU_MIN_MAX(unsigned long long)
#undef EMU_MIN_MAX
static inline float min(float a, float b) { return __builtin_fminf(a, b); }
static inline float max(float a, float b) { return __builtin_fmaxf(a, b); }

template <class T> static inline T __ldg(const T *at) { return *at; }
template <class T> static inline T __ldcg(const T *at) { return *at; }
template <class T> static inline T __ldcs(const T *at) { return *at; }
template <class T> static inline void __stcs(T *at, T v) { *at = v; }
template <class T> static inline void __stcg(T *at, T v) { *at = v; }

/* ---- launches ---- */

template <class... P> struct emu_typed_call {
    emu_call call;
    void (*kernel)(P...);
    std::tuple<P...> arguments;
};

template <class... P> static void emu_run_call(const emu_call *call) {
    const emu_typed_call<P...> *typed = (const emu_typed_call<P...> *)call;
    std::apply(typed->kernel, typed->arguments);
}

/* Arguments are converted to the kernel's parameter types and copied now, as a device's are. */
template <class... P, class... A>
static inline cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t *config, void (*kernel)(P...),
                                             A &&...arguments) {
    static_assert(sizeof...(P) == sizeof...(A), "a kernel takes as many arguments as it declares");
    static_assert((std::is_trivially_copyable<P>::value && ...), "parameters are plain data");
    static_assert((sizeof(P) + ... + 0) <= 4096, "parameters have at most 4096 bytes");
    typedef emu_typed_call<P...> typed;
    typed *made = (typed *)malloc(sizeof(typed));
    if (!made) abort();
    new (made) typed{{emu_run_call<P...>, sizeof(typed), (const void *)kernel},
                     kernel,
                     std::tuple<P...>(static_cast<P>(arguments)...)};
    return emu_launch(config, &made->call);
}

template <class... P>
static inline cudaError_t cudaFuncSetAttribute(void (*kernel)(P...), cudaFuncAttribute attribute,
                                               int value) {
    return emu_func_set_attribute((const void *)kernel, attribute, value);
}

template <class T> static inline cudaError_t cudaMalloc(T **out, size_t bytes) {
    return cudaMalloc((void **)out, bytes);
}
template <class T> static inline cudaError_t cudaMallocHost(T **out, size_t bytes) {
    return cudaMallocHost((void **)out, bytes);
}
template <class T>
static inline cudaError_t cudaMallocAsync(T **out, size_t bytes, cudaStream_t stream) {
    return cudaMallocAsync((void **)out, bytes, stream);
}
#endif
