/* The tensor cores' instructions, which CUDA C++ has no functions for: warp-wide, inline assembly under
 * nvcc, the emulator's functions of the same names elsewhere. PTX manual, "mma.m16n8k16", "ldmatrix". */
#pragma once

#ifdef __CUDACC__
/* d[16, 8] += a[16, 16] b[16, 8]: bf16 in pairs, fp32 sums. */
static __device__ __forceinline__ void mma_bf16_m16n8k16(float d[4], const unsigned a[4],
                                                         const unsigned b[2]) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* Four 8 x 8 tiles; lane 8 i + j names row j of tile i in shared memory, 16 bytes. */
static __device__ __forceinline__ void ldmatrix_x4(unsigned r[4], const void *row) {
    unsigned at = (unsigned)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
}
#else
#include <emulated_tensor_core.h>
#endif
