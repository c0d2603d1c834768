/* What prepares attention's inputs: rotary positions, and keys and values on their way into the cache. */
#include "kernels/cpu/attention_block.h"
#include "kernels/cpu/groups.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/open_panel.h"
#include "kernels/cpu/spread.h"
#include "kernels/cpu/transpose.h"

#include <string.h>

enum {
    AHEAD = 4,       /* rows between fetching and using them */
    ROTATE_COST = 2, /* a rotation is worth moving this many floats more, */
    STORE_COST = 8,  /* storing keys, each a line of its own, that many */
};

struct rope {
    const float *x, *cos, *sin;
    float *y;
    const int32_t *row_pos;
    ptrdiff_t ldx, hx, ldy, hy;
    int H, d;
    bool interleaved;
    float sign; /* of the angle */
};

/* Rows lie apart, where the processor does not fetch ahead of itself. */
static void fetch_next(const struct rope *r, const float *y, const float *x) {
    _mm_prefetch((const char *)(x + AHEAD * r->ldx), _MM_HINT_T0);
    _mm_prefetch((const char *)(y + AHEAD * r->ldy), _MM_HINT_T0);
}

/* Pairs (j, j + d/2), of all heads of a row. */
static void rotate_halves(const struct rope *r, float *y, const float *x, const float *cos,
                          const float *sin) {
    int half = r->d / 2;
    for (int j = 0; j < half; j += LANES) {
        vmask m = vmask_first(half - j);
        vf c = vf_load_mask(cos + j, m);
        vf n = vf_mul(vf_load_mask(sin + j, m), vf_set1(r->sign));
        for (int h = 0; h < r->H; h++) {
            const float *from = x + h * r->hx + j;
            float *to = y + h * r->hy + j;
            vf a = vf_load_mask(from, m), b = vf_load_mask(from + half, m);
            fetch_next(r, to, from);
            fetch_next(r, to + half, from + half);
            vf minus = vf_mul(vf_mul(b, n), vf_set1(-1.0f));
            vf_store_mask(to, m, vf_fma(a, c, minus));
            vf_store_mask(to + half, m, vf_fma(b, c, vf_mul(a, n)));
        }
    }
}

/* Pairs (2j, 2j + 1): lane by lane x*cos plus the neighbour times -sin, +sin, -sin, ... */
static void rotate_pairs(const struct rope *r, float *y, const float *x, const float *cos,
                         const float *sin) {
    float signs[LANES];
    for (int i = 0; i < LANES; i++) signs[i] = i % 2 ? r->sign : -r->sign;
    for (int j = 0; j < r->d; j += LANES) {
        int pairs = (r->d - j) / 2 < LANES / 2 ? (r->d - j) / 2 : LANES / 2;
        vmask m = vmask_first(2 * pairs);
        vf c = vf_load_twice(cos + j / 2, pairs);
        vf n = vf_mul(vf_load_twice(sin + j / 2, pairs), vf_load(signs));
        for (int h = 0; h < r->H; h++) {
            const float *from = x + h * r->hx + j;
            float *to = y + h * r->hy + j;
            vf a = vf_load_mask(from, m);
            fetch_next(r, to, from);
            vf_store_mask(to, m, vf_fma(a, c, vf_mul(vf_swap_pairs(a), n)));
        }
    }
}

static void rope_rows(const void *task, int64_t from, int64_t to) {
    const struct rope *r = task;
    for (int64_t t = from; t < to; t++) {
        int64_t angle = (int64_t)r->row_pos[t] * (r->d / 2);
        (r->interleaved ? rotate_pairs : rotate_halves)(r, r->y + t * r->ldy, r->x + t * r->ldx,
                                                        r->cos + angle, r->sin + angle);
    }
}

static void rope(struct stream *s, buf y, int ldy, int hy, buf x, int ldx, int hx, buf cos, buf sin,
                 buf row_pos, int T, int H, int d, bool interleaved, bool inverse) {
    REQUIRE(d >= 2 && d % 2 == 0 && H >= 1);
    struct rope r = {host_f32(x),
                     host_f32(cos),
                     host_f32(sin),
                     host_f32(y),
                     host_i32(row_pos),
                     ldx,
                     hx,
                     ldy,
                     hy,
                     H,
                     d,
                     interleaved,
                     inverse ? -1.0f : 1.0f};
    spread(s, T, (int64_t)ROTATE_COST * H * d, rope_rows, &r);
}

struct store {
    const struct kv_view *kv;
    const float *k, *v;
    int ldk, ldv;
};

/* Rows t..t+n-1 are neighbours in one block: keys are written along their positions, panel by panel. */
static void store_run(const struct store *w, int64_t t, int n) {
    const struct kv_view *kv = w->kv;
    int position = host_i32(kv->row_pos)[t], slot = position % KV_BLOCK;
    for (int g = 0; g < kv->G; g++) {
        int64_t block = block_at(kv, host_i32(kv->row_seq)[t], position, g);
        float *keys = host_f32(kv->k) + block * kv->Dk;
        float *values = host_f32(kv->v) + block * kv->Dv + (int64_t)slot * kv->Dv;
        const float *k = w->k + t * w->ldk + (int64_t)g * kv->Dk;
        const float *v = w->v + t * w->ldv + (int64_t)g * kv->Dv;
        for (int i = 0, room, m; i < n; i += m) {
            room = LANES - (slot + i) % LANES;
            m = n - i < room ? n - i : room;
            transpose(keys + key_in_block(slot + i, kv->Dk), LANES, k + (int64_t)i * w->ldk, w->ldk,
                      m, kv->Dk);
        }
        for (int i = 0; i < n; i++)
            memcpy(values + i * kv->Dv, v + (int64_t)i * w->ldv, sizeof(float) * (size_t)kv->Dv);
    }
}

static void store_rows(const void *task, int64_t from, int64_t to) {
    const struct store *w = task;
    const int32_t *sequence = host_i32(w->kv->row_seq), *position = host_i32(w->kv->row_pos);
    int n;
    for (int64_t t = from; t < to; t += n) {
        int room = KV_BLOCK - position[t] % KV_BLOCK;
        for (n = 1; n < room && t + n < to; n++)
            if (sequence[t + n] != sequence[t] || position[t + n] != position[t] + n) break;
        store_run(w, t, n);
    }
}

/* Each row is the next of a sequence that grows. */
static void store_next(const void *task, int64_t from, int64_t to) {
    const struct store *w = task;
    const struct kv_view *kv = w->kv;
    int Dk = kv->Dk, Dv = kv->Dv;
    for (int64_t t = from; t < to; t++) {
        int sequence = host_i32(kv->row_seq)[t], position = host_i32(kv->row_pos)[t];
        int slot = position % KV_BLOCK, key = slot % LANES;
        REQUIRE(position >=
                host_fork(kv, sequence).shared); /* what is shared is stored as a prompt */
        const float *k = w->k + t * w->ldk, *v = w->v + t * w->ldv;
        for (int g = 0; g < kv->G; g++, k += Dk, v += Dv) {
            int64_t block = block_at(kv, sequence, position, g);
            float *keys = host_f32(kv->k) + block * Dk,
                  *value = host_f32(kv->v) + (block + slot) * Dv;
            ISA(open_panel_store)(keys + key_in_block(slot - key, Dk), key, k, Dk);
            for (int d = 0; d < Dv; d += LANES)
                vf_store_n(value + d, Dv - d, vf_load_n(v + d, Dv - d));
        }
    }
}

static void kv_store(struct stream *s, const struct kv_view *kv, buf k, int ldk, buf v, int ldv,
                     int T) {
    struct store w = {kv, host_f32(k), host_f32(v), ldk, ldv};
    spread(s, T, (int64_t)STORE_COST * kv->G * (kv->Dk + kv->Dv),
           kv->growing ? store_next : store_rows, &w);
}

void ISA(cpu_rope)(struct ops *table) {
    table->rope = rope;
    table->kv_store = kv_store;
}
