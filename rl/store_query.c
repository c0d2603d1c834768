#include "rl/store_query.h"

#include <math.h>

status store_fail(const struct store *s, const char *what) {
    int code = sqlite3_errcode(s->db) & 0xff;
    bool damaged = code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
    return fail(damaged ? EXIT_BAD_DATA : EXIT_IO, "%s: cannot %s: %s", s->path, what,
                sqlite3_errmsg(s->db));
}

status store_execute(struct store *s, const char *sql, const char *what) {
    if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK) return store_fail(s, what);
    return NULL;
}

status query_open(struct query *q, struct store *s, const char *sql) {
    *q = (struct query){.store = s};
    if (sqlite3_prepare_v2(s->db, sql, -1, &q->statement, NULL) != SQLITE_OK)
        return store_fail(s, "ask");
    return NULL;
}

void query_close(struct query *q) {
    sqlite3_finalize(q->statement); /* repeats the last step's failure, which was told then */
    q->statement = NULL;
}

static void check_bind(struct query *q, int result) {
    if (result != SQLITE_OK) q->failed = true;
}

void query_bind_int(struct query *q, int64_t value) {
    check_bind(q, sqlite3_bind_int64(q->statement, ++q->bound, value));
}

void query_bind_real(struct query *q, double value) {
    check_bind(q, sqlite3_bind_double(q->statement, ++q->bound, value));
}

void query_bind_text(struct query *q, struct span text) {
    check_bind(q, sqlite3_bind_text64(q->statement, ++q->bound, text.n ? text.p : "", text.n,
                                      SQLITE_STATIC, SQLITE_UTF8));
}

void query_bind_blob(struct query *q, const void *bytes, size_t n) {
    check_bind(q, sqlite3_bind_blob64(q->statement, ++q->bound, bytes, n, SQLITE_STATIC));
}

status query_next(struct query *q, bool *row) {
    if (q->failed) return store_fail(q->store, "bind");
    q->column = 0;
    int result = sqlite3_step(q->statement);
    *row = result == SQLITE_ROW;
    if (*row) return NULL;
    if (result != SQLITE_DONE) return store_fail(q->store, "read or write");
    q->bound = 0;
    if (sqlite3_reset(q->statement) != SQLITE_OK) return store_fail(q->store, "go on");
    return NULL;
}

status query_run(struct query *q) {
    bool row = false;
    TRY(query_next(q, &row));
    REQUIRE(!row);
    return NULL;
}

int64_t query_int(struct query *q) { return sqlite3_column_int64(q->statement, q->column++); }

double query_real(struct query *q) {
    int column = q->column++;
    if (sqlite3_column_type(q->statement, column) == SQLITE_NULL) return NAN;
    return sqlite3_column_double(q->statement, column);
}

/* A copy of a column's bytes; SQLite asks for the pointer first, then the length. */
static struct span copy_column(struct query *q, struct arena *arena) {
    int column = q->column++;
    const void *bytes = sqlite3_column_blob(q->statement, column);
    size_t n = (size_t)sqlite3_column_bytes(q->statement, column);
    return arena_copy(arena, (struct span){bytes, n});
}

struct span query_text(struct query *q, struct arena *arena) {
    return copy_column(q, arena);
}

struct span query_blob(struct query *q, struct arena *arena) {
    if (sqlite3_column_type(q->statement, q->column) == SQLITE_NULL) {
        q->column++;
        return (struct span){0};
    }
    return copy_column(q, arena);
}
