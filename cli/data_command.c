/* `grpo data`: what is wrong with the config's problems, told before a run trains on them. */
#include "base/json.h"
#include "cli/session.h"
#include "rl/dataset.h"

#include <stdio.h>

enum { JSON, OPTIONS };

const struct command_option cli_data_options[] = {
    [JSON] = {"--json", NULL, "print one JSON object in place of the table"},
    [OPTIONS] = {0},
};

static void print_examples(const struct dataset *d, enum dataset_flaw flaw) {
    for (int split = 0; split < SPLIT_PARTS; split++) {
        const struct dataset_part *part = &d->parts[split];
        if (part->flaws[flaw] == 0) continue;
        printf("  %-11s %-10s ", dataset_flaw_name(flaw), split_name((enum split_part)split));
        for (int i = 0; i < DATASET_EXAMPLES && part->examples[flaw][i]; i++)
            printf("%s%s", i ? ", " : " ", part->examples[flaw][i]);
        puts(part->flaws[flaw] > DATASET_EXAMPLES ? ", ..." : "");
    }
}

static void print_table(const struct dataset *d, bool tokens) {
    printf("%-12s%9s", "", "problems");
    for (int flaw = 0; flaw < FLAWS; flaw++)
        printf("%12s", dataset_flaw_name((enum dataset_flaw)flaw));
    printf("%16s\n", "longest prompt");
    for (int split = 0; split < SPLIT_PARTS; split++) {
        const struct dataset_part *part = &d->parts[split];
        printf("%-12s%9zu", split_name((enum split_part)split), part->problems);
        for (int flaw = 0; flaw < FLAWS; flaw++) {
            bool known = tokens || flaw != FLAW_TOO_LONG;
            if (known) printf("%12zu", part->flaws[flaw]);
            else printf("%12s", "-");
        }
        if (tokens) printf("%9d tokens\n", part->longest);
        else printf("%16s\n", "-");
    }
    if (!tokens) puts("(prompts are measured with model.path=DIR, whose tokenizer counts)");
    for (int flaw = 0; flaw < FLAWS; flaw++) print_examples(d, (enum dataset_flaw)flaw);
}

static json_t *part_json(const struct dataset_part *part, bool tokens) {
    json_t *object = json_pack("{s:I}", "problems", (json_int_t)part->problems);
    for (int flaw = 0; flaw < FLAWS; flaw++) {
        json_t *ids = json_array();
        for (int i = 0; i < DATASET_EXAMPLES && part->examples[flaw][i]; i++)
            json_array_append_new(ids, json_text(span_of(part->examples[flaw][i])));
        bool known = tokens || flaw != FLAW_TOO_LONG;
        json_object_set_new(
            object, dataset_flaw_name((enum dataset_flaw)flaw),
            json_pack("{s:o, s:o}", "n",
                      known ? json_integer((json_int_t)part->flaws[flaw]) : json_null(), "examples",
                      ids));
    }
    json_object_set_new(object, "longest_prompt",
                        tokens ? json_integer(part->longest) : json_null());
    return object;
}

static void print_json(const struct dataset *d, bool tokens) {
    json_t *object = json_object();
    for (int split = 0; split < SPLIT_PARTS; split++)
        json_object_set_new(object, split_name((enum split_part)split),
                            part_json(&d->parts[split], tokens));
    json_dumpf(object, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(object);
}

static status report(const struct settings *s, bool json) {
    struct task *task = NULL;
    struct reward *reward = NULL;
    struct tokenizer *tokenizer = NULL;
    struct dataset d;
    status failed = task_open(&task, &s->tasks);
    if (!failed) failed = reward_open(&reward, &s->reward);
    if (!failed && s->general.model[0]) failed = tokenizer_open(&tokenizer, s->general.model);
    if (!failed)
        failed = dataset_read(&d, task, reward, tokenizer, (int)s->rollout.max_prompt_tokens);
    if (!failed) (json ? print_json : print_table)(&d, tokenizer != NULL);
    tokenizer_close(tokenizer);
    reward_close(reward);
    task_close(task);
    return failed;
}

status cli_data(int argc, char **argv) {
    struct settings settings;
    const char *given[OPTIONS];
    TRY(session_arguments(&settings, cli_data_options, given, NULL, 0, argc, argv));
    status s = report(&settings, given[JSON] != NULL);
    schema_close(&settings);
    return s;
}
