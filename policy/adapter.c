#include "policy/adapter.h"

#include <stdlib.h>

/* ---- which matrices --------------------------------------------------------------------------------- */

/* The weights of a layer that can carry adapters. */
enum { ADAPTABLE = 7 };
static void adaptable_weights(struct policy_layer *layer, struct weight *out[ADAPTABLE]) {
    struct weight *all[ADAPTABLE] = {&layer->qkv, &layer->q_a,     &layer->q_b, &layer->kv_a,
                                     &layer->o,   &layer->gate_up, &layer->down};
    for (int i = 0; i < ADAPTABLE; i++) out[i] = all[i]->offset < 0 ? NULL : all[i];
}

static bool lies_in(const struct weight *w, const struct parameter *t) {
    return t->offset >= w->offset && t->offset < w->offset + (int64_t)w->N * w->K;
}

static bool can_carry(struct policy *p, const struct parameter *t) {
    struct weight *weights[ADAPTABLE];
    for (int i = 0; i < p->config.layers; i++) {
        adaptable_weights(&p->layers[i], weights);
        for (int k = 0; k < ADAPTABLE; k++)
            if (weights[k] && lies_in(weights[k], t)) return true;
    }
    return false;
}

/* Beside routed experts PEFT 0.21 takes the gate_proj, up_proj and down_proj of dense MLPs and shared experts
 * for theirs, so that only those who ask for such adapters get them. */
static bool is_default(const struct policy *p, const struct parameter *t) {
    return !p->config.experts || strstr(t->name, ".self_attn.");
}

/* Marks the parameters that get adapters, chosen [n_parameters]. */
static status targets_choose(struct policy *p, const char *patterns, bool *chosen) {
    static const char key[] = "lora.targets";
    int n = p->n_parameters;
    bool *able = memory_new((size_t)n, sizeof *able);
    for (int i = 0; i < n; i++) {
        able[i] = can_carry(p, &p->parameters[i]);
        chosen[i] = able[i] && is_default(p, &p->parameters[i]);
    }
    status failed = policy_choose(p, patterns, key, chosen);
    for (int i = 0; i < n && !failed; i++)
        if (chosen[i] && !able[i])
            failed = fail(EXIT_BAD_CONFIG,
                          "%s: %s cannot carry an adapter; the projections of attention (but "
                          "kv_b_proj), dense MLPs and shared experts can",
                          key, p->parameters[i].name);
    free(able);
    return failed;
}

/* ---- where they lie --------------------------------------------------------------------------------- */

/* NAME.weight -> PREFIX NAME.SUFFIX */
static const char *adapter_name(struct arena *arena, const char *weight, const char *suffix) {
    int stem = (int)(strlen(weight) - strlen(".weight"));
    return arena_print(arena, "base_model.model.%.*s.%s.weight", stem, weight, suffix);
}

static struct weight matrix_place(struct policy *p, const char *name, int N, int K) {
    struct adapters *a = &p->adapters;
    a->parameters[a->n_parameters++] = (struct parameter){.name = name,
                                                          .kind = PARAMETER_MATRIX,
                                                          .offset = a->n_params,
                                                          .gradient = a->n_params,
                                                          .size = (int64_t)N * K,
                                                          .n_dims = 2,
                                                          .dims = {N, K}};
    struct weight w = {.offset = a->n_params, .M = 1, .N = N, .K = K, .hw = (int64_t)N * K};
    a->n_params += (int64_t)N * K;
    return w;
}

static void pack_place(struct policy *p, struct weight *w) {
    struct adapters *a = &p->adapters;
    w->packed = a->packed_bytes;
    a->packed_bytes += (op_pack_size(p->stream, w->N, w->K, PACK_FP32) + 63) & ~(size_t)63;
}

/* The adapter of one weight, for those of its tensors that are chosen. */
static void weight_adapt(struct policy *p, struct weight *w, const bool *chosen) {
    struct arena *arena = &p->arena;
    struct adapter *adapter = ARENA_NEW(arena, struct adapter);
    int rank = p->adapters.rank;
    for (int i = 0; i < p->n_parameters; i++) {
        const struct parameter *t = &p->parameters[i];
        if (!chosen[i] || !lies_in(w, t)) continue;
        REQUIRE(adapter->n < ADAPTER_PARTS_MAX);
        adapter->part[adapter->n++] =
            (struct adapter_part){.target = t, .column = (int)((t->offset - w->offset) / w->K)};
    }
    if (!adapter->n) return;
    for (int i = 0; i < adapter->n; i++) {
        const char *name = adapter_name(arena, adapter->part[i].target->name, "lora_A");
        struct weight a = matrix_place(p, name, rank, w->K);
        if (i == 0) adapter->a = a;
    }
    adapter->a.N = adapter->n * rank;
    pack_place(p, &adapter->a);
    for (int i = 0; i < adapter->n; i++) {
        struct adapter_part *part = &adapter->part[i];
        const char *name = adapter_name(arena, part->target->name, "lora_B");
        part->b = matrix_place(p, name, (int)part->target->dims[0], rank);
        pack_place(p, &part->b);
    }
    w->adapter = adapter;
}

/* Lays the adapters out; nothing but them trains from now on. */
status adapter_outline(struct policy *p, const struct adapter_shape *shape) {
    struct adapters *a = &p->adapters;
    struct weight *weights[ADAPTABLE];
    REQUIRE(a->rank == 0 && shape->rank >= 1 && shape->alpha > 0);
    bool *chosen = memory_new((size_t)p->n_parameters, sizeof *chosen);
    status failed = targets_choose(p, shape->targets, chosen);
    if (failed) {
        free(chosen);
        return failed;
    }
    *a = (struct adapters){
        .rank = shape->rank, .alpha = shape->alpha, .scale = (float)(shape->alpha / shape->rank)};
    a->parameters = ARENA_ARRAY(&p->arena, 2 * (size_t)p->n_parameters, struct parameter);
    p->first_trained = p->n_params;
    for (int i = 0; i < p->config.layers; i++) {
        adaptable_weights(&p->layers[i], weights);
        for (int k = 0; k < ADAPTABLE; k++) {
            if (weights[k]) weight_adapt(p, weights[k], chosen);
            if (weights[k] && weights[k]->adapter && weights[k]->offset < p->first_trained)
                p->first_trained = weights[k]->offset;
        }
    }
    for (int i = 0; i < p->n_parameters; i++) p->parameters[i].gradient = -1;
    p->n_trained = a->n_params;
    free(chosen);
    return NULL;
}

static void buffers_place(struct adapters *a, struct layout *l) {
    a->params = layout_f32(l, (size_t)a->n_params);
    a->packed = layout_take(l, a->packed_bytes);
}

size_t adapter_bytes(const struct policy *p) {
    struct adapters a = p->adapters;
    struct layout l = {0};
    if (a.rank) buffers_place(&a, &l);
    return l.used;
}

/* PEFT's beginning: kaiming_uniform_ with a = sqrt(5), which is U(-1/sqrt(K), 1/sqrt(K)). */
static void fill_uniform(float *w, int64_t n, int64_t K, uint64_t seed, int tensor) {
    struct rng r =
        rng_open((struct rng_key){.seed = seed, .stage = RNG_ADAPTER, .draw = (uint32_t)tensor});
    double bound = 1 / __builtin_sqrt((double)K);
    for (int64_t i = 0; i < n; i++) w[i] = (float)((2 * rng_unit(&r) - 1) * bound);
}

status adapter_add(struct policy *p, const struct adapter_shape *shape, uint64_t seed) {
    TRY(adapter_outline(p, shape));
    struct adapters *a = &p->adapters;
    struct layout l = {0};
    buf base;
    buffers_place(a, &l);
    TRY(op_alloc(p->stream, l.used, &base));
    l = (struct layout){.base = base};
    buffers_place(a, &l);
    float *host = memory_new((size_t)a->n_params, sizeof *host);
    for (int i = 0; i < a->n_parameters; i++) {
        const struct parameter *t = &a->parameters[i];
        bool is_a = strstr(t->name, ".lora_A.") != NULL;
        if (is_a) fill_uniform(host + t->offset, t->size, t->dims[1], seed, i);
    }
    op_write(p->stream, a->params, host, (size_t)a->n_params * 4);
    free(host);
    adapter_pack(p);
    return NULL;
}

void adapter_base(struct policy *view, const struct policy *p) {
    *view = *p;
    view->adapters = (struct adapters){0};
}

void adapter_merge(const struct policy *p, const struct parameter *t, int64_t first, int64_t n,
                   float *w) {
    const struct adapters *a = &p->adapters;
    const struct adapter *adapter = NULL;
    const struct adapter_part *part = NULL;
    struct weight *weights[ADAPTABLE];
    int index = 0;
    for (int i = 0; a->rank && i < p->config.layers && !part; i++) {
        adaptable_weights(&p->layers[i], weights);
        for (int k = 0; k < ADAPTABLE && !part; k++) {
            adapter = weights[k] ? weights[k]->adapter : NULL;
            for (index = 0; adapter && index < adapter->n && !part; index++)
                if (adapter->part[index].target == t) part = &adapter->part[index];
        }
    }
    if (!part) return;
    int64_t N = part->b.N, K = adapter->a.K, rank = a->rank;
    float *low = memory_new((size_t)(rank * (K + N)), sizeof *low), *high = low + rank * K;
    op_read(p->stream, low, buf_f32(a->params, adapter->a.offset + (index - 1) * rank * K),
            (size_t)(rank * K) * 4);
    op_read(p->stream, high, buf_f32(a->params, part->b.offset), (size_t)(rank * N) * 4);
    for (int64_t at = first; at < first + n;) {
        int64_t row = at / K, column = at % K;
        int64_t count = first + n - at < K - column ? first + n - at : K - column;
        for (int64_t r = 0; r < rank; r++) {
            float factor = a->scale * high[row * rank + r];
            for (int64_t k = 0; k < count; k++)
                w[at - first + k] += factor * low[r * K + column + k];
        }
        at += count;
    }
    free(low);
}

/* ---- arithmetic ------------------------------------------------------------------------------------- */

static void pack_matrix(struct policy *p, const struct weight *w) {
    const struct adapters *a = &p->adapters;
    op_pack(p->stream, &(struct packing){.packed = {a->packed.addr + w->packed},
                                         .w = buf_f32(a->params, w->offset),
                                         .M = 1,
                                         .N = w->N,
                                         .K = w->K,
                                         .hw = w->hw,
                                         .form = PACK_FP32,
                                         .rows = w->N});
}

void adapter_pack(struct policy *p) {
    struct weight *weights[ADAPTABLE];
    for (int i = 0; p->adapters.rank && i < p->config.layers; i++) {
        adaptable_weights(&p->layers[i], weights);
        for (int k = 0; k < ADAPTABLE; k++) {
            const struct adapter *adapter = weights[k] ? weights[k]->adapter : NULL;
            if (adapter) pack_matrix(p, &adapter->a);
            for (int j = 0; adapter && j < adapter->n; j++) pack_matrix(p, &adapter->part[j].b);
        }
    }
}

int adapter_rows_max(const struct policy *p) { return ADAPTER_PARTS_MAX * p->adapters.rank; }

/* low = scale x A^T, the rows that B reads */
static void low_forward(struct policy *p, const struct adapter *adapter, buf low, buf x, int T) {
    const struct weight *a = &adapter->a;
    op_gemm_nt(p->stream, &(struct gemm){.y = low,
                                         .x = x,
                                         .w = {p->adapters.packed.addr + a->packed},
                                         .T = T,
                                         .N = a->N,
                                         .K = a->K,
                                         .ldy = a->N,
                                         .ldx = a->K,
                                         .packed = true,
                                         .M = 1});
    op_scale(p->stream, low, p->adapters.scale, (int64_t)T * a->N);
}

/* A part's product with B: y [T, N] inside the weight's rows, x = low. */
static struct gemm part_product(const struct policy *p, const struct weight *w, int i, buf y,
                                buf low, int T) {
    const struct adapter_part *part = &w->adapter->part[i];
    int rank = p->adapters.rank;
    return (struct gemm){.y = buf_f32(y, part->column),
                         .x = buf_f32(low, (int64_t)i * rank),
                         .T = T,
                         .N = part->b.N,
                         .K = rank,
                         .ldy = w->N,
                         .ldx = w->adapter->a.N,
                         .M = 1};
}

void adapter_forward(struct policy *p, const struct weight *w, buf y, buf x, buf low, int T) {
    low_forward(p, w->adapter, low, x, T);
    for (int i = 0; i < w->adapter->n; i++) {
        struct gemm g = part_product(p, w, i, y, low, T);
        g.w = (buf){p->adapters.packed.addr + w->adapter->part[i].b.packed};
        g.packed = g.add = true;
        op_gemm_nt(p->stream, &g);
    }
}

void adapter_low_backward(struct policy *p, const struct weight *w, buf dlow, buf dy, int T) {
    for (int i = 0; i < w->adapter->n; i++) {
        struct gemm g = part_product(p, w, i, dy, dlow, T);
        g.w = buf_f32(p->adapters.params, w->adapter->part[i].b.offset);
        op_gemm_nn(p->stream, &g);
    }
    op_scale(p->stream, dlow, p->adapters.scale, (int64_t)T * w->adapter->a.N);
}

static struct gemm low_product(const struct weight *a, buf low, buf x, int T) {
    return (struct gemm){
        .y = low, .x = x, .T = T, .N = a->N, .K = a->K, .ldy = a->N, .ldx = a->K, .M = 1};
}

void adapter_input_backward(struct policy *p, const struct weight *w, buf dx, buf dlow, int T) {
    struct gemm g = low_product(&w->adapter->a, dlow, dx, T);
    g.w = buf_f32(p->adapters.params, w->adapter->a.offset);
    g.add = true;
    op_gemm_nn(p->stream, &g);
}

void adapter_weight_backward(struct policy *p, const struct weight *w, buf dy, buf x, buf low,
                             buf dlow, int T, buf grads) {
    low_forward(p, w->adapter, low, x, T); /* once more: cheaper than keeping it */
    for (int i = 0; i < w->adapter->n; i++) {
        struct gemm g = part_product(p, w, i, dy, low, T);
        g.w = buf_f32(grads, w->adapter->part[i].b.offset);
        op_gemm_tn(p->stream, &g);
    }
    struct gemm g = low_product(&w->adapter->a, dlow, x, T);
    g.w = buf_f32(grads, w->adapter->a.offset);
    op_gemm_tn(p->stream, &g);
}
