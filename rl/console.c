#include "rl/console.h"

#include "base/clock.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

enum { BAR_WIDTH = 28, REDRAWS_A_SECOND = 8 };

const struct config_key console_keys[] = {
    CONFIG_ENUM(struct console_config, console, "console", "line", "line|verl|quiet", EXECUTION,
                "what is printed each step: a line for people, verl's line for grep, or nothing"),
    CONFIG_END,
};

static bool terminal_is_utf8(void) {
    const char *names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < 3; i++) {
        const char *value = getenv(names[i]);
        if (value && *value) return strstr(value, "UTF-8") || strstr(value, "utf8");
    }
    return false;
}

struct console console_open(const struct console_config *config, int64_t steps) {
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    bool dumb = term && strcmp(term, "dumb") == 0;
    struct console c = {.out = stdout,
                        .steps = steps,
                        .wide = terminal_is_utf8(),
                        .began = clock_seconds(),
                        .first = -1};
    if (strcmp(config->console, "verl") == 0) c.style = CONSOLE_VERL;
    if (strcmp(config->console, "quiet") == 0) c.style = CONSOLE_QUIET;
    if (c.style == CONSOLE_LINE && isatty(STDERR_FILENO) && !dumb) c.terminal = stderr;
    c.color = isatty(STDOUT_FILENO) && !dumb && !(no_color && *no_color);
    return c;
}

static const char *bold(const struct console *c) { return c->color ? "\033[1m" : ""; }
static const char *dim(const struct console *c) { return c->color ? "\033[2m" : ""; }
static const char *plain(const struct console *c) { return c->color ? "\033[0m" : ""; }

static void clear_bar(struct console *c) {
    if (c->terminal && c->drawn != 0) fputs("\r\033[K", c->terminal);
    c->drawn = 0;
}

void console_banner(struct console *c, const char *title, const struct console_row *rows,
                    size_t n) {
    if (c->style == CONSOLE_QUIET) return;
    int width = 0;
    for (size_t i = 0; i < n; i++) {
        int length = (int)strlen(rows[i].label);
        if (length > width) width = length;
    }
    fprintf(c->out, "%s%s%s\n", bold(c), title, plain(c));
    for (size_t i = 0; i < n; i++)
        fprintf(c->out, "  %s%-*s%s  %s\n", dim(c), width, rows[i].label, plain(c), rows[i].text);
    fflush(c->out);
}

/* What a line shows of a metric: after `label`, its value times `scale` in `format`. */
struct column {
    const char *name, *label, *format;
    double scale;
};

static const struct column step_columns[] = {
    {"actor/loss", "loss", "%.4f", 1},
    {"critic/score/mean", "reward", "%.3f", 1},
    {"critic/acc/mean", "right", "%4.1f%%", 100},
    {"response_length/mean", "length", "%.1f", 1},
    {"response_length/clip_ratio", "cut", "%4.1f%%", 100},
    {"frac_reward_zero_std", "no signal", "%2.0f%%", 100},
    {"actor/entropy", "entropy", "%.3f", 1},
    {"actor/kl_loss", "kl", "%.4f", 1},
    {"actor/grad_norm", "grad", "%.3f", 1},
    {"actor/lr", "lr", "%.1e", 1},
};

/* Parts of timing_s/step, and what comes beside it. */
static const struct column part_columns[] = {
    {"timing_s/gen", "rollout", "%.2f", 1},
    {"timing_s/reward", "reward", "%.2f", 1},
    {"timing_s/ref", "reference", "%.2f", 1},
    {"timing_s/update_actor", "update", "%.2f", 1},
};
static const struct column beside_columns[] = {
    {"timing_s/testing", "evaluation", "%.2f", 1},
    {"timing_s/save_checkpoint", "checkpoint", "%.2f", 1},
};
#define COLUMNS(table) (table), sizeof(table) / sizeof *(table)

/* Prints the columns that are there and not NaN, at least `least`, each after a separator that is `first`
 * the first time. Returns whether there were any. */
static bool print_columns(const struct console *c, const struct metrics *m, double least,
                          const struct column *columns, size_t n, const char *first,
                          const char *separator) {
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        double value = metrics_get(m, columns[i].name);
        if (isnan(value) || value < least) continue;
        fprintf(c->out, "%s%s%s%s ", any ? separator : first, dim(c), columns[i].label, plain(c));
        fprintf(c->out, columns[i].format, columns[i].scale * value);
        any = true;
    }
    return any;
}

static void print_time(const struct console *c, const struct metrics *m) {
    const double shown = 0.005; /* what "%.2f" does not round to nothing */
    double throughput = metrics_get(m, "perf/throughput"),
           seconds = metrics_get(m, "timing_s/step");
    if (!isnan(throughput))
        fprintf(c->out, throughput < 1e4 ? "  %.0f tok/s" : "  %.1fk tok/s",
                throughput < 1e4 ? throughput : throughput / 1000);
    if (isnan(seconds)) return;
    fprintf(c->out, "  %s%.2f s%s", bold(c), seconds, plain(c));
    if (print_columns(c, m, shown, COLUMNS(part_columns), " (", ", ")) fputc(')', c->out);
    print_columns(c, m, shown, COLUMNS(beside_columns), " + ", " + ");
}

static void print_line(const struct console *c, int64_t step, const struct metrics *m) {
    int width = snprintf(NULL, 0, "%lld", (long long)c->steps);
    fprintf(c->out, "%sstep %*lld/%lld%s", bold(c), width, (long long)step, (long long)c->steps,
            plain(c));
    print_columns(c, m, -INFINITY, COLUMNS(step_columns), "  ", "  ");
    print_time(c, m);
    fputc('\n', c->out);
}

static void print_verl(const struct console *c, int64_t step, const struct metrics *m) {
    fprintf(c->out, "step:%lld", (long long)step);
    for (size_t i = 0; i < m->n; i++)
        fprintf(c->out, " - %s:%.6g", m->items[i].name, m->items[i].value);
    fputc('\n', c->out);
}

void console_step(struct console *c, int64_t step, const struct metrics *m) {
    clear_bar(c);
    if (c->style == CONSOLE_LINE && step > 0) print_line(c, step, m);
    if (c->style == CONSOLE_VERL) print_verl(c, step, m);
    fflush(c->out);
}

void console_evaluation(struct console *c, int64_t step, const char *name,
                        const struct metrics *summary) {
    if (c->style != CONSOLE_LINE) return;
    clear_bar(c);
    fprintf(c->out, "%s%s after step %lld%s", bold(c), name, (long long)step, plain(c));
    for (size_t i = 0; i < summary->n; i++) {
        const struct metric *x = &summary->items[i];
        struct span key = span_of(x->name);
        if (strcmp(x->name, "stderr") == 0 || isnan(x->value)) continue;
        bool share = span_starts(key, SPAN("pass@")) || span_starts(key, SPAN("maj@"));
        fprintf(c->out, "  %s%s%s ", dim(c), x->name, plain(c));
        fprintf(c->out, share ? "%.1f%%" : "%.4g", share ? 100 * x->value : x->value);
        double error = metrics_get(summary, "stderr");
        if (strcmp(x->name, "pass@1") == 0 && !isnan(error))
            fprintf(c->out, " +-%.1f", 100 * error);
    }
    fputc('\n', c->out);
    fflush(c->out);
}

/* The time left at the pace so far, once a step has passed. */
static void print_time_left(const struct console *c, int64_t step, double now) {
    if (step <= c->first) return;
    double pace = (now - c->began) / (double)(step - c->first);
    long seconds = lround(pace * (double)(c->steps - step + 1));
    if (seconds >= 3600)
        fprintf(c->terminal, "  %ld:%02ld:%02ld left", seconds / 3600, seconds / 60 % 60,
                seconds % 60);
    else fprintf(c->terminal, "  %ld:%02ld left", seconds / 60, seconds % 60);
}

void console_progress(struct console *c, int64_t step, const char *what, double done) {
    if (!c->terminal || c->steps < 1) return;
    double now = clock_seconds();
    if (c->first < 0) c->first = step;
    if (c->drawn != 0 && now - c->drawn < 1.0 / REDRAWS_A_SECOND) return;
    int64_t finished = step > 0 ? step - 1 : 0;
    int filled = (int)(BAR_WIDTH * finished / c->steps);
    fputs("\r\033[K", c->terminal);
    for (int i = 0; i < BAR_WIDTH; i++)
        fputs(i < filled ? (c->wide ? "━" : "=") : (c->wide ? "┄" : "."), c->terminal);
    fprintf(c->terminal, "  step %lld/%lld  %s %.0f%%", (long long)step, (long long)c->steps, what,
            100 * done);
    print_time_left(c, step, now);
    fflush(c->terminal);
    c->drawn = now;
}

void console_note(struct console *c, const char *format, ...) {
    clear_bar(c);
    fflush(c->out);
    va_list args;
    va_start(args, format);
    fputs("grpo: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

void console_close(struct console *c) {
    clear_bar(c);
    if (c->terminal) fflush(c->terminal);
}
