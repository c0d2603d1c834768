#include "rl/store_query.h"

#include <stdio.h>

enum { STORE_APPLICATION = 0x6772706f /* "grpo" */, STORE_VERSION = 1 };

/* Large columns come last: SQLite reads a row up to the last column that is asked for. */
static const char schema[] =
    "CREATE TABLE run ("
    "  id INTEGER PRIMARY KEY CHECK (id = 1),"
    "  command TEXT NOT NULL,"
    "  created TEXT NOT NULL," /* UTC */
    "  version TEXT NOT NULL,"
    "  semantic TEXT NOT NULL," /* the semantic config, JSON */
    "  config TEXT NOT NULL"    /* the resolved config, YAML */
    ") STRICT;"
    "CREATE TABLE step (step INTEGER PRIMARY KEY) STRICT;" /* the recorded ones */
    "CREATE TABLE metric ("
    "  step INTEGER NOT NULL, name TEXT NOT NULL, value REAL," /* NULL: not a number */
    "  PRIMARY KEY (step, name)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE timing ("
    "  step INTEGER NOT NULL, name TEXT NOT NULL, value REAL,"
    "  PRIMARY KEY (step, name)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE problem ("
    "  split TEXT NOT NULL," /* 'train', or the evaluation's name */
    "  id TEXT NOT NULL,"
    "  step INTEGER NOT NULL," /* when it was met first */
    "  source TEXT NOT NULL, question TEXT NOT NULL, brief TEXT NOT NULL, gold TEXT NOT NULL,"
    "  numbers TEXT NOT NULL, target INTEGER NOT NULL, witness TEXT NOT NULL," /* countdown */
    "  columns TEXT NOT NULL,"
    "  PRIMARY KEY (split, id)"
    ") STRICT;"
    "CREATE TABLE prompt ("
    "  step INTEGER NOT NULL, draw INTEGER NOT NULL, attempt INTEGER NOT NULL,"
    "  problem TEXT NOT NULL," /* id of the split 'train' */
    "  text TEXT NOT NULL,"
    "  tokens BLOB NOT NULL," /* int32, little-endian */
    "  PRIMARY KEY (step, draw, attempt)"
    ") STRICT;"
    "CREATE TABLE episode ("
    "  step INTEGER NOT NULL, draw INTEGER NOT NULL, attempt INTEGER NOT NULL,"
    "  sample INTEGER NOT NULL,"
    "  score REAL NOT NULL,"
    "  correct INTEGER NOT NULL," /* 0, 1 */
    "  verdict TEXT NOT NULL, answer TEXT NOT NULL,"
    "  parts TEXT NOT NULL," /* JSON: part to unweighted value */
    "  advantage REAL NOT NULL,"
    "  in_loss INTEGER NOT NULL," /* 0, 1 */
    "  finish TEXT NOT NULL,"     /* 'stop', 'length' */
    "  n_tokens INTEGER NOT NULL,"
    "  completion TEXT NOT NULL,"
    "  tokens BLOB NOT NULL," /* int32, little-endian */
    "  logp BLOB NOT NULL,"   /* float32, little-endian: when drawn */
    "  routes BLOB,"          /* uint16, little-endian [rows, moe_layers, top_k]; NULL: dense */
    "  PRIMARY KEY (step, draw, attempt, sample)"
    ") STRICT;"
    "CREATE TABLE evaluation ("
    "  step INTEGER NOT NULL, name TEXT NOT NULL,"
    "  problems INTEGER NOT NULL, samples INTEGER NOT NULL,"
    "  PRIMARY KEY (step, name)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE evaluation_metric ("
    "  step INTEGER NOT NULL, name TEXT NOT NULL, key TEXT NOT NULL, value REAL,"
    "  PRIMARY KEY (step, name, key)"
    ") STRICT;" /* keeps the order in which the evaluation stated them */
    "CREATE TABLE evaluation_episode ("
    "  step INTEGER NOT NULL, name TEXT NOT NULL,"
    "  position INTEGER NOT NULL," /* 0, 1, ...: by problem, then sample */
    "  problem TEXT NOT NULL,"     /* id of the split `name` */
    "  sample INTEGER NOT NULL,"
    "  correct INTEGER NOT NULL, score REAL NOT NULL, n_tokens INTEGER NOT NULL,"
    "  finish TEXT NOT NULL, verdict TEXT NOT NULL, answer TEXT NOT NULL,"
    "  completion TEXT NOT NULL,"
    "  PRIMARY KEY (step, name, position)"
    ") STRICT;";

static status read_number(struct store *s, const char *sql, int64_t *out) {
    struct query q;
    bool row = false;
    TRY(query_open(&q, s, sql));
    status result = query_next(&q, &row);
    if (!result && row) *out = query_int(&q);
    query_close(&q);
    return result;
}

status store_schema_check(struct store *s) {
    int64_t application = 0, version = 0;
    TRY(read_number(s, "PRAGMA application_id", &application));
    TRY(read_number(s, "PRAGMA user_version", &version));
    if (application != STORE_APPLICATION)
        return fail(EXIT_BAD_DATA, "%s: an SQLite file, but not a run store", s->path);
    if (version != STORE_VERSION)
        return fail(EXIT_BAD_DATA, "%s: a run store of version %lld, expected %d", s->path,
                    (long long)version, STORE_VERSION);
    return NULL;
}

status store_schema_create(struct store *s) {
    int64_t tables = 0;
    TRY(read_number(s, "SELECT count(*) FROM sqlite_schema", &tables));
    if (tables > 0) return store_schema_check(s);
    TRY(store_execute(s, "BEGIN IMMEDIATE", "create tables"));
    char pragmas[96];
    snprintf(pragmas, sizeof pragmas, "PRAGMA application_id = %d; PRAGMA user_version = %d",
             STORE_APPLICATION, STORE_VERSION);
    TRY(store_execute(s, schema, "create tables"));
    TRY(store_execute(s, pragmas, "create tables"));
    return store_execute(s, "COMMIT",
                         "create tables"); /* a failure closes the store, and rolls back */
}
