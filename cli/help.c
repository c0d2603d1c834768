#include "cli/help.h"

#include "cli/schema.h"

#include <string.h>

static const char EXIT_CODES[] =
    "exit codes:\n"
    "  0  done                        74  writing failed: disk full, pipe closed\n"
    "  64 the command line            75  interrupted with a checkpoint, or directory in use\n"
    "  65 bad data in a file          78  a config key or value\n"
    "  66 a file that is not there    70  a bug of ours\n";

void help_print_overview(FILE *out) {
    fputs("grpo: reinforcement learning for reasoning models (GRPO), in C\n\n"
          "usage: grpo COMMAND [-c FILE.yaml] [KEY=VALUE ...]\n\ncommands:\n",
          out);
    for (const struct command *c = commands; c->name; c++)
        fprintf(out, "  %-11s  %s\n", c->name, c->summary);
    fprintf(out,
            "\n\"grpo help COMMAND\" says more; \"grpo config --help-keys\" lists all keys.\n\n%s",
            EXIT_CODES);
}

static void print_options(const struct command_option *options, FILE *out) {
    if (!options) return;
    int width = 0;
    for (const struct command_option *o = options; o->name; o++) {
        int length = (int)(strlen(o->name) + (o->value ? strlen(o->value) + 1 : 0));
        if (length > width) width = length;
    }
    fputs("\noptions:\n", out);
    for (const struct command_option *o = options; o->name; o++) {
        int used = fprintf(out, "  %s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
        fprintf(out, "%*s  %s\n", width + 2 - used, "", o->doc);
    }
}

/* The keys whose names begin with one of the blank-separated prefixes. */
static void print_keys(const char *prefixes, FILE *out) {
    struct settings settings;
    schema_open(&settings);
    fputs("\nkeys and their defaults:\n", out);
    if (strcmp(prefixes, "*") == 0) prefixes = " ";
    for (const char *p = prefixes; *p;) {
        size_t n = strcspn(p, " ");
        const char *prefix = arena_string(&settings.arena, (struct span){p, n});
        config_print_help(&settings.config, prefix, out);
        p += n + (p[n] == ' ');
    }
    schema_close(&settings);
}

void help_print_command(const struct command *c, FILE *out) {
    fprintf(out, "grpo %s: %s\n\nusage: grpo %s%s%s%s%s\n", c->name, c->summary, c->name,
            c->options ? " [OPTION ...]" : "", *c->operands ? " " : "", c->operands,
            c->keys ? " [-c FILE.yaml] [KEY=VALUE ...]" : "");
    print_options(c->options, out);
    if (c->keys) print_keys(c->keys, out);
    fprintf(out, "\nexample:\n  %s\n", c->example);
}
