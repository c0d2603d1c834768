/* The program: finds the command, runs it, prints its failure, and ends with its exit code. */
#include "base/nearest.h"
#include "base/version.h"
#include "cli/commands.h"
#include "cli/help.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

const struct command commands[] = {
    {"init", "write a policy of random weights as a Hugging Face directory", cli_init, "DIR",
     "model. seed", "grpo init /tmp/tiny model.layers=2 model.hidden=64", NULL},
    {"sft", "supervised warm start on generated traces or a file", cli_sft, "", "*",
     "grpo sft -c configs/demo-sft.yaml out=runs/sft steps=100", NULL},
    {"train", "group-relative policy optimization", cli_train, "", "*",
     "grpo train -c configs/tiny.yaml out=runs/tiny", NULL},
    {"eval", "judge a policy on a split of a task", cli_eval, "",
     "model.path policy.dtype tasks. eval. reward. rollout. seed",
     "grpo eval -c configs/tiny.yaml model=runs/tiny/checkpoints/global_step_8/hf",
     cli_eval_options},
    {"sample", "print what a policy answers to a prompt", cli_sample, "",
     "model.path policy.dtype rollout. seed",
     "grpo sample model=runs/tiny/checkpoints/global_step_8/hf --prompt \" 3 9 10 : 93<think>\"",
     cli_sample_options},
    {"replay", "recompute a stored step's log-probabilities: the same bits?", cli_replay,
     "RUN step=K", NULL, "grpo replay runs/tiny step=5", NULL},
    {"inspect", "describe a model, and the memory that training it needs", cli_inspect, "[DIR]",
     "model. policy.dtype rollout. rl. train. lora. eval. threads", "grpo inspect runs/tiny/init",
     NULL},
    {"bench", "time a model on this machine: prefill, decoding, training, a step", cli_bench,
     "[DIR]", "model.path policy. rollout. rl. threads device isa", "grpo bench runs/tiny/init",
     cli_bench_options},
    {"convert", "turn a GGUF file into a model directory, or back", cli_convert, "FROM TO", NULL,
     "grpo convert runs/tiny/checkpoints/global_step_8/hf tiny.gguf --type Q8_0",
     cli_convert_options},
    {"tasks", "print problems or warm-start documents as JSON lines", cli_tasks,
     "countdown|addition|multiplication|file|traces", "tasks. trace.",
     "grpo tasks countdown --n 1000 split=heldout", cli_tasks_options},
    {"data", "report on the config's problems: repeats, golds, prompt lengths", cli_data, "",
     "tasks. reward.rule model.path rollout.max_prompt_tokens", "grpo data -c configs/tiny.yaml",
     cli_data_options},
    {"score", "judge completions: JSON lines in, JSON lines out", cli_score, "", "reward.",
     "grpo score --rule countdown <completions.jsonl", cli_score_options},
    {"tokenize", "turn texts into token ids: JSON lines in, JSON lines out", cli_tokenize, "DIR",
     NULL, "grpo tokenize runs/tiny/init --jsonl <texts.jsonl", cli_tokenize_options},
    {"report", "show what a run did: a summary, and a page to read", cli_report, "RUN", NULL,
     "grpo report runs/demo-1", cli_report_options},
    {"rescore", "judge a run's stored episodes again under another reward", cli_rescore, "RUN",
     "reward.", "grpo rescore runs/demo-1 reward.format.weight=0.2", cli_rescore_options},
    {"lint-reward", "show a reward what deserves nothing: what it pays, how long it takes",
     cli_lint_reward, "", "reward. tasks.", "grpo lint-reward reward.format.weight=0.1 --strict",
     cli_lint_reward_options},
    {"config", "print the resolved config, or the schema in several forms", cli_config, "[PREFIX]",
     "*", "grpo config seed=2 threads=1", cli_config_options},
    {0},
};

static const struct command *command_find(const char *name) {
    for (const struct command *c = commands; c->name; c++)
        if (strcmp(c->name, name) == 0) return c;
    return NULL;
}

static status fail_unknown_command(const char *name) {
    struct nearest near = {.wanted = name};
    for (const struct command *c = commands; c->name; c++) nearest_offer(&near, c->name);
    nearest_offer(&near, "help");
    const char *meant = nearest_name(&near);
    return fail(EXIT_USAGE_ERROR, "unknown command %.80s%s%s%s", name,
                meant ? "; did you mean " : "; \"grpo help\" lists the commands",
                meant ? meant : "", meant ? "?" : "");
}

/* `grpo help [COMMAND]`, also spelled `grpo --help` and `grpo COMMAND --help`. */
static status print_help(const char *name) {
    if (!name || strcmp(name, "help") == 0) {
        help_print_overview(stdout);
        return NULL;
    }
    const struct command *command = command_find(name);
    if (!command) return fail_unknown_command(name);
    help_print_command(command, stdout);
    return NULL;
}

static bool asks_for_help(int argc, char **argv) {
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return true;
    return false;
}

/* Runs what the command line asks for; *context becomes what a failure's sentence begins with. */
static status run(int argc, char **argv, const char **context) {
    const char *name = argc > 1 ? argv[1] : "help";
    if (strcmp(name, "--version") == 0) {
        printf("grpo %s\n", GRPO_VERSION);
        return NULL;
    }
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return print_help(argc > 2 ? argv[2] : NULL);
    const struct command *command = command_find(name);
    if (!command) return fail_unknown_command(name);
    *context = command->name;
    if (asks_for_help(argc - 2, argv + 2)) return print_help(name);
    return command->run(argc - 2, argv + 2);
}

/* A stream that was closed when we started would be taken by the first file we open, and then be
 * written to as if it were the terminal. */
static void occupy_standard_streams(void) {
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF) {
            int got = open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY); /* using it still fails */
            (void)got;
        }
}

/* What a command printed counts only once it is out. */
static status close_stdout(void) {
    bool failed_before = ferror(stdout);
    errno = 0;
    if (fclose(stdout) == 0 && !failed_before) return NULL;
    if (errno == 0) return fail(EXIT_IO, "standard output: writing failed");
    return fail_errno(EXIT_IO, errno, "standard output");
}

int main(int argc, char **argv) {
    occupy_standard_streams();
    signal(SIGPIPE, SIG_IGN); /* a closed pipe, or a file over its limit, is a failed write */
    signal(SIGXFSZ, SIG_IGN);
    const char *context = NULL;
    status s = run(argc, argv, &context);
    status closed = close_stdout();
    if (s) status_free(closed);
    else s = closed;
    if (!s) return EXIT_OK;
    fprintf(stderr, "grpo%s%s: %s\n", context ? " " : "", context ? context : "", status_text(s));
    int code = (int)status_code(s);
    status_free(s);
    return code;
}
