#include "tests/figure.h"

#include <stdio.h>
#include <string.h>

static const char FORM[] = "| %-19s | %-14s | %-18s | %15s | %-23s | %-24s | %5s | %4s |\n";

static void head_print(const struct bench *b) {
    if (!b->first || json_array_size(b->figures)) return;
    printf(FORM, "row", "model", "work", "grpo", "of the limit", "peer", "ratio", "goal");
    printf(FORM, "---", "---", "---", "--:", "---", "---", "--:", "--:");
}

/* Three digits, or all before the point. */
static void number(char *to, size_t room, double x) {
    int places = x < 0.995 ? 3 : x < 9.995 ? 2 : x < 99.95 ? 1 : 0;
    snprintf(to, room, "%.*f", places, x);
}

void figure_print(struct bench *b, const struct figure *f) {
    head_print(b);
    char ours[64], limit[64] = "", peer[160] = "", ratio[32] = "", goal[32] = "";
    bool less = strcmp(f->unit, "MiB") == 0 || strcmp(f->unit, "s") == 0, compared = f->peer && f->theirs > 0;
    double better = !compared ? 0 : less ? f->theirs / f->ours : f->ours / f->theirs;
    number(ours, sizeof ours, f->ours);
    snprintf(ours + strlen(ours), sizeof ours - strlen(ours), " %s", f->unit);
    if (f->share > 0) snprintf(limit, sizeof limit, "%.0f %% of %s", 100 * f->share, f->bound);
    if (f->peer) snprintf(peer, sizeof peer, "%s: %s", f->peer, compared ? "" : f->trouble);
    if (compared) {
        number(peer + strlen(peer), sizeof peer - strlen(peer), f->theirs);
        number(ratio, sizeof ratio, better);
    }
    if (f->goal > 0) snprintf(goal, sizeof goal, "%.3g", f->goal);
    printf(FORM, f->row, f->model, f->work, ours, limit, peer, ratio, goal);
    fflush(stdout);
    json_t *row = json_pack("{ss ss ss ss sf si}", "row", f->row, "model", f->model, "work",
                            f->work, "unit", f->unit, "ours", f->ours, "rounds", f->rounds);
    REQUIRE(row);
    if (f->share > 0) {
        json_object_set_new(row, "share_of_limit", json_real(f->share));
        json_object_set_new(row, "limit", json_string(f->bound));
    }
    if (f->peer) json_object_set_new(row, "peer", json_string(f->peer));
    if (compared) {
        json_object_set_new(row, "theirs", json_real(f->theirs));
        json_object_set_new(row, "ratio", json_real(better));
    } else if (f->peer) {
        json_object_set_new(row, "trouble", json_string(f->trouble));
    }
    if (f->goal > 0) json_object_set_new(row, "goal", json_real(f->goal));
    bench_figure(b, row);
}
