/* Admission, key/value blocks and passes; engine_draw.c draws. */
#include "rollout/engine_private.h"

#include <limits.h>
#include <stdlib.h>

enum { PREFILL_ROWS = 256, HEAD_CHUNK = 128 };

static int table_rows(const struct engine *e) { return e->config.max_batch + e->prefixes; }

/* Key/value blocks that can be in use: every sample's own and its prompt's, which may share one block's
 * positions, and the prompt that comes next. */
static int64_t blocks_most(const struct engine *e) {
    return (int64_t)e->config.max_batch * (e->blocks_per_seq + 1) + e->blocks_per_seq;
}

static void buffers_place(struct engine *e, struct layout *l) {
    const struct policy_config *c = &e->policy->config;
    size_t rows = e->rows, batch = e->config.max_batch;
    tape_place(&e->tape, l, e->policy, e->rows, false, &e->arena);
    head_place(&e->head, l, e->policy, (int)batch, HEAD_CHUNK < batch ? HEAD_CHUNK : (int)batch,
               false);
    kv_cache_place(&e->kv, l, c, (int)blocks_most(e));
    e->last = layout_f32(l, (size_t)e->prefixes * c->hidden);
    e->id = layout_i32(l, rows);
    e->row_seq = layout_i32(l, rows);
    e->row_pos = layout_i32(l, rows);
    e->row = layout_i32(l, rows);
    e->table = layout_i32(l, (size_t)table_rows(e) * e->blocks_per_seq);
    e->fork = layout_take(l, table_rows(e) * sizeof(struct kv_fork));
    e->inv_temp = layout_f32(l, batch);
    e->top_k = layout_i32(l, batch);
    e->top_p = layout_f32(l, batch);
    e->keys = layout_take(l, batch * sizeof(struct rng_key));
    e->position = layout_i32(l, batch);
    e->drawn = layout_i32(l, batch);
    e->logp = layout_f32(l, batch);
}

static void engine_shape(struct engine *e, struct policy *p, const struct engine_config *config) {
    e->policy = p;
    e->config = *config;
    e->rows = config->max_batch > PREFILL_ROWS ? config->max_batch : PREFILL_ROWS;
    /* The last token drawn is not fed. */
    e->blocks_per_seq = (config->max_positions - 1 + KV_BLOCK - 1) / KV_BLOCK;
    /* Prompts with samples in flight; a prompt without sharing belongs to one sample. */
    e->prefixes = config->max_batch;
}

/* Key/value blocks are counted in int. More of them would not fit into any memory. */
static bool counts_fit(const struct engine *e) {
    return e->blocks_per_seq <= INT_MAX / table_rows(e) &&
           blocks_most(e) <= INT_MAX / e->policy->config.layers;
}

size_t engine_bytes(struct policy *p, const struct engine_config *config) {
    struct engine e = {0};
    struct layout l = {0};
    engine_shape(&e, p, config);
    if (!counts_fit(&e)) return SIZE_MAX / 4; /* the caller adds */
    buffers_place(&e, &l);
    arena_free(&e.arena);
    return l.used;
}

size_t engine_used(struct policy *p, const struct engine_config *config,
                   const struct engine_load *load) {
    struct engine e = {0};
    struct layout l = {0};
    engine_shape(&e, p, config);
    if (!counts_fit(&e)) return SIZE_MAX / 4;
    buffers_place(&e, &l);
    arena_free(&e.arena);
    int64_t flying = config->max_batch, shared = load->prompt / KV_BLOCK;
    int64_t block = (e.kv.k_block + e.kv.v_block) * p->config.layers * (int64_t)sizeof(float);
    if ((size_t)flying > load->samples) flying = (int64_t)load->samples;
    /* Whole blocks of a prompt are held once, by its prefix; one more prompt may be ready. */
    int64_t blocks = flying * (e.blocks_per_seq - shared) +
                     (flying / load->group + 2) * ((load->prompt + KV_BLOCK - 1) / KV_BLOCK);
    if (blocks > e.kv.blocks) blocks = e.kv.blocks;
    return l.used - (size_t)((e.kv.blocks - blocks) * block);
}

status engine_open(struct engine **out, struct policy *p, const struct engine_config *config) {
    REQUIRE(config->max_positions <= p->max_positions); /* the RoPE tables end there */
    struct engine *e = memory_new(1, sizeof *e);
    engine_shape(e, p, config);
    struct layout l = {0};
    status failed = counts_fit(e) ? NULL : fail(EXIT_BAD_CONFIG, "too much for any memory");
    if (!failed) {
        buffers_place(e, &l);
        failed = op_alloc(p->stream, l.used, &e->base);
    }
    if (failed) {
        arena_free(&e->arena);
        free(e);
        return status_context(failed, "rollout.batch=%d, %d positions", config->max_batch,
                              config->max_positions);
    }
    l = (struct layout){.base = e->base};
    buffers_place(e, &l);

    struct arena *a = &e->arena;
    size_t rows = e->rows, batch = config->max_batch;
    e->slots = ARENA_ARRAY(a, batch, struct slot);
    e->active = ARENA_ARRAY(a, batch, int);
    e->fresh = ARENA_ARRAY(a, batch, int);
    e->prefix = ARENA_ARRAY(a, e->prefixes, struct prefix);
    e->host_table = ARENA_ARRAY(a, (size_t)table_rows(e) * e->blocks_per_seq, int32_t);
    e->host_fork = ARENA_ARRAY(a, table_rows(e), struct kv_fork);
    e->free_blocks = ARENA_ARRAY(a, e->kv.blocks, int32_t);
    e->host_id = ARENA_ARRAY(a, rows, int32_t);
    e->host_seq = ARENA_ARRAY(a, rows, int32_t);
    e->host_pos = ARENA_ARRAY(a, rows, int32_t);
    e->host_expert = ARENA_ARRAY(a, rows * (p->config.top_k ? p->config.top_k : 1), int32_t);
    e->host_top_k = ARENA_ARRAY(a, batch, int32_t);
    e->host_position = ARENA_ARRAY(a, batch, uint32_t);
    e->host_inv_temp = ARENA_ARRAY(a, batch, float);
    e->host_top_p = ARENA_ARRAY(a, batch, float);
    e->host_logp = ARENA_ARRAY(a, batch, float);
    e->host_keys = ARENA_ARRAY(a, batch, struct rng_key);
    for (int i = 0; i < e->rows; i++) e->host_id[i] = i;
    op_write(p->stream, e->row, e->host_id, rows * 4);
    *out = e;
    return NULL;
}

void engine_close(struct engine *e) {
    if (!e) return;
    op_free(e->policy->stream, e->base);
    arena_free(&e->arena);
    free(e);
}

/* ---- key/value blocks ------------------------------------------------------------------------------ */

static int32_t block_take(struct engine *e) {
    REQUIRE(e->n_free > 0); /* the pool holds every table full */
    return e->free_blocks[--e->n_free];
}

static int32_t *table_row(struct engine *e, int row) {
    return e->host_table + (size_t)row * e->blocks_per_seq;
}

static int prefix_row(const struct engine *e, int prefix) { return e->config.max_batch + prefix; }

static void prefix_release(struct engine *e, int prefix) {
    struct prefix *x = &e->prefix[prefix];
    int32_t *row = table_row(e, prefix_row(e, prefix));
    for (int i = 0; i < x->blocks; i++) e->free_blocks[e->n_free++] = row[i];
    *x = (struct prefix){0};
}

/* ---- one pass ------------------------------------------------------------------------------------- */

static void pass_inputs(struct engine *e, int T) {
    struct stream *s = e->policy->stream;
    op_write(s, e->id, e->host_id, (size_t)T * 4);
    op_write(s, e->row_seq, e->host_seq, (size_t)T * 4);
    op_write(s, e->row_pos, e->host_pos, (size_t)T * 4);
    op_write(s, e->table, e->host_table, (size_t)table_rows(e) * e->blocks_per_seq * 4);
    op_write(s, e->fork, e->host_fork, (size_t)table_rows(e) * sizeof *e->host_fork);
}

static void pass_forward(struct engine *e, int T, int unread, bool growing) {
    struct batch b = {.T = T,
                      .unread = unread,
                      .S = table_rows(e),
                      .id = e->id,
                      .row_seq = e->row_seq,
                      .row_pos = e->row_pos,
                      .table = e->table,
                      .table_stride = e->blocks_per_seq,
                      .fork = e->fork,
                      .growing = growing};
    policy_forward(e->policy, &e->tape, &b, &e->kv);
}

/* Reads the experts that T rows chose in a layer into host_expert. */
static void routes_read(struct engine *e, int layer, int T) {
    op_read(e->policy->stream, e->host_expert, e->tape.layer[layer].expert,
            (size_t)T * e->policy->config.top_k * 4);
}

static uint16_t *route_at(const struct engine *e, struct completion *c, int row, int moe_index) {
    size_t width = e->policy->config.top_k;
    return c->routes + ((size_t)row * e->policy->moe_layers + moe_index) * width;
}

static void routes_copy(uint16_t *to, const int32_t *from, int A) {
    for (int a = 0; a < A; a++) to[a] = (uint16_t)from[a];
}

/* The routes of the T rows of the pass go to their completions: a prompt's to all that are made from it. */
static void routes_keep(struct engine *e, int T) {
    int A = e->policy->config.top_k, batch = e->config.max_batch;
    for (int layer = 0; layer < e->policy->config.layers; layer++) {
        int moe_index = e->policy->layers[layer].moe_index;
        if (moe_index < 0) continue;
        routes_read(e, layer, T);
        for (int i = 0; i < T; i++) {
            int row = e->host_seq[i]; /* of the table: places come first, then prefixes */
            const struct prefix *x = row < batch ? NULL : &e->prefix[row - batch];
            struct completion *first = x ? x->first : e->slots[row].out;
            for (int c = 0, n = x ? x->count : 1; c < n; c++)
                routes_copy(route_at(e, &first[c], e->host_pos[i], moe_index),
                            e->host_expert + i * A, A);
        }
    }
}

/* Row T of a pass is that of a prefix's prompt at `position`. */
static void prefill_row(struct rollout *r, int T, int prefix, int position) {
    struct engine *e = r->e;
    e->host_id[T] = r->requests[e->prefix[prefix].request].prompt[position];
    e->host_seq[T] = prefix_row(e, prefix);
    e->host_pos[T] = position;
}

/* A pass of the T rows that are there, and behind them the last rows of n prompts. First tokens are drawn
 * from those, and nothing else is read but routes that are kept. */
static void prefill_pass(struct rollout *r, int T, const int *prefix, int n) {
    struct engine *e = r->e;
    bool routes = e->config.keep_routes && e->policy->moe_layers > 0;
    int unread = routes ? 0 : T;
    int64_t D = e->policy->config.hidden;
    for (int i = 0; i < n; i++)
        prefill_row(r, T + i, prefix[i], r->requests[e->prefix[prefix[i]].request].n_prompt - 1);
    pass_inputs(e, T + n);
    pass_forward(e, T + n, unread, false);
    for (int i = 0; i < n; i++)
        op_copy(e->policy->stream, buf_f32(e->last, prefix[i] * D),
                buf_f32(e->tape.x_out, (T - unread + i) * D), (size_t)D * 4);
    if (routes) routes_keep(e, T + n);
    r->stats.prefill_rows += T + n;
}

/* Prefills the n prefixes in e->fresh, packed into as few passes as fit. */
static void prefill(struct rollout *r, int n) {
    struct engine *e = r->e;
    int index = 0, ended = 0; /* prompts that end in this pass or before, that ended before */
    int done = 0, T = 0;      /* rows of the next prompt, of this pass */
    while (index < n) {
        int prefix = e->fresh[index];
        int inner = r->requests[e->prefix[prefix].request].n_prompt - 1;
        int room = e->rows - (index - ended); /* beside last rows */
        while (done < inner && T < room) prefill_row(r, T++, prefix, done++);
        if (T < room) index++, done = 0; /* there is a place for its last row, too */
        if (T + index - ended < e->rows && index < n) continue;
        prefill_pass(r, T, e->fresh + ended, index - ended);
        ended = index;
        T = 0;
    }
}

/* ---- admission ------------------------------------------------------------------------------------- */

static void completion_open(struct rollout *r, struct completion *c, int request, int sample) {
    const struct request *q = &r->requests[request];
    const struct policy *p = r->e->policy;
    *c = (struct completion){.request = request, .sample = sample, .finish = FINISH_LENGTH};
    c->ids = ARENA_ARRAY(r->arena, q->sampling.max_new, int32_t);
    c->logp = ARENA_ARRAY(r->arena, q->sampling.max_new, float);
    if (r->e->config.keep_routes && p->moe_layers) {
        size_t rows = (size_t)q->n_prompt + q->sampling.max_new - 1;
        c->routes = ARENA_ARRAY(r->arena, rows * p->moe_layers * p->config.top_k, uint16_t);
    }
}

/* The request whose sample is admitted next; -1 when all are in. */
static int request_next(const struct rollout *r) { return r->next < r->n ? r->order[r->next] : -1; }

/* Opens the prefix of the next request (or, without sharing, of its next sample); it is yet to be filled. */
static int prefix_open(struct rollout *r) {
    struct engine *e = r->e;
    int request = request_next(r), index = 0;
    const struct request *q = &r->requests[request];
    while (e->prefix[index].live) index++;
    struct prefix *x = &e->prefix[index];
    *x = (struct prefix){.request = request, .live = true};
    x->blocks = (q->n_prompt + KV_BLOCK - 1) / KV_BLOCK;
    int32_t *row = table_row(e, prefix_row(e, index));
    for (int i = 0; i < x->blocks; i++) row[i] = block_take(e);
    x->first = &r->out[r->first_out[request] + r->next_sample];
    x->count = e->config.share_prefix ? q->n_samples : 1;
    for (int i = 0; i < x->count; i++)
        completion_open(r, &x->first[i], request, r->next_sample + i);
    return index;
}

/* Puts the next sample into an empty slot, where it continues its prefix. */
static void slot_fill(struct rollout *r, int place, int prefix) {
    struct engine *e = r->e;
    int request = request_next(r);
    const struct request *q = &r->requests[request];
    struct slot *slot = &e->slots[place];
    *slot = (struct slot){.request = request,
                          .sample = r->next_sample,
                          .prefix = prefix,
                          .out = &r->out[r->first_out[request] + r->next_sample],
                          .capacity = q->sampling.max_new,
                          .shared_blocks = q->n_prompt / KV_BLOCK};
    e->host_fork[place] = (struct kv_fork){prefix_row(e, prefix), q->n_prompt};
    e->prefix[prefix].users++;
    if (++r->next_sample == q->n_samples) {
        r->next_sample = 0;
        r->next++;
    }
}

/* Fills empty slots with waiting samples, and `active` with these slots: all new prompts are prefilled
 * together. Returns how many. */
static int admit(struct rollout *r) {
    struct engine *e = r->e;
    int prefix = -1; /* of the next request, when it is in the cache */
    int opened = 0, T = 0;
    for (int i = 0; i < e->prefixes && e->config.share_prefix; i++)
        if (e->prefix[i].live && e->prefix[i].request == request_next(r)) prefix = i;
    for (int place = 0; place < e->config.max_batch && request_next(r) >= 0; place++) {
        if (e->slots[place].request >= 0) continue;
        int request = request_next(r);
        if (prefix < 0) e->fresh[opened++] = prefix = prefix_open(r);
        slot_fill(r, place, prefix);
        e->active[T++] = place;
        if (request_next(r) != request || !e->config.share_prefix) prefix = -1;
    }
    if (opened) prefill(r, opened);
    return T;
}

void engine_slot_leave(struct rollout *r, int place) {
    struct engine *e = r->e;
    struct slot *slot = &e->slots[place];
    int32_t *row = table_row(e, place);
    for (int i = 0; i < slot->n_blocks; i++)
        e->free_blocks[e->n_free++] = row[slot->shared_blocks + i];
    struct prefix *x = &e->prefix[slot->prefix];
    bool more =
        e->config.share_prefix && x->request == request_next(r); /* samples of it still wait */
    if (--x->users == 0 && !more) prefix_release(e, slot->prefix);
    slot->request = -1;
    r->finished++;
}

/* ---- decoding -------------------------------------------------------------------------------------- */

/* Every slot's last token is the next row of its sequence. */
static void decode_inputs(struct rollout *r, int T) {
    struct engine *e = r->e;
    for (int i = 0; i < T; i++) {
        int place = e->active[i];
        struct slot *slot = &e->slots[place];
        int n = slot->out->n, position = r->requests[slot->request].n_prompt + n - 1;
        int block = position / KV_BLOCK;
        e->host_id[i] = slot->out->ids[n - 1];
        e->host_seq[i] = place;
        e->host_pos[i] = position;
        if (block < slot->shared_blocks + slot->n_blocks) continue;
        table_row(e, place)[block] = block_take(e);
        slot->n_blocks++;
    }
}

/* A pass of T rows, which is the same work every time: what differs lies in the inputs' buffers. */
struct decode {
    struct engine *e;
    int T;
};

static void decode_compute(void *context) {
    const struct decode *d = context;
    struct engine *e = d->e;
    pass_forward(e, d->T, 0, true);
    engine_draw_rows(e, d->T);
}

static status decode_pass(struct rollout *r) {
    struct engine *e = r->e;
    int T = 0;
    for (int i = 0; i < e->config.max_batch; i++)
        if (e->slots[i].request >= 0) e->active[T++] = i;
    decode_inputs(r, T);
    engine_draw_inputs(r, T);
    pass_inputs(e, T);
    op_repeat(e->policy->stream, e, T, decode_compute, &(struct decode){e, T});
    if (e->config.keep_routes) routes_keep(e, T);
    r->stats.passes++;
    r->stats.decode_rows += T;
    r->stats.idle_rows += e->config.max_batch - T;
    return engine_draw_take(r, T);
}

static status requests_check(const struct engine *e, const struct request *requests, int n) {
    for (int i = 0; i < n; i++) {
        const struct request *q = &requests[i];
        REQUIRE(q->n_prompt >= 1 && q->n_samples >= 1 && q->sampling.max_new >= 1);
        if (q->n_prompt + q->sampling.max_new > e->config.max_positions)
            return fail(EXIT_BAD_DATA,
                        "prompt %d has %d tokens, which with %d new ones is more than the %d "
                        "positions planned",
                        i, q->n_prompt, q->sampling.max_new, e->config.max_positions);
        for (int t = 0; t < q->n_prompt; t++)
            if (q->prompt[t] < 0 || q->prompt[t] >= e->policy->valid_vocab)
                return fail(EXIT_BAD_DATA, "prompt %d holds token id %d, the vocabulary has %d", i,
                            q->prompt[t], e->policy->valid_vocab);
    }
    return NULL;
}

/* A request as it waits. */
struct waiting {
    int request, max_new, n_prompt;
};

static int longest_first(const void *a, const void *b) {
    const struct waiting *x = a, *y = b;
    if (x->max_new != y->max_new) return x->max_new > y->max_new ? -1 : 1;
    if (x->n_prompt != y->n_prompt) return x->n_prompt > y->n_prompt ? -1 : 1;
    return x->request - y->request;
}

/* What may take longest begins first, so that the batch is full for longer: it is short work that is left
 * when places stay empty. No completion depends on the order (law 2). */
static void order_make(struct rollout *r) {
    struct waiting *waiting = memory_new((size_t)r->n, sizeof *waiting);
    r->order = memory_new((size_t)r->n, sizeof *r->order);
    r->first_out = memory_new((size_t)r->n, sizeof *r->first_out);
    for (int i = 0; i < r->n; i++) {
        const struct request *q = &r->requests[i];
        waiting[i] = (struct waiting){i, q->sampling.max_new, q->n_prompt};
        r->first_out[i] = r->total;
        r->total += q->n_samples;
    }
    qsort(waiting, (size_t)r->n, sizeof *waiting, longest_first);
    for (int i = 0; i < r->n; i++) r->order[i] = waiting[i].request;
    free(waiting);
}

static status passes_run(struct rollout *r, engine_poll *poll, void *ctx) {
    while (r->finished < r->total) {
        int admitted = admit(r);
        TRY(admitted ? engine_draw_first(r, admitted) : decode_pass(r));
        if (poll && !poll(ctx, (double)r->finished / r->total))
            return fail(EXIT_TRY_AGAIN, "interrupted during a rollout");
    }
    return op_sync(r->e->policy->stream);
}

status engine_run(struct engine *e, const struct request *requests, int n, struct arena *arena,
                  struct completion *out, engine_poll *poll, void *ctx,
                  struct engine_stats *stats) {
    TRY(requests_check(e, requests, n));
    struct rollout r = {.e = e, .requests = requests, .n = n, .arena = arena, .out = out};
    order_make(&r);
    for (int i = 0; i < e->config.max_batch; i++) e->slots[i].request = -1;
    for (int i = 0; i < e->prefixes; i++) e->prefix[i] = (struct prefix){0};
    for (int i = 0; i < e->kv.blocks; i++)
        e->free_blocks[i] = kv_cache_id(&e->kv, e->kv.blocks - 1 - i);
    e->n_free = e->kv.blocks;
    status failed = passes_run(&r, poll, ctx);
    free(r.order);
    free(r.first_out);
    if (stats) *stats = r.stats;
    return failed;
}
