/* `grpo lint-reward`: shows a reward completions that deserve nothing, and says what it pays and how long
 * it takes. */
#include "base/clock.h"
#include "base/json.h"
#include "cli/session.h"
#include "reward/adversary.h"
#include "reward/reward.h"
#include "tasks/task.h"

#include <stdio.h>
#include <stdlib.h>

enum { COUNT, STRICT, JSON, OPTIONS };
enum { PROBLEMS_DEFAULT = 3, PROBLEMS_MAX = 1000, TIMINGS = 5, ROWS_MAX = 64, BYTES_PER_TOKEN = 4 };

static const double SLOW_SECONDS = 0.02, HANGING_SECONDS = 0.5;

const struct command_option cli_lint_reward_options[] = {
    [COUNT] = {"--n", "N", "how many problems of the task to build completions from; 3"},
    [STRICT] = {"--strict", NULL, "exit with 65 when something is paid without a right answer"},
    [JSON] = {"--json", NULL, "print one JSON object in place of the table"},
    [OPTIONS] = {0},
};

/* What a kind of completion got, over all problems. */
struct row {
    int n; /* judged */
    double low, high;
    bool right;          /* judged right for some problem */
    const char *verdict; /* of the problem that was paid most */
    double seconds;      /* the slowest problem's median */
    bool paid, partial, slow;
};

struct lint {
    const struct settings *settings;
    const struct reward *reward;
    struct row rows[ROWS_MAX]; /* as in adversaries */
    size_t problems, unpaid;   /* unpaid: no honest form of the right answer was judged right */
    struct arena arena;
};

static int by_size(const void *a, const void *b) {
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Judges a completion several times; *seconds becomes the median. A policy's completion ends at the cap. */
static struct verdict judge_timed(const struct lint *l, const struct subject *s,
                                  struct span completion, double *seconds) {
    double times[TIMINGS];
    struct verdict v = {0};
    int n = 0;
    int64_t cap = l->settings->reward.length_max;
    int64_t tokens = (int64_t)(completion.n / BYTES_PER_TOKEN) + 1;
    bool cut = cap > 0 && tokens > cap;
    do {
        double begin = clock_seconds();
        v = reward_judge(l->reward, s->problem, s->prompt, completion, (int)(cut ? cap : tokens),
                         cut ? FINISH_LENGTH : FINISH_STOP);
        times[n++] = clock_seconds() - begin;
    } while (n < TIMINGS && times[0] < HANGING_SECONDS);
    qsort(times, (size_t)n, sizeof *times, by_size);
    *seconds = times[n / 2];
    return v;
}

static void note(struct row *r, const struct verdict *v, double seconds) {
    if (r->n == 0 || v->score > r->high) r->verdict = v->verdict;
    r->low = r->n == 0 || v->score < r->low ? v->score : r->low;
    r->high = r->n == 0 || v->score > r->high ? v->score : r->high;
    r->right |= v->correct;
    r->seconds = seconds > r->seconds ? seconds : r->seconds;
    r->slow |= seconds > SLOW_SECONDS;
    r->n++;
}

/* Something is paid without deserving it when it is judged right, or scores as much as an honest right
 * answer does; the honest forms come first in the table. */
static void lint_problem(struct lint *l, const struct problem *problem,
                         const struct prompt_style *style) {
    struct span prompt = prompt_render(style, problem, &l->arena).text;
    struct subject s = subject_of(problem, prompt, &l->arena);
    bool earned = false;
    double honest = 0;
    for (size_t i = 0; adversaries[i].name; i++) {
        const struct adversary *a = &adversaries[i];
        struct row *r = &l->rows[i];
        if (a->needs_right && s.right.n == 0) continue;
        double seconds;
        struct verdict v = judge_timed(l, &s, adversary_text(a, &s, &l->arena), &seconds);
        note(r, &v, seconds);
        if (a->merit == MERIT_RIGHT && v.correct) {
            honest = earned && honest > v.score ? honest : v.score;
            earned = true;
        }
        if (a->merit != MERIT_NONE) continue;
        bool paid = v.correct || (earned && honest > 0 && v.score >= honest);
        r->paid |= paid;
        r->partial |= !paid && v.score > 0;
    }
    l->unpaid += s.right.n > 0 && !earned;
    l->problems++;
}

static size_t count_rows(const struct lint *l, size_t flag) {
    size_t n = 0;
    for (size_t i = 0; adversaries[i].name; i++)
        n += *(const bool *)((const char *)&l->rows[i] + flag);
    return n;
}

static void print_row(const char *name, enum merit merit, const struct row *r) {
    char score[48];
    if (r->low == r->high) snprintf(score, sizeof score, "%.4g", r->low);
    else snprintf(score, sizeof score, "%.4g .. %.4g", r->low, r->high);
    printf("%-30s %-8s %-19s %-14s %9.1f us%s%s%s\n", name, merit_name(merit), score, r->verdict,
           1e6 * r->seconds, r->paid ? "  PAID" : "", r->partial ? "  partial" : "",
           r->slow ? "  slow" : "");
}

static void print_table(const struct lint *l) {
    printf("%-30s %-8s %-19s %-14s %12s\n", "completion", "deserves", "score", "verdict", "median");
    for (size_t i = 0; adversaries[i].name; i++)
        if (l->rows[i].n) print_row(adversaries[i].name, adversaries[i].merit, &l->rows[i]);
    size_t paid = count_rows(l, offsetof(struct row, paid));
    size_t partial = count_rows(l, offsetof(struct row, partial));
    size_t slow = count_rows(l, offsetof(struct row, slow));
    printf("\n%zu problem%s. PAID without a right answer, or as much as for one: %zu. Partly paid: "
           "%zu. Slower than 20 ms: %zu.\n",
           l->problems, l->problems == 1 ? "" : "s", paid, partial, slow);
    if (l->unpaid)
        printf("%zu of the problems cannot be earned: no usual form of the right answer was judged "
               "right.\n",
               l->unpaid);
}

static void print_json(const struct lint *l) {
    json_t *rows = json_array();
    for (size_t i = 0; adversaries[i].name; i++) {
        const struct row *r = &l->rows[i];
        if (r->n == 0) continue;
        json_t *row =
            json_pack("{s:s, s:s, s:s, s:b, s:b, s:b, s:b}", "completion", adversaries[i].name,
                      "deserves", merit_name(adversaries[i].merit), "verdict", r->verdict, "right",
                      r->right, "paid", r->paid, "partial", r->partial, "slow", r->slow);
        json_object_set_new(row, "score_low", json_float(r->low));
        json_object_set_new(row, "score_high", json_float(r->high));
        json_object_set_new(row, "median_us", json_float(1e6 * r->seconds));
        json_array_append_new(rows, row);
    }
    json_t *object = json_pack("{s:I, s:I, s:o}", "problems", (json_int_t)l->problems,
                               "cannot_be_earned", (json_int_t)l->unpaid, "completions", rows);
    json_dumpf(object, stdout, JSON_COMPACT | JSON_REAL_PRECISION(10));
    putchar('\n');
    json_decref(object);
}

static status read_count(const char *text, size_t *out) {
    char *end;
    long n = text ? strtol(text, &end, 10) : PROBLEMS_DEFAULT;
    if (text && (end == text || *end || n < 1 || n > PROBLEMS_MAX))
        return fail(EXIT_USAGE_ERROR, "--n needs a number in 1..%d, not %.80s", PROBLEMS_MAX, text);
    *out = (size_t)n;
    return NULL;
}

static status lint_task(struct lint *l, size_t n) {
    struct task *task;
    size_t kinds = 0;
    while (adversaries[kinds].name) kinds++;
    REQUIRE(kinds <= ROWS_MAX);
    TRY(task_open(&task, &l->settings->tasks));
    const struct problem_set *set = task_set(task, SPLIT_TRAIN);
    for (size_t i = 0; i < set->n && i < n; i++) {
        arena_reset(&l->arena);
        lint_problem(l, &set->items[i], task_style(task));
    }
    task_close(task);
    return NULL;
}

static status lint_settings(struct settings *settings, const char *const *given) {
    struct reward *reward;
    size_t n;
    TRY(read_count(given[COUNT], &n));
    TRY(reward_open(&reward, &settings->reward));
    struct lint *l = memory_new(1, sizeof *l);
    l->settings = settings;
    l->reward = reward;
    status s = lint_task(l, n);
    if (!s) {
        (given[JSON] ? print_json : print_table)(l);
        size_t paid = count_rows(l, offsetof(struct row, paid));
        if (given[STRICT] && paid > 0)
            s = fail(EXIT_BAD_DATA, "%zu kind%s of completion paid without a right answer", paid,
                     paid == 1 ? "" : "s");
    }
    arena_free(&l->arena);
    free(l);
    reward_close(reward);
    return s;
}

status cli_lint_reward(int argc, char **argv) {
    struct settings settings;
    const char *given[OPTIONS];
    TRY(session_arguments(&settings, cli_lint_reward_options, given, NULL, 0, argc, argv));
    status s = lint_settings(&settings, given);
    schema_close(&settings);
    return s;
}
