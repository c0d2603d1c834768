#include "tasks/task.h"

#include "tasks/digits.h"
#include "tasks/problem_file.h"

#include <inttypes.h>
#include <stdlib.h>

/* Above this many expression trees, enumeration is refused: it would take minutes. */
#define ENUMERATE_MAX 1e8
enum { TARGETS_MAX = 1000000 };

/* Purposes of random streams of RNG_TASK, as the key's step; 0 and 1 are generated problems and
 * split_of. */
enum { STEP_PROBLEM = 0, STEP_SHOW = 2, STEP_SHUFFLE = 3 };

struct task {
    struct arena arena;
    struct problem_set sets[SPLIT_PARTS];
    struct prompt_style style;
};

/* The parts while they are made. */
struct parts {
    const struct tasks_config *config;
    struct countdown_rules rules;
    struct split split;
    struct problem_list lists[SPLIT_PARTS];
    struct arena *arena;
    uint8_t *seen;             /* enumeration: the targets of one multiset */
    struct problem_list *list; /* enumeration: the part of the multiset */
};

static struct rng task_rng(const struct parts *parts, uint32_t step, uint32_t draw) {
    return rng_open((struct rng_key){
        .seed = (uint64_t)parts->config->seed, .step = step, .draw = draw, .stage = RNG_TASK});
}

static void shuffle_numbers(int64_t *numbers, int n, struct rng *rng) {
    for (int i = n - 1; i > 0; i--) {
        int j = (int)rng_below(rng, (uint32_t)i + 1);
        int64_t kept = numbers[i];
        numbers[i] = numbers[j];
        numbers[j] = kept;
    }
}

/* The problem of a tree, its numbers in a random order. */
static struct problem shown_problem(const struct countdown_tree *tree, int64_t target,
                                    struct rng *rng, struct arena *arena) {
    int64_t numbers[COUNTDOWN_NUMBERS_MAX];
    for (int i = 0; i < tree->n_numbers; i++) numbers[i] = tree->numbers[i];
    shuffle_numbers(numbers, tree->n_numbers, rng);
    return countdown_problem(numbers, tree->n_numbers, target,
                             countdown_expression(tree, false, arena), arena);
}

/* ---- every problem of small ranges ---- */

static void enumerate_found(void *context, const struct countdown_tree *tree, int64_t target) {
    struct parts *parts = context;
    size_t n = 0;
    for (int i = 0; i < SPLIT_PARTS; i++) n += parts->lists[i].n;
    struct rng rng = task_rng(parts, STEP_SHOW, (uint32_t)n);
    struct problem problem = shown_problem(tree, target, &rng, parts->arena);
    bool added = problem_list_add(parts->list, &problem);
    REQUIRE(added);
}

struct enumeration {
    struct parts *parts;
    int n;
};

static void enumerate_multiset(void *context, const int64_t *numbers) {
    const struct enumeration *e = context;
    struct parts *parts = e->parts;
    const struct countdown_range *targets = &parts->rules.targets;
    struct span name = countdown_multiset(numbers, e->n, parts->arena);
    parts->list = &parts->lists[split_of(&parts->split, name)];
    memset(parts->seen, 0, (size_t)(targets->high - targets->low + 1));
    countdown_reach(&parts->rules, numbers, e->n, parts->seen, enumerate_found, parts);
}

static status enumerate(struct parts *parts) {
    const struct countdown_rules *rules = &parts->rules;
    double work = 0;
    for (int n = (int)rules->count.low; n <= rules->count.high; n++) {
        double trees = 1; /* each of n-1 merges: a pair, and one of at most six steps */
        for (int live = 2; live <= n; live++)
            trees *= live * (live - 1) / 2.0 * COUNTDOWN_STEPS_MAX;
        work += trees * countdown_multisets(rules, n);
    }
    if (work > ENUMERATE_MAX || rules->targets.high - rules->targets.low >= TARGETS_MAX)
        return fail(EXIT_BAD_CONFIG,
                    "tasks.countdown.mode=enumerate is for small ranges, and these have up to %.1e "
                    "expressions; set tasks.countdown.mode=random",
                    work);
    parts->seen = memory_new((size_t)(rules->targets.high - rules->targets.low + 1), 1);
    for (int n = (int)rules->count.low; n <= rules->count.high; n++) {
        struct enumeration e = {parts, n};
        countdown_enumerate(rules, n, enumerate_multiset, &e);
    }
    free(parts->seen);
    return NULL;
}

/* ---- random problems ---- */

/* Problem `index` and the name by which it is split. */
static status draw_problem(const struct parts *parts, uint32_t index, struct problem *out,
                           struct span *name) {
    struct rng rng = task_rng(parts, STEP_PROBLEM, index);
    const struct tasks_config *config = parts->config;
    if (strcmp(config->source, "countdown") != 0) {
        char op = strcmp(config->source, "addition") == 0 ? '+' : '*';
        struct countdown_range digits;
        TRY(tasks_range("tasks.digits", config->digits, 1, DIGITS_MAX, &digits));
        *out = digits_draw(op, &digits, &rng, parts->arena);
        *name = out->brief;
        return NULL;
    }
    struct countdown_tree tree;
    int64_t target;
    if (!countdown_draw(&parts->rules, &rng, &tree, &target))
        return fail(EXIT_BAD_CONFIG,
                    "the ranges of tasks.countdown.* leave no solvable problem: none was "
                    "found in 10000 draws");
    *out = shown_problem(&tree, target, &rng, parts->arena);
    *name = countdown_multiset(tree.numbers, tree.n_numbers, parts->arena);
    return NULL;
}

/* Draws until every part has its number; what a full part would get is dropped. A part without a
 * share of the split stays empty. */
static status draw_all(struct parts *parts) {
    const struct tasks_config *config = parts->config;
    size_t wanted[SPLIT_PARTS] = {(size_t)config->train_count,
                                  config->validation > 0 ? (size_t)config->validation_count : 0,
                                  config->heldout > 0 ? (size_t)config->heldout_count : 0};
    size_t misses = 0; /* draws in a row that gave nothing new */
    for (uint32_t index = 0;; index++) {
        int open = -1;
        for (int part = 0; part < SPLIT_PARTS; part++)
            if (parts->lists[part].n < wanted[part]) open = part;
        if (open < 0) return NULL;
        if (misses > 100000 || index == UINT32_MAX)
            return fail(
                EXIT_BAD_CONFIG,
                "the ranges of tasks.* have too few different problems for the %s part: %zu of %zu "
                "found",
                split_name((enum split_part)open), parts->lists[open].n, wanted[open]);
        struct problem problem;
        struct span name;
        TRY(draw_problem(parts, index, &problem, &name));
        enum split_part part = split_of(&parts->split, name);
        bool added =
            parts->lists[part].n < wanted[part] && problem_list_add(&parts->lists[part], &problem);
        misses = added ? 0 : misses + 1;
    }
}

/* ---- files ---- */

static status read_files(struct parts *parts, struct problem_set sets[SPLIT_PARTS]) {
    const struct tasks_config *config = parts->config;
    const struct problem_columns columns = {config->question_key, config->answer_key};
    struct problem_set all;
    if (!config->file[0])
        return fail(EXIT_BAD_CONFIG, "tasks.source=file needs tasks.file, the JSON lines to read");
    TRY(problem_file_read(config->file, &columns, &all, parts->arena));
    /* A part that has a file of its own takes no share of the common one. */
    if (config->validation_file[0]) parts->split.validation = 0;
    if (config->heldout_file[0]) parts->split.heldout = 0;
    for (size_t i = 0; i < all.n; i++) {
        const struct problem *p = &all.items[i];
        struct span name =
            p->n_numbers ? countdown_multiset(p->numbers, p->n_numbers, parts->arena) : p->question;
        bool added = problem_list_add(&parts->lists[split_of(&parts->split, name)], p);
        REQUIRE(added);
    }
    if (config->validation_file[0])
        TRY(problem_file_read(config->validation_file, &columns, &sets[SPLIT_VALIDATION],
                              parts->arena));
    if (config->heldout_file[0])
        TRY(problem_file_read(config->heldout_file, &columns, &sets[SPLIT_HELDOUT],
                              parts->arena));
    return NULL;
}

/* ---- the task ---- */

static void shuffle_set(struct problem_set *set, struct rng rng) {
    for (size_t i = set->n; i > 1; i--) {
        size_t j = rng_below(&rng, (uint32_t)i);
        struct problem kept = set->items[i - 1];
        set->items[i - 1] = set->items[j];
        set->items[j] = kept;
    }
}

static status task_fill(struct task *task, const struct tasks_config *config) {
    struct parts parts = {.config = config, .arena = &task->arena};
    bool from_file = strcmp(config->source, "file") == 0;
    bool countdown = strcmp(config->source, "countdown") == 0;
    TRY(tasks_split(config, &parts.split));
    if (countdown) TRY(tasks_rules(config, &parts.rules));
    status s;
    if (from_file) s = read_files(&parts, task->sets);
    else if (countdown && strcmp(config->mode, "enumerate") == 0) s = enumerate(&parts);
    else s = draw_all(&parts);
    for (int part = 0; part < SPLIT_PARTS; part++) {
        if (!s && task->sets[part].n == 0)
            task->sets[part] = problem_list_finish(&parts.lists[part], &task->arena);
        problem_list_free(&parts.lists[part]);
        shuffle_set(&task->sets[part], task_rng(&parts, STEP_SHUFFLE, (uint32_t)part));
    }
    if (!s && task->sets[SPLIT_TRAIN].n == 0)
        s = fail(EXIT_BAD_CONFIG, "the task has no training problem");
    return s;
}

status task_open(struct task **out, const struct tasks_config *config) {
    struct task *task = memory_new(1, sizeof *task);
    status s = prompt_style_open(&task->style, config->prompt, config->chat, config->system);
    if (!s) s = task_fill(task, config);
    if (s) {
        task_close(task);
        return s;
    }
    *out = task;
    return NULL;
}

void task_close(struct task *task) {
    if (!task) return;
    arena_free(&task->arena);
    free(task);
}

const struct problem_set *task_set(const struct task *task, enum split_part part) {
    return &task->sets[part];
}

const struct prompt_style *task_style(const struct task *task) { return &task->style; }
