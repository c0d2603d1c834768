/* From rows of the residual stream to the tokens of completions. */
#include "rollout/engine_private.h"

void engine_draw_inputs(struct rollout *r, int T) {
    struct engine *e = r->e;
    struct stream *s = e->policy->stream;
    for (int i = 0; i < T; i++) {
        const struct slot *slot = &e->slots[e->active[i]];
        const struct request *q = &r->requests[slot->request];
        e->host_position[i] = (uint32_t)slot->out->n;
        e->host_inv_temp[i] = q->sampling.temperature > 0 ? 1.0f / q->sampling.temperature : 0;
        e->host_top_k[i] = q->sampling.top_k;
        e->host_top_p[i] = q->sampling.top_p;
        e->host_keys[i] = q->key;
        e->host_keys[i].sample = (uint16_t)(q->first_sample + slot->sample);
    }
    op_write(s, e->position, e->host_position, (size_t)T * 4);
    op_write(s, e->inv_temp, e->host_inv_temp, (size_t)T * 4);
    op_write(s, e->top_k, e->host_top_k, (size_t)T * 4);
    op_write(s, e->top_p, e->host_top_p, (size_t)T * 4);
    op_write(s, e->keys, e->host_keys, (size_t)T * sizeof *e->host_keys);
}

/* Draws tokens first..first+n-1 of a pass, each from its row of logits. */
static void draw(struct engine *e, int first, int n) {
    const struct policy *p = e->policy;
    op_sample(p->stream, &(struct sample){.logits = e->head.logits,
                                          .inv_temp = buf_f32(e->inv_temp, first),
                                          .keys = {e->keys.addr + first * sizeof(struct rng_key)},
                                          .position = buf_i32(e->position, first),
                                          .top_k = buf_i32(e->top_k, first),
                                          .top_p = buf_f32(e->top_p, first),
                                          .id = buf_i32(e->drawn, first),
                                          .logp = buf_f32(e->logp, first),
                                          .T = n,
                                          .V = p->config.vocab,
                                          .valid = p->valid_vocab});
}

/* How many of T tokens are drawn together, from the first-th on: there are logits for no more. */
static int draw_chunk(const struct engine *e, int first, int T) {
    return T - first < e->head.chunk ? T - first : e->head.chunk;
}

void engine_draw_rows(struct engine *e, int T) {
    head_gather(e->policy, &e->head, e->tape.x_out, e->row, T);
    for (int first = 0, n; first < T; first += n) {
        n = draw_chunk(e, first, T);
        head_logits(e->policy, &e->head, first, n);
        draw(e, first, n);
    }
}

static bool is_stop(const struct policy_config *c, int32_t id) {
    for (int i = 0; i < c->n_eos; i++)
        if (c->eos[i] == id) return true;
    return false;
}

/* Not numbers come from weights that are, but grew beyond what floats can compute with. */
static status draw_check(const struct engine *e, int T) {
    for (int i = 0; i < T; i++)
        if (!__builtin_isfinite(e->host_logp[i]))
            return fail(EXIT_BAD_DATA, "the policy's probabilities are not finite: its weights are "
                                       "too large to compute with");
    return NULL;
}

status engine_draw_take(struct rollout *r, int T) {
    struct engine *e = r->e;
    struct stream *s = e->policy->stream;
    op_read(s, e->host_id, e->drawn, (size_t)T * 4);
    op_read(s, e->host_logp, e->logp, (size_t)T * 4);
    TRY(draw_check(e, T));
    r->stats.sampled_tokens += T;
    for (int i = 0; i < T; i++) {
        struct slot *slot = &e->slots[e->active[i]];
        struct completion *c = slot->out;
        c->ids[c->n] = e->host_id[i];
        c->logp[c->n] = e->host_logp[i];
        c->n++;
        if (is_stop(&e->policy->config, e->host_id[i])) c->finish = FINISH_STOP;
        if (c->finish == FINISH_STOP || c->n == slot->capacity) engine_slot_leave(r, e->active[i]);
    }
    return NULL;
}

/* Copies logits in place: row i becomes what was row[i] - row[0]. From one i to the next row[i] grows by at
 * most 1. */
static void logits_spread(struct engine *e, const int32_t *row, int n) {
    int64_t V = e->policy->config.vocab;
    for (int i = n - 1; i > 0; i--)
        if (row[i] - row[0] != i)
            op_copy(e->policy->stream, buf_f32(e->head.logits, i * V),
                    buf_f32(e->head.logits, (row[i] - row[0]) * V), (size_t)V * 4);
}

status engine_draw_first(struct rollout *r, int T) {
    struct engine *e = r->e;
    struct policy *p = e->policy;
    int32_t *row = e->host_seq; /* of each sample's prompt among R */
    int R = 0;
    for (int i = 0; i < T; i++) {
        int prefix = e->slots[e->active[i]].prefix;
        if (!R || prefix != e->host_id[R - 1]) e->host_id[R++] = prefix;
        row[i] = R - 1;
    }
    op_write(p->stream, e->id, e->host_id, (size_t)R * 4);
    engine_draw_inputs(r, T);
    head_gather(p, &e->head, e->last, e->id, R);
    for (int first = 0, n; first < T; first += n) {
        n = draw_chunk(e, first, T);
        head_logits(p, &e->head, row[first], row[first + n - 1] - row[first] + 1);
        logits_spread(e, row + first, n);
        draw(e, first, n);
    }
    return engine_draw_take(r, T);
}
