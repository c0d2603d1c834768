/* The commands. Each is one function in a file of its own, and one row of the table in cli/main.c.
 */
#pragma once

#include "base/status.h"

/* An option of a command: what is not a config key, such as `--json` or `--out FILE`. */
struct command_option {
    const char *name;  /* "--json", "-j"; NULL ends a list */
    const char *value; /* what stands for its value in the help, "FILE"; NULL: it takes none */
    const char *doc;   /* half a sentence */
};

struct command {
    const char *name; /* NULL ends the table */
    const char *summary;
    /* argv holds what follows the command's name. */
    status (*run)(int argc, char **argv);
    const char *operands; /* "RUN", "" for none; for the help */
    /* The config keys its help lists: beginnings of names, separated by blanks; "*" = all, NULL =
     * it takes no keys. */
    const char *keys;
    const char *example;                  /* a command line that works */
    const struct command_option *options; /* NULL: none */
};

/* Ends with {0}. */
extern const struct command commands[];

status cli_eval(int argc, char **argv);
extern const struct command_option cli_eval_options[];

status cli_init(int argc, char **argv);
status cli_inspect(int argc, char **argv);
status cli_bench(int argc, char **argv);
extern const struct command_option cli_bench_options[];
status cli_replay(int argc, char **argv);

status cli_sample(int argc, char **argv);
extern const struct command_option cli_sample_options[];

status cli_sft(int argc, char **argv);
status cli_train(int argc, char **argv);

status cli_convert(int argc, char **argv);
extern const struct command_option cli_convert_options[];

status cli_config(int argc, char **argv);
extern const struct command_option cli_config_options[];

status cli_tasks(int argc, char **argv);
extern const struct command_option cli_tasks_options[];

status cli_score(int argc, char **argv);
extern const struct command_option cli_score_options[];

status cli_tokenize(int argc, char **argv);
extern const struct command_option cli_tokenize_options[];

status cli_report(int argc, char **argv);
extern const struct command_option cli_report_options[];

status cli_rescore(int argc, char **argv);
extern const struct command_option cli_rescore_options[];

status cli_lint_reward(int argc, char **argv);
extern const struct command_option cli_lint_reward_options[];

status cli_data(int argc, char **argv);
extern const struct command_option cli_data_options[];
