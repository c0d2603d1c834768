/* The one forward (law 1) and its backward: rollout and training call the same policy_forward on the same
 * kernels; only the tape differs. */
#pragma once

#include "policy/tape.h"

/* Computes x_out for the batch and stores its keys and values in kv. Of unread rows the last layer computes
 * these and no more; what it leaves of the others, x_out and chosen experts, begins at row 0. With
 * batch->replay the tape's `expert` ids must have been written. */
void policy_forward(struct policy *p, struct tape *t, const struct batch *b, struct kv_cache *kv);

/* One layer of it, from its x_in to the next one's. Internal to policy/. */
void policy_layer_forward(struct policy *p, struct tape *t, int index, const struct batch *b,
                          struct kv_cache *kv);

/* Gradients of the parameters that train, but the head and the final norm, accumulated into grads
 * [n_trained]. On entry t->dx is the derivative by x_out; it is overwritten. The tape and kv are those of the
 * forward. What only frozen parameters would need is not computed. */
void policy_backward(struct policy *p, struct tape *t, const struct batch *b, struct kv_cache *kv,
                     buf grads);

/* Gathers `row` (int32 [R]) from x [.., D], which are rows of x_out, and applies the final norm: h->h. */
void head_gather(struct policy *p, struct head *h, buf x, buf row, int R);

/* logits of gathered rows first..first+n-1, n <= chunk. */
void head_logits(struct policy *p, struct head *h, int first, int n);

/* With the derivative of those logits in h->logits: h->dh rows, and dhead [V, D] +=, unless it is NO_BUF. */
void head_logits_backward(struct policy *p, struct head *h, int first, int n, buf dhead);

/* Final norm and gather backward: t->dx [T, D] = the scattered gradient (all rows written). */
void head_gather_backward(struct policy *p, struct head *h, struct tape *t, buf row, int R, int T,
                          buf grads);
