/* A trainer: everything a run needs, opened from its config, and the step loop that both kinds of
 * training share. grpo.c and sft.c say what a step is. */
#pragma once

#include "kernels/comm.h"
#include "kernels/pool.h"
#include "policy/model_config.h"
#include "policy/tokenizer.h"
#include "reward/reward_config.h"
#include "rl/console.h"
#include "rl/rl_config.h"
#include "rl/run.h"
#include "rollout/engine.h"
#include "rollout/rollout_config.h"
#include "tasks/task.h"
#include "tasks/trace.h"

enum trainer_kind { TRAINER_GRPO, TRAINER_SFT };

/* The settings of a run; everything is borrowed. */
struct trainer_config {
    enum trainer_kind kind;
    const char *version; /* of the program */
    const char *model;   /* HF directory; "": random weights from `shape` */
    const char *adapter; /* adapters to start from, as PEFT writes them; "": new ones, or none */
    bool bf16;           /* see struct policy_form */
    int64_t seed, steps;
    struct comm *comm; /* the ranks of the run; NULL: one process */
    struct stream_config stream;
    const struct config *config; /* the whole schema, for the run directory */
    const struct model_config *shape;
    const struct tasks_config *tasks;
    const struct trace_config *trace;
    const struct rollout_config *rollout;
    const struct reward_config *reward;
    const struct rl_config *rl;
    const struct train_config *train;
    const struct lora_config *lora;
    const struct optim_config *optim;
    const struct sft_config *sft;
    const struct eval_config *eval;
    const struct run_config *run;
    const struct store_config *store;
    const struct checkpoint_config *checkpoint;
    const struct console_config *console;
};

/* What checkpoints hold beside weights and moments. */
struct trainer_state {
    int64_t step;    /* finished steps */
    int64_t updates; /* optimizer steps so far: Adam's t */
    int64_t cursor;  /* problems (GRPO) or documents (SFT) drawn so far */
    int64_t tokens;  /* sampled (GRPO) or read (SFT) so far, prompts included */
    uint64_t model;  /* digest of the initial model: weights, config, tokenizer */
    uint64_t data;   /* digest of the files that problems and documents come from */
};

struct trainer {
    const struct trainer_config *config;
    struct comm *comm;  /* the config's; NULL: one process */
    struct arena arena; /* lives as long as the trainer */
    struct arena step;  /* of the current step */
    const char *model;  /* the directory the run starts from */
    struct stream *stream;
    struct tokenizer *tokenizer;
    struct policy *policy;
    struct policy *reference; /* NULL without a KL term */
    struct policy base; /* the reference of an adapted policy: a view of it without adapters */
    struct learner *learner;
    struct engine *engine; /* NULL when nothing is sampled */
    struct task *task;
    struct reward *reward;
    struct problem_set train;     /* the training problems that the reward can judge */
    struct problem_set evaluated; /* those of eval.split; empty when nothing is evaluated */
    size_t skipped;               /* problems of both whose gold it cannot read */
    struct pool *pool;            /* judges completions */
    struct trace_maker *traces;   /* SFT on generated traces */
    struct sft_corpus *corpus;    /* SFT on a file */
    struct run run;
    struct console console;
    struct trainer_state state;
    double save_s;   /* of the checkpoints since the last recorded step */
    uint32_t *order; /* [training problems] a permutation, of epoch order_epoch */
    int64_t order_epoch;
};

/* What a step hands to the store. */
struct step_outcome {
    struct metrics metrics;
    struct experience_batch batch; /* n = 0: none */
    int64_t tokens;                /* sampled or read, prompts included */
};

/* Runs (or resumes) training to its last step. EXIT_TRY_AGAIN when interrupted, a checkpoint written.
 * Collective: every failure was agreed on, but for one of the transport. */
status trainer_run(const struct trainer_config *config);

/* The ids of a problem's prompt, in the arena. EXIT_BAD_DATA: longer than rollout.max_prompt_tokens. */
status trainer_prompt(const struct trainer *t, const struct problem *problem, struct arena *arena,
                      struct span *text, int32_t **ids, int *n);

/* Whether every prompt that the run may ask fits: a prompt that is too long is better told now than when its
 * turn comes, after hours. EXIT_BAD_DATA. */
status trainer_prompts_check(struct trainer *t);

/* Shared with commands that need a model without training. */

/* Opens tokenizer and policy of a directory and checks that they belong together. */
status trainer_load_model(const char *dir, struct stream *s, struct policy_form form,
                          struct tokenizer **tokenizer, struct policy **policy);

/* Gives a policy the adapters of lora.*, if there are any: as they begin, or, unless `dir` is "", as they are
 * there. Others of its parameters do not train then. EXIT_BAD_CONFIG, EXIT_BAD_DATA, EXIT_NO_INPUT. */
status trainer_adapt(struct policy *p, const struct lora_config *lora, uint64_t seed,
                     const char *dir);

/* Writes a random policy of `shape` and the demo's vocabulary as a new HF directory, which appears whole or
 * not at all. EXIT_IO. */
status trainer_init_model(const char *dir, struct stream *s, const struct model_config *shape,
                          uint64_t seed);
