/* Checkpoints: directories ROOT/global_step_N that appear whole or not at all.
 *
 *     hf/                     the policy, loadable as a model directory; of an adapted policy only if asked
 *     adapter/                its adapters, as PEFT writes them
 *     optimizer.safetensors   moments and whatever tensors else the learner needs
 *     trainer_state.json      step, last recorded step, semantic config, named numbers
 *     SHA256SUMS              of every file, as sha256sum(1) writes and checks it
 *
 * Nothing in them depends on time, host or path: equal runs leave equal bytes (law 5). Beside them
 * ROOT/latest_checkpointed_iteration.txt names the newest. */
#pragma once

#include "base/config.h"
#include "policy/safetensors.h"

struct checkpoint_config {
    int64_t every; /* steps between checkpoints; the last step always has one */
    int64_t keep;  /* how many of the newest stay; 0: all */
};
extern const struct config_key checkpoint_keys[];

/* A named number of the trainer's state; exact: integers in full, doubles bit for bit. */
struct checkpoint_value {
    const char *name;
    enum { CHECKPOINT_INT, CHECKPOINT_UINT, CHECKPOINT_DOUBLE } type;
    union {
        int64_t i;
        uint64_t u;
        double d; /* finite */
    };
};

/* What is to be saved. Everything is borrowed for the call. */
struct checkpoint {
    int64_t step;
    int64_t recorded;     /* the store's last step at that time: not every step is recorded */
    const char *semantic; /* config_semantic() */
    const struct tensor_source *tensors;
    int n_tensors;
    const struct checkpoint_value *values;
    int n_values;
    /* Each writes into the existing, empty dir, hf/ and adapter/; NULL: there is none. Not both NULL. */
    status (*save_policy)(void *ctx, const char *dir);
    status (*save_adapter)(void *ctx, const char *dir);
    void *ctx;
};

/* Saves a checkpoint under ROOT (created when missing): into a temporary directory, every file and
 * directory synced, then renamed; then the pointer file; then all but the newest `keep` removed. An
 * intact checkpoint of the same step is left as it is, a damaged one replaced. A failure (EXIT_IO,
 * or that of save_policy) leaves the older checkpoints as they were and no temporary. */
status checkpoint_save(const char *root, const struct checkpoint *c, int64_t keep);

/* A checkpoint that was found. Texts live in the arena. */
struct checkpoint_found {
    int64_t step; /* -1: there is none */
    int64_t recorded;
    const char *dir;
    const char *policy_dir;  /* dir/hf */
    const char *adapter_dir; /* dir/adapter */
    const char *optimizer;   /* dir/optimizer.safetensors */
    const char *semantic;
    struct checkpoint_value *values;
    int n_values;
    const char *notice; /* one sentence about damaged ones that were passed over; NULL: none were */
};

/* Finds the newest checkpoint whose checksums agree; changes nothing. EXIT_BAD_DATA when there are
 * checkpoints but all are damaged; step = -1 when there are none, or no ROOT. */
status checkpoint_find(struct checkpoint_found *out, const char *root, struct arena *arena);

/* The checkpoint of this step, which somebody else has found and verified. EXIT_NO_INPUT, EXIT_BAD_DATA. */
status checkpoint_read(struct checkpoint_found *out, const char *root, int64_t step,
                       struct arena *arena);

/* checkpoint_find for the directory's owner: also removes temporaries and finishes what an
 * interrupted save left undone (pointer file, removal of the oldest). */
status checkpoint_recover(struct checkpoint_found *out, const char *root, int64_t keep,
                          struct arena *arena);

/* A value by name. EXIT_BAD_DATA when it is missing or of another type. */
status checkpoint_get_int(const struct checkpoint_found *c, const char *name, int64_t *out);
status checkpoint_get_uint(const struct checkpoint_found *c, const char *name, uint64_t *out);
status checkpoint_get_double(const struct checkpoint_found *c, const char *name, double *out);

/* Whether DIR's files agree with its SHA256SUMS. EXIT_BAD_DATA with "FILE: what is wrong". */
status checkpoint_verify(const char *dir);
