/* `grpo rescore RUN`: a run's stored episodes judged again under another reward. */
#include "base/file.h"
#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/schema.h"
#include "rl/rescore.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { ALL, JSON, HTML, OPTIONS };
enum { CHANGES_SHOWN = 10 };

const struct command_option cli_rescore_options[] = {
    [ALL] = {"--all", NULL, "show every changed verdict, not the first 10"},
    [JSON] = {"--json", NULL, "print one JSON object in place of the summary"},
    [HTML] = {"--html", "FILE", "write a page to FILE, too"},
    [OPTIONS] = {0},
};

/* Draws into memory first, so that the file is written whole or not at all. */
static status write_page(const struct rescore *r, const struct rescore_title *title,
                         const char *path) {
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    if (!out) return fail(EXIT_OUR_BUG, "%s: out of memory", path);
    rescore_html(r, title, out);
    status s = fclose(out) == 0 ? file_write(path, text, n)
                                : fail(EXIT_OUR_BUG, "%s: out of memory", path);
    free(text);
    return s;
}

static status show(const struct rescore *r, const struct rescore_title *title,
                   const char *const *given) {
    if (given[HTML]) TRY(write_page(r, title, given[HTML]));
    (given[JSON] ? rescore_json : rescore_text)(r, title, stdout);
    return NULL;
}

/* The arguments change the run's own config, which comes from its store. */
static status configure(struct settings *settings, struct arguments *a, struct store *store,
                        const char *dir, int argc, char **argv, struct rescore_title *title,
                        struct arena *arena) {
    struct store_run run;
    TRY(store_get_run(store, arena, &run));
    if (!run.command) return fail(EXIT_BAD_DATA, "%s: the run has not begun", dir);
    TRY(config_parse_yaml(&settings->config, span_of(run.config),
                          arena_print(arena, "the config of %s", dir)));
    const char *own = config_semantic(&settings->config, arena);
    TRY(arguments_read(a, argc, argv));
    *title = (struct rescore_title){
        dir, config_difference(own, config_semantic(&settings->config, arena), arena)};
    return NULL;
}

static status rescore(const char *dir, struct settings *settings, struct arguments *a, int argc,
                      char **argv, struct arena *arena) {
    struct store *store;
    struct reward *reward = NULL;
    struct rescore_title title;
    struct rescore r;
    TRY(store_open_reader(&store, arena_print(arena, "%s/run.sqlite", dir)));
    status s = configure(settings, a, store, dir, argc, argv, &title, arena);
    if (!s) s = reward_open(&reward, &settings->reward);
    if (!s)
        s = status_context(rescore_run(&r, store, reward, &settings->rl,
                                       general_threads(&settings->general, 1),
                                       a->values[ALL] ? SIZE_MAX : CHANGES_SHOWN, arena),
                           "%s", dir);
    if (!s) s = show(&r, &title, a->values);
    reward_close(reward);
    store_close(store);
    return s;
}

status cli_rescore(int argc, char **argv) {
    struct settings settings;
    struct arena arena = {0};
    const char *given[OPTIONS], *dir = NULL;
    struct arguments a = {.options = cli_rescore_options,
                          .values = given,
                          .operands = &dir,
                          .operands_max = 1,
                          .config = &settings.config};
    /* Read once to learn which run is meant, and again on top of that run's config. */
    schema_open(&settings);
    status s = arguments_read(&a, argc, argv);
    if (!s && !dir) s = fail(EXIT_USAGE_ERROR, "expected the directory of a run; see --help");
    if (!s) {
        schema_close(&settings);
        schema_open(&settings);
        s = rescore(dir, &settings, &a, argc, argv, &arena);
    }
    schema_close(&settings);
    arena_free(&arena);
    return s;
}
