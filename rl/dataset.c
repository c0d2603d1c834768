#include "rl/dataset.h"

#include "rl/prompt_ids.h"

#include <stdlib.h>

const char *dataset_flaw_name(enum dataset_flaw flaw) {
    static const char *const names[] = {"duplicate",  "conflict", "no_answer",
                                        "unreadable", "too_long", "in_train"};
    return names[flaw];
}

static void note(struct dataset_part *part, enum dataset_flaw flaw, const struct problem *p) {
    size_t n = part->flaws[flaw]++;
    if (n < DATASET_EXAMPLES) part->examples[flaw][n] = p->id;
}

/* ---- golds ---- */

static bool has_answer(const struct problem *p) { return p->gold.n > 0 || p->n_numbers > 0; }

/* ---- questions ---- */

struct question {
    struct span text; /* one space for each run of white space */
    const struct problem *problem;
    int part;
    size_t index; /* within the part */
};

static struct span normalized(struct span text, struct arena *arena) {
    struct span trimmed = span_trim(text);
    char *out = arena_alloc(arena, trimmed.n);
    size_t n = 0;
    for (size_t i = 0; i < trimmed.n; i++) {
        char c = trimmed.p[i];
        bool blank = c == ' ' || (c >= '\t' && c <= '\r');
        if (!blank) out[n++] = c;
        else if (out[n - 1] != ' ') out[n++] = ' ';
    }
    return (struct span){out, n};
}

static int by_text(const void *a, const void *b) {
    const struct question *x = a, *y = b;
    int order = span_order(x->text, y->text);
    if (order) return order;
    if (x->part != y->part) return x->part - y->part;
    return (x->index > y->index) - (x->index < y->index);
}

static bool same_answer(const struct problem *a, const struct problem *b) {
    return span_eq(a->gold, b->gold) && a->target == b->target;
}

/* A run of one question, sorted by part. */
static void note_repeats(struct dataset *d, const struct question *q, size_t n) {
    const struct question *first = q; /* of the part */
    for (size_t i = 0; i < n; i++) {
        struct dataset_part *part = &d->parts[q[i].part];
        if (q[i].part != SPLIT_TRAIN && q->part == SPLIT_TRAIN)
            note(part, FLAW_IN_TRAIN, q[i].problem);
        if (first->part != q[i].part) first = &q[i];
        if (first == &q[i]) continue;
        note(part, FLAW_DUPLICATE, q[i].problem);
        if (!same_answer(first->problem, q[i].problem)) note(part, FLAW_CONFLICT, q[i].problem);
    }
}

static void find_repeats(struct dataset *d, const struct task *task, struct arena *arena) {
    size_t n = 0, at = 0;
    for (int part = 0; part < SPLIT_PARTS; part++) n += task_set(task, (enum split_part)part)->n;
    struct question *questions = ARENA_ARRAY(arena, n, struct question);
    for (int part = 0; part < SPLIT_PARTS; part++) {
        const struct problem_set *set = task_set(task, (enum split_part)part);
        for (size_t i = 0; i < set->n; i++)
            questions[at++] = (struct question){normalized(set->items[i].question, arena),
                                                &set->items[i], part, i};
    }
    qsort(questions, n, sizeof *questions, by_text);
    for (size_t from = 0, to; from < n; from = to) {
        for (to = from + 1; to < n && span_eq(questions[to].text, questions[from].text);) to++;
        note_repeats(d, &questions[from], to - from);
    }
}

status dataset_read(struct dataset *out, const struct task *task, const struct reward *reward,
                    const struct tokenizer *tokenizer, int max_prompt_tokens) {
    struct arena arena = {0};
    status failed = NULL;
    *out = (struct dataset){0};
    find_repeats(out, task, &arena);
    for (int split = 0; split < SPLIT_PARTS; split++) {
        const struct problem_set *set = task_set(task, (enum split_part)split);
        struct dataset_part *part = &out->parts[split];
        part->problems = set->n;
        for (size_t i = 0; !failed && i < set->n; i++) {
            const struct problem *p = &set->items[i];
            int32_t *ids;
            size_t tokens;
            if (!has_answer(p)) note(part, FLAW_NO_ANSWER, p);
            else if (!reward_can_judge(reward, p)) note(part, FLAW_UNREADABLE, p);
            if (!tokenizer) continue;
            arena_reset(&arena);
            struct prompt prompt = prompt_render(task_style(task), p, &arena);
            failed = status_context(prompt_ids(tokenizer, &prompt, &arena, &ids, &tokens),
                                    "the prompt of problem %s", p->id);
            if (failed) break;
            if (tokens > (size_t)max_prompt_tokens) note(part, FLAW_TOO_LONG, p);
            if ((int)tokens > part->longest) part->longest = (int)tokens;
        }
    }
    arena_free(&arena);
    return failed;
}
