#include "rl/store_query.h"

#include "base/file.h"

#include <inttypes.h>
#include <stdio.h>

/* What is a function of the semantic config, in an order that does not depend on how it was
 * written. Left out: `timing`, and of `run` when, by which version and with which execution keys.
 */
static const char *const dumps[] = {
    "SELECT 'run' AS \"table\", command, semantic FROM run",
    "SELECT 'step' AS \"table\", * FROM step ORDER BY step",
    "SELECT 'metric' AS \"table\", * FROM metric ORDER BY step, name",
    "SELECT 'problem' AS \"table\", * FROM problem ORDER BY split, id",
    "SELECT 'prompt' AS \"table\", * FROM prompt ORDER BY step, draw, attempt",
    "SELECT 'episode' AS \"table\", * FROM episode ORDER BY step, draw, attempt, sample",
    "SELECT 'evaluation' AS \"table\", * FROM evaluation ORDER BY step, name",
    "SELECT 'evaluation_metric' AS \"table\", * FROM evaluation_metric ORDER BY step, name, key",
    "SELECT 'evaluation_episode' AS \"table\", * FROM evaluation_episode ORDER BY 2, 3, 4",
};

/* Short printable text is shown, anything else hashed: a line stays a line. */
static bool is_short_text(struct span s) {
    enum { SHORT = 64 };
    if (s.n > SHORT) return false;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < ' ' || s.p[i] > '~') return false;
    return true;
}

static void print_column(struct query *q, int column, FILE *out) {
    char hex[SHA256_TEXT];
    int type = sqlite3_column_type(q->statement, column);
    fprintf(out, " %s=", sqlite3_column_name(q->statement, column));
    if (type == SQLITE_NULL) {
        fputs("null", out);
    } else if (type == SQLITE_INTEGER) {
        fprintf(out, "%" PRId64, (int64_t)sqlite3_column_int64(q->statement, column));
    } else if (type == SQLITE_FLOAT) {
        fprintf(out, "%.17g", sqlite3_column_double(q->statement, column));
    } else {
        const void *bytes = sqlite3_column_blob(q->statement, column);
        struct span s = {bytes, (size_t)sqlite3_column_bytes(q->statement, column)};
        if (type == SQLITE_TEXT && is_short_text(s)) {
            fprintf(out, "\"%.*s\"", SPAN_FMT(s));
        } else {
            file_sha256_bytes(s, hex);
            fprintf(out, "%zu bytes %s", s.n, hex);
        }
    }
}

static status dump(struct store *s, const char *sql, FILE *out) {
    struct query q;
    TRY(query_open(&q, s, sql));
    bool row = false;
    status result;
    while (!(result = query_next(&q, &row)) && row) {
        int columns = sqlite3_column_count(q.statement);
        fputs((const char *)sqlite3_column_text(q.statement, 0), out);
        for (int i = 1; i < columns; i++) print_column(&q, i, out);
        fputc('\n', out);
    }
    query_close(&q);
    return result;
}

status store_dump_semantic(struct store *s, FILE *out) {
    for (size_t i = 0; i < sizeof dumps / sizeof *dumps; i++) TRY(dump(s, dumps[i], out));
    if (fflush(out) != 0 || ferror(out)) return fail(EXIT_IO, "cannot write the store's dump");
    return NULL;
}
