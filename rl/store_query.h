/* What the files of the store share: the open database, and prepared statements whose parameters
 * are bound and whose columns are read from left to right. */
#pragma once

#include "base/arena.h"
#include "base/status.h"
#include "rl/store.h"

#include <sqlite3.h>

enum { STORE_KEEP_ALL = -1 };

struct store {
    sqlite3 *db;
    char *path;
    int64_t keep; /* newest steps whose episodes stay; 0: none; STORE_KEEP_ALL */
};

/* Creates the tables in an empty database; refuses a database of another program or of a later
 * version. EXIT_BAD_DATA, EXIT_IO. */
status store_schema_create(struct store *s);
status store_schema_check(struct store *s);

/* What SQLite has to say: "PATH: cannot WHAT: ...". EXIT_BAD_DATA for a damaged file, else EXIT_IO.
 */
status store_fail(const struct store *s, const char *what);

/* Runs statements without parameters. `what` is for the sentence: "cannot WHAT". */
status store_execute(struct store *s, const char *sql, const char *what);

/* A prepared statement. */
struct query {
    struct store *store;
    sqlite3_stmt *statement;
    int bound;   /* parameters bound since the last run */
    int column;  /* columns read of this row */
    bool failed; /* a bind failed; told by the next run */
};

status query_open(struct query *q, struct store *s, const char *sql);
void query_close(struct query *q); /* {0} is fine */

/* Bind the next parameter. Bytes are borrowed until the next run. */
void query_bind_int(struct query *q, int64_t value);
void query_bind_real(struct query *q, double value); /* NaN becomes NULL */
void query_bind_text(struct query *q, struct span text);
void query_bind_blob(struct query *q, const void *bytes, size_t n); /* NULL bytes: NULL */

/* Runs a statement that gives no rows, ready for the next parameters. */
status query_run(struct query *q);

/* The next row; *row is false after the last, and the query ready for the next parameters. */
status query_next(struct query *q, bool *row);

/* Read the next column of a row. */
int64_t query_int(struct query *q);
double query_real(struct query *q);                           /* NULL as NaN */
struct span query_text(struct query *q, struct arena *arena); /* copied, NUL-terminated */
struct span query_blob(struct query *q,
                       struct arena *arena); /* copied, 16-byte aligned; NULL: p = NULL */
