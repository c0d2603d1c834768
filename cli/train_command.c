/* `grpo train` and `grpo sft`: a run from its config, or the rest of one. */
#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/session.h"

static status run_trainer(enum trainer_kind kind, int argc, char **argv) {
    struct settings settings;
    TRY(session_arguments(&settings, NULL, NULL, NULL, 0, argc, argv));
    struct trainer_config config = session_trainer(&settings, kind);
    status failed = trainer_run(&config);
    schema_close(&settings);
    return failed;
}

status cli_train(int argc, char **argv) { return run_trainer(TRAINER_GRPO, argc, argv); }

status cli_sft(int argc, char **argv) { return run_trainer(TRAINER_SFT, argc, argv); }
