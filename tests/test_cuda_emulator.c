/* Tries the CUDA emulator on planted bugs (cuda_emulator/mutants/): each must be found, as what it is, and
 * its correction must pass whatever the order. Every run is a process of its own. */
#include "tests/cuda_emulator/mutants/mutants.h"
#include "tests/expect.h"

#include <dlfcn.h>
#include <limits.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SEEDS_TO_FIND = 10, SEEDS_TO_PASS = 3, TEXT = 8192, MUTANTS_MAX = 128 };

#ifdef __SANITIZE_ADDRESS__
#define LIBRARIES                                                                                  \
    { "libmutants_emulated.so" }
#else
#define LIBRARIES                                                                                  \
    { "libmutants_emulated.so", "libmutants_checked.so" }
#endif

struct subject {
    const char *library;
    int list, index;
    const struct mutant *mutant; /* as this process has it */
};

struct run {
    bool planted;
    int seed;
    const char *order;
};

/* "right", "wrong", "refused", "sanitizer", or the kind of a report. */
struct verdict {
    char kind[64];
    char text[TEXT]; /* what the process said */
};

static const struct mutant_list *load(const char *library, int *lists) {
    char path[PATH_MAX] = "";
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 64);
    assert_true(n > 0);
    strcpy(strrchr(path, '/'), "/../");
    strcat(path, library);
    void *loaded = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!loaded) fail_msg("%s", dlerror());
    void *symbol = dlsym(loaded, MUTANTS_SYMBOL);
    mutants_function *function;
    memcpy(&function, &symbol, sizeof function); /* an object pointer is no function pointer in C */
    assert_non_null(function);
    return function(lists);
}

_Noreturn static void be_child(const struct subject *s, struct run run, int output) {
    char seed[16];
    snprintf(seed, sizeof seed, "%d", run.seed);
    setenv("CUDA_EMULATOR_SEED", seed, 1);
    setenv("CUDA_EMULATOR_ORDER", run.order, 1);
    dup2(output, STDERR_FILENO);
    enum outcome outcome = s->mutant->run(run.planted);
    _exit((int)outcome);
}

static void judge(struct verdict *v, int exit_status) {
    static const char prefix[] = "cuda-emulator: ";
    const char *report = strstr(v->text, prefix);
    int code = WIFEXITED(exit_status) ? WEXITSTATUS(exit_status) : -1;
    if (code == MUTANT_RIGHT || code == MUTANT_WRONG || code == MUTANT_REFUSED) {
        snprintf(v->kind, sizeof v->kind, "%s",
                 code == MUTANT_RIGHT   ? "right"
                 : code == MUTANT_WRONG ? "wrong"
                                        : "refused");
    } else if (report) {
        report += strlen(prefix);
        snprintf(v->kind, sizeof v->kind, "%.*s", (int)strcspn(report, ":"), report);
    } else if (strstr(v->text, "AddressSanitizer") || strstr(v->text, "runtime error")) {
        snprintf(v->kind, sizeof v->kind, "sanitizer");
    } else {
        snprintf(v->kind, sizeof v->kind, "died (%d)", exit_status);
    }
}

static void run_child(const struct subject *s, struct run run, struct verdict *v) {
    int ends[2], exit_status = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) be_child(s, run, ends[1]);
    close(ends[1]);
    size_t used = 0;
    char rest[512];
    for (;;) {
        bool full = used == TEXT - 1;
        ssize_t n =
            read(ends[0], full ? rest : v->text + used, full ? sizeof rest : TEXT - 1 - used);
        if (n <= 0) break;
        if (!full) used += (size_t)n;
    }
    v->text[used] = 0;
    close(ends[0]);
    assert_int_equal(waitpid(child, &exit_status, 0), child);
    judge(v, exit_status);
}

/* Is `kind` one of the words of `expected`, which | separates? */
static bool is_expected(const char *expected, const char *kind) {
    size_t length = strlen(kind);
    for (const char *word = expected; word; word = strchr(word, '|')) {
        if (*word == '|') word++;
        if (strncmp(word, kind, length) == 0 && (word[length] == 0 || word[length] == '|'))
            return true;
    }
    return false;
}

static const char *expected_of(const struct subject *s) {
#ifdef __SANITIZE_ADDRESS__
    return s->mutant->sanitized;
#else
    return strstr(s->library, "checked") ? s->mutant->checked : s->mutant->plain;
#endif
}

static void check_found(const struct subject *s) {
    const char *expected = expected_of(s);
    if (!expected) return; /* cannot be seen in this build */
    struct verdict v;
    for (int seed = 1; seed <= SEEDS_TO_FIND; seed++) {
        run_child(s, (struct run){true, seed, "random"}, &v);
        if (is_expected(expected, v.kind)) return;
        if (strcmp(v.kind, "right") != 0) break;
    }
    fail_msg("%s: \"%s\" gave %s, expected %s\n%s", s->library, s->mutant->name, v.kind, expected,
             v.text);
}

static void check_correction(const struct subject *s) {
    static const char *const orders[] = {"random", "forward", "backward"};
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++)
        for (int seed = 1; seed <= (i ? 1 : SEEDS_TO_PASS); seed++) {
            struct verdict v;
            run_child(s, (struct run){false, seed, orders[i]}, &v);
            if (strcmp(v.kind, "right") != 0)
                fail_msg("%s: the correction of \"%s\" gave %s (seed %d, %s)\n%s", s->library,
                         s->mutant->name, v.kind, seed, orders[i], v.text);
        }
}

static void test_mutant(void **state) {
    const struct subject *s = *state;
    check_correction(s);
    check_found(s);
}

int main(void) {
    static const char *const libraries[] = LIBRARIES;
    static struct subject subjects[MUTANTS_MAX];
    static struct CMUnitTest tests[MUTANTS_MAX];
    static char names[MUTANTS_MAX][128];
    size_t n = 0;
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
        int lists;
        const struct mutant_list *all = load(libraries[i], &lists);
        for (int list = 0; list < lists; list++)
            for (int m = 0; m < all[list].n && n < MUTANTS_MAX; m++, n++) {
                subjects[n] = (struct subject){libraries[i], list, m, &all[list].mutants[m]};
                snprintf(names[n], sizeof names[n], "%s: %s", libraries[i],
                         subjects[n].mutant->name);
                tests[n] = (struct CMUnitTest){names[n], test_mutant, NULL, NULL, &subjects[n]};
            }
    }
    return _cmocka_run_group_tests("cuda_emulator", tests, n, NULL, NULL);
}
