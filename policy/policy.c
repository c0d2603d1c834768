#include "policy/policy.h"

#include "kernels/fmath.h"
#include "policy/adapter.h"
#include "policy/policy_layout.h"

#include <stdlib.h>

struct policy_kv_shape policy_kv_shape(const struct policy_config *c) {
    double width = c->kv_lora ? c->nope_dim + c->rope_dim : c->head_dim;
    struct policy_kv_shape shape = {c->kv_heads, c->head_dim, c->head_dim, 0};
    if (c->kv_lora) shape = (struct policy_kv_shape){1, c->kv_lora + c->rope_dim, c->kv_lora, 0};
    double factor = c->kv_lora ? rotary_softmax_factor(&c->rope) : 1;
    shape.scale = (float)(factor / __builtin_sqrt(width));
    return shape;
}

static int rope_width(const struct policy_config *c) {
    return c->kv_lora ? c->rope_dim : c->head_dim;
}

/* cos and sin of position * frequency j: the frequency and the angle rounded to fp32, as the published
 * checkpoints were trained with. */
static void rope_tables(struct policy *p) {
    int half = rope_width(&p->config) / 2, positions = p->max_positions;
    float *table = memory_new((size_t)positions * half * 2, sizeof *table);
    float *cosine = table, *sine = table + (size_t)positions * half;
    const struct rotary_scaling *rope = &p->config.rope;
    double magnitude = rotary_magnitude(rope);
    for (int j = 0; j < half; j++) {
        float frequency = (float)rotary_frequency(rope, p->config.rope_theta, j, half);
        for (int t = 0; t < positions; t++) {
            double c, s;
            fmath_sincos64((double)((float)t * frequency), &s, &c);
            cosine[(size_t)t * half + j] = (float)(magnitude * c);
            sine[(size_t)t * half + j] = (float)(magnitude * s);
        }
    }
    size_t bytes = (size_t)positions * half * 4;
    op_write(p->stream, p->rope_cos, cosine, bytes);
    op_write(p->stream, p->rope_sin, sine, bytes);
    free(table);
}

/* Run twice: to count, then to place. */
static void buffers_place(struct policy *p, struct layout *l) {
    int half = rope_width(&p->config) / 2;
    p->params = layout_f32(l, p->n_kept);
    p->packed = layout_take(l, p->packed_bytes);
    p->router_bias = layout_f32(l, (size_t)p->moe_layers * p->config.experts);
    p->rope_cos = layout_f32(l, (size_t)p->max_positions * half);
    p->rope_sin = layout_f32(l, (size_t)p->max_positions * half);
}

void policy_outline(struct policy **out, struct stream *s, const struct policy_config *config,
                    struct policy_form form) {
    struct policy *p = memory_new(1, sizeof *p);
    p->stream = s;
    p->config = *config;
    p->form = form;
    p->valid_vocab = config->vocab;
    p->max_positions = form.max_positions && form.max_positions < config->max_positions
                           ? form.max_positions
                           : config->max_positions;
    policy_layout(p);
    *out = p;
}

status policy_new(struct policy **out, struct stream *s, const struct policy_config *config,
                  struct policy_form form) {
    struct policy *p;
    struct layout l = {0};
    buf base;
    policy_outline(&p, s, config, form);
    buffers_place(p, &l);
    status failed = op_alloc(s, l.used, &base);
    if (failed) {
        policy_close(p);
        return failed;
    }
    l = (struct layout){.base = base};
    buffers_place(p, &l);
    op_touch(s, base, l.used);
    op_zero(s, p->router_bias, (size_t)p->moe_layers * config->experts * sizeof(float));
    rope_tables(p);
    *out = p;
    return NULL;
}

void policy_close(struct policy *p) {
    if (!p) return;
    op_free(p->stream, p->params); /* the first piece of the one block */
    op_free(p->stream, p->adapters.params);
    arena_free(&p->carried_arena);
    arena_free(&p->arena);
    free(p);
}

size_t policy_bytes(struct stream *s, const struct policy_config *config, struct policy_form form) {
    struct policy p = {
        .stream = s, .config = *config, .form = form, .max_positions = form.max_positions};
    policy_layout(&p);
    struct layout l = {0};
    buffers_place(&p, &l);
    arena_free(&p.arena);
    return l.used;
}

buf policy_param(const struct policy *p, int64_t offset) {
    if (!p->form.inference) return buf_f32(p->params, offset);
    const struct parameter *t = policy_parameter_at(p, offset);
    REQUIRE(t->at >= 0);
    return buf_f32(p->params, t->at + offset - t->offset);
}

int policy_stretch_weights(const struct policy *p, int stretch,
                           const struct weight *out[STRETCH_WEIGHTS]) {
    int n = 0, layers = p->config.layers;
    if (stretch == 0 && p->config.tied) out[n++] = &p->head;
    else if (stretch == 0 && p->embed_packed) out[n++] = &p->lookup;
    else if (stretch == layers + 1 && !p->config.tied) out[n++] = &p->head;
    if (stretch == 0 || stretch == layers + 1) return n;
    const struct policy_layer *l = &p->layers[stretch - 1];
    const struct weight *all[STRETCH_WEIGHTS] = {&l->qkv,         &l->q_a,     &l->q_b,
                                                 &l->kv_a,        &l->k_up,    &l->v_up,
                                                 &l->o,           &l->router,  &l->expert_gate_up,
                                                 &l->expert_down, &l->gate_up, &l->down};
    for (int i = 0; i < STRETCH_WEIGHTS; i++)
        if (all[i]->offset >= 0) out[n++] = all[i];
    return n;
}

static void pack(struct policy *p, const struct weight *w, struct packing x) {
    buf packed = {p->packed.addr + w->packed}, turned = {p->packed.addr + w->turned};
    x.N = w->N, x.K = w->K, x.hw = w->hw;
    x.packed = packed;
    x.form = w->bf16 ? PACK_BF16 : PACK_FP32;
    if (w->packed_hw) op_pack(p->stream, &x);
    x.packed = turned;
    x.form = PACK_BF16_NN;
    if (w->turned_hw) op_pack(p->stream, &x);
}

void policy_pack_weight(struct policy *p, const struct weight *w) {
    pack(p, w, (struct packing){.w = policy_param(p, w->offset), .M = w->M, .rows = w->N});
}

void policy_pack_rows(struct policy *p, const struct weight *w, int m, int first, int rows,
                      buf raw) {
    struct weight one = *w;
    one.packed += (size_t)(m * w->packed_hw);
    one.turned += (size_t)(m * w->turned_hw);
    pack(p, &one, (struct packing){.w = raw, .M = 1, .first = first, .rows = rows});
}

static void pack_weights(struct policy *p, bool all) {
    const struct weight *weights[STRETCH_WEIGHTS];
    REQUIRE(!p->form.inference);
    for (int stretch = 0; stretch < p->config.layers + 2; stretch++)
        for (int i = 0, n = policy_stretch_weights(p, stretch, weights); i < n; i++) {
            const struct weight *w = weights[i];
            int64_t size = (w->M - 1) * w->hw + (int64_t)w->N * w->K;
            if (all || policy_trains(p, w->offset, size)) policy_pack_weight(p, w);
        }
    adapter_pack(p);
}

void policy_pack(struct policy *p) { pack_weights(p, true); }

void policy_pack_trained(struct policy *p) { pack_weights(p, false); }

/* Normal numbers by Box-Muller on a stream of their own: function of (seed, tensor, element). */
static void fill_normal(float *w, int64_t n, uint64_t seed, int tensor, double std) {
    struct rng r =
        rng_open((struct rng_key){.seed = seed, .stage = RNG_INIT, .draw = (uint32_t)tensor});
    for (int64_t i = 0; i < n; i += 2) {
        double u = 1.0 - rng_unit(&r), angle = 6.283185307179586 * rng_unit(&r), c, s;
        double radius = std * __builtin_sqrt(-2.0 * fmath_log64(u));
        fmath_sincos64(angle, &s, &c);
        w[i] = (float)(radius * c);
        if (i + 1 < n) w[i + 1] = (float)(radius * s);
    }
}

status policy_init(struct policy **out, struct stream *s, const struct policy_config *config,
                   uint64_t seed, double embed_std, struct policy_form form) {
    struct policy *p;
    TRY(policy_new(&p, s, config, form));
    for (int i = 0; i < p->n_parameters; i++) {
        const struct parameter *t = &p->parameters[i];
        double std = t->kind == PARAMETER_EMBED ? embed_std : config->init_std;
        float *host = memory_new((size_t)t->size, sizeof *host);
        if (t->kind == PARAMETER_NORM || t->kind == PARAMETER_BIAS)
            for (int64_t j = 0; j < t->size; j++) host[j] = t->kind == PARAMETER_NORM;
        else fill_normal(host, t->size, seed, i, std);
        op_write(s, buf_f32(p->params, t->offset), host, (size_t)t->size * 4);
        free(host);
    }
    policy_pack(p);
    *out = p;
    return NULL;
}

void policy_copy(struct policy *to, const struct policy *from) {
    REQUIRE(to->n_params == from->n_params && to->stream == from->stream);
    REQUIRE(!to->form.inference && !from->form.inference);
    op_copy(to->stream, to->params, from->params, from->n_params * 4);
    op_copy(to->stream, to->router_bias, from->router_bias,
            (size_t)from->moe_layers * from->config.experts * 4);
    policy_pack(to);
}

status policy_clone(struct policy **out, const struct policy *p) {
    TRY(policy_new(out, p->stream, &p->config, p->form));
    (*out)->valid_vocab = p->valid_vocab;
    policy_copy(*out, p);
    return NULL;
}

int64_t policy_count_params(const struct policy_config *config) {
    int64_t D = config->hidden, total = 0;
    for (int i = 0; i < config->layers; i++) {
        int64_t H = config->heads, L = config->kv_lora, qk = config->nope_dim + config->rope_dim;
        if (L) {
            int64_t q = config->q_lora;
            total += q ? q * D + q + H * qk * q : H * qk * D;
            total += (L + config->rope_dim) * D + L + H * (config->nope_dim + config->v_dim) * L;
            total += D * H * config->v_dim;
        } else {
            const struct policy_traits *traits = policy_traits(config);
            int64_t d = config->head_dim, G = config->kv_heads;
            total += (H + 2 * G) * d * (D + traits->qkv_bias) + D * H * d;
            if (traits->qk_norm == POLICY_QK_HEADS) total += 2 * d;
            if (traits->qk_norm == POLICY_QK_VECTOR) total += (H + G) * d;
        }
        total += 2 * D;
        if (policy_layer_is_moe(config, i))
            total += config->experts * D + (int64_t)(config->experts + config->shared_experts) * 3 *
                                               config->expert_ffn * D;
        else total += (int64_t)3 * config->dense_ffn * D;
    }
    return total + D + (config->tied ? 1 : 2) * (int64_t)config->vocab * D;
}

int64_t policy_count_active(const struct policy_config *config) {
    int64_t idle = config->tied ? 0 : (int64_t)config->vocab * config->hidden;
    for (int i = 0; i < config->layers; i++)
        if (policy_layer_is_moe(config, i))
            idle += (int64_t)(config->experts - config->top_k) * 3 * config->expert_ffn *
                    config->hidden;
    return policy_count_params(config) - idle;
}
