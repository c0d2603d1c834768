/* For functions in C headers that the kernels of kernels/cuda/ call too, so that there is one of each. */
#pragma once

#ifdef __CUDACC__
#define DEVICE_INLINE static __host__ __device__ __forceinline__
#else
#define DEVICE_INLINE static inline
#endif
