/* What the ranks of a run do together in a gradient step: each owns whole shards of the sequences and, of
 * gradients, moments and updates, a slice (ZeRO-1: Rajbhandari et al., arXiv 1910.02054, section 5.1).
 *
 * A rank's shards are a subtree of the tree in which all shards are added (law 4), so that what remains is
 * to add the ranks' gradients in the upper part of that tree: every rank gets its slice of all of them, and
 * adds. No sum is left to the transport. */
#include "rl/learner_private.h"

#include <limits.h>
#include <stdlib.h>

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

void ranks_shape(struct learner *l) {
    struct comm *c = l->config.comm;
    int ranks = comm_size(c);
    int64_t n = l->policy->n_trained, blocks = (n + NORM_BLOCK - 1) / NORM_BLOCK;
    REQUIRE(l->config.grad_shards % ranks == 0); /* whole subtrees */
    l->shards = l->config.grad_shards / ranks;
    l->cut = ARENA_ARRAY(&l->arena, ranks + 1, int64_t);
    l->block_cut = ARENA_ARRAY(&l->arena, ranks + 1, int64_t);
    comm_cut(c, blocks, l->block_cut);
    for (int r = 0; r <= ranks; r++) l->cut[r] = smaller(l->block_cut[r] * NORM_BLOCK, n);
    l->begin = l->cut[comm_rank(c)];
    l->end = l->cut[comm_rank(c) + 1];
}

void ranks_place(struct learner *l, struct layout *y) {
    int ranks = comm_size(l->config.comm);
    if (ranks == 1) l->sum = l->gradient[0];
    else l->sum = layout_f32(y, (size_t)ranks * (size_t)(l->end - l->begin));
}

/* Adds n floats of all ranks, in l->sum, into the first: neighbours first, then pairs of them, ... */
static void add_pieces(struct learner *l, int64_t n) {
    int ranks = comm_size(l->config.comm);
    for (int step = 1; n > 0 && step < ranks; step *= 2)
        for (int r = 0; r + step < ranks; r += 2 * step)
            op_add(l->policy->stream, buf_f32(l->sum, r * n), buf_f32(l->sum, (r + step) * n), n);
}

status ranks_reduce(struct learner *l, int64_t head) {
    struct comm *c = l->config.comm;
    struct stream *s = l->policy->stream;
    int ranks = comm_size(c);
    buf gradient = l->gradient[0], apart = buf_f32(gradient, l->policy->n_trained);
    if (ranks > 1 && head > 0) {
        int64_t *cut = memory_new((size_t)ranks + 1, sizeof *cut);
        for (int r = 0; r <= ranks; r++) cut[r] = smaller(l->cut[r], head);
        status lost = comm_exchange_floats(c, s, apart, cut, l->sum);
        free(cut);
        TRY(lost);
    }
    /* The floats of the slice that the head has a share in; it lies where the embedding's would. */
    int64_t shared = smaller(l->end, head) - smaller(l->begin, head);
    if (ranks > 1) {
        add_pieces(l, shared);
        if (shared) op_copy(s, apart, l->sum, (size_t)shared * sizeof(float));
        TRY(comm_exchange_floats(c, s, gradient, l->cut, l->sum));
        add_pieces(l, l->end - l->begin);
    }
    if (shared) op_add(s, l->sum, apart, shared);
    return NULL;
}

status ranks_share_results(struct learner *l, const int64_t *cut) {
    struct comm *c = l->config.comm;
    struct learner_result *r = &l->result;
    float *of_targets[] = {r->logp, r->entropy, r->loss, r->kl, r->clipped};
    for (size_t i = 0; i < sizeof of_targets / sizeof *of_targets; i++)
        TRY(comm_share(c, of_targets[i], sizeof(float), cut));
    return NULL;
}

status ranks_share_params(struct learner *l) {
    struct comm *c = l->config.comm;
    struct policy *p = l->policy;
    if (!c) return NULL;
    int64_t *cut = memory_new((size_t)comm_size(c) + 1, sizeof *cut);
    struct policy_tensors tensors = policy_trainable(p);
    status lost = NULL;
    for (const struct parameter *t = tensors.begin, *first; !lost && t < tensors.end;) {
        /* Neighbours that train are neighbours among gradients too. */
        int64_t n = 0;
        if (t->gradient < 0) {
            t++;
            continue;
        }
        for (first = t; t < tensors.end && t->gradient >= 0; t++) n += t->size;
        for (int r = 0; r <= comm_size(c); r++) {
            int64_t at = l->cut[r] - first->gradient;
            cut[r] = at < 0 ? 0 : smaller(at, n);
        }
        lost = comm_share_floats(c, p->stream, buf_f32(tensors.params, first->offset), cut);
    }
    free(cut);
    return lost;
}

status ranks_first(struct learner *l, int64_t mine, int64_t *first) {
    struct comm *c = l->config.comm;
    int ranks = comm_size(c);
    int64_t *each = memory_new((size_t)ranks, sizeof *each);
    each[comm_rank(c)] = mine;
    status lost = comm_share_each(c, each, sizeof *each);
    *first = INT64_MAX;
    for (int r = 0; r < ranks; r++) *first = smaller(*first, each[r]);
    free(each);
    return lost;
}

status ranks_sum(struct learner *l, int64_t *counts, size_t n) {
    struct comm *c = l->config.comm;
    struct arena arena = {0};
    struct span *all = ARENA_ARRAY(&arena, comm_size(c), struct span);
    status lost =
        comm_share_texts(c, (struct span){(const char *)counts, n * sizeof *counts}, &arena, all);
    if (!lost) {
        int64_t *sum = ARENA_ARRAY(&arena, n, int64_t), one;
        for (int r = 0; r < comm_size(c); r++)
            for (size_t i = 0; i < n; i++) {
                memcpy(&one, all[r].p + i * sizeof one, sizeof one);
                sum[i] += one;
            }
        memcpy(counts, sum, n * sizeof *counts);
    }
    arena_free(&arena);
    return lost;
}
