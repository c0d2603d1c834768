/* Attention over blocks of KV_BLOCK keys, its backward, and what prepares its inputs. */
#include "kernels/shape_check.h"
#include "kernels/fmath.h"
#include "kernels/host.h"
#include "kernels/ref/lanes.h"
#include "kernels/ref/ref.h"

static void attention_rope(struct stream *s, buf y, int ldy, int hy, buf x, int ldx, int hx,
                           buf cos, buf sin, buf row_pos, int T, int H, int d, bool interleaved,
                           bool inverse) {
    (void)s;
    REQUIRE(d >= 2 && d % 2 == 0 && H >= 1);
    int half = d / 2, step = interleaved ? 1 : half;
    for (int64_t t = 0; t < T; t++)
        for (int64_t h = 0; h < H; h++)
            for (int j = 0; j < half; j++) {
                int first = interleaved ? 2 * j : j;
                const float *from = host_f32(x) + t * ldx + h * hx + first;
                float *to = host_f32(y) + t * ldy + h * hy + first;
                int64_t angle = (int64_t)host_i32(row_pos)[t] * half + j;
                float c = host_f32(cos)[angle], n = host_f32(sin)[angle];
                float a = from[0], b = from[step];
                if (inverse) n = -n;
                to[0] = fmaf(a, c, -(b * n));
                to[step] = fmaf(b, c, a * n);
            }
}

/* Where head g of a row's key/value block lies: keys, here transposed, [Dk, 64], values [64, Dv]. */
static int64_t block_of(const struct kv_view *kv, int sequence, int position, int g) {
    int64_t entry = (int64_t)sequence * kv->table_stride + position / KV_BLOCK;
    return ((int64_t)host_i32(kv->table)[entry] * kv->G + g) * KV_BLOCK;
}

static void attention_store(struct stream *s, const struct kv_view *kv, buf k, int ldk, buf v,
                            int ldv, int T) {
    (void)s;
    for (int64_t t = 0; t < T; t++)
        for (int g = 0; g < kv->G; g++) {
            int position = host_i32(kv->row_pos)[t], slot = position % KV_BLOCK;
            int64_t block = block_of(kv, host_i32(kv->row_seq)[t], position, g);
            float *keys = host_f32(kv->k) + block * kv->Dk;
            float *values = host_f32(kv->v) + block * kv->Dv;
            for (int d = 0; d < kv->Dk; d++)
                keys[d * KV_BLOCK + slot] = host_f32(k)[t * ldk + g * kv->Dk + d];
            for (int d = 0; d < kv->Dv; d++)
                values[slot * kv->Dv + d] = host_f32(v)[t * ldv + g * kv->Dv + d];
        }
}

/* Which sequence's blocks hold a position of `sequence`. */
static int owner_of(const struct kv_view *kv, int sequence, int position) {
    struct kv_fork fork = host_fork(kv, sequence);
    return position < fork.shared ? fork.parent : sequence;
}

/* scale * q.k of slot j in a block */
static float score(const float *q, const float *keys, int j, int Dk, float scale) {
    float sum = 0;
    for (int d = 0; d < Dk; d++) sum = fmaf(q[d], keys[d * KV_BLOCK + j], sum);
    return scale * sum;
}

/* One row, one query head. */
static void attend(const struct attention *a, int64_t t, int h) {
    const struct kv_view *kv = &a->kv;
    int sequence = host_i32(kv->row_seq)[t], position = host_i32(kv->row_pos)[t];
    int g = h / (a->H / kv->G), Dv = kv->Dv;
    const float *q = host_f32(a->q) + t * a->ldq + h * kv->Dk;
    float *out = host_f32(a->out) + t * a->ldo + h * Dv;
    float m = 0, l = 0;
    for (int first = 0; first <= position; first += KV_BLOCK) {
        int visible = position - first + 1 < KV_BLOCK ? position - first + 1 : KV_BLOCK;
        const float *values[KV_BLOCK];
        float p[KV_BLOCK], m_b = -INFINITY;
        for (int j = 0; j < visible; j++) {
            int64_t block = block_of(kv, owner_of(kv, sequence, first + j), first, g);
            values[j] = host_f32(kv->v) + (block + j) * Dv;
            p[j] = score(q, host_f32(kv->k) + block * kv->Dk, j, kv->Dk, a->scale);
            m_b = m_b > p[j] ? m_b : p[j];
        }
        for (int j = 0; j < visible; j++) p[j] = fmath_exp(p[j] - m_b);
        float l_b = lanes_sum(p, visible);

        float m_new = m > m_b ? m : m_b;
        float keep = fmath_exp(m - m_new), take = fmath_exp(m_b - m_new);
        for (int d = 0; d < Dv; d++) {
            float o_b = 0;
            for (int j = 0; j < visible; j++) o_b = fmaf(p[j], values[j][d], o_b);
            out[d] = first == 0 ? o_b : fmaf(out[d], keep, o_b * take);
        }
        l = first == 0 ? l_b : fmaf(l, keep, l_b * take);
        m = first == 0 ? m_b : m_new;
    }
    for (int d = 0; d < Dv; d++) out[d] = out[d] / l;
    if (buf_has(a->lse)) host_f32(a->lse)[t * a->H + h] = m + fmath_log(l);
}

static void attention_forward(struct stream *s, const struct attention *a) {
    (void)s;
    check_attention(a);
    for (int64_t t = 0; t < a->T; t++)
        for (int h = 0; h < a->H; h++) attend(a, t, h);
}

/* Row t, query head h: writes dq and adds to dk and dv of the keys that it sees. */
static void attend_backward(const struct attention_backward *b, int64_t t, int h) {
    const struct attention *a = &b->fwd;
    const struct kv_view *kv = &a->kv;
    int sequence = host_i32(kv->row_seq)[t], position = host_i32(kv->row_pos)[t];
    int g = h / (a->H / kv->G), Dk = kv->Dk, Dv = kv->Dv;
    const float *q = host_f32(a->q) + t * a->ldq + h * Dk;
    const float *dout = host_f32(b->dout) + t * a->ldo + h * Dv;
    float *dq = host_f32(b->dq) + t * a->ldq + h * Dk;
    float lse = host_f32(a->lse)[t * a->H + h];
    float delta = lanes_dot(dout, host_f32(a->out) + t * a->ldo + h * Dv, Dv);
    for (int d = 0; d < Dk; d++) dq[d] = 0;
    for (int j = 0; j <= position; j++) {
        int owner = owner_of(kv, sequence, j);
        int64_t key = host_i32(b->seq_start)[owner] + j - host_fork(kv, owner).shared; /* its row */
        int64_t block = block_of(kv, owner, j, g);
        const float *keys = host_f32(kv->k) + block * Dk;
        const float *value = host_f32(kv->v) + block * Dv + j % KV_BLOCK * Dv;
        float *dk = host_f32(b->dk) + (key * kv->G + g) * Dk;
        float *dv = host_f32(b->dv) + (key * kv->G + g) * Dv;
        float P = fmath_exp(score(q, keys, j % KV_BLOCK, Dk, a->scale) - lse);
        float dP = 0;
        for (int d = 0; d < Dv; d++) dP = fmaf(dout[d], value[d], dP);
        float dS = P * (dP - delta) * a->scale;
        for (int d = 0; d < Dk; d++) dq[d] = fmaf(dS, keys[d * KV_BLOCK + j % KV_BLOCK], dq[d]);
        for (int d = 0; d < Dk; d++) dk[d] = fmaf(dS, q[d], dk[d]);
        for (int d = 0; d < Dv; d++) dv[d] = fmaf(P, dout[d], dv[d]);
    }
}

static void attention_reverse(struct stream *s, const struct attention_backward *b) {
    (void)s;
    check_attention_backward(b);
    const struct kv_view *kv = &b->fwd.kv;
    int64_t rows = host_i32(b->seq_start)[b->S];
    for (int64_t i = 0; i < rows * kv->G * kv->Dk; i++) host_f32(b->dk)[i] = 0;
    for (int64_t i = 0; i < rows * kv->G * kv->Dv; i++) host_f32(b->dv)[i] = 0;
    for (int64_t t = 0; t < rows; t++)
        for (int h = 0; h < b->fwd.H; h++) attend_backward(b, t, h);
}

void ref_attention(struct ops *table) {
    table->rope = attention_rope;
    table->kv_store = attention_store;
    table->attention = attention_forward;
    table->attention_backward = attention_reverse;
}
