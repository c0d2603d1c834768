#include "tests/oracle_policy.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { NAME_MAX_BYTES = 160 };

/* One forward: the oracle, its scratch memory, and how far the list of experts has come. */
struct pass {
    const struct oracle *o;
    const struct policy_config *c;
    const struct oracle_sequence *s;
    struct arena scratch;
    int T;
};

static double *vector(struct pass *p, size_t n) { return ARENA_ARRAY(&p->scratch, n, double); }

/* ---- weights ---- */

static const struct oracle_tensor *tensor_find(const struct oracle *o, const char *name) {
    for (int i = 0; i < o->n; i++)
        if (strcmp(o->tensors[i].name, name) == 0) return &o->tensors[i];
    return NULL;
}

__attribute__((format(printf, 3, 4))) static const double *weight(struct pass *p, size_t n,
                                                                  const char *format, ...) {
    char name[NAME_MAX_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    const struct oracle_tensor *t = tensor_find(p->o, name);
    if (!t || t->n != n) {
        fprintf(stderr, "oracle: tensor %s: %zu elements, expected %zu\n", name, t ? t->n : 0, n);
        exit(EXIT_BAD_DATA);
    }
    return t->data;
}

/* ---- pieces ---- */

/* y[t] (+)= W x[t] for W [N, K]. */
static void linear(double *y, const double *x, const double *w, int T, int N, int K) {
    for (int t = 0; t < T; t++)
        for (int n = 0; n < N; n++) {
            double sum = 0;
            for (int k = 0; k < K; k++) sum += w[(size_t)n * K + k] * x[(size_t)t * K + k];
            y[(size_t)t * N + n] = sum;
        }
}

static void add(double *x, const double *y, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] += y[i];
}

/* Rows of `width` out of rows of `stride`, into dense rows. */
static void rmsnorm(double *y, const double *x, int stride, const double *w, int rows, int width,
                    double eps) {
    for (int r = 0; r < rows; r++) {
        const double *in = x + (size_t)r * stride;
        double square = 0;
        for (int i = 0; i < width; i++) square += in[i] * in[i];
        for (int i = 0; i < width; i++)
            y[(size_t)r * width + i] = in[i] / sqrt(square / width + eps) * w[i];
    }
}

/* m(s) of yarn (arXiv 2309.00071, section 3.4, as DeepSeek-V2 generalises it). */
static double yarn_scale(const struct rotary_scaling *r, double s) {
    return r->factor > 1 ? 0.1 * s * log(r->factor) + 1 : 1;
}

/* The angle per position of pair j of a rotation of d dimensions. */
static double frequency(const struct policy_config *c, int d, int j) {
    const struct rotary_scaling *r = &c->rope;
    double f = pow(c->rope_theta, -2.0 * j / d), original = r->original, pi = acos(-1);
    if (r->type == ROTARY_LINEAR) return f / r->factor;
    if (r->type == ROTARY_LLAMA3) {
        double wave = 2 * pi / f,
               s = (original / wave - r->low_factor) / (r->high_factor - r->low_factor);
        if (wave > original / r->low_factor) return f / r->factor;
        return wave < original / r->high_factor ? f : (1 - s) * f / r->factor + s * f;
    }
    if (r->type == ROTARY_YARN) {
        double fast = r->beta_fast > 0 ? r->beta_fast : 32,
               slow = r->beta_slow > 0 ? r->beta_slow : 1;
        double twice_log = 2 * log(c->rope_theta);
        double low = fmax(floor(d * log(original / (fast * 2 * pi)) / twice_log), 0);
        double high = fmin(ceil(d * log(original / (slow * 2 * pi)) / twice_log), d - 1);
        double ramp = fmin(fmax((j - low) / (high == low ? 0.001 : high - low), 0), 1);
        return f / r->factor * ramp + f * (1 - ramp);
    }
    return f;
}

/* Rotates x [d] to position `position`: pairs (2j, 2j+1), or (j, j + d/2). */
static void rotate(const struct policy_config *c, double *x, int d, int position) {
    const struct rotary_scaling *r = &c->rope;
    double magnitude = 1;
    if (r->type == ROTARY_YARN) {
        magnitude = yarn_scale(r, 1);
        if (r->mscale > 0 && r->mscale_all_dim > 0)
            magnitude = yarn_scale(r, r->mscale) / yarn_scale(r, r->mscale_all_dim);
        if (r->attention_factor > 0) magnitude = r->attention_factor;
    }
    for (int j = 0; j < d / 2; j++) {
        bool pairs = c->rope_interleaved;
        double *a = x + (pairs ? 2 * j : j), *b = pairs ? a + 1 : a + d / 2;
        double angle = position * frequency(c, d, j);
        double real = *a * cos(angle) - *b * sin(angle);
        *b = magnitude * (*b * cos(angle) + *a * sin(angle));
        *a = magnitude * real;
    }
}

static void softmax(double *x, int n) {
    double max = -INFINITY, sum = 0;
    for (int i = 0; i < n; i++) max = fmax(max, x[i]);
    for (int i = 0; i < n; i++) sum += x[i] = exp(x[i] - max);
    for (int i = 0; i < n; i++) x[i] /= sum;
}

/* out [T, H, dv] from q [T, H, dk], k [T, G, dk], v [T, G, dv]: causal, H/G query heads a key head. */
static void attend(struct pass *p, double *out, const double *q, const double *k, const double *v,
                   int H, int G, int dk, int dv) {
    double *score = vector(p, (size_t)p->T);
    for (int t = 0; t < p->T; t++)
        for (int h = 0; h < H; h++) {
            int g = h / (H / G);
            for (int j = 0; j <= t; j++) {
                score[j] = 0;
                for (int d = 0; d < dk; d++)
                    score[j] += q[((size_t)t * H + h) * dk + d] * k[((size_t)j * G + g) * dk + d];
                score[j] /= sqrt(dk);
                if (p->c->kv_lora > 0 && p->c->rope.type == ROTARY_YARN &&
                    p->c->rope.mscale_all_dim > 0)
                    score[j] *= pow(yarn_scale(&p->c->rope, p->c->rope.mscale_all_dim), 2);
            }
            softmax(score, t + 1);
            for (int d = 0; d < dv; d++) {
                double sum = 0;
                for (int j = 0; j <= t; j++) sum += score[j] * v[((size_t)j * G + g) * dv + d];
                out[((size_t)t * H + h) * dv + d] = sum;
            }
        }
}

/* ---- attention blocks: y [T, D] from the normed x [T, D] ---- */

static void grouped_query_attention(struct pass *p, int layer, double *y, const double *x) {
    const struct policy_config *c = p->c;
    int T = p->T, D = c->hidden, H = c->heads, G = c->kv_heads, d = c->head_dim;
    double *q = vector(p, (size_t)T * H * d), *k = vector(p, (size_t)T * G * d);
    double *v = vector(p, (size_t)T * G * d), *out = vector(p, (size_t)T * H * d);
#define SELF(n, what) weight(p, (size_t)(n), "model.layers.%d.self_attn." what ".weight", layer)
    linear(q, x, SELF(H * d * D, "q_proj"), T, H * d, D);
    linear(k, x, SELF(G * d * D, "k_proj"), T, G * d, D);
    linear(v, x, SELF(G * d * D, "v_proj"), T, G * d, D);
    if (c->family == POLICY_QWEN2) {
        const char *const names[] = {"q", "k", "v"};
        double *const to[] = {q, k, v};
        for (int i = 0; i < 3; i++) {
            size_t n = (size_t)(i == 0 ? H : G) * d;
            const double *bias =
                weight(p, n, "model.layers.%d.self_attn.%s_proj.bias", layer, names[i]);
            for (int t = 0; t < T; t++) add(to[i] + t * n, bias, n);
        }
    }
    if (c->family == POLICY_OLMOE) {
        rmsnorm(q, q, H * d, SELF(H * d, "q_norm"), T, H * d, c->rms_eps);
        rmsnorm(k, k, G * d, SELF(G * d, "k_norm"), T, G * d, c->rms_eps);
    }
    if (c->family == POLICY_QWEN3 || c->family == POLICY_QWEN3_MOE) {
        rmsnorm(q, q, d, SELF(d, "q_norm"), T * H, d, c->rms_eps);
        rmsnorm(k, k, d, SELF(d, "k_norm"), T * G, d, c->rms_eps);
    }
    for (int i = 0; i < T * H; i++) rotate(c, q + (size_t)i * d, d, i / H);
    for (int i = 0; i < T * G; i++) rotate(c, k + (size_t)i * d, d, i / G);
    attend(p, out, q, k, v, H, G, d, d);
    linear(y, out, SELF(D * H * d, "o_proj"), T, D, H * d);
}

/* DeepSeek-V2, arXiv 2405.04434 section 2.1, as transformers computes it: keys and values are expanded
 * from the latent for every head, and nothing is absorbed. */
static void latent_attention(struct pass *p, int layer, double *y, const double *x) {
    const struct policy_config *c = p->c;
    const double eps = 1e-6; /* the latent norms ignore rms_norm_eps */
    int T = p->T, D = c->hidden, H = c->heads, L = c->kv_lora, Lq = c->q_lora;
    int nope = c->nope_dim, rope = c->rope_dim, dk = nope + rope, dv = c->v_dim;
    double *q = vector(p, (size_t)T * H * dk), *k = vector(p, (size_t)T * H * dk);
    double *v = vector(p, (size_t)T * H * dv), *out = vector(p, (size_t)T * H * dv);

    if (Lq > 0) {
        double *latent = vector(p, (size_t)T * Lq);
        linear(latent, x, SELF(Lq * D, "q_a_proj"), T, Lq, D);
        rmsnorm(latent, latent, Lq, SELF(Lq, "q_a_layernorm"), T, Lq, eps);
        linear(q, latent, SELF(H * dk * Lq, "q_b_proj"), T, H * dk, Lq);
    } else {
        linear(q, x, SELF(H * dk * D, "q_proj"), T, H * dk, D);
    }

    double *joint = vector(p, (size_t)T * (L + rope)), *latent = vector(p, (size_t)T * L);
    double *expanded = vector(p, (size_t)T * H * (nope + dv));
    linear(joint, x, SELF((L + rope) * D, "kv_a_proj_with_mqa"), T, L + rope, D);
    rmsnorm(latent, joint, L + rope, SELF(L, "kv_a_layernorm"), T, L, eps);
    linear(expanded, latent, SELF(H * (nope + dv) * L, "kv_b_proj"), T, H * (nope + dv), L);

    for (int t = 0; t < T; t++) {
        double *shared = joint + (size_t)t * (L + rope) + L; /* the key part all heads share */
        rotate(c, shared, rope, t);
        for (int h = 0; h < H; h++) {
            size_t i = (size_t)t * H + h;
            rotate(c, q + i * dk + nope, rope, t);
            memcpy(k + i * dk, expanded + i * (nope + dv), (size_t)nope * sizeof *k);
            memcpy(k + i * dk + nope, shared, (size_t)rope * sizeof *k);
            memcpy(v + i * dv, expanded + i * (nope + dv) + nope, (size_t)dv * sizeof *v);
        }
    }
    attend(p, out, q, k, v, H, H, dk, dv);
    linear(y, out, SELF(D * H * dv, "o_proj"), T, D, H * dv);
#undef SELF
}

/* ---- feed-forward blocks ---- */

/* y [rows, D] = down(silu(gate x) * up x) of width I, with weights under `prefix`. */
static void mlp(struct pass *p, const char *prefix, double *y, const double *x, int rows, int I) {
    int D = p->c->hidden;
    bool mixtral = p->c->family == POLICY_MIXTRAL;
    const char *names[] = {mixtral ? "w1" : "gate_proj", mixtral ? "w3" : "up_proj",
                           mixtral ? "w2" : "down_proj"};
    double *gate = vector(p, (size_t)rows * I), *up = vector(p, (size_t)rows * I);
    linear(gate, x, weight(p, (size_t)I * D, "%s.%s.weight", prefix, names[0]), rows, I, D);
    linear(up, x, weight(p, (size_t)I * D, "%s.%s.weight", prefix, names[1]), rows, I, D);
    for (int i = 0; i < rows * I; i++) gate[i] = gate[i] / (1 + exp(-gate[i])) * up[i];
    linear(y, gate, weight(p, (size_t)D * I, "%s.%s.weight", prefix, names[2]), rows, D, I);
}

/* The index of the largest of x [n]; the lowest one of equals. */
static int largest(const double *x, int n) {
    int best = 0;
    for (int i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

/* Marks what lies outside the best topk_group groups as unavailable; a group is worth the sum of its two
 * best (DeepSeek-V3, arXiv 2412.19437, section 2.1.2), or its best (V2). */
static void keep_best_groups(struct pass *p, double *choice) {
    const struct policy_config *c = p->c;
    int size = c->experts / c->n_group;
    double *worth = vector(p, (size_t)c->n_group), *copy = vector(p, (size_t)size);
    bool *kept = ARENA_ARRAY(&p->scratch, (size_t)c->n_group, bool);
    for (int g = 0; g < c->n_group; g++) {
        memcpy(copy, choice + g * size, (size_t)size * sizeof *copy);
        int counted = c->family == POLICY_DEEPSEEK_V3 ? 2 : 1;
        for (int i = 0; i < counted && i < size; i++) {
            int best = largest(copy, size);
            worth[g] += copy[best];
            copy[best] = -INFINITY;
        }
    }
    for (int i = 0; i < c->topk_group; i++) {
        int best = largest(worth, c->n_group);
        kept[best] = true;
        worth[best] = -INFINITY;
    }
    for (int e = 0; e < c->experts; e++)
        if (!kept[e / size]) choice[e] = -INFINITY;
}

static int ascending(const void *a, const void *b) {
    return *(const uint16_t *)a - *(const uint16_t *)b;
}

/* Picks the top_k experts of one row by `choice` [experts], which it uses up. */
static void pick(const struct policy_config *c, double *choice, uint16_t *ids) {
    for (int a = 0; a < c->top_k; a++) {
        int best = largest(choice, c->experts);
        ids[a] = (uint16_t)best;
        choice[best] = -INFINITY;
    }
    qsort(ids, (size_t)c->top_k, sizeof *ids, ascending);
}

static const char *moe_block(const struct policy_config *c) {
    return c->family == POLICY_MIXTRAL ? "block_sparse_moe" : "mlp";
}

/* Chooses ids [top_k] for one row (or takes them as they are) and weighs them. */
static void route(struct pass *p, int layer, const double *x, uint16_t *ids, bool pinned,
                  double *gates) {
    const struct policy_config *c = p->c;
    int E = c->experts, D = c->hidden;
    double *score = vector(p, (size_t)E), *choice = vector(p, (size_t)E);
    const double *gate =
        weight(p, (size_t)E * D, "model.layers.%d.%s.gate.weight", layer, moe_block(c));
    linear(score, x, gate, 1, E, D);
    if (c->family == POLICY_DEEPSEEK_V3) {
        const double *bias =
            weight(p, (size_t)E, "model.layers.%d.mlp.gate.e_score_correction_bias", layer);
        for (int e = 0; e < E; e++) {
            score[e] = 1 / (1 + exp(-score[e]));
            choice[e] = score[e] + bias[e];
        }
    } else {
        softmax(score, E);
        memcpy(choice, score, (size_t)E * sizeof *choice);
    }
    if (c->n_group > 1) keep_best_groups(p, choice);
    if (!pinned) pick(c, choice, ids);

    double sum = 0;
    for (int a = 0; a < c->top_k; a++) sum += gates[a] = score[ids[a]];
    for (int a = 0; a < c->top_k; a++) {
        if (c->norm_topk) gates[a] /= sum;
        if (c->kv_lora > 0) gates[a] *= c->routed_scaling;
    }
}

/* y [T, D]: the chosen experts of every row, plus the shared ones where there are any. */
static void mixture(struct pass *p, int layer, int moe_layer, int moe_layers, double *y,
                    const double *x) {
    const struct policy_config *c = p->c;
    int D = c->hidden, A = c->top_k;
    double *part = vector(p, (size_t)p->T * D), *gates = vector(p, (size_t)A);
    uint16_t *own = ARENA_ARRAY(&p->scratch, (size_t)A, uint16_t);
    char prefix[NAME_MAX_BYTES];
    memset(y, 0, (size_t)p->T * D * sizeof *y);
    for (int t = 0; t < p->T; t++) {
        uint16_t *ids =
            p->s->experts ? p->s->experts + ((size_t)t * moe_layers + moe_layer) * A : own;
        route(p, layer, x + (size_t)t * D, ids, p->s->experts && p->s->pinned, gates);
        for (int a = 0; a < A; a++) {
            snprintf(prefix, sizeof prefix, "model.layers.%d.%s.experts.%d", layer, moe_block(c),
                     ids[a]);
            mlp(p, prefix, part, x + (size_t)t * D, 1, c->expert_ffn);
            for (int i = 0; i < D; i++) y[(size_t)t * D + i] += gates[a] * part[i];
        }
    }
    if (c->shared_experts == 0) return;
    snprintf(prefix, sizeof prefix, "model.layers.%d.mlp.shared_experts", layer);
    mlp(p, prefix, part, x, p->T, c->shared_experts * c->expert_ffn);
    add(y, part, (size_t)p->T * D);
}

static bool has_experts(const struct policy_config *c, int layer) {
    if (c->experts == 0) return false;
    if (c->kv_lora > 0) return layer >= c->first_dense;
    for (int i = 0; i < c->n_mlp_only; i++)
        if (c->mlp_only[i] == layer) return false;
    return (layer + 1) % c->sparse_step == 0;
}

/* ---- the whole ---- */

void oracle_forward(const struct oracle *o, const struct oracle_sequence *s, double *logits) {
    const struct policy_config *c = o->config;
    struct pass pass = {.o = o, .c = c, .s = s, .T = s->T}, *p = &pass;
    int T = s->T, D = c->hidden, V = c->vocab, moe_layer = 0, moe_layers = 0;
    size_t n = (size_t)T * D, table = (size_t)V * D;
    double *x = vector(p, n), *normed = vector(p, n), *y = vector(p, n);
    for (int i = 0; i < c->layers; i++) moe_layers += has_experts(c, i);

    const double *embedding = weight(p, table, "model.embed_tokens.weight");
    for (int t = 0; t < T; t++)
        memcpy(x + (size_t)t * D, embedding + (size_t)s->ids[t] * D, (size_t)D * sizeof *x);
    for (int i = 0; i < c->layers; i++) {
        rmsnorm(normed, x, D, weight(p, (size_t)D, "model.layers.%d.input_layernorm.weight", i), T,
                D, c->rms_eps);
        if (c->kv_lora > 0) latent_attention(p, i, y, normed);
        else grouped_query_attention(p, i, y, normed);
        add(x, y, n);

        rmsnorm(normed, x, D,
                weight(p, (size_t)D, "model.layers.%d.post_attention_layernorm.weight", i), T, D,
                c->rms_eps);
        if (has_experts(c, i)) {
            mixture(p, i, moe_layer++, moe_layers, y, normed);
        } else {
            char prefix[NAME_MAX_BYTES];
            snprintf(prefix, sizeof prefix, "model.layers.%d.mlp", i);
            mlp(p, prefix, y, normed, T, c->dense_ffn);
        }
        add(x, y, n);
    }
    rmsnorm(normed, x, D, weight(p, (size_t)D, "model.norm.weight"), T, D, c->rms_eps);
    linear(logits, normed, c->tied ? embedding : weight(p, table, "lm_head.weight"), T, V, D);
    arena_free(&pass.scratch);
}

void oracle_logp(const struct oracle *o, const struct oracle_sequence *s, const double *logits,
                 double *logp) {
    for (int t = 0; t < s->T; t++) {
        const double *z = logits + (size_t)t * o->config->vocab;
        double max = -INFINITY, sum = 0;
        for (int i = 0; i < s->valid; i++) max = fmax(max, z[i] * s->inv_temp);
        for (int i = 0; i < s->valid; i++) sum += exp(z[i] * s->inv_temp - max);
        logp[t] = z[s->target[t]] * s->inv_temp - max - log(sum);
    }
}

double oracle_loss(const struct oracle *o, const struct oracle_sequence *s, int n) {
    double loss = 0;
    for (int i = 0; i < n; i++) {
        int T = s[i].T;
        double *logits = memory_new((size_t)T * o->config->vocab, sizeof *logits);
        double *logp = memory_new((size_t)T, sizeof *logp);
        oracle_forward(o, &s[i], logits);
        oracle_logp(o, &s[i], logits, logp);
        for (int t = 0; t < T; t++)
            if (s[i].weight[t] != 0) loss += s[i].weight[t] * logp[t];
        free(logits);
        free(logp);
    }
    return loss;
}

struct oracle_sequence *oracle_pin(const struct oracle *o, const struct oracle_sequence *s, int n,
                                   struct arena *arena) {
    struct oracle_sequence *pinned = ARENA_ARRAY(arena, (size_t)n, struct oracle_sequence);
    for (int i = 0; i < n; i++) {
        pinned[i] = s[i];
        if (s[i].experts && s[i].pinned) continue;
        size_t slots = (size_t)s[i].T * o->config->layers * o->config->top_k;
        pinned[i].experts = ARENA_ARRAY(arena, slots, uint16_t);
        pinned[i].pinned = false;
    }
    oracle_loss(o, pinned, n); /* writes the experts that are not pinned yet */
    for (int i = 0; i < n; i++) pinned[i].pinned = true;
    return pinned;
}

/* Sets every weight that has a direction to where it was, plus `by` times the direction. */
static void move(const struct oracle *o, double *const *kept, const double *const *direction,
                 double by) {
    for (int i = 0; i < o->n; i++)
        for (size_t j = 0; direction[i] && j < o->tensors[i].n; j++)
            o->tensors[i].data[j] = kept[i][j] + by * direction[i][j];
}

double oracle_slope(const struct oracle *o, const struct oracle_sequence *pinned, int n,
                    const double *const *direction, double step) {
    struct arena arena = {0};
    double **kept = ARENA_ARRAY(&arena, (size_t)o->n, double *);
    for (int i = 0; i < o->n; i++) {
        kept[i] = ARENA_ARRAY(&arena, o->tensors[i].n, double);
        memcpy(kept[i], o->tensors[i].data, o->tensors[i].n * sizeof **kept);
    }
    move(o, kept, direction, step);
    double above = oracle_loss(o, pinned, n);
    move(o, kept, direction, -step);
    double below = oracle_loss(o, pinned, n);
    move(o, kept, direction, 0);
    arena_free(&arena);
    return (above - below) / (2 * step);
}

void oracle_gradient(const struct oracle *o, const struct oracle_sequence *pinned, int n,
                     int tensor, double step, double *gradient) {
    const struct oracle_tensor *t = &o->tensors[tensor];
    for (size_t i = 0; i < t->n; i++) {
        double kept = t->data[i];
        t->data[i] = kept + step;
        double above = oracle_loss(o, pinned, n);
        t->data[i] = kept - step;
        double below = oracle_loss(o, pinned, n);
        t->data[i] = kept;
        gradient[i] = (above - below) / (2 * step);
    }
}
