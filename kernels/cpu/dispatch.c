/* Rows to their experts and back. */
#include "kernels/cpu/groups.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/spread.h"
#include "kernels/host.h"

#include <string.h>

/* A counting sort; too short to be worth threads. */
static void moe_permute(struct stream *s, buf order, buf place, buf offsets, buf ids, int T, int A,
                        int E) {
    (void)s;
    REQUIRE(T >= 0 && A >= 1 && E >= 1 && E <= EXPERTS_MAX);
    const int32_t *id = host_i32(ids);
    int32_t *offset = host_i32(offsets), next[EXPERTS_MAX];
    int slots = T * A;
    for (int e = 0; e <= E; e++) offset[e] = 0;
    for (int slot = 0; slot < slots; slot++) {
        REQUIRE(id[slot] >= 0 && id[slot] < E);
        offset[id[slot] + 1]++;
    }
    for (int e = 0; e < E; e++) {
        next[e] = offset[e];
        offset[e + 1] += offset[e];
    }
    for (int slot = 0; slot < slots; slot++) {
        int p = next[id[slot]]++;
        host_i32(order)[p] = slot;
        host_i32(place)[slot] = p;
    }
}

struct dispatch {
    float *to, *dgates;
    const float *from, *ys, *gates;
    const int32_t *at; /* order or place */
    int A, D;
    bool add;
};

static void gather_rows(const void *task, int64_t from, int64_t to) {
    const struct dispatch *m = task;
    for (int64_t p = from; p < to; p++)
        memcpy(m->to + p * m->D, m->from + (int64_t)(m->at[p] / m->A) * m->D,
               sizeof(float) * (size_t)m->D);
}

static void moe_gather(struct stream *s, buf xs, buf x, buf order, int T, int A, int D) {
    struct dispatch m = {
        .to = host_f32(xs), .from = host_f32(x), .at = host_i32(order), .A = A, .D = D};
    spread(s, (int64_t)T * A, D, gather_rows, &m);
}

/* to[t] = start + sum over a of (gate *) from[at[t*A + a]], for gather_backward and combine. */
static void sum_rows(const void *task, int64_t from, int64_t to) {
    const struct dispatch *m = task;
    for (int64_t t = from; t < to; t++)
        for (int d = 0; d < m->D; d += LANES) {
            int left = m->D - d;
            float *at = m->to + t * m->D + d;
            vf sum = m->add ? vf_load_n(at, left) : vf_zero();
            for (int64_t slot = t * m->A; slot < (t + 1) * m->A; slot++) {
                vf x = vf_load_n(m->from + (int64_t)m->at[slot] * m->D + d, left);
                sum = m->gates ? vf_fma(vf_set1(m->gates[slot]), x, sum) : vf_add(sum, x);
            }
            vf_store_n(at, left, sum);
        }
}

static void moe_gather_backward(struct stream *s, buf dx, buf dxs, buf place, int T, int A, int D) {
    struct dispatch m = {.to = host_f32(dx),
                         .from = host_f32(dxs),
                         .at = host_i32(place),
                         .A = A,
                         .D = D,
                         .add = true};
    spread(s, T, (int64_t)(A + 1) * D, sum_rows, &m);
}

static void moe_combine(struct stream *s, buf y, buf ys, buf gates, buf place, int T, int A, int D,
                        bool add) {
    struct dispatch m = {.to = host_f32(y),
                         .from = host_f32(ys),
                         .gates = host_f32(gates),
                         .at = host_i32(place),
                         .A = A,
                         .D = D,
                         .add = add};
    spread(s, T, (int64_t)(A + 1) * D, sum_rows, &m);
}

static void combine_backward_rows(const void *task, int64_t from, int64_t to) {
    const struct dispatch *m = task;
    for (int64_t slot = from * m->A; slot < to * m->A; slot++) {
        const float *dy = m->from + slot / m->A * m->D, *ys = m->ys + (int64_t)m->at[slot] * m->D;
        float *dys = m->to + (int64_t)m->at[slot] * m->D;
        vf gate = vf_set1(m->gates[slot]);
        for (int d = 0; d < m->D; d += LANES)
            vf_store_n(dys + d, m->D - d, vf_mul(gate, vf_load_n(dy + d, m->D - d)));
        m->dgates[slot] = lane_dot(dy, ys, m->D);
    }
}

static void moe_combine_backward(struct stream *s, buf dys, buf dgates, buf dy, buf ys, buf gates,
                                 buf place, int T, int A, int D) {
    struct dispatch m = {.to = host_f32(dys),
                         .dgates = host_f32(dgates),
                         .from = host_f32(dy),
                         .ys = host_f32(ys),
                         .gates = host_f32(gates),
                         .at = host_i32(place),
                         .A = A,
                         .D = D};
    spread(s, T, (int64_t)(2 * A + 1) * D, combine_backward_rows, &m);
}

void ISA(cpu_dispatch)(struct ops *table) {
    table->moe_permute = moe_permute;
    table->moe_gather = moe_gather;
    table->moe_gather_backward = moe_gather_backward;
    table->moe_combine = moe_combine;
    table->moe_combine_backward = moe_combine_backward;
}
