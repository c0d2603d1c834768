#include "rl/learner.h"

#include "rl/interrupt.h"
#include "rl/learner_private.h"

#include <stdlib.h>

enum { HEAD_CHUNK = 256 };

/* Whether the embedding trains in two roles, whose gradients are summed in the end. */
static bool head_apart(const struct policy *p) {
    return p->config.tied && policy_trains(p, p->embed, 1);
}

static size_t gradient_floats(const struct policy *p) {
    size_t head = head_apart(p) ? (size_t)p->config.vocab * p->config.hidden : 0;
    return ((size_t)p->n_trained + head + 15) & ~(size_t)15;
}

/* Where the head's gradient is summed; NO_BUF when it is frozen. */
static buf head_gradient(const struct policy *p, buf gradient) {
    int64_t at = head_apart(p) ? p->n_trained : policy_parameter_at(p, p->head.offset)->gradient;
    return at < 0 ? NO_BUF : buf_f32(gradient, at);
}

static void buffers_place(struct learner *l, struct layout *y) {
    struct policy *p = l->policy;
    size_t rows = l->rows;
    l->tape.recompute = l->config.recompute;
    tape_place(&l->tape, y, p, l->rows, true, &l->arena);
    head_place(&l->head, y, p, l->rows, HEAD_CHUNK < l->rows ? HEAD_CHUNK : l->rows, true);
    kv_cache_place(&l->kv, y, &p->config, l->blocks);
    micro_place(l, y);
    buf *floats[] = {&l->inv_temp, &l->weight, &l->adv,     &l->old, &l->ref,     &l->logp,
                     &l->lse,      &l->loss,   &l->entropy, &l->kl,  &l->clipped, &l->coef};
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++) *floats[i] = layout_f32(y, rows);
    l->load = layout_take(y, (size_t)p->moe_layers * p->config.experts * sizeof(int64_t));
    if (!l->config.moments) return;
    for (int i = 0; i < l->depth; i++) l->gradient[i] = layout_f32(y, gradient_floats(p));
    ranks_place(l, y);
    l->m = layout_f32(y, (size_t)(l->end - l->begin));
    l->v = layout_f32(y, (size_t)(l->end - l->begin));
    l->sums = layout_f32(y, (size_t)(l->end - l->begin) / NORM_BLOCK + 1);
}

static int larger(int a, int b) { return a > b ? a : b; }

static void learner_shape(struct learner *l, struct policy *p,
                          const struct learner_config *config) {
    REQUIRE((config->grad_shards & (config->grad_shards - 1)) == 0 &&
            config->grad_shards <= 1 << 8);
    l->policy = p;
    l->config = *config;
    if (!config->micro_tokens) l->config.micro_tokens = p->stream->rows;
    l->rows = larger(l->config.micro_tokens, larger(config->tree_tokens, config->max_positions));
    l->blocks_per_seq = (config->max_positions + KV_BLOCK - 1) / KV_BLOCK;
    /* What the largest tree or sequence needs. Many short ones, which waste most of a block each, end a
     * micro-batch early. */
    l->blocks = l->rows / TREE_ROWS_A_BLOCK + l->blocks_per_seq;
    ranks_shape(l);
    l->depth = 1;
    while (1 << (l->depth - 1) < l->shards) l->depth++;
}

size_t learner_bytes(struct policy *p, const struct learner_config *config) {
    struct learner l = {0};
    struct layout y = {0};
    learner_shape(&l, p, config);
    buffers_place(&l, &y);
    arena_free(&l.arena);
    return y.used;
}

void learner_memory(struct policy *p, const struct learner_config *config,
                    struct learner_memory *out) {
    struct learner l = {0};
    struct layout all = {0}, kv = {0}, sum = {0};
    learner_shape(&l, p, config);
    buffers_place(&l, &all);
    kv_cache_place(&l.kv, &kv, &p->config, l.blocks);
    ranks_place(&l, &sum);
    size_t slice = (size_t)(l.end - l.begin);
    out->gradients = (size_t)l.depth * gradient_floats(p) * sizeof(float) + sum.used;
    out->moments = 2 * slice * sizeof(float);
    out->kv = kv.used;
    out->activations = all.used - out->gradients - out->moments - out->kv;
    arena_free(&l.arena);
}

status learner_open(struct learner **out, struct policy *p, const struct learner_config *config) {
    REQUIRE(config->max_positions <= p->max_positions); /* the RoPE tables end there */
    struct learner *l = memory_new(1, sizeof *l);
    learner_shape(l, p, config);
    struct layout y = {0};
    buffers_place(l, &y);
    status failed = op_alloc(p->stream, y.used, &l->base);
    if (failed) {
        failed = status_context(failed, "training with rl.micro_tokens=%d and rl.tree_tokens=%d",
                                l->config.micro_tokens, config->tree_tokens);
        arena_free(&l->arena);
        free(l);
        return failed;
    }
    op_zero(p->stream, l->base, y.used);
    y = (struct layout){.base = l->base};
    buffers_place(l, &y);
    micro_open(l);
    *out = l;
    return NULL;
}

void learner_close(struct learner *l) {
    if (!l) return;
    op_free(l->policy->stream, l->base);
    free(l->result.logp);
    arena_free(&l->arena);
    free(l);
}

/* ---- micro-batches --------------------------------------------------------------------------------- */

static float get_weight(const struct sequence *q, int i) { return q->weight[i]; }
static float get_negative_weight(const struct sequence *q, int i) { return -q->weight[i]; }
static float get_old(const struct sequence *q, int i) { return q->old_logp[i]; }
static float get_ref(const struct sequence *q, int i) { return q->ref_logp[i]; }
static float get_advantage(const struct sequence *q, int i) {
    (void)i;
    return q->advantage;
}

/* The end of the chunk of targets that begins at `first`. A sequence is cut at multiples of BF16_BLOCK of its
 * targets only, so that the head's gradient has the same blocks whatever precedes the sequence. */
static int chunk_end(const struct learner *l, const struct micro *m, int first) {
    int limit = first + l->head.chunk, begin = 0;
    if (limit >= m->targets) return m->targets;
    for (int i = 0; i < m->n; i++) {
        int end = begin + m->sequences[i].n - m->sequences[i].first;
        if (end > limit) {
            int cut = begin + (limit - begin) / BF16_BLOCK * BF16_BLOCK;
            REQUIRE(cut > first);
            return cut;
        }
        begin = end;
    }
    return m->targets;
}

static struct logsoftmax chunk_logsoftmax(struct learner *l, int first, int n) {
    return (struct logsoftmax){.logits = l->head.logits,
                               .inv_temp = buf_f32(l->inv_temp, first),
                               .target = buf_i32(l->ints.target, first),
                               .logp = buf_f32(l->logp, first),
                               .lse = buf_f32(l->lse, first),
                               .entropy = buf_f32(l->entropy, first),
                               .T = n,
                               .V = l->policy->config.vocab,
                               .valid = l->policy->valid_vocab};
}

/* coef = weight * dloss/dlogp of n targets from `first` on; also loss, kl, clipped. */
static void chunk_policy_loss(struct learner *l, const struct objective *o, bool has_ref, int first,
                              int n) {
    struct policy_loss loss = {.logp = buf_f32(l->logp, first),
                               .old = buf_f32(l->old, first),
                               .ref = has_ref ? buf_f32(l->ref, first) : NO_BUF,
                               .adv = buf_f32(l->adv, first),
                               .weight = buf_f32(l->weight, first),
                               .coef = buf_f32(l->coef, first),
                               .loss = buf_f32(l->loss, first),
                               .kl = buf_f32(l->kl, first),
                               .clipped = buf_f32(l->clipped, first),
                               .T = n,
                               .clip_low = o->clip_low,
                               .clip_high = o->clip_high,
                               .kl_coef = o->kl_coef};
    op_policy_loss(l->policy->stream, &loss);
}

static void micro_results(struct learner *l, const struct micro *m, bool policy_objective) {
    struct stream *s = l->policy->stream;
    size_t bytes = (size_t)m->targets * 4;
    struct learner_result *r = &l->result;
    op_read(s, r->logp + m->first_target, l->logp, bytes);
    op_read(s, r->entropy + m->first_target, l->entropy, bytes);
    if (policy_objective) {
        op_read(s, r->loss + m->first_target, l->loss, bytes);
        op_read(s, r->kl + m->first_target, l->kl, bytes);
        op_read(s, r->clipped + m->first_target, l->clipped, bytes);
    } else {
        for (int i = 0; i < m->targets; i++)
            r->loss[m->first_target + i] = -r->logp[m->first_target + i];
    }
}

/* Forward of a micro-batch up to the gathered, normalised rows. */
static struct batch micro_forward(struct learner *l, struct policy *p, const struct micro *m,
                                  float inv_temp) {
    struct batch b = micro_write(l, p, m);
    for (int i = 0; i < m->targets; i++) l->host.floats[i] = inv_temp;
    op_write(p->stream, l->inv_temp, l->host.floats, (size_t)m->targets * 4);
    policy_forward(p, &l->tape, &b, &l->kv);
    head_gather(p, &l->head, l->tape.x_out, l->ints.row, m->targets);
    return b;
}

static void micro_gradient(struct learner *l, const struct micro *m, const struct objective *o,
                           buf gradient) {
    struct policy *p = l->policy;
    bool policy_objective = m->sequences[0].old_logp != NULL,
         has_ref = m->sequences[0].ref_logp != NULL;
    struct batch b = micro_forward(l, p, m, o->inv_temp);
    for (int i = 0; i < p->config.layers; i++)
        if (p->layers[i].moe)
            op_moe_count(p->stream,
                         (buf){l->load.addr + (size_t)p->layers[i].moe_index * p->config.experts *
                                                  sizeof(int64_t)},
                         l->tape.layer[i].expert, m->rows, p->config.top_k, p->config.experts);
    if (policy_objective) {
        micro_floats(l, m, l->old, get_old);
        micro_floats(l, m, l->adv, get_advantage);
        micro_floats(l, m, l->weight, get_weight);
        if (has_ref) micro_floats(l, m, l->ref, get_ref);
    } else {
        micro_floats(l, m, l->coef, get_negative_weight);
    }
    buf dhead = head_gradient(p, gradient);
    for (int first = 0, n; first < m->targets; first += n) {
        n = chunk_end(l, m, first) - first;
        head_logits(p, &l->head, first, n);
        struct logsoftmax ls = chunk_logsoftmax(l, first, n);
        op_logsoftmax(p->stream, &ls);
        if (policy_objective) chunk_policy_loss(l, o, has_ref, first, n);
        op_logsoftmax_backward(p->stream, &ls, buf_f32(l->coef, first));
        head_logits_backward(p, &l->head, first, n, dhead);
    }
    head_gather_backward(p, &l->head, &l->tape, l->ints.row, m->targets, m->rows, gradient);
    policy_backward(p, &l->tape, &b, &l->kv, gradient);
    micro_results(l, m, policy_objective);
}

/* ---- shards ------------------------------------------------------------------------------------- */

/* Room for the results of all targets. */
static void result_open(struct learner *l, const struct sequence *sequences, int n) {
    struct learner_result *r = &l->result;
    int64_t targets = 0, rows = 0;
    for (int i = 0; i < n; i++) {
        targets += sequences[i].n - sequences[i].first;
        rows += sequences[i].n - 1;
    }
    if (targets > l->result_capacity) {
        r->logp = memory_grow(r->logp, targets * 5, sizeof(float));
        l->result_capacity = targets;
    }
    r->targets = targets;
    r->rows = rows;
    r->entropy = r->logp + l->result_capacity;
    r->loss = r->entropy + l->result_capacity;
    r->kl = r->loss + l->result_capacity;
    r->clipped = r->kl + l->result_capacity;
    memset(r->kl, 0, targets * sizeof(float));
    memset(r->clipped, 0, targets * sizeof(float));
}

/* The end of shard `shard`: sequences are dealt so that shards have nearly equal rows, whole sequences only.
 * A function of the sequences alone. */
static int shard_end(const struct learner *l, const struct sequence *sequences, int n, int64_t rows,
                     int shard) {
    int64_t limit = rows * (shard + 1) / l->config.grad_shards, sum = 0;
    int end = 0;
    if (shard + 1 == l->config.grad_shards) return n;
    while (end < n && sum + (sequences[end].n - 1) <= limit) sum += sequences[end++].n - 1;
    return end;
}

/* The sum of the gradients of this rank's shards, into gradient[0]. cut [ranks + 1] becomes where each rank's
 * targets begin. */
static void shards_gradient(struct learner *l, const struct sequence *sequences, int n,
                            const struct objective *objective, int64_t *cut) {
    struct stream *s = l->policy->stream;
    size_t floats = gradient_floats(l->policy);
    int rank = comm_rank(l->config.comm), level = 0; /* level: gradients on the stack */
    int64_t target = 0;
    for (int shard = 0, begin = 0; shard < l->config.grad_shards; shard++) {
        int end = shard_end(l, sequences, n, l->result.rows, shard);
        if (shard % l->shards == 0) cut[shard / l->shards] = target;
        if (shard / l->shards != rank) {
            for (; begin < end; begin++) target += sequences[begin].n - sequences[begin].first;
            continue;
        }
        buf gradient = l->gradient[level++];
        op_zero(s, gradient, floats * 4);
        while (begin < end) {
            struct micro m = micro_cut(l, sequences + begin, end - begin);
            m.first_target = target;
            micro_gradient(l, &m, objective, gradient);
            begin += m.n;
            target += m.targets;
        }
        /* A binary counter: two finished subtrees of equal height become one. */
        for (int done = shard % l->shards + 1; done % 2 == 0; done /= 2, level--)
            op_add(s, l->gradient[level - 2], l->gradient[level - 1], floats);
    }
    REQUIRE(level == 1);
    cut[comm_size(l->config.comm)] = target;
}

status learner_gradient(struct learner *l, const struct sequence *sequences, int n,
                        const struct objective *objective, struct learner_result *out) {
    struct policy *p = l->policy;
    struct comm *c = l->config.comm;
    REQUIRE(l->config.moments && n > 0);
    result_open(l, sequences, n);
    int64_t *cut = memory_new((size_t)comm_size(c) + 1, sizeof *cut);
    shards_gradient(l, sequences, n, objective, cut);
    status failed = comm_agree(c, op_sync(p->stream), NULL);
    if (!failed) failed = ranks_share_results(l, cut);
    /* The embedding, which may have a second role, is the first parameter. */
    if (!failed)
        failed = ranks_reduce(l, head_apart(p) ? (int64_t)p->config.vocab * p->config.hidden : 0);
    free(cut);
    *out = l->result;
    return failed;
}

/* Sequences [begin, end), whose results follow from target `target` on. */
static status sequences_score(struct learner *l, struct policy *p, const struct sequence *sequences,
                              int64_t begin, int64_t end, int64_t target, float inv_temp) {
    while (begin < end) {
        if (interrupt_requested())
            return fail(EXIT_TRY_AGAIN, "interrupted while answers were scored");
        struct micro m = micro_cut(l, sequences + begin, (int)(end - begin));
        m.first_target = target;
        micro_forward(l, p, &m, inv_temp);
        for (int first = 0, rows; first < m.targets; first += rows) {
            rows = chunk_end(l, &m, first) - first;
            head_logits(p, &l->head, first, rows);
            struct logsoftmax ls = chunk_logsoftmax(l, first, rows);
            op_logsoftmax(p->stream, &ls);
        }
        micro_results(l, &m, false);
        begin += m.n;
        target += m.targets;
    }
    return op_sync(p->stream);
}

status learner_score(struct learner *l, struct policy *p, const struct sequence *sequences, int n,
                     float inv_temp, struct learner_result *out) {
    struct comm *c = l->config.comm;
    int ranks = comm_size(c), rank = comm_rank(c);
    result_open(l, sequences, n);
    int64_t *mine = memory_new(2 * ((size_t)ranks + 1), sizeof *mine), *cut = mine + ranks + 1;
    comm_cut(c, n, mine);
    for (int r = 0; r < ranks; r++) {
        cut[r + 1] = cut[r];
        for (int64_t i = mine[r]; i < mine[r + 1]; i++)
            cut[r + 1] += sequences[i].n - sequences[i].first;
    }
    status failed =
        sequences_score(l, p, sequences, mine[rank], mine[rank + 1], cut[rank], inv_temp);
    failed = comm_agree(c, failed, NULL);
    if (!failed) failed = ranks_share_results(l, cut);
    free(mine);
    *out = l->result;
    return failed;
}
