/* `grpo train` and `grpo sft`: a run from its config, or the rest of one; as one process or as a
 * rank of several. */
#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/session.h"

static status run_rank(enum trainer_kind kind, struct comm *comm, int argc, char **argv) {
    struct settings settings;
    TRY(comm_agree(comm, session_arguments(&settings, NULL, NULL, NULL, 0, argc, argv), NULL));
    struct trainer_config config = session_trainer(&settings, kind);
    config.comm = comm;
    config.stream.threads = general_threads(&settings.general, comm_local_size(comm));
    status failed = trainer_run(&config);
    schema_close(&settings);
    return failed;
}

/* Ranks join before anything can go wrong, so that what does is told once. */
static status run_trainer(enum trainer_kind kind, int argc, char **argv) {
    struct comm *comm;
    TRY(comm_open(&comm));
    return comm_close(comm, run_rank(kind, comm, argc, argv));
}

status cli_train(int argc, char **argv) { return run_trainer(TRAINER_GRPO, argc, argv); }

status cli_sft(int argc, char **argv) { return run_trainer(TRAINER_SFT, argc, argv); }
