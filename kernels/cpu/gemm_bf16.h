/* The three products in bf16, and packing for them, on whatever engine the stream has. */
#pragma once

#include "kernels/cpu/simd.h"
#include "kernels/ops.h"

size_t ISA(bf16_pack_size)(int N, int K);
void ISA(bf16_pack)(struct stream *s, const struct packing *p);
void ISA(bf16_nt)(struct stream *s, const struct gemm *g);
void ISA(bf16_nn)(struct stream *s, const struct gemm *g);
void ISA(bf16_tn)(struct stream *s, const struct gemm *g);
