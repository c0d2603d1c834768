/* The rollout engine: continuous batching over one policy.
 *
 * A prompt is prefilled once; its samples draw their first tokens from its last row, read its keys and values
 * where they are and keep only their own. A sample joins the batch when there is room, decodes one row a
 * pass, and leaves it when it stops. By laws 2 and 3 a completion does not depend on any of this: same tokens
 * and log-probabilities for any batch size, thread count or order.
 * Requests begin in the order of how long they may take, the longest first. */
#pragma once

#include "policy/forward.h"
#include "rollout/request.h"

struct engine;

struct engine_config {
    int max_batch;     /* sequences decoding at once */
    int max_positions; /* longest prompt + completion */
    bool keep_routes;  /* fill completion.routes */
    bool share_prefix; /* false: every sample prefills its own prompt (for tests of law 2) */
};

struct engine_stats {
    int64_t prefill_rows, sampled_tokens;
    int64_t passes, decode_rows; /* of decoding */
    int64_t idle_rows;           /* batch places that stood empty in it */
};

/* Called between passes with the share of samples finished; false abandons the rollout. It may read what was
 * drawn so far in engine_run's `out`. */
typedef bool engine_poll(void *ctx, double done);

/* The policy is borrowed and may change its weights between runs; it is made for max_positions at least.
 * EXIT_BAD_CONFIG: too little memory. */
status engine_open(struct engine **out, struct policy *p, const struct engine_config *config);
void engine_close(struct engine *e); /* NULL is fine */

/* Completes all requests; out [sum of n_samples], in order of request, then sample; its arrays live in the
 * arena. EXIT_BAD_DATA: a prompt id outside the vocabulary, a prompt and completion longer than
 * max_positions, or probabilities that are not finite. EXIT_TRY_AGAIN: abandoned by poll. poll and stats may
 * be NULL. */
status engine_run(struct engine *e, const struct request *requests, int n, struct arena *arena,
                  struct completion *out, engine_poll *poll, void *ctx, struct engine_stats *stats);

/* Device bytes an engine reserves beside the policy; far too many where they cannot be counted. */
size_t engine_bytes(struct policy *p, const struct engine_config *config);

/* About what it uses of them for so many samples, `group` of a prompt, of prompts no longer than that: a few
 * samples that outlast their groups keep their prompts, which is not counted. */
struct engine_load {
    size_t samples;
    int group, prompt;
};
size_t engine_used(struct policy *p, const struct engine_config *config,
                   const struct engine_load *load);
