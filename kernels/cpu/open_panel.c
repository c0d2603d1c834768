#include "kernels/cpu/open_panel.h"

#include "kernels/cpu/cut.h"
#include "kernels/cpu/gemm_tile.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/transpose.h"

#include <string.h>

enum {
    TILE = LANES * LANES,
    QUARTER = LANES / 4,
    FEW_HEADS = 4,      /* tiles are turned in registers; for more heads, once for all */
    TURNED = 4 * LANES, /* elements of keys that are turned at a time */
};

/* Elements d..d+3 of the sixteen keys of a tile, one vector each; keys 4*i.. begin at quarter[i]. */
INLINE void turn(vf column[QUARTER], const float *const quarter[4], int d) {
    vf a[QUARTER];
    UNROLL for (int j = 0; j < QUARTER; j++) {
        int at = j * LANES + d;
        a[j] = vf_load_quarters(quarter[0] + at, quarter[1] + at, quarter[2] + at, quarter[3] + at);
    }
    vf low = vf_zip_low(a[0], a[1]), high = vf_zip_high(a[0], a[1]);
    vf low2 = vf_zip_low(a[2], a[3]), high2 = vf_zip_high(a[2], a[3]);
    column[0] = vf_join_low(low, low2);
    column[1] = vf_join_high(low, low2);
    column[2] = vf_join_low(high, high2);
    column[3] = vf_join_high(high, high2);
}

/* A constant number of heads. */
INLINE void score_few(const struct open_panel *s, const int heads) {
    const float *q = s->q, *tile = s->panel, *next = s->next;
    int left = s->Dk;
    vf sum[FEW_HEADS], column[QUARTER];
    UNROLL for (int h = 0; h < heads; h++) { sum[h] = vf_zero(); }
    for (; left >= LANES; left -= LANES, tile += TILE, next += TILE, q += LANES) {
        const float *quarter[4]; /* those without a key would only be read in vain */
        for (int i = 0; i < 4; i++)
            quarter[i] = tile + (QUARTER * i < s->count ? QUARTER * i * LANES : 0);
        UNROLL for (int d = 0; d < LANES; d += QUARTER) {
            turn(column, quarter, d);
            UNROLL for (int i = 0; i < QUARTER; i++) {
                if (d + i < s->count)
                    _mm_prefetch((const char *)(next + (d + i) * LANES), _MM_HINT_T1);
                UNROLL for (int h = 0; h < heads; h++) {
                    sum[h] = vf_fma(vf_set1(q[h * s->Dk + d + i]), column[i], sum[h]);
                }
            }
        }
    }
    for (int d = 0; d < left; d++) {
        float each[LANES];
        for (int j = 0; j < LANES; j++) each[j] = tile[j * left + d];
        UNROLL for (int h = 0; h < heads; h++) {
            sum[h] = vf_fma(vf_set1(q[h * s->Dk + d]), vf_load(each), sum[h]);
        }
    }
    UNROLL for (int h = 0; h < heads; h++) {
        float each[LANES];
        vf_store(each, sum[h]);
        memcpy(s->out + h * KV_BLOCK, each + s->from, sizeof(float) * (size_t)(s->count - s->from));
    }
}

static void score_many(const struct open_panel *s) {
    float turned[TURNED * LANES];
    struct product p = {.c = s->out,
                        .b = turned + s->from,
                        .c_row = KV_BLOCK,
                        .a_row = s->Dk,
                        .a_k = 1,
                        .b_panel = LANES,
                        .b_k = LANES,
                        .rows = s->heads,
                        .columns = s->count - s->from};
    for (int d = 0; d < s->Dk; d += TURNED) {
        p.a = s->q + d;
        p.depth = least(s->Dk - d, TURNED);
        p.add = d > 0;
        for (int t = 0; t < p.depth; t += LANES) {
            int width = least(p.depth - t, LANES);
            transpose(turned + t * LANES, LANES, s->panel + (d + t) * LANES, width, s->count,
                      width);
        }
        ISA(product)(&p);
    }
}

void ISA(open_panel_scores)(const struct open_panel *s) {
    switch (s->heads) {
    case 1:
        score_few(s, 1);
        break;
    case 2:
        score_few(s, 2);
        break;
    case 3:
        score_few(s, 3);
        break;
    case FEW_HEADS:
        score_few(s, FEW_HEADS);
        break;
    default:
        score_many(s);
    }
}

void ISA(open_panel_store)(float *panel, int slot, const float *key, int Dk) {
    for (int d = 0; d < Dk; d += LANES) {
        int width = least(Dk - d, LANES);
        float *tile = panel + (ptrdiff_t)d * LANES, turned[TILE];
        vf_store_n(tile + slot * width, width, vf_load_n(key + d, width));
        if (slot + 1 < LANES) continue;
        transpose(turned, LANES, tile, width, LANES, width);
        memcpy(tile, turned, sizeof(float) * (size_t)(width * LANES));
    }
}
