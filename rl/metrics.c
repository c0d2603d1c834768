#include "rl/metrics.h"

#include "base/file.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct metric *metrics_find(const struct metrics *m, const char *name) {
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->items[i].name, name) == 0) return &m->items[i];
    return NULL;
}

void metrics_set(struct metrics *m, const char *name, double value) {
    struct metric *old = metrics_find(m, name);
    if (old) {
        old->value = value;
        return;
    }
    if (m->n == m->capacity) {
        size_t capacity = m->capacity ? 2 * m->capacity : 32;
        struct metric *items = ARENA_ARRAY(m->arena, capacity, struct metric);
        if (m->n) memcpy(items, m->items, m->n * sizeof *items);
        m->items = items;
        m->capacity = capacity;
    }
    m->items[m->n++] = (struct metric){arena_string(m->arena, span_of(name)), value};
}

void metrics_set_named(struct metrics *m, double value, const char *format, ...) {
    char name[512];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    metrics_set(m, name, value);
}

double metrics_get(const struct metrics *m, const char *name) {
    const struct metric *found = metrics_find(m, name);
    return found ? found->value : NAN;
}

bool metrics_is_speed(const char *name) {
    struct span s = span_of(name);
    return span_starts(s, SPAN("timing_s/")) || span_starts(s, SPAN("perf/"));
}

/* The fewest digits, of those tried, that read back as the same double. */
static void print_number(FILE *out, double x) {
    char text[40];
    if (!isfinite(x)) {
        fputs("null", out);
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (strtod(text, NULL) == x) break;
    }
    fputs(text, out);
}

/* The line as text, newline included; NULL when there is no memory for it. Free it. */
static char *metrics_text(int64_t step, const struct metrics *m, size_t *n) {
    char *text = NULL;
    FILE *out = open_memstream(&text, n);
    if (!out) return NULL;
    fprintf(out, "{\"step\":%lld,\"data\":{", (long long)step);
    for (size_t i = 0; i < m->n; i++) {
        json_t *name = json_text(span_of(m->items[i].name));
        if (i) fputc(',', out);
        json_dumpf(name, out, JSON_ENCODE_ANY);
        json_decref(name);
        fputc(':', out);
        print_number(out, m->items[i].value);
    }
    fputs("}}\n", out);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static status write_all(int fd, const char *path, const char *text, size_t n) {
    while (n > 0) {
        ssize_t written = write(fd, text, n);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return fail_errno(EXIT_IO, errno, "%s: cannot append", path);
        text += written;
        n -= (size_t)written;
    }
    if (fsync(fd) != 0) return fail_errno(EXIT_IO, errno, "%s: cannot sync", path);
    return NULL;
}

status metrics_append(const char *path, int64_t step, const struct metrics *m) {
    size_t n = 0;
    char *text = metrics_text(step, m, &n);
    if (!text) return fail(EXIT_OUR_BUG, "%s: out of memory for a line", path);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    struct stat before;
    if (fd < 0 || fstat(fd, &before) != 0) {
        status s = fail_errno(EXIT_IO, errno, "%s: cannot open to append", path);
        if (fd >= 0) close(fd);
        free(text);
        return s;
    }
    status s = write_all(fd, path, text, n);
    /* Half a line would be in the way of the next one; the first failure is the one to tell. */
    if (s && ftruncate(fd, before.st_size) != 0) s = status_context(s, "cannot cut back");
    if (close(fd) != 0 && !s) s = fail_errno(EXIT_IO, errno, "%s: cannot close", path);
    free(text);
    return s;
}

/* Parses one line; the caller releases *out. */
static status parse_line(json_t **out, struct span line, const char *path, size_t number,
                         int64_t *step) {
    TRY(json_parse(out, line, path, number));
    const json_t *data;
    char where[1024];
    snprintf(where, sizeof where, "%s:%zu", path, number);
    status s = json_get_int(*out, where, "step", 0, INT64_MAX, step);
    if (!s) s = json_get_object(*out, where, "data", &data);
    if (s) json_decref(*out);
    return s;
}

/* Calls visit for each complete line with its parsed value and the offset behind it, until it says
 * stop. */
struct line_visitor {
    bool (*visit)(void *ctx, int64_t step, const json_t *data, size_t end);
    void *ctx;
};

static status visit_lines(struct span text, const char *path, struct line_visitor visitor) {
    size_t number = 0;
    for (size_t from = 0; from < text.n;) {
        size_t newline = span_find(text, SPAN("\n"), from);
        if (newline == (size_t)-1) break; /* torn */
        json_t *line;
        int64_t step;
        TRY(parse_line(&line, span_slice(text, from, newline), path, ++number, &step));
        bool go_on = visitor.visit(visitor.ctx, step, json_object_get(line, "data"), newline + 1);
        json_decref(line);
        if (!go_on) break;
        from = newline + 1;
    }
    return NULL;
}

struct cut {
    int64_t step;
    size_t end;
};

static bool cut_visit(void *ctx, int64_t step, const json_t *data, size_t end) {
    struct cut *cut = ctx;
    (void)data;
    if (step > cut->step) return false;
    cut->end = end;
    return true;
}

status metrics_cut(const char *path, int64_t step) {
    if (!file_exists(path)) return NULL;
    struct span text;
    TRY(file_map(&text, path));
    struct cut cut = {.step = step};
    status s = visit_lines(text, path, (struct line_visitor){cut_visit, &cut});
    size_t n = text.n;
    file_unmap(text);
    if (s || cut.end == n) return s;
    if (truncate(path, (off_t)cut.end) != 0)
        return fail_errno(EXIT_IO, errno, "%s: cannot cut after step %lld", path, (long long)step);
    return file_sync(path);
}

struct reading {
    struct arena *arena;
    struct metrics_line *lines;
    size_t n, capacity;
};

static bool read_visit(void *ctx, int64_t step, const json_t *data, size_t end) {
    struct reading *r = ctx;
    (void)end;
    if (r->n == r->capacity) {
        r->capacity = r->capacity ? 2 * r->capacity : 64;
        r->lines = memory_grow(r->lines, r->capacity, sizeof *r->lines);
    }
    struct metrics_line line = {.step = step, .metrics = {.arena = r->arena}};
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)data, name, value) {
        metrics_set(&line.metrics, name, json_is_number(value) ? json_number_value(value) : NAN);
    }
    r->lines[r->n++] = line;
    return true;
}

status metrics_read(const char *path, struct arena *arena, struct metrics_line **lines, size_t *n) {
    struct span text;
    TRY(file_map(&text, path));
    struct reading r = {.arena = arena};
    status s = visit_lines(text, path, (struct line_visitor){read_visit, &r});
    file_unmap(text);
    if (!s) {
        *lines = ARENA_ARRAY(arena, r.n, struct metrics_line);
        if (r.n) memcpy(*lines, r.lines, r.n * sizeof **lines);
        *n = r.n;
    }
    free(r.lines);
    return s;
}
