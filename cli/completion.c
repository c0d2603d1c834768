#include "cli/completion.h"

#include "cli/commands.h"

#include <string.h>

/* bash takes `=` for a break between words: KEY=VALUE arrives as three of them. */
static const char HEAD[] =
    "# Completion of grpo for bash, printed by: grpo config --completion bash\n"
    "_grpo() {\n"
    "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} key= words=\n"
    "    COMPREPLY=()\n"
    "    if [[ $word == = ]]; then\n"
    "        key=$before word=\n"
    "    elif [[ $before == = && COMP_CWORD -gt 1 ]]; then\n"
    "        key=${COMP_WORDS[COMP_CWORD-2]}\n"
    "    fi\n"
    "    if [[ $key ]]; then\n"
    "        case ${key#--} in\n";

static const char AFTER_VALUES[] =
    "        esac\n"
    "        COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
    "        return\n"
    "    fi\n"
    "    if [[ $before == -c || $before == --config ]]; then return; fi\n"
    "    if [[ COMP_CWORD -eq 1 ]]; then\n";

static const char BEFORE_KEYS[] = "        COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
                                  "        return\n"
                                  "    fi\n"
                                  "    case ${COMP_WORDS[1]} in\n";

static const char TAIL[] =
    "    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
    "    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]]; then compopt -o nospace; fi\n"
    "}\n"
    "complete -o default -F _grpo grpo\n";

/* The words "a b c" of a key that has a few values; NULL for the others. */
static const char *value_words(const struct config_key *key, struct arena *arena) {
    if (key->type == CONFIG_TYPE_BOOL) return "true false";
    if (key->type != CONFIG_TYPE_ENUM) return NULL;
    char *words = arena_string(arena, span_of(key->choices));
    for (char *bar; (bar = strchr(words, '|'));) *bar = ' ';
    return words;
}

void completion_print_bash(const struct config *c, FILE *out) {
    struct arena scratch = {0};
    fputs(HEAD, out);
    for (struct config_entry e = {0}; config_next(c, &e);) {
        const char *words = value_words(e.key, &scratch);
        if (words) fprintf(out, "        %s) words='%s' ;;\n", e.key->name, words);
    }
    fputs("        *) return ;;\n", out);
    fprintf(out, "%s        words='help", AFTER_VALUES);
    for (const struct command *command = commands; command->name; command++)
        fprintf(out, " %s", command->name);
    fprintf(out, " --help --version'\n%s", BEFORE_KEYS);
    for (const struct command *command = commands; command->name; command++) {
        fprintf(out, "    %s) words='--help", command->name);
        for (const struct command_option *o = command->options; o && o->name; o++)
            fprintf(out, " %s", o->name);
        fprintf(out, "%s' ;;\n", command->keys ? " -c" : "");
    }
    fputs("    esac\n    words+=' ", out);
    for (struct config_entry e = {0}; config_next(c, &e);) fprintf(out, " %s=", e.key->name);
    fprintf(out, "'\n%s", TAIL);
    arena_free(&scratch);
}
