/* Warp matrix instructions for the emulator, with the register layouts of the PTX manual
 * (sections "mma.m16n8k16" and "ldmatrix"). Under nvcc the same functions are inline assembly. */
#pragma once

#include <cuda_bf16.h>

/* d += a b, mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32: a [16, 16] in four registers of two
 * bf16 a lane, b [16, 8] in two, d [16, 8] fp32 in four. */
#define mma_bf16_m16n8k16(d, a, b) emu_mma_bf16(EMU_SITE, d, a, b)

/* Loads 8x8 tiles of 16-bit elements: lane 8i..8i+7 gives the addresses of tile i's rows (16 bytes each,
 * 16-byte aligned, shared memory); r[i] receives the lane's two elements of tile i. */
#define ldmatrix_x4(r, row) emu_ldmatrix<4, false>(EMU_SITE, r, row)
#define ldmatrix_x4_trans(r, row) emu_ldmatrix<4, true>(EMU_SITE, r, row)
#define ldmatrix_x2(r, row) emu_ldmatrix<2, false>(EMU_SITE, r, row)
#define ldmatrix_x2_trans(r, row) emu_ldmatrix<2, true>(EMU_SITE, r, row)

struct emu_mma {
    float *d;
    const unsigned *a, *b;
};

static inline float emu_half(unsigned pair, int high) {
    return __uint_as_float(high ? pair & 0xffff0000u : pair << 16);
}

static inline void emu_mma_work(void *const lanes[32], unsigned) {
    float a[16][16], b[16][8];
    for (int i = 0; i < 32; i++) {
        const emu_mma *lane = (const emu_mma *)lanes[i];
        int group = i / 4, pair = i % 4 * 2;
        for (int h = 0; h < 2; h++) {
            for (int r = 0; r < 4; r++)
                a[group + r % 2 * 8][pair + h + r / 2 * 8] = emu_half(lane->a[r], h);
            for (int r = 0; r < 2; r++) b[pair + h + r * 8][group] = emu_half(lane->b[r], h);
        }
    }
    for (int i = 0; i < 32; i++) {
        const emu_mma *lane = (const emu_mma *)lanes[i];
        for (int e = 0; e < 4; e++) {
            int row = i / 4 + e / 2 * 8, col = i % 4 * 2 + e % 2;
            float sum = lane->d[e];
            for (int k = 0; k < 16; k++) sum = __builtin_fmaf(a[row][k], b[k][col], sum);
            lane->d[e] = sum;
        }
    }
}
static inline void emu_mma_bf16(const char *site, float d[4], const unsigned a[4],
                                const unsigned b[2]) {
    emu_mma lane = {d, a, b};
    emu_collective("mma.sync", site, 0xffffffffu, &lane, emu_mma_work);
}

struct emu_ldmatrix_lane {
    unsigned *r;
    unsigned short row[8];
};

template <int TILES, bool TRANSPOSED>
static void emu_ldmatrix_work(void *const lanes[32], unsigned) {
    for (int tile = 0; tile < TILES; tile++)
        for (int i = 0; i < 32; i++) {
            unsigned pair = 0;
            for (int h = 0; h < 2; h++) {
                int row = TRANSPOSED ? i % 4 * 2 + h : i / 4,
                    col = TRANSPOSED ? i / 4 : i % 4 * 2 + h;
                pair |= (unsigned)((emu_ldmatrix_lane *)lanes[tile * 8 + row])->row[col] << 16 * h;
            }
            ((emu_ldmatrix_lane *)lanes[i])->r[tile] = pair;
        }
}
/* Each lane reads the row it names, so that the checker knows whose access it is. */
template <int TILES, bool TRANSPOSED>
static inline void emu_ldmatrix(const char *site, unsigned r[TILES], const void *row) {
    emu_ldmatrix_lane lane = {r, {}};
    if (emu_lane() < 8 * TILES) {
        uint4 words = *(const uint4 *)row;
        memcpy(lane.row, &words, sizeof words);
    }
    emu_collective("ldmatrix", site, 0xffffffffu, &lane, emu_ldmatrix_work<TILES, TRANSPOSED>);
}
