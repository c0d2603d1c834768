/* Microseconds a verdict of the mathematical judge takes, over the golden cases: golds read once, each answer
 * judged until the clock can tell. Where Python has Math-Verify, its time for the same pairs stands below. */
#include "base/arena.h"
#include "base/file.h"
#include "reward/math.h"
#include "tests/measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { CASES_MAX = 4096 };

static const char *const FILES[] = {"numbers", "fractions", "irrational", "expressions", "lists",
                                    "regions", "words",     "contest",    "forms",       "more"};

static double processor_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

struct times {
    double judge[CASES_MAX], gold[CASES_MAX];
    int n;
};

static double each(struct span gold_text, struct span answer, bool golds) {
    const struct math_options options = math_defaults();
    struct arena scratch = {0};
    struct math_gold *gold = math_gold_open(gold_text, &options);
    int runs = 0;
    double begin = processor_us(), end;
    do {
        if (golds) {
            math_gold_close(gold);
            gold = math_gold_open(gold_text, &options);
        } else {
            math_compare(gold, answer, &scratch);
        }
        runs++;
    } while ((end = processor_us()) - begin < 100 && runs < 100);
    math_gold_close(gold);
    arena_free(&scratch);
    return (end - begin) / runs;
}

static void time_line(struct times *t, struct span line) {
    size_t first = span_find(line, SPAN("::"), 0);
    size_t second = first == (size_t)-1 ? first : span_find(line, SPAN("::"), first + 2);
    if (line.n == 0 || line.p[0] == '#' || second == (size_t)-1 || t->n == CASES_MAX) return;
    struct span gold = span_trim(span_slice(line, first + 2, second));
    struct span answer = span_trim(span_slice(line, second + 2, line.n));
    t->judge[t->n] = each(gold, answer, false);
    t->gold[t->n++] = each(gold, answer, true);
}

static void time_file(struct times *t, const char *name) {
    char path[128], *line = NULL;
    size_t room = 0;
    snprintf(path, sizeof path, "tests/golden/math/answers_%s.txt", name);
    FILE *file = fopen(path, "r");
    REQUIRE(file);
    for (ssize_t n; (n = getline(&line, &room, file)) > 0;)
        time_line(t, (struct span){line, (size_t)n - 1});
    free(line);
    fclose(file);
}

/* Sorts, and prints; *middle and *mean of them. */
static void print(const char *what, double *us, int n, double *middle, double *mean) {
    *middle = median(us, n);
    *mean = 0;
    for (int i = 0; i < n; i++) *mean += us[i] / n;
    printf("math %-12s %4d cases: median %6.2f us, mean %7.2f us, largest %8.1f us\n", what, n,
           *middle, *mean, us[n - 1]);
}

int main(void) {
    struct times *t = memory_new(1, sizeof *t);
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++) time_file(t, FILES[i]);
    double of_golds[2], middle, mean;
    char command[128];
    print("verdicts", t->judge, t->n, &middle, &mean);
    print("golds", t->gold, t->n, &of_golds[0], &of_golds[1]);
    fflush(stdout);
    /* Math-Verify's times, and how many of ours go into one of them; nothing where Python lacks it. */
    snprintf(command, sizeof command, "python3 tools/time_math_verify.py %.3f %.3f 2>/dev/null",
             middle, mean);
    free(t);
    return system(command) == -1;
}
