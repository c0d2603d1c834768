#include "rl/run.h"

#include "base/clock.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

const struct config_key run_keys[] = {
    CONFIG_STRING(struct run_config, out, "out", "runs/run", EXECUTION,
                  "the run directory; the same command goes on where it was stopped"),
    CONFIG_END,
};

static const char *in_dir(const struct run *r, const char *name, struct arena *arena) {
    return arena_print(arena, "%s/%s", r->dir, name);
}

/* The lock is the kernel's and ends with the process, however it ends; the file's text only tells
 * others who holds it. */
static status take_lock(struct run *r, struct arena *arena) {
    const char *path = in_dir(r, ".lock", arena);
    char pid[24] = "";
    r->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (r->lock < 0) return fail_errno(EXIT_IO, errno, "%s: cannot open", path);
    if (flock(r->lock, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK) return fail_errno(EXIT_IO, errno, "%s: cannot lock", path);
        ssize_t n = read(r->lock, pid, sizeof pid - 1);
        pid[n < 0 ? 0 : strspn(pid, "0123456789")] = 0;
        return fail(EXIT_TRY_AGAIN, "another trainer (pid %s) works in %s", *pid ? pid : "unknown",
                    r->dir);
    }
    int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(r->lock, 0) != 0 || pwrite(r->lock, pid, (size_t)n, 0) != n)
        return fail_errno(EXIT_IO, errno, "%s: cannot write", path);
    return NULL;
}

static status refuse(const struct run *r, const char *difference) {
    return fail(EXIT_BAD_CONFIG,
                "%s holds a run of another config (%s); choose another out=", r->dir, difference);
}

/* Only the run that began here may go on here. One that recorded nothing, because its model or its
 * first prompt was refused, has not begun. */
static status check_identity(struct run *r, const struct run_plan *plan, struct arena *arena) {
    struct store_run there;
    TRY(store_get_run(r->store, arena, &there));
    r->is_new = !there.command;
    int64_t last;
    TRY(store_last_step(r->store, &last));
    if (last < 0) return NULL;
    if (strcmp(there.command, plan->command) != 0)
        return fail(EXIT_BAD_CONFIG,
                    "%s holds a run of grpo %s, not grpo %s; choose another out=", r->dir,
                    there.command, plan->command);
    const char *difference = config_difference(there.semantic, r->semantic, arena);
    return difference ? refuse(r, difference) : NULL;
}

/* Finds where to go on, and decides what kind of start this is. */
static status find_start(struct run *r, const struct run_plan *plan, struct arena *arena) {
    int64_t last;
    TRY(checkpoint_recover(&r->checkpoint, in_dir(r, "checkpoints", arena), r->keep, arena));
    TRY(store_last_step(r->store, &last));
    const struct checkpoint_found *c = &r->checkpoint;
    r->notice = c->notice;
    if (c->step < 0) {
        r->start = RUN_FRESH;
        r->step = 0;
        if (last >= 0)
            r->notice = arena_print(arena, "%s has no checkpoint yet; starting over", r->dir);
        return NULL;
    }
    const char *difference = config_difference(c->semantic, r->semantic, arena);
    if (difference) return refuse(r, difference);
    if (plan->accept) TRY(plan->accept(plan->ctx, c));
    if (last < c->recorded)
        return fail(EXIT_BAD_DATA,
                    "%s/run.sqlite ends at step %" PRId64
                    ", that of the checkpoint of step %" PRId64 " reached step %" PRId64
                    ": restore it, or choose another out=",
                    r->dir, last, c->step, c->recorded);
    r->start = c->step >= r->steps ? RUN_FINISHED : RUN_RESUMED;
    r->step = c->step;
    const char *what = r->start == RUN_FINISHED ? "is finished at" : "goes on after";
    r->notice = arena_print(arena, "%s%s%s %s step %" PRId64, c->notice ? c->notice : "",
                            c->notice ? "; " : "", r->dir, what, c->step);
    return NULL;
}

/* The resolved config as YAML text in the arena. */
static status config_text(const struct config *config, struct arena *arena, struct span *out) {
    char *text = NULL;
    size_t n = 0;
    FILE *stream = open_memstream(&text, &n);
    if (!stream) return fail(EXIT_OUR_BUG, "out of memory for the config's text");
    config_write_yaml(config, stream);
    if (fclose(stream) != 0) {
        free(text);
        return fail(EXIT_OUR_BUG, "out of memory for the config's text");
    }
    *out = arena_copy(arena, (struct span){text, n});
    free(text);
    return NULL;
}

/* Brings store and metrics to the step the run goes on from, and writes down what it is now. */
static status begin(struct run *r, const struct run_plan *plan, struct arena *arena) {
    int64_t step = r->start == RUN_FRESH ? -1 : r->step;
    struct span yaml;
    TRY(config_text(plan->config, arena, &yaml));
    TRY(store_rewind(r->store, step));
    TRY(metrics_cut(in_dir(r, "metrics.jsonl", arena), step));
    TRY(store_set_run(r->store, &(struct store_run){.command = plan->command,
                                                    .config = yaml.p,
                                                    .semantic = r->semantic,
                                                    .version = plan->version}));
    TRY(store_last_timing(r->store, "timing_s/run", &r->worked));
    return file_write(in_dir(r, "config.yaml", arena), yaml.p, yaml.n);
}

static status open_all(struct run *r, const struct run_plan *plan, struct arena *arena) {
    TRY(file_make_dirs(r->dir));
    TRY(take_lock(r, arena));
    TRY(store_open(&r->store, in_dir(r, "run.sqlite", arena), plan->store));
    TRY(check_identity(r, plan, arena));
    TRY(find_start(r, plan, arena));
    return r->start == RUN_FINISHED ? NULL : begin(r, plan, arena);
}

/* What rank 0 found, for the others. */
struct lead {
    int64_t step, every, keep, steps;
    int32_t start, is_new;
};

/* What a run is a function of must be the same everywhere; sentences name the keys as this rank has them. */
static status compare_config(struct run *r, const struct run_plan *plan, struct arena *arena) {
    struct span mine = span_of(arena_print(arena, "%s\n%s", plan->version, r->semantic));
    struct span *all = ARENA_ARRAY(arena, comm_size(r->comm), struct span);
    TRY(comm_share_texts(r->comm, mine, arena, all));
    status failed = NULL;
    if (!span_eq(all[0], mine)) {
        size_t version = strlen(plan->version) + 1;
        const char *difference = NULL;
        if (all[0].n >= version && memcmp(all[0].p, mine.p, version) == 0)
            difference =
                config_difference(arena_string(arena, all[0]) + version, r->semantic, arena);
        failed = fail(EXIT_BAD_CONFIG, "another %s than rank 0's (%s)",
                      difference ? "config" : "version of the program",
                      difference ? difference : plan->version);
    }
    return comm_agree(r->comm, failed, NULL);
}

/* The ranks after 0 learn where to go on, and see the checkpoint for themselves. */
static status follow(struct run *r, const struct run_plan *plan, struct arena *arena) {
    struct lead lead = {r->step, r->every, r->keep, r->steps, (int32_t)r->start, r->is_new};
    TRY(comm_broadcast(r->comm, &lead, sizeof lead));
    if (comm_rank(r->comm) == 0) return comm_agree(r->comm, NULL, NULL);
    r->step = lead.step;
    r->every = lead.every;
    r->keep = lead.keep;
    r->steps = lead.steps;
    r->start = (enum run_start)lead.start;
    r->is_new = lead.is_new;
    status failed = NULL;
    if (r->start != RUN_FRESH)
        failed = checkpoint_read(&r->checkpoint, in_dir(r, "checkpoints", arena), r->step, arena);
    if (!failed && r->start != RUN_FRESH && plan->accept)
        failed = plan->accept(plan->ctx, &r->checkpoint);
    return comm_agree(r->comm, failed, NULL);
}

/* Rank 0 opens the run, the others follow. */
static status open_together(struct run *r, const struct run_plan *plan, struct arena *arena) {
    TRY(compare_config(r, plan, arena));
    status failed = comm_rank(r->comm) == 0 ? open_all(r, plan, arena) : NULL;
    TRY(comm_agree(r->comm, failed, NULL));
    return follow(r, plan, arena);
}

status run_open(struct run *out, const struct run_plan *plan, struct arena *arena) {
    *out = (struct run){
        .comm = plan->comm,
        .dir = arena_string(arena, span_of(plan->dir)),
        .semantic = config_semantic(plan->config, arena),
        .checkpoint = {.step = -1},
        .steps = plan->steps,
        .every = plan->checkpoint->every,
        .keep = plan->checkpoint->keep,
        .opened = clock_seconds(),
        .lock = -1,
    };
    status s = plan->comm ? open_together(out, plan, arena) : open_all(out, plan, arena);
    if (s) run_close(out);
    return s;
}

static status record_alone(struct run *r, const struct step_record *record) {
    struct arena arena = {0};
    status s = store_commit_step(r->store, record);
    if (!s) s = metrics_append(in_dir(r, "metrics.jsonl", &arena), record->step, record->metrics);
    arena_free(&arena);
    return s;
}

status run_record(struct run *r, const struct step_record *record) {
    return comm_agree(r->comm, comm_rank(r->comm) == 0 ? record_alone(r, record) : NULL, NULL);
}

double run_seconds(const struct run *r) { return r->worked + clock_seconds() - r->opened; }

bool run_checkpoint_due(const struct run *r, int64_t step) {
    return step % r->every == 0 || step == r->steps;
}

static status save_alone(struct run *r, struct checkpoint *c) {
    struct arena arena = {0};
    TRY(store_last_step(r->store, &c->recorded));
    REQUIRE(c->recorded >= 0 && c->recorded <= c->step); /* law 6: the store first */
    c->semantic = r->semantic;
    status s = checkpoint_save(in_dir(r, "checkpoints", &arena), c, r->keep);
    arena_free(&arena);
    return s;
}

status run_save(struct run *r, struct checkpoint *c) {
    return comm_agree(r->comm, comm_rank(r->comm) == 0 ? save_alone(r, c) : NULL, NULL);
}

void run_close(struct run *r) {
    if (!r->dir) return;
    store_close(r->store);
    if (r->lock >= 0) close(r->lock);
    *r = (struct run){0};
}
