/* `grpo report`: what a run did, as text, as JSON, as a page, as a picture. */
#include "base/file.h"
#include "cli/arguments.h"
#include "cli/commands.h"
#include "rl/report.h"

#include <stdio.h>
#include <stdlib.h>

enum { JSON, HTML, SVG, OPTIONS };

const struct command_option cli_report_options[] = {
    [JSON] = {"--json", NULL, "print one JSON object in place of the summary; no page by itself"},
    [HTML] = {"--html", "FILE", "write the page to FILE instead of RUN/report.html"},
    [SVG] = {"--svg", "FILE", "write the accuracy curve as a picture"},
    [OPTIONS] = {0},
};

static status draw_html(const struct report *r, FILE *out) {
    report_html(r, out);
    return NULL;
}

/* Draws into memory first, so that a file is written whole or not at all. */
static status write_drawing(const struct report *r, const char *path,
                            status (*draw)(const struct report *r, FILE *out)) {
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    if (!out) return fail(EXIT_OUR_BUG, "%s: out of memory", path);
    status s = draw(r, out);
    if (fclose(out) != 0 && !s) s = fail(EXIT_OUR_BUG, "%s: out of memory", path);
    if (!s) s = file_write(path, text, n);
    free(text);
    return s;
}

static status write_report(const struct report *r, const char *const *given, struct arena *arena) {
    const char *page = given[HTML];
    if (!page && !given[JSON]) page = arena_print(arena, "%s/report.html", r->dir);
    if (given[SVG]) TRY(write_drawing(r, given[SVG], report_svg));
    if (page) TRY(write_drawing(r, page, draw_html));
    if (given[JSON]) {
        report_json(r, stdout);
    } else {
        report_text(r, stdout);
        printf("  %-18s%s\n", "page", page);
    }
    return NULL;
}

status cli_report(int argc, char **argv) {
    const char *given[OPTIONS], *dir = NULL;
    struct arguments a = {
        .options = cli_report_options, .values = given, .operands = &dir, .operands_max = 1};
    TRY(arguments_read(&a, argc, argv));
    if (!dir) return fail(EXIT_USAGE_ERROR, "expected the directory of a run; see --help");
    struct arena arena = {0};
    struct report r;
    status s = report_read(&r, dir, &arena);
    if (!s) s = write_report(&r, given, &arena);
    arena_free(&arena);
    return s;
}
