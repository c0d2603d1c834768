#include "rl/store.h"

#include "base/file.h"
#include "rl/store_query.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/vfs.h>
#include <time.h>

const struct config_key store_keys[] = {
    CONFIG_STRING(struct store_config, episodes, "store.episodes", "all", EXECUTION,
                  "which steps' episodes the store keeps: all, none, or last:N"),
    CONFIG_END,
};

static status parse_episodes(const char *text, int64_t *keep) {
    *keep = STORE_KEEP_ALL;
    if (strcmp(text, "all") == 0) return NULL;
    *keep = 0;
    if (strcmp(text, "none") == 0) return NULL;
    if (strncmp(text, "last:", 5) == 0 && text[5] >= '1' && text[5] <= '9') {
        char *end;
        errno = 0;
        *keep = strtoll(text + 5, &end, 10);
        if (errno == 0 && *end == 0) return NULL;
    }
    return fail(EXIT_BAD_CONFIG, "store.episodes: \"%s\" is not all, none or last:N with N >= 1",
                text);
}

status store_config_check(const struct store_config *c) {
    int64_t keep;
    return parse_episodes(c->episodes, &keep);
}

/* Whether a directory is on a file system that other hosts may share, by its magic number
 * (statfs(2)). FUSE counts, because it may be one. */
static bool is_network_directory(const char *path) {
    static const long magics[] = {
        0x6969 /* NFS */,      0x517b /* SMB */,        0xff534d42 /* CIFS */,
        0xfe534d42 /* SMB2 */, 0x0bd00bd0 /* Lustre */, 0x47504653 /* GPFS */,
        0x00c36400 /* Ceph */, 0x5346414f /* AFS */,    0x19830326 /* BeeGFS */,
        0x01021997 /* 9p */,   0xaad7aaea /* PanFS */,  0x65735546 /* FUSE */,
    };
    struct statfs fs;
    if (statfs(path, &fs) != 0) return true; /* the careful answer */
    for (size_t i = 0; i < sizeof magics / sizeof *magics; i++)
        if ((unsigned long)fs.f_type == (unsigned long)magics[i]) return true;
    return false;
}

static status open_database(struct store *s, const char *path, int flags) {
    s->path = memory_new(strlen(path) + 1, 1);
    memcpy(s->path, path, strlen(path));
    int result = sqlite3_open_v2(path, &s->db, flags, NULL);
    if (!s->db) return fail(EXIT_OUR_BUG, "%s: out of memory while opening", path);
    if (result != SQLITE_OK) return store_fail(s, "open");
    sqlite3_extended_result_codes(s->db, 1);
    sqlite3_busy_timeout(s->db, 5000);
    return NULL;
}

static status prepare_writing(struct store *s) {
    const char *mode = is_network_directory(s->path) ? "PRAGMA journal_mode = DELETE"
                                                     : "PRAGMA journal_mode = WAL";
    TRY(store_execute(s, mode, "choose a journal"));
    /* Deleted episodes need no overwriting with zeros, which Debian's SQLite does by default. */
    return store_execute(s, "PRAGMA synchronous = FULL; PRAGMA secure_delete = OFF", "prepare");
}

status store_open(struct store **out, const char *path, const struct store_config *config) {
    struct store *s = memory_new(1, sizeof *s);
    status failure;
    *out = NULL;
    TRY_GOTO(failure, failed, parse_episodes(config->episodes, &s->keep));
    TRY_GOTO(failure, failed, open_database(s, path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE));
    TRY_GOTO(failure, failed, prepare_writing(s));
    TRY_GOTO(failure, failed, store_schema_create(s));
    *out = s;
    return NULL;
failed:
    store_close(s);
    return failure;
}

status store_open_reader(struct store **out, const char *path) {
    *out = NULL;
    if (!file_exists(path)) return fail(EXIT_NO_INPUT, "%s: there is no such run store", path);
    struct store *s = memory_new(1, sizeof *s);
    status failure = open_database(s, path, SQLITE_OPEN_READONLY);
    if (!failure) failure = store_schema_check(s);
    if (failure) {
        store_close(s);
        return failure;
    }
    *out = s;
    return NULL;
}

void store_close(struct store *s) {
    if (!s) return;
    /* A closed store is one plain file, which readers leave alone; while one reads, it stays as it is. */
    if (s->db && sqlite3_db_readonly(s->db, "main") == 0) {
        sqlite3_busy_timeout(s->db, 0);
        status_free(store_execute(s, "PRAGMA journal_mode = DELETE", "close"));
    }
    int result = sqlite3_close(s->db);
    REQUIRE(result == SQLITE_OK); /* every statement is finalized where it was prepared */
    free(s->path);
    free(s);
}

static void write_now(char *text, size_t n) {
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(text, n, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

status store_set_run(struct store *s, const struct store_run *run) {
    char now[32];
    write_now(now, sizeof now);
    struct query q;
    TRY(query_open(&q, s,
                   "INSERT INTO run (id, command, created, version, semantic, config)"
                   " VALUES (1, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
                   " command = excluded.command, version = excluded.version,"
                   " semantic = excluded.semantic, config = excluded.config"));
    query_bind_text(&q, span_of(run->command));
    query_bind_text(&q, span_of(now));
    query_bind_text(&q, span_of(run->version));
    query_bind_text(&q, span_of(run->semantic));
    query_bind_text(&q, span_of(run->config));
    status result = query_run(&q);
    query_close(&q);
    return result;
}

status store_get_run(struct store *s, struct arena *arena, struct store_run *out) {
    struct query q;
    bool row = false;
    *out = (struct store_run){0};
    TRY(query_open(&q, s, "SELECT command, created, version, semantic, config FROM run"));
    status result = query_next(&q, &row);
    if (!result && row) {
        out->command = query_text(&q, arena).p;
        out->created = query_text(&q, arena).p;
        out->version = query_text(&q, arena).p;
        out->semantic = query_text(&q, arena).p;
        out->config = query_text(&q, arena).p;
    }
    query_close(&q);
    return result;
}

status store_last_step(struct store *s, int64_t *step) {
    struct query q;
    bool row = false;
    TRY(query_open(&q, s, "SELECT coalesce(max(step), -1) FROM step"));
    status result = query_next(&q, &row);
    if (!result) *step = query_int(&q);
    query_close(&q);
    return result;
}
