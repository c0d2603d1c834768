/* The one schema: every module's settings in one struct, and the config that reads and writes them.
 */
#pragma once

#include "base/config.h"
#include "cli/general.h"
#include "policy/model_config.h"
#include "reward/reward_config.h"
#include "rl/checkpoint.h"
#include "rl/console.h"
#include "rl/rl_config.h"
#include "rl/run.h"
#include "rl/store.h"
#include "rollout/rollout_config.h"
#include "tasks/tasks_config.h"
#include "tasks/trace.h"

enum { SCHEMA_FRAGMENTS_MAX = 32 };

struct settings {
    /* The values, one struct a module. */
    struct run_config run;
    struct general_config general;
    struct model_config model;
    struct tasks_config tasks;
    struct trace_config trace;
    struct reward_config reward;
    struct rollout_config rollout;
    struct rl_config rl;
    struct train_config train;
    struct lora_config lora;
    struct optim_config optim;
    struct sft_config sft;
    struct eval_config eval;
    struct checkpoint_config checkpoint;
    struct store_config store;
    struct console_config console;

    struct config config; /* how the values are set, written and compared */
    struct config_fragment fragments[SCHEMA_FRAGMENTS_MAX];
    struct arena arena; /* owned: holds the strings */
};

/* Gives every setting its default. `s` must stay where it is until schema_close. */
void schema_open(struct settings *s);
void schema_close(struct settings *s); /* the strings of all settings go with it */
