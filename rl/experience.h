/* Experience: what one training step learns from. It joins the problem that was asked, the episode
 * (prompt and completion, as ids and as text), the judge's verdict and what the comparison within
 * the group made of it. */
#pragma once

#include "base/span.h"
#include "reward/reward.h"
#include "rollout/request.h"
#include "tasks/problem.h"

/* One completion of one prompt. Pointers are borrowed: they live as long as the step's arena. */
struct experience {
    const struct problem *problem;
    uint32_t draw; /* which prompt of the step; with attempt and sample it names the randomness */
    uint16_t attempt; /* 0, or which resampling of a group without signal this is */
    uint16_t sample;  /* which member of the group */

    const int32_t *prompt; /* [n_prompt]; members of a group may share it */
    int n_prompt;
    struct span prompt_text;      /* the prompt as the policy saw it */
    struct completion completion; /* ids, log-probabilities when drawn, routes */
    struct span text;             /* the completion decoded, special tokens left out */

    struct verdict verdict;
    double advantage;      /* after the comparison within the group */
    const float *ref_logp; /* [completion.n] under the reference policy; NULL without one */
    bool in_loss; /* false: left out of the loss (a group without signal, or a masked truncation) */
};

/* The experience of a step, in canonical order: by draw, then attempt, then sample (law 4). */
struct experience_batch {
    struct experience *items; /* [n] */
    size_t n;
    const char *const *part_names; /* [n_parts]: what verdict.parts mean */
    int n_parts;
    int route_width; /* moe_layers * top_k: uint16 values of completion.routes per row; 0 when dense
                      */
};
