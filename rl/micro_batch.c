/* Micro-batches: which sequences are computed together, and what the device has to know about their rows. */
#include "rl/learner_private.h"

/* ---- trees ------------------------------------------------------------------------------------------ */

/* Sequences that are computed as a tree, or one of its own. */
struct tree {
    int n;
    int parts; /* sequences of the batch: a trunk and its branches, or one */
    int rows, targets, blocks;
};

/* Blocks that a sequence fills at positions from..to-1, the one that it begins in included. */
static int blocks_of(int from, int to) {
    return to > from ? (to + KV_BLOCK - 1) / KV_BLOCK - from / KV_BLOCK : 0;
}

static bool same_prompt(const struct sequence *a, const struct sequence *b) {
    return a->first == b->first &&
           (a->ids == b->ids || memcmp(a->ids, b->ids, (size_t)a->first * sizeof *a->ids) == 0);
}

/* The tree that begins with the first of n sequences: the limits are those that learner.h states. */
static struct tree tree_cut(const struct sequence *q, int n, int limit) {
    struct tree t = {.parts = 1, .rows = q->first, .blocks = blocks_of(0, q->first)};
    for (; t.n < n; t.n++) {
        const struct sequence *next = q + t.n;
        int targets = t.targets + next->n - next->first;
        int blocks = t.blocks + blocks_of(next->first, next->n - 1);
        bool fits = q->first + targets <= limit && blocks <= limit / TREE_ROWS_A_BLOCK &&
                    t.parts < SEQUENCES_MAX;
        if (t.n > 0 && !(fits && same_prompt(q, next))) break;
        t.parts++;
        t.rows += next->n - 1 - next->first;
        t.targets = targets;
        t.blocks = blocks;
    }
    if (t.n > 1) return t;
    return (struct tree){1, 1, q->n - 1, t.targets, blocks_of(0, q->n - 1)};
}

int64_t learner_rows(const struct learner_config *config, const struct sequence *sequences, int n) {
    int64_t rows = 0;
    for (int at = 0; at < n;) {
        struct tree t = tree_cut(sequences + at, n - at, config->tree_tokens);
        rows += t.rows;
        at += t.n;
    }
    return rows;
}

struct micro micro_cut(const struct learner *l, const struct sequence *sequences, int n) {
    struct micro m = {.sequences = sequences};
    int limit = l->config.micro_tokens, blocks = 0, parts = 0;
    while (m.n < n) {
        struct tree t = tree_cut(sequences + m.n, n - m.n, l->config.tree_tokens);
        blocks += t.blocks;
        parts += t.parts;
        if (m.n && (m.rows + t.rows > limit || m.targets + t.targets > limit ||
                    blocks > l->blocks || parts > SEQUENCES_MAX))
            break;
        m.n += t.n;
        m.rows += t.rows;
        m.targets += t.targets;
    }
    return m;
}

/* ---- rows ------------------------------------------------------------------------------------------- */

void micro_place(struct learner *l, struct layout *y) {
    size_t rows = (size_t)l->rows;
    struct micro_ints *d = &l->ints;
    d->id = layout_i32(y, rows);
    d->row_seq = layout_i32(y, rows);
    d->row_pos = layout_i32(y, rows);
    d->fork = layout_take(y, SEQUENCES_MAX * sizeof(struct kv_fork));
    d->table = layout_i32(y, (size_t)SEQUENCES_MAX * l->blocks_per_seq);
    d->seq_start = layout_i32(y, SEQUENCES_MAX + 1);
    d->tree_start = layout_i32(y, SEQUENCES_MAX + 1);
    d->row = layout_i32(y, rows);
    d->target = layout_i32(y, rows);
}

void micro_open(struct learner *l) {
    struct arena *a = &l->arena;
    struct micro_host *h = &l->host;
    int rows = l->rows, A = l->policy->config.top_k;
    int32_t **lists[] = {&h->id, &h->row_seq, &h->row_pos, &h->row, &h->target, &h->segment};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        *lists[i] = ARENA_ARRAY(a, rows, int32_t);
    h->table = ARENA_ARRAY(a, (size_t)SEQUENCES_MAX * l->blocks_per_seq, int32_t);
    h->expert = ARENA_ARRAY(a, (size_t)rows * (A ? A : 1), int32_t);
    h->floats = ARENA_ARRAY(a, rows, float);
}

/* Positions from..to-1 of `q` as the batch's next sequence, which continues `trunk` unless from = 0. */
static void part_add(struct learner *l, const struct sequence *q, int from, int to, int trunk) {
    struct micro_host *h = &l->host;
    int s = h->S++;
    h->part[s] = (struct micro_part){q, from, to};
    h->fork[s] = (struct kv_fork){trunk, from};
    h->seq_start[s] = h->T;
    for (int k = from / KV_BLOCK; from < to && k * KV_BLOCK < to; k++)
        h->table[(ptrdiff_t)s * l->blocks_per_seq + k] = kv_cache_id(&l->kv, h->blocks++);
    for (int t = from; t < to; t++, h->T++) {
        h->id[h->T] = q->ids[t];
        h->row_seq[h->T] = s;
        h->row_pos[h->T] = t;
    }
}

/* The targets of sequence number i of the micro-batch: `row` predicts the first, `next` and those after it
 * the others. */
static void targets_add(struct micro_host *h, const struct sequence *q, int i, int row, int next) {
    REQUIRE(q->first >= 1 && q->first < q->n);
    for (int t = q->first; t < q->n; t++, h->targets++, row = next++) {
        h->row[h->targets] = row;
        h->target[h->targets] = q->ids[t];
        h->segment[h->targets] = i;
    }
}

/* The rows and targets of n sequences that form a tree; `i` is the first one's number. */
static void tree_add(struct learner *l, const struct sequence *q, int n, int i) {
    struct micro_host *h = &l->host;
    int trunk = h->S, start = h->T, first = q->first;
    h->tree_start[h->trees++] = trunk;
    part_add(l, q, 0, n > 1 ? first : q->n - 1, trunk);
    if (n == 1) targets_add(h, q, i, start + first - 1, start + first);
    for (int k = 0; n > 1 && k < n; k++) {
        int row = h->T;
        part_add(l, q + k, first, q[k].n - 1, trunk);
        targets_add(h, q + k, i + k, start + first - 1, row);
    }
}

static void micro_fill(struct learner *l, const struct micro *m) {
    struct micro_host *h = &l->host;
    h->T = h->S = h->trees = h->blocks = h->targets = 0;
    for (int i = 0; i < m->n;) {
        struct tree t = tree_cut(m->sequences + i, m->n - i, l->config.tree_tokens);
        tree_add(l, m->sequences + i, t.n, i);
        i += t.n;
    }
    h->seq_start[h->S] = h->T;
    h->tree_start[h->trees] = h->S;
    REQUIRE(h->T == m->rows && h->targets == m->targets && h->S <= SEQUENCES_MAX);
    REQUIRE(h->T <= l->rows && h->targets <= l->rows && h->blocks <= l->blocks);
}

/* The experts to replay: a trunk's are those of the tree's first sequence. */
static void micro_routes(struct learner *l, struct policy *p) {
    struct micro_host *h = &l->host;
    int A = p->config.top_k;
    for (int layer = 0; layer < p->config.layers; layer++) {
        int moe_index = p->layers[layer].moe_index;
        if (moe_index < 0) continue;
        int32_t *to = h->expert;
        for (int i = 0; i < h->S; i++) {
            const struct micro_part *part = &h->part[i];
            const uint16_t *routes = part->of->routes;
            REQUIRE(routes); /* all sequences of a minibatch or none */
            for (int t = part->from; t < part->to; t++)
                for (int a = 0; a < A; a++)
                    *to++ = routes[((size_t)t * p->moe_layers + moe_index) * A + a];
        }
        op_write(p->stream, l->tape.layer[layer].expert, h->expert, (size_t)h->T * A * 4);
    }
}

void micro_floats(struct learner *l, const struct micro *m, buf to,
                  float (*get)(const struct sequence *q, int i)) {
    float *host = l->host.floats;
    for (int i = 0; i < m->n; i++)
        for (int t = 0; t < m->sequences[i].n - m->sequences[i].first; t++)
            *host++ = get(&m->sequences[i], t);
    op_write(l->policy->stream, to, l->host.floats, (size_t)m->targets * 4);
}

struct batch micro_write(struct learner *l, struct policy *p, const struct micro *m) {
    const struct micro_host *h = &l->host;
    const struct micro_ints *d = &l->ints;
    micro_fill(l, m);
    bool replay = m->sequences[0].routes != NULL, branches = h->S > h->trees;
    const struct {
        buf to;
        const int32_t *from;
        int n;
    } lists[] = {{d->id, h->id, h->T},
                 {d->row_seq, h->row_seq, h->T},
                 {d->row_pos, h->row_pos, h->T},
                 {d->table, h->table, h->S * l->blocks_per_seq},
                 {d->seq_start, h->seq_start, h->S + 1},
                 {d->tree_start, h->tree_start, h->trees + 1},
                 {d->row, h->row, h->targets},
                 {d->target, h->target, h->targets},
                 {l->head.segment, h->segment, h->targets}};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        op_write(l->policy->stream, lists[i].to, lists[i].from, (size_t)lists[i].n * 4);
    op_write(l->policy->stream, d->fork, h->fork, (size_t)h->S * sizeof *h->fork);
    if (replay) micro_routes(l, p);
    return (struct batch){.T = h->T,
                          .S = h->S,
                          .id = d->id,
                          .row_seq = d->row_seq,
                          .row_pos = d->row_pos,
                          .table = d->table,
                          .table_stride = l->blocks_per_seq,
                          .fork = branches ? d->fork : NO_BUF,
                          .replay = replay,
                          .trees = h->trees,
                          .seq_start = d->seq_start,
                          .tree_start = d->tree_start};
}
