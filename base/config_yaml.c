#include "base/config.h"

#include "base/config_value.h"
#include "base/file.h"
#include "base/nearest.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

/* What no config needs: bounds on the work a file can ask for. */
enum { FILE_MAX = 1 << 20, DEPTH_MAX = 8 };

/* A name seen in the file: of a key or of a section. */
struct seen {
    struct seen *next;
    const char *name;
    size_t line;
};

struct reader {
    struct config *config;
    const char *file;
    struct span text;
    yaml_parser_t parser;
    yaml_event_t event; /* the current one */
    struct arena scratch;
    struct seen *seen;
};

static size_t reader_line(const struct reader *r) { return r->event.start_mark.line + 1; }

static const char *reader_where(struct reader *r, size_t line) {
    return arena_print(&r->scratch, "%s:%zu", r->file, line);
}

#define FAIL_HERE(r, ...) fail_at((r), reader_line(r), __VA_ARGS__)
static status fail_at(struct reader *r, size_t line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static status fail_at(struct reader *r, size_t line, const char *format, ...) {
    va_list args;
    va_start(args, format);
    char text[512];
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return fail(EXIT_BAD_CONFIG, "%s:%zu: %s", r->file, line, text);
}

/* What libyaml could not read. Its scanner knows the line; its decoder knows only the offset. */
static status fail_parse(struct reader *r) {
    size_t line = r->parser.problem_mark.line + 1;
    if (r->parser.error == YAML_READER_ERROR) {
        line = 1;
        for (size_t i = 0; i < r->text.n && i < r->parser.problem_offset; i++)
            line += r->text.p[i] == '\n';
    }
    return fail_at(r, line, "not valid YAML: %s",
                   r->parser.problem ? r->parser.problem : "out of memory");
}

/* Moves to the next event; what configs have no use for is refused here, once for all places. */
static status reader_next(struct reader *r) {
    yaml_event_delete(&r->event);
    if (!yaml_parser_parse(&r->parser, &r->event)) return fail_parse(r);
    const yaml_char_t *anchor = NULL, *tag = NULL;
    switch (r->event.type) {
    case YAML_ALIAS_EVENT:
        return FAIL_HERE(r, "YAML aliases are not supported");
    case YAML_SCALAR_EVENT:
        anchor = r->event.data.scalar.anchor, tag = r->event.data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = r->event.data.sequence_start.anchor, tag = r->event.data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = r->event.data.mapping_start.anchor, tag = r->event.data.mapping_start.tag;
        break;
    default:
        break;
    }
    if (anchor) return FAIL_HERE(r, "YAML anchors are not supported");
    if (tag) return FAIL_HERE(r, "YAML tags are not supported: the key says what its value is");
    return NULL;
}

/* The current scalar's text, in the scratch arena. */
static status reader_scalar(struct reader *r, const char **out) {
    struct span s = {(const char *)r->event.data.scalar.value, r->event.data.scalar.length};
    if (memchr(s.p, 0, s.n)) return FAIL_HERE(r, "text with a NUL character in it");
    *out = arena_string(&r->scratch, s);
    return NULL;
}

static status note_seen(struct reader *r, const char *name, size_t line) {
    for (const struct seen *s = r->seen; s; s = s->next)
        if (strcmp(s->name, name) == 0)
            return fail_at(r, line, "%s stands twice, first on line %zu", name, s->line);
    struct seen *s = ARENA_NEW(&r->scratch, struct seen);
    *s = (struct seen){r->seen, name, line};
    r->seen = s;
    return NULL;
}

/* A key may stand under an alias and under its own name; that is twice as well. */
static status set_once(struct reader *r, const char *name, const char *value, size_t line) {
    struct config_entry e;
    TRY(config_set(r->config, name, value, reader_where(r, line)));
    bool found = config_find(r->config, name, &e);
    REQUIRE(found);
    TRY(note_seen(r, e.key->name, line));
    return strcmp(e.key->name, name) == 0 ? NULL : note_seen(r, name, line);
}

/* Writes the rest of a sequence of scalars to `out`, joined by ",". */
static status join_list(struct reader *r, const char *name, FILE *out) {
    for (size_t n = 0;; n++) {
        TRY(reader_next(r));
        if (r->event.type == YAML_SEQUENCE_END_EVENT) return NULL;
        if (r->event.type != YAML_SCALAR_EVENT)
            return FAIL_HERE(r, "the list of %s may hold plain values only", name);
        const char *item;
        TRY(reader_scalar(r, &item));
        if (strchr(item, ','))
            return FAIL_HERE(r, "an item in the list of %s holds a comma, which joins items", name);
        fprintf(out, "%s%s", n ? "," : "", item);
    }
}

static status read_list(struct reader *r, const char *name, const char **value) {
    struct config_entry e;
    if (config_find(r->config, name, &e) && e.key->type != CONFIG_TYPE_STRING)
        return FAIL_HERE(r, "%s must be %s, not a list", name, config_expected(e.key, &r->scratch));
    char *joined = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&joined, &n);
    REQUIRE(out);
    status s = join_list(r, name, out);
    bool closed = fclose(out) == 0;
    REQUIRE(closed);
    *value = arena_string(&r->scratch, (struct span){joined, n});
    free(joined);
    return s;
}

static status check_section(struct reader *r, const char *name, size_t line, int depth) {
    char shown[CONFIG_SHOWN_MAX];
    struct config_entry e;
    if (depth > DEPTH_MAX) return fail_at(r, line, "maps nested more than %d deep", DEPTH_MAX);
    if (config_is_section(r->config, name)) return NULL;
    if (config_find(r->config, name, &e))
        return fail_at(r, line, "%s must be %s, not a map", name,
                       config_expected(e.key, &r->scratch));
    struct nearest near = {.wanted = name};
    for (e = (struct config_entry){0}; config_next(r->config, &e);)
        for (const char *dot = e.key->name; (dot = strchr(dot, '.')); dot++)
            nearest_offer(
                &near,
                arena_string(&r->scratch, (struct span){e.key->name, (size_t)(dot - e.key->name)}));
    const char *meant = nearest_name(&near);
    return fail_at(r, line, "unknown section %s%s%s%s", config_value_shown(name, shown),
                   meant ? "; did you mean " : "", meant ? meant : "", meant ? "?" : "");
}

/* Reads the rest of a map whose start is the current event; the dotted names of its keys begin with
 * `prefix`. Recursion is as deep as check_section lets it be. */
static status read_map(struct reader *r, const char *prefix, int depth) {
    for (;;) {
        TRY(reader_next(r));
        if (r->event.type == YAML_MAPPING_END_EVENT) return NULL;
        if (r->event.type != YAML_SCALAR_EVENT)
            return FAIL_HERE(r, "a key must be a name, not a list or a map");
        size_t line = reader_line(r);
        const char *name, *value = "";
        TRY(reader_scalar(r, &name));
        name = arena_print(&r->scratch, "%s%s", prefix, name);
        TRY(reader_next(r));
        if (r->event.type == YAML_MAPPING_START_EVENT) {
            TRY(check_section(r, name, line, depth + 1));
            TRY(note_seen(r, name, line));
            TRY(read_map(r, arena_print(&r->scratch, "%s.", name), depth + 1));
            continue;
        }
        if (r->event.type == YAML_SEQUENCE_START_EVENT) TRY(read_list(r, name, &value));
        else TRY(reader_scalar(r, &value));
        TRY(set_once(r, name, value, line));
    }
}

static status read_stream(struct reader *r) {
    TRY(reader_next(r)); /* the stream's start */
    TRY(reader_next(r));
    if (r->event.type == YAML_STREAM_END_EVENT) return NULL; /* an empty file changes nothing */
    TRY(reader_next(r));
    if (r->event.type == YAML_MAPPING_START_EVENT) TRY(read_map(r, "", 0));
    else if (r->event.type != YAML_SCALAR_EVENT || r->event.data.scalar.length)
        return FAIL_HERE(r, "expected keys with values, such as \"steps: 100\"");
    TRY(reader_next(r)); /* the document's end */
    TRY(reader_next(r));
    if (r->event.type != YAML_STREAM_END_EVENT)
        return FAIL_HERE(r, "a second YAML document; a config is one document");
    return NULL;
}

status config_parse_yaml(struct config *c, struct span text, const char *name) {
    if (text.n > FILE_MAX)
        return fail(EXIT_BAD_CONFIG, "%s: more than %d bytes of config", name, FILE_MAX);
    struct reader r = {.config = c, .file = name, .text = text};
    if (!yaml_parser_initialize(&r.parser))
        return fail(EXIT_OUR_BUG, "%s: no memory for a YAML parser", name);
    yaml_parser_set_input_string(&r.parser, (const yaml_char_t *)text.p, text.n);
    status s = read_stream(&r);
    yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    arena_free(&r.scratch);
    return s;
}

status config_load_yaml(struct config *c, const char *path) {
    struct arena scratch = {0};
    struct span text;
    status s = file_read(&text, path, FILE_MAX, &scratch);
    if (!s) s = config_parse_yaml(c, text, path);
    arena_free(&scratch);
    return s;
}
