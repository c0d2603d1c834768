/* `grpo config`: the resolved config, and the schema in every form that is made from it. */
#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/completion.h"
#include "cli/manual.h"
#include "cli/schema.h"

#include <stdio.h>
#include <string.h>

enum { PRINT_DEFAULT, HELP_KEYS, MARKDOWN, SCHEMA, COMPLETION, MANUAL, OPTIONS };

const struct command_option cli_config_options[] = {
    [PRINT_DEFAULT] = {"--print-default", NULL, "print the defaults as YAML"},
    [HELP_KEYS] = {"--help-keys", NULL, "list the keys, or those that begin with PREFIX"},
    [MARKDOWN] = {"--markdown", NULL, "print the page docs/config.md"},
    [SCHEMA] = {"--schema", NULL, "print a JSON Schema, for editors"},
    [COMPLETION] = {"--completion", "SHELL", "print a completion script; SHELL is bash"},
    [MANUAL] = {"--manual", NULL, "print the manual page, for man(1)"},
    [OPTIONS] = {0},
};

static const char MARKDOWN_HEAD[] =
    "# Configuration\n"
    "\n"
    "This page is printed by `grpo config --markdown`.\n"
    "\n"
    "A key is given on the command line as `key=value`, `--key=value` or `--key value`, or in\n"
    "a YAML file (`-c FILE`) as nested maps: `optim.lr` is the key `lr` in the map `optim`.\n"
    "Files and keys count in the order given; later wins. `grpo config -c FILE key=value`\n"
    "prints what comes out, and so does the `config.yaml` in a run directory.\n"
    "\n"
    "- The key says what its value is, not YAML: `1e-6` is a number for a number's key, `no`\n"
    "  is text for a text's key. Integers may be written `1e6`. A list of scalars is the same\n"
    "  as text joined by commas.\n"
    "- JSON is accepted as YAML. Anchors, aliases, tags and a key that stands twice are\n"
    "  refused.\n"
    "- *Semantic* keys decide what a run computes: a checkpoint stores them, and a run resumes\n"
    "  only when they are equal. *Execution* keys decide how it is computed, and may differ.\n"
    "\n";

static const char MARKDOWN_TAIL[] =
    "\n"
    "Where the others' meaning is wider than ours:\n"
    "\n"
    "- TRL's `epsilon` bounds the ratio above as well unless `epsilon_high` is given; here it\n"
    "  is the lower bound alone, so give both.\n"
    "- verl's `-1` for \"off\" (`top_k`, `test_freq`) is `0` here; `-1` is refused.\n"
    "- verl's `algorithm.kl_ctrl.kl_coef` puts the KL term into the reward. Here it is in the\n"
    "  loss (as with `kl_loss_coef`), so that spelling is refused.\n";

static status print_completion(const struct config *c, const char *shell) {
    if (strcmp(shell, "bash") != 0)
        return fail(EXIT_USAGE_ERROR, "--completion knows bash only, not %.80s", shell);
    completion_print_bash(c, stdout);
    return NULL;
}

static status config_print(struct config *c, const char **given, const char *prefix) {
    if (given[HELP_KEYS]) config_print_help(c, prefix, stdout);
    if (given[COMPLETION]) return print_completion(c, given[COMPLETION]);
    if (given[SCHEMA]) config_print_schema(c, stdout);
    if (given[MANUAL]) manual_print(stdout);
    if (given[MARKDOWN]) {
        fputs(MARKDOWN_HEAD, stdout);
        config_print_markdown(c, stdout);
        fputs(MARKDOWN_TAIL, stdout);
    }
    if (given[PRINT_DEFAULT]) config_write_yaml(c, stdout);
    return NULL;
}

status cli_config(int argc, char **argv) {
    struct settings settings;
    schema_open(&settings);
    const char *given[OPTIONS], *prefix = "";
    struct arguments a = {.options = cli_config_options,
                          .values = given,
                          .operands = &prefix,
                          .operands_max = 1,
                          .config = &settings.config};
    status s = arguments_read(&a, argc, argv);
    int n_given = 0;
    for (int i = 0; i < OPTIONS; i++) n_given += given[i] != NULL;
    if (!s && n_given > 1) s = fail(EXIT_USAGE_ERROR, "one option at a time; see --help");
    if (!s && a.n_operands > 0 && !given[HELP_KEYS])
        s = fail(EXIT_USAGE_ERROR, "unexpected operand %.80s; expected key=value or -c FILE",
                 prefix);
    if (!s && n_given == 0) config_write_yaml(&settings.config, stdout);
    if (!s && n_given == 1) {
        config_defaults(&settings.config); /* the options tell of the schema, whatever was set */
        s = config_print(&settings.config, given, prefix);
    }
    schema_close(&settings);
    return s;
}
