/* What engine.c and engine_draw.c share. */
#pragma once

#include "rollout/engine.h"

/* A prompt whose keys and values are in the cache, while samples of it are waiting or decoding. */
struct prefix {
    int request;
    int blocks; /* in the prefix's table row; the last one may be part of a block only */
    int users;  /* samples decoding from it */
    struct completion *first; /* the completions made from it, */
    int count;                /* one after another */
    bool live;
};

/* A place in the decode batch. */
struct slot {
    int request, sample; /* request = -1: empty */
    int prefix;
    struct completion *out;
    int capacity;      /* of out's arrays, in tokens */
    int shared_blocks; /* whole ones of the prefix; own blocks come after them */
    int n_blocks;      /* own ones, taken as they are needed */
};

struct engine {
    struct policy *policy;
    struct engine_config config;
    struct arena arena; /* what lives as long as the engine */
    struct tape tape;
    struct head head;
    struct kv_cache kv;
    int rows;                                         /* capacity of a pass */
    int blocks_per_seq;                               /* also the table's stride */
    int prefixes;                                     /* capacity */
    buf base, id, row_seq, row_pos, table, fork, row; /* batch inputs; row: 0, 1, 2, ... */
    buf last; /* [prefixes, D]: x_out of prompts' last rows */
    buf inv_temp, top_k, top_p, keys, position, drawn, logp;

    /* Host side. */
    struct slot *slots;        /* [max_batch] */
    struct prefix *prefix;     /* [prefixes] */
    int32_t *host_table;       /* [max_batch + prefixes, blocks_per_seq] */
    struct kv_fork *host_fork; /* [max_batch + prefixes] */
    int32_t *free_blocks;      /* stack of their ids */
    int n_free;
    int32_t *host_id, *host_seq, *host_pos, *host_expert; /* [rows] */
    int32_t *host_top_k;
    uint32_t *host_position;
    float *host_inv_temp, *host_top_p, *host_logp;
    struct rng_key *host_keys;
    int *active; /* [max_batch] slots that a token is drawn for */
    int *fresh;  /* [max_batch] prefixes opened by this admission */
};

/* One run over a list of requests. */
struct rollout {
    struct engine *e;
    const struct request *requests;
    int n;
    struct arena *arena;
    struct completion *out;
    int *order;            /* [n] requests as they are admitted */
    int *first_out;        /* [n] where a request's completions begin in `out` */
    int next, next_sample; /* what is admitted next: requests[order[next]] */
    int finished, total;
    struct engine_stats stats;
};

/* The completion in a place has ended: frees its blocks and leaves its prefix. */
void engine_slot_leave(struct rollout *r, int place);

/* ---- drawing: the T active slots are e->active[0..T-1] ---- */

/* Writes what the next tokens of T active slots are drawn with. */
void engine_draw_inputs(struct rollout *r, int T);

/* After engine_draw_inputs: draws T tokens from the pass before, one from each row of its x_out, and leaves
 * ids and log-probabilities in e->drawn and e->logp. */
void engine_draw_rows(struct engine *e, int T);

/* Gives the tokens drawn for T active slots to their completions. EXIT_BAD_DATA: their probabilities are not
 * finite. */
status engine_draw_take(struct rollout *r, int T);

/* Draws and gives the first tokens of T samples that were admitted: no pass, for their prompts' last rows are
 * there. Samples of a prompt follow one another and need its logits once. */
status engine_draw_first(struct rollout *r, int T);
