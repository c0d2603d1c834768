/* THE list of operations: every sum and product that reaches a token or a weight is one of these.
 *
 * A backend is one table of these functions (`struct ops`). `kernels/ref/` is the definition: scalar C
 * in the order of arithmetic stated here. `kernels/cpu/` computes the same bits with SIMD and threads;
 * other backends stay within a stated tolerance (law 9).
 *
 * Buffers are opaque device addresses: the host moves data with op_write and op_read only. Integers
 * the device needs (ids, positions, offsets) live in buffers too. Operations on one stream happen in
 * order; op_read waits for its data, everything else may return early. Errors of the device are
 * sticky: op_sync reports the first one. Shapes are checked with REQUIRE: a wrong one is our bug.
 *
 * Dimensions, one capital each:
 *   T rows (tokens)       D model width        N, K outputs and inputs of a matrix
 *   H query heads         G key/value heads    Dk, Dv width of a key, of a value
 *   E experts             A experts a token uses (top-k)
 *   V vocabulary          S sequences          B key/value blocks
 * Row-major throughout, fp32 unless said otherwise, int32 for ids and offsets.
 * `ldx` is the distance, in elements, between rows of x; columns of a row are contiguous.
 *
 * Order of arithmetic. "chain": acc = fma(a_i, b_i, acc), i ascending, starting at +0 (or at the
 * stored value where the op accumulates). "lane tree": 16 lanes; element i goes to lane i mod 16, each
 * lane a chain (of a product) or a running sum over ascending i; then lanes fold 8+8, 4+4, 2+2, 1+1:
 * lane j with lane j+8, then j+4, j+2, j+1. exp and log are fmath.h's, sqrt and / are IEEE; no other
 * functions.
 * "bf16 blocks": both operands rounded to bf16 (nearest even; a denormal counts as 0 with its sign, a NaN
 * stays one), the summed index cut in blocks of BF16_BLOCK, the last one filled up with +0. In a block
 * e = chain over even i, o = chain over odd i; then acc = acc + (e + o), blocks ascending, acc starting as
 * above. The products of bf16 numbers are exact in fp32, all sums are fp32. This is what tdpbf16ps
 * computes for a row of a tile, what vdpbf16ps computes with the elements of a block dealt to it two
 * even ones or two odd ones at a time (the second of a pair counts first), and what fma computes.
 * FTZ and DAZ are set in every worker. Parameter gradients `+=`, activation gradients `=` unless a
 * flag says add. Outputs do not overlap inputs unless "in place" is said. */
#pragma once

#include "base/rng.h"
#include "base/status.h"

#include <stdint.h>

enum {
    KV_BLOCK = 64,      /* keys in a block; blocks lie at absolute positions (law 2) */
    VOCAB_CHUNK = 1024, /* ids in a chunk of the log-softmax sum */
    VOCAB_MAX = 1 << 20,
    LANES = 16,        /* of a lane tree, and of a packed panel */
    BF16_BLOCK = 32,   /* steps of a sum of bf16 products that are added up on their own */
    NORM_BLOCK = 4096, /* elements in a block of the gradient norm */
    EXPERTS_MAX = 512,
    TOPK_MAX = 32,
};

/* Device memory, borrowed. The host never dereferences it. */
typedef struct {
    char *addr;
} buf;

static const buf NO_BUF = {0};
static inline bool buf_has(buf b) { return b.addr != 0; }
static inline buf buf_f32(buf b, int64_t n) { return (buf){b.addr + 4 * n}; } /* b + n floats */
static inline buf buf_i32(buf b, int64_t n) { return (buf){b.addr + 4 * n}; }

/* Plans a block of device memory: run the same function twice, first with base = NULL to count, then
 * with the allocated base to place. Pieces are 64-byte aligned. */
struct layout {
    buf base;    /* NULL while counting */
    size_t used; /* bytes so far */
};

static inline buf layout_take(struct layout *l, size_t bytes) {
    buf b = {l->base.addr ? l->base.addr + l->used : 0};
    l->used += (bytes + 63) & ~(size_t)63;
    return b;
}
static inline buf layout_f32(struct layout *l, size_t n) { return layout_take(l, n * 4); }
static inline buf layout_i32(struct layout *l, size_t n) { return layout_take(l, n * 4); }

struct stream; /* below */

/* ---- matrices ------------------------------------------------------------------------------------ */

/* One description for the three products. Chains run over the summed index, ascending; an `add` starts
 * each chain at the stored value. With bf16 = true the sums are bf16 blocks in place of chains, and x, y
 * and w are as fp32 as ever but for a packed w. M batched heads share the rows: head m reads x at column
 * m*hx, writes y at column m*hy, and uses matrix m, hw after the one before.
 *
 * Grouped (MoE): if `offsets` is set (device int32 [M+1], offsets[0] = 0, non-decreasing,
 * offsets[M] <= T), then "head" m owns rows offsets[m]..offsets[m+1] only, hx = hy = 0; rows from
 * offsets[M] on are left alone.
 *
 * gemm_tn sums over rows. So that its bf16 blocks do not depend on how many sequences are computed
 * together (law 4), they begin anew wherever `segment` changes from one row of a head to the next. */
struct gemm {
    buf y; /* [T, N], leading dimension ldy */
    buf x; /* [T, K], leading dimension ldx */
    buf w; /* [N, K] row-major, or packed by op_pack where `packed` */
    int T, N, K;
    int ldy, ldx;
    bool packed; /* gemm_nt: always; gemm_nn: with bf16; gemm_tn: never */
    bool bf16;
    bool add;
    int M;      /* batched matrices, 1 for a plain product */
    int hy, hx; /* column distance between heads in y and in x */
    int64_t hw; /* distance between matrices in w: floats, or bytes where packed */
    buf offsets;
    buf segment; /* gemm_tn with bf16: int32 [T]; NO_BUF: the rows of a head are one segment */
};

/* For which product a matrix is packed. */
enum pack_form {
    PACK_FP32,    /* gemm_nt */
    PACK_BF16,    /* gemm_nt with bf16: rounded, about half the size */
    PACK_BF16_NN, /* gemm_nn with bf16: likewise */
};

/* M matrices [N, K] to be packed, or rows first..first+rows-1 of one: a matrix can be packed piece by piece
 * from a place that holds no more. `first` is then a multiple of BF16_BLOCK, `rows` too but for the last
 * piece; PACK_BF16_NN wants all rows at once. */
struct packing {
    buf packed; /* of the whole matrices, one right after the other */
    buf w;      /* [rows, K] of each, hw floats apart */
    int M, N, K;
    int64_t hw;
    enum pack_form form;
    int first, rows; /* 0 and N where M > 1 */
};

/* Numbers as files hold them: on the host, little-endian, at any address. */
enum number_form { NUMBER_F32, NUMBER_F16, NUMBER_BF16 };

/* ---- attention ------------------------------------------------------------------------------------ */

/* A sequence that continues another: its positions below `shared` are those of sequence `parent`. */
struct kv_fork {
    int32_t parent, shared; /* shared = 0: it stands alone */
};

/* A key/value pool of one layer: keys [B, G, 64 * Dk], within a block and head in an order of the backend's
 * own; values [B, G, 64, Dv]. Sequence s at position p lives in block table[s*table_stride + p/64], slot
 * p%64, where the parent's table counts for the positions that s shares. A parent's own fork is not
 * followed. */
struct kv_view {
    buf k, v;  /* the pool */
    buf table; /* int32 [S, table_stride]: block ids */
    int table_stride;
    buf fork;    /* struct kv_fork [S]; NO_BUF: all stand alone */
    buf row_seq; /* int32 [T]: which sequence a row belongs to */
    buf row_pos; /* int32 [T]: its absolute position */
    int G, Dk, Dv;
    /* Each row's sequence gets one row a call, as samples do, and keys may be ordered for that. Then what a
     * sequence has of its own was stored in such calls only, its last position is this call's row, and no
     * other sequence continues it. */
    bool growing;
};

/* out = softmax(scale * q K^T) V over keys 0..row_pos of the row's own sequence (causal).
 * Query head h uses key/value head h / (H/G). Per (row, head), over absolute 64-key blocks b ascending:
 *   s_j   = scale * chain over d of q_d k_dj               (visible j only)
 *   m_b   = max_j s_j;  p_j = exp(s_j - m_b);  l_b = lane tree over j of p_j;
 *   o_b,d = chain over visible j ascending of p_j v_jd
 * then folded:  m' = max(m, m_b); a = exp(m - m'); c = exp(m_b - m'); l = fma(l, a, l_b * c);
 *   o = fma(o, a, o_b * c), with the first block copied as is; out = o / l; lse = m + log(l). */
struct attention {
    buf out; /* [T, H*Dv], leading dimension ldo */
    buf lse; /* [T, H]; may be NO_BUF when nothing will be differentiated */
    buf q;   /* [T, H*Dk], leading dimension ldq */
    int ldo, ldq;
    struct kv_view kv;
    int T, H;
    float scale;
};

/* Sequences tree_start[r]..tree_start[r+1]-1 are a tree: the first of them, the trunk, stands alone; the
 * others, the branches, are forks of it that share all its rows. Rows of sequence s (row_seq) are contiguous,
 * positions ascending: seq_start[s]..seq_start[s+1]-1; a branch may have none.
 * With P = exp(scale*q.k - lse) recomputed (scores by the same chain), delta_i = lane tree of dout_i*out_i,
 * dP_ij = chain over d of dout_id v_jd, dS_ij = P_ij * (dP_ij - delta_i) * scale:
 *   dq_i = chain over visible j, positions ascending, of dS_ij k_j
 *   dk_j = chain over (rows i that see it, ascending; h ascending) of dS_ij q_i
 *   dv_j = likewise of P_ij dout_i */
struct attention_backward {
    struct attention fwd; /* as it was called, with lse */
    buf dout;             /* [T, H*Dv], leading dimension fwd.ldo */
    buf dq;               /* [T, H*Dk], leading dimension fwd.ldq */
    buf dk, dv;           /* [T, G*Dk], [T, G*Dv], dense */
    buf seq_start;        /* int32 [S+1]: rows */
    buf tree_start;       /* int32 [trees+1]: sequences; tree_start[0] = 0, tree_start[trees] = S */
    int S, trees;
};

/* ---- mixture of experts ---------------------------------------------------------------------------- */

/* Far below every sensible score and bias; two of them can be added. */
#define CHOICE_LOWEST (-1e30f)

/* Chooses A of E experts for each row; ties go to the lower id; ids come out ascending within a row.
 * softmax: s = softmax(logits) (exact max; sum by lane tree). sigmoid (DeepSeek-V3, arXiv 2412.19437
 * eq. 12-16): s = 1/(1+exp(-logit)). The choice is by s, or by s + bias where there is one; with
 * n_group > 1 a group's score is the sum of its two best choices, or the best one if group_max
 * (DeepSeek-V2, arXiv 2405.04434, section 2.2.2), and only the topk_group best groups are eligible.
 * A choice that is lower than CHOICE_LOWEST, or not a number, counts as CHOICE_LOWEST: the ids are valid
 * whatever the logits.
 * gate_a = s_a, divided by (sum of the chosen s by chain of adds, ascending id, + 1e-20) if norm_topk,
 * times scaling. With replay, ids are input and only gates are computed. */
struct router {
    buf ids;    /* int32 [T, A] */
    buf gates;  /* [T, A] */
    buf logits; /* [T, E] */
    buf bias;   /* [E], NO_BUF for none */
    int T, E, A;
    bool sigmoid, norm_topk, replay;
    bool group_max;
    int n_group, topk_group;
    float scaling;
};

/* ---- the head ------------------------------------------------------------------------------------- */

/* z = logits * inv_temp over the first `valid` ids (the rest are padding and count as absent).
 * m = exact max of z; sum = over VOCAB_CHUNK-id chunks ascending, sum = sum + lane tree of exp(z - m);
 * lse = m + log(sum); logp = z[target] - lse.
 * entropy = lse - (chunks ascending of lane tree of exp(z-m)*z) / sum. */
struct logsoftmax {
    buf logits;   /* [T, V] */
    buf inv_temp; /* [T]; 0 stands for greedy decoding and is computed as 1 */
    buf target;   /* int32 [T], each in [0, valid) */
    buf logp;     /* [T] out */
    buf lse;      /* [T] out */
    buf entropy;  /* [T] out; NO_BUF when not wanted */
    int T, V, valid;
};

/* Draws one id a row. lse and logp are those of the full distribution above (before top-k, top-p).
 * inv_temp = 0: the largest logit, ties to the lower id. Otherwise with u = rng_uniform(word 0 of
 * rng_at(key, position)): the weights are exp(z - m) over the allowed ids; target = u * (their sum, chunks
 * ascending, lane tree within); ids are walked in ascending order, whole chunks skipped by their sums
 * (running chain of adds), then, in the chunk that takes the running sum over the target, id by id; the
 * first id whose running sum exceeds the target is drawn, the chunk's last id with a positive weight if
 * rounding leaves none. Logits that are not numbers draw id 0.
 * top_k = n > 0 allows the n largest z (ties: lower ids first); top_p < 1 then keeps the smallest set of
 * most likely ids (ties: lower ids first), at least one, whose weights, added in that order, reach
 * top_p * (sum of the weights still allowed, chunks ascending, lane tree within). */
struct sample {
    buf logits;   /* [T, V] */
    buf inv_temp; /* [T] */
    buf keys;     /* struct rng_key [T] */
    buf position; /* uint32 [T] */
    buf top_k;    /* int32 [T], 0 = all */
    buf top_p;    /* [T], 1 = all */
    buf id;       /* int32 [T] out */
    buf logp;     /* [T] out */
    int T, V, valid;
};

/* The GRPO token objective (DeepSeekMath, arXiv 2402.03300 eq. 3; asymmetric clip: DAPO, arXiv 2503.14476
 * eq. 8) and its derivative by logp. With r = exp(logp - old), A = adv, per token with weight w:
 *   loss = -min(r A, clip(r, 1-clip_low, 1+clip_high) A) + kl_coef * (exp(ref-logp) - (ref-logp) - 1)
 *   coef = w * dloss/dlogp = w * (-(A r if the unclipped branch is the min, else 0)
 *                                  + kl_coef * (1 - exp(ref-logp)))
 * (k3 estimator: Schulman, "Approximating KL divergence", 2020). Where the branches are equal the
 * unclipped one counts. Where old equals logp bit for bit, r is exactly 1. Without ref the KL terms are
 * absent and kl = 0. */
struct policy_loss {
    buf logp, old, ref; /* [T]; ref may be NO_BUF */
    buf adv, weight;    /* [T] */
    buf coef;           /* [T] out: w * dloss/dlogp */
    buf loss, kl;       /* [T] out, unweighted; kl is the k3 term without its coefficient */
    buf clipped;        /* [T] out: 1 where the clipped branch was the min, else 0 */
    int T;
    float clip_low, clip_high, kl_coef;
};

/* ---- optimizer ------------------------------------------------------------------------------------- */

/* AdamW (Loshchilov & Hutter, arXiv 1711.05101, algorithm 2), element by element:
 *   g' = g * grad_scale;  m = fma(beta1, m, (1-beta1) g');  v = fma(beta2, v, (1-beta2) g' g')
 *   w = w - lr * ( (m * inv_bias1) / (sqrt(v * inv_bias2) + eps) + decay * w )
 * one_minus_* are passed so that no backend rounds them differently. */
struct adamw {
    buf w, m, v, g; /* [n]; w, m, v in place */
    int64_t n;
    float lr, beta1, one_minus_beta1, beta2, one_minus_beta2, inv_bias1, inv_bias2, eps, decay;
    float grad_scale;
};

/* ---- the table -------------------------------------------------------------------------------------- */

struct ops {
    const char *name; /* "ref", "cpu-avx2", "cpu-avx512", ... */

    /* Memory. alloc fails with a sentence when there is not enough; contents are undefined. */
    status (*alloc)(struct stream *s, size_t bytes, buf *out);
    void (*free)(struct stream *s, buf b); /* NO_BUF is fine */
    /* A hint that all these bytes will be written: the system clears a large buffer's memory when it is first
     * touched, which all threads can do together. Contents are undefined. */
    void (*touch)(struct stream *s, buf b, size_t bytes);
    void (*write)(struct stream *s, buf dst, const void *src, size_t bytes);
    void (*read)(struct stream *s, void *dst, buf src, size_t bytes); /* waits */
    void (*copy)(struct stream *s, buf dst, buf src, size_t bytes);
    void (*zero)(struct stream *s, buf dst, size_t bytes);
    /* dst[i] = src[i] for n numbers, as fp32, which all forms fit into (a denormal stays what it is). An
     * infinity or NaN among them sets flaw[0] to 1; flaw is int32 [1]. */
    void (*load)(struct stream *s, buf dst, const void *src, enum number_form form, int64_t n,
                 buf flaw);
    status (*sync)(struct stream *s); /* waits for everything; the first error of the device */
    void (*close)(struct stream *s);  /* frees the stream itself */

    /* Does what make(context) does by calling operations of this stream other than alloc, free, write, load,
     * read, sync and repeat. A device may keep that work under (owner, shape) and do it the next time without
     * calling make. So under one (owner, shape) make has to call the same operations with the same
     * arguments, numbers and addresses; what differs from time to time lies in buffers. Work that is kept
     * is forgotten when any memory is freed. */
    void (*repeat)(struct stream *s, const void *owner, int shape, void (*make)(void *context),
                   void *context);

    /* x[t] = table[id[t]], rows of D. backward: dtable[id[t]] += dx[t], t ascending (plain adds). */
    void (*embed)(struct stream *s, buf x, buf table, buf id, int T, int D);
    void (*embed_backward)(struct stream *s, buf dtable, buf dx, buf id, int T, int D);

    /* y = x * rstd * w, rstd = 1/sqrt(lane tree of x*x chains / D + eps): (x*rstd) rounded, then * w.
     * Row t of x at ldx, of y at ldy; rstd [T] may be NO_BUF. May be in place (y = x, ldy = ldx).
     * backward: with h = x*rstd, c = lane tree of (dy*w)*h / D:
     *   dx (+)= rstd * (dy*w - h*c);  dw_d += chain over t of dy_td h_td (dw NO_BUF: not wanted). */
    void (*rmsnorm)(struct stream *s, buf y, int ldy, buf x, int ldx, buf w, buf rstd, int T, int D,
                    float eps);
    void (*rmsnorm_backward)(struct stream *s, buf dx, int lddx, bool add, buf dw, buf dy, int lddy,
                             buf x, int ldx, buf w, buf rstd, int T, int D);
    /* For per-head norms: T rows of H vectors of width D, side by side, at ldx; w [D] shared; rstd [T,H].
     * Same arithmetic; dw chains run over (t ascending, h ascending). In place allowed (forward). */
    void (*headnorm)(struct stream *s, buf y, int ldy, buf x, int ldx, buf w, buf rstd, int T,
                     int H, int D, float eps);
    void (*headnorm_backward)(struct stream *s, buf dx, int lddx, buf dw, buf dy, int lddy, buf x,
                              int ldx, buf w, buf rstd, int T, int H, int D);

    /* Bytes of one packed [N, K] matrix; the layout is the backend's own. On the CPU:
     * 4 * K * (N rounded up to 16); with bf16 2 * N * K, both rounded up to 32. */
    size_t (*pack_size)(struct stream *s, int N, int K, enum pack_form form);
    void (*pack)(struct stream *s, const struct packing *p);
    /* x[t] = row id[t] of a packed [N, K] as it was packed, rounded in bf16: embed, where the head is the
     * embedding and nothing else is kept of it. Not PACK_BF16_NN. */
    void (*embed_packed)(struct stream *s, buf x, buf packed, enum pack_form form, buf id, int T,
                         int N, int K);
    void (*gemm_nt)(struct stream *s, const struct gemm *g); /* y (+)= x w^T; sums over k */
    void (*gemm_nn)(struct stream *s, const struct gemm *g); /* x (+)= y w;   sums over n */
    void (*gemm_tn)(struct stream *s, const struct gemm *g); /* w += y^T x;   sums over t */

    /* Rotates d columns of each head by the row's position: y = rope(x), pairs
     * (a, b) -> (fma(a, cos, -(b*sin)), fma(b, cos, a*sin)).
     * T rows at ldx and ldy; H heads, hx and hy columns apart, each rotated from its first column on;
     * columns outside are not touched. May be in place (y = x, same distances).
     * Pairs (j, j+d/2), or (2j, 2j+1) if interleaved, in x and in y. cos, sin: [positions, d/2].
     * inverse = true rotates back (the backward). */
    void (*rope)(struct stream *s, buf y, int ldy, int hy, buf x, int ldx, int hx, buf cos, buf sin,
                 buf row_pos, int T, int H, int d, bool interleaved, bool inverse);

    /* Stores rows of keys [T, G*Dk] and values [T, G*Dv] in the blocks of their own sequences. */
    void (*kv_store)(struct stream *s, const struct kv_view *kv, buf k, int ldk, buf v, int ldv,
                     int T);
    void (*attention)(struct stream *s, const struct attention *a);
    void (*attention_backward)(struct stream *s, const struct attention_backward *a);

    /* h = silu(g) * u with gate g and up u side by side, gu [T, 2*I] (gate columns first), h [T, I]:
     * silu(g) = g / (1 + exp(-g)). backward writes dgu [T, 2*I]:
     * sg = 1/(1+exp(-g)); du = dh*(g*sg); dg = (dh*u)*(sg*(1 + g*(1-sg))).
     * It leaves h once more, unless h is NO_BUF; h may be dh, and dgu may be gu.
     * rows: NO_BUF, or device int32 [1]: only the first rows[0] <= T rows count. */
    void (*swiglu)(struct stream *s, buf h, buf gu, int T, int I, buf rows);
    void (*swiglu_backward)(struct stream *s, buf dgu, buf h, buf dh, buf gu, int T, int I,
                            buf rows);

    void (*router)(struct stream *s, const struct router *r);
    /* dlogits [T,E] = derivative through gates (the choice itself has none). With S = sum of the chosen s
     * + 1e-20 and all sums chains over a (ascending ids):
     *   norm_topk: ds_a = (dgate_a - (sum dgate_b s_b) / S) / S * scaling, otherwise dgate_a * scaling
     *   sigmoid:   dlogit_e = ds_a * (s_e * (1 - s_e)) where chosen, 0 elsewhere
     *   softmax:   dlogit_e = s_e * (ds_a - dot) where chosen, -(s_e * dot) elsewhere, dot = sum ds_b s_b */
    void (*router_backward)(struct stream *s, const struct router *r, buf dlogits, buf dgates);

    /* Slots sorted by expert, stable: slot t*A+a of expert e. order[p] = slot at sorted place p;
     * place[slot] = p; offsets [E+1]. */
    void (*moe_permute)(struct stream *s, buf order, buf place, buf offsets, buf ids, int T, int A,
                        int E);
    /* xs[p] = x[order[p] / A], p < T*A. backward: dx[t] += dxs[place[t*A+a]], a ascending (plain adds). */
    void (*moe_gather)(struct stream *s, buf xs, buf x, buf order, int T, int A, int D);
    void (*moe_gather_backward)(struct stream *s, buf dx, buf dxs, buf place, int T, int A, int D);
    /* y[t] (+)= sum over a ascending of gates[t,a] * ys[place[t*A+a]], one chain (from y if add).
     * backward: dys[place] = gate * dy[t]; dgates[t,a] = lane tree of dy[t] * ys[place]. */
    void (*moe_combine)(struct stream *s, buf y, buf ys, buf gates, buf place, int T, int A, int D,
                        bool add);
    void (*moe_combine_backward)(struct stream *s, buf dys, buf dgates, buf dy, buf ys, buf gates,
                                 buf place, int T, int A, int D);
    /* load[e] += number of rows that chose e; int64 [E]. */
    void (*moe_count)(struct stream *s, buf load, buf ids, int T, int A, int E);

    void (*logsoftmax)(struct stream *s, const struct logsoftmax *l);
    /* In place: logits[t,v] = coef[t] * (1[v = target] - exp(z_v - lse)) * inv_temp; 0 from `valid` on. */
    void (*logsoftmax_backward)(struct stream *s, const struct logsoftmax *l, buf coef);
    void (*sample)(struct stream *s, const struct sample *p);
    void (*policy_loss)(struct stream *s, const struct policy_loss *l);

    /* y[r] = x[row[r]] for R rows of D floats. backward: dx[row[r]] += dy[r], r ascending. */
    void (*rows_gather)(struct stream *s, buf y, buf x, buf row, int R, int D);
    void (*rows_scatter_add)(struct stream *s, buf dx, buf dy, buf row, int R, int D);
    void (*add)(struct stream *s, buf y, buf x, int64_t n); /* y += x */
    /* y = x for T rows of D columns at ldy and ldx. */
    void (*copy_rows)(struct stream *s, buf y, int ldy, buf x, int ldx, int T, int D);
    /* y += x likewise. */
    void (*add_rows)(struct stream *s, buf y, int ldy, buf x, int ldx, int T, int D);
    /* y[t] += b for T dense rows of D. backward: db += dy[t], t ascending (plain adds), rows at lddy. */
    void (*add_bias)(struct stream *s, buf y, buf b, int T, int D);
    void (*add_bias_backward)(struct stream *s, buf db, buf dy, int lddy, int T, int D);
    void (*scale)(struct stream *s, buf y, float a, int64_t n); /* y *= a */
    /* sums[b] = lane tree of x*x over block b of NORM_BLOCK elements; ceil(n/NORM_BLOCK) blocks.
     * A non-finite element makes its block's sum non-finite. */
    void (*sumsq)(struct stream *s, buf sums, buf x, int64_t n);
    void (*adamw)(struct stream *s, const struct adamw *a);
};

/* A stream: where operations run, in order. Backends embed it as their first member. */
struct stream {
    const struct ops *ops;
    /* Rows that a pass had best have: enough to keep the device busy, few enough that what an operation
     * leaves is still near when the next one reads it. A matter of speed alone. */
    int rows;
};

struct stream_config {
    const char *device; /* "cpu", "ref", "cuda" or "cuda-emulated" */
    const char *isa;    /* "auto", "avx2", "avx512", "avx512_bf16", "amx"; cpu only */
    int threads;        /* >= 1; cpu only */
    bool cublas;        /* dense products by NVIDIA's cuBLAS, without the laws; cuda only */
    bool graphs;        /* work that comes again is kept as CUDA graphs; no effect elsewhere */
};

/* Opens a stream; EXIT_BAD_CONFIG with a sentence when the device or instruction set is not here.
 * The caller closes it with op_close. The calling thread, which must be the one that uses the stream,
 * has FTZ and DAZ set from then on; nothing puts them back. */
status stream_open(struct stream **out, const struct stream_config *config);

#define op_alloc(s, ...) ((s)->ops->alloc((s), __VA_ARGS__))
#define op_free(s, ...) ((s)->ops->free((s), __VA_ARGS__))
#define op_touch(s, ...) ((s)->ops->touch((s), __VA_ARGS__))
#define op_write(s, ...) ((s)->ops->write((s), __VA_ARGS__))
#define op_read(s, ...) ((s)->ops->read((s), __VA_ARGS__))
#define op_copy(s, ...) ((s)->ops->copy((s), __VA_ARGS__))
#define op_zero(s, ...) ((s)->ops->zero((s), __VA_ARGS__))
#define op_load(s, ...) ((s)->ops->load((s), __VA_ARGS__))
#define op_sync(s) ((s)->ops->sync(s))
#define op_close(s) ((s)->ops->close(s))
#define op_repeat(s, ...) ((s)->ops->repeat((s), __VA_ARGS__))
#define op_embed(s, ...) ((s)->ops->embed((s), __VA_ARGS__))
#define op_embed_backward(s, ...) ((s)->ops->embed_backward((s), __VA_ARGS__))
#define op_rmsnorm(s, ...) ((s)->ops->rmsnorm((s), __VA_ARGS__))
#define op_rmsnorm_backward(s, ...) ((s)->ops->rmsnorm_backward((s), __VA_ARGS__))
#define op_headnorm(s, ...) ((s)->ops->headnorm((s), __VA_ARGS__))
#define op_headnorm_backward(s, ...) ((s)->ops->headnorm_backward((s), __VA_ARGS__))
#define op_pack_size(s, ...) ((s)->ops->pack_size((s), __VA_ARGS__))
#define op_embed_packed(s, ...) ((s)->ops->embed_packed((s), __VA_ARGS__))
#define op_pack(s, ...) ((s)->ops->pack((s), __VA_ARGS__))
#define op_gemm_nt(s, ...) ((s)->ops->gemm_nt((s), __VA_ARGS__))
#define op_gemm_nn(s, ...) ((s)->ops->gemm_nn((s), __VA_ARGS__))
#define op_gemm_tn(s, ...) ((s)->ops->gemm_tn((s), __VA_ARGS__))
#define op_rope(s, ...) ((s)->ops->rope((s), __VA_ARGS__))
#define op_kv_store(s, ...) ((s)->ops->kv_store((s), __VA_ARGS__))
#define op_attention(s, ...) ((s)->ops->attention((s), __VA_ARGS__))
#define op_attention_backward(s, ...) ((s)->ops->attention_backward((s), __VA_ARGS__))
#define op_swiglu(s, ...) ((s)->ops->swiglu((s), __VA_ARGS__))
#define op_swiglu_backward(s, ...) ((s)->ops->swiglu_backward((s), __VA_ARGS__))
#define op_router(s, ...) ((s)->ops->router((s), __VA_ARGS__))
#define op_router_backward(s, ...) ((s)->ops->router_backward((s), __VA_ARGS__))
#define op_moe_permute(s, ...) ((s)->ops->moe_permute((s), __VA_ARGS__))
#define op_moe_gather(s, ...) ((s)->ops->moe_gather((s), __VA_ARGS__))
#define op_moe_gather_backward(s, ...) ((s)->ops->moe_gather_backward((s), __VA_ARGS__))
#define op_moe_combine(s, ...) ((s)->ops->moe_combine((s), __VA_ARGS__))
#define op_moe_combine_backward(s, ...) ((s)->ops->moe_combine_backward((s), __VA_ARGS__))
#define op_moe_count(s, ...) ((s)->ops->moe_count((s), __VA_ARGS__))
#define op_logsoftmax(s, ...) ((s)->ops->logsoftmax((s), __VA_ARGS__))
#define op_logsoftmax_backward(s, ...) ((s)->ops->logsoftmax_backward((s), __VA_ARGS__))
#define op_sample(s, ...) ((s)->ops->sample((s), __VA_ARGS__))
#define op_policy_loss(s, ...) ((s)->ops->policy_loss((s), __VA_ARGS__))
#define op_rows_gather(s, ...) ((s)->ops->rows_gather((s), __VA_ARGS__))
#define op_rows_scatter_add(s, ...) ((s)->ops->rows_scatter_add((s), __VA_ARGS__))
#define op_add(s, ...) ((s)->ops->add((s), __VA_ARGS__))
#define op_copy_rows(s, ...) ((s)->ops->copy_rows((s), __VA_ARGS__))
#define op_add_rows(s, ...) ((s)->ops->add_rows((s), __VA_ARGS__))
#define op_add_bias(s, ...) ((s)->ops->add_bias((s), __VA_ARGS__))
#define op_add_bias_backward(s, ...) ((s)->ops->add_bias_backward((s), __VA_ARGS__))
#define op_scale(s, ...) ((s)->ops->scale((s), __VA_ARGS__))
#define op_sumsq(s, ...) ((s)->ops->sumsq((s), __VA_ARGS__))
#define op_adamw(s, ...) ((s)->ops->adamw((s), __VA_ARGS__))
