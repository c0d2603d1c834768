/* The last keys of a sequence that grows. A panel of LANES keys is open until it is full: in tiles of LANES
 * elements, each key's in a row, so that storing a key touches as many lines as a key has. Then it is closed,
 * which turns every tile: element d of key j lies at d*LANES + j. */
#pragma once

#include "kernels/cpu/simd.h"

/* Scores against an open panel: out[h][j - from] = chain over d of q[h][d] * key[j][d], from +0. */
struct open_panel {
    float *out;         /* [heads, count - from], rows KV_BLOCK apart */
    const float *q;     /* [heads, Dk] */
    const float *panel; /* [LANES, Dk] */
    const float *next;  /* a panel like it that is used next: fetched into L2 meanwhile */
    int heads, Dk;
    int from, count; /* keys from..count-1 are wanted; count < LANES, for a full panel is closed */
};

void ISA(open_panel_scores)(const struct open_panel *s);

/* Stores key number `slot` of a panel and closes the panel when that is its last. */
void ISA(open_panel_store)(float *panel, int slot, const float *key, int Dk);
