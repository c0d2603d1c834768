#include "cli/manual.h"

#include "base/version.h"
#include "cli/commands.h"

/* Text as roff reads it: no escapes, no hyphenation marks, no line taken for a request. */
static void print_text(const char *text, FILE *out) {
    if (*text == '.' || *text == '\'') fputs("\\&", out);
    for (; *text; text++) {
        if (*text == '\\') fputs("\\e", out);
        else if (*text == '-') fputs("\\-", out);
        else fputc(*text, out);
    }
}

static void print_options(const struct command_option *options, FILE *out) {
    fputs(".Bl -tag -width indent -compact\n", out);
    for (const struct command_option *o = options; o->name; o++) {
        /* mdoc writes the dashes itself, one for each Fl. */
        bool is_long = o->name[1] == '-';
        fprintf(out, ".It Fl %s%s", is_long ? "Fl " : "", o->name + 1 + is_long);
        if (o->value) fprintf(out, " Ar %s", o->value);
        fputc('\n', out);
        print_text(o->doc, out);
        fputc('\n', out);
    }
    fputs(".El\n", out);
}

static void print_command(const struct command *c, FILE *out) {
    fprintf(out, ".Ss grpo %s", c->name);
    if (*c->operands) fprintf(out, " %s", c->operands);
    fputc('\n', out);
    print_text(c->summary, out);
    fputs(".\n", out);
    if (c->options) print_options(c->options, out);
    fputs("Example:\n.Dl ", out);
    print_text(c->example, out);
    fputc('\n', out);
}

static const char HEAD[] =
    ".Dt GRPO 1\n"
    ".Os grpo " GRPO_VERSION "\n"
    ".Sh NAME\n"
    ".Nm grpo\n"
    ".Nd reinforcement learning for reasoning models\n"
    ".Sh SYNOPSIS\n"
    ".Nm\n"
    ".Ar command\n"
    ".Op Fl c Ar file.yaml\n"
    ".Op Ar key Ns = Ns Ar value ...\n"
    ".Sh DESCRIPTION\n"
    ".Nm\n"
    "makes a policy answer, judges the answers by rule, and updates the policy\n"
    "from the comparison.\n"
    "A command is told what to do by config keys, from YAML files and from the\n"
    "command line; later wins.\n"
    ".Ql grpo help Ar command\n"
    "says more about a command, and\n"
    ".Ql grpo config \\-\\-help\\-keys\n"
    "lists the keys with their types, ranges and defaults.\n"
    ".Sh COMMANDS\n";

static const char TAIL[] = ".Sh EXIT STATUS\n"
                           ".Bl -tag -width 4n -compact\n"
                           ".It 0\ndone\n"
                           ".It 64\nthe command line was not understood\n"
                           ".It 65\nbad data in a file\n"
                           ".It 66\na file is not there or cannot be read\n"
                           ".It 70\na bug in the program\n"
                           ".It 74\nwriting failed: disk full, pipe closed\n"
                           ".It 75\ninterrupted with a checkpoint, or the run directory is in use\n"
                           ".It 78\na config key or value was refused\n"
                           ".El\n";

void manual_print(FILE *out) {
    fputs(HEAD, out);
    for (const struct command *c = commands; c->name; c++) print_command(c, out);
    fputs(TAIL, out);
}
