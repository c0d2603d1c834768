#include "tests/expect.h"

#include "base/file.h"

static char directory[64];

void expect_ok(status s) {
    if (s) print_error("%s\n", status_text(s));
    assert_null(s);
}

void expect_failure(status s, enum exit_code code, const char *part) {
    if (!s) print_error("no failure, \"%s\" was expected\n", part);
    assert_non_null(s);
    if (status_code(s) != code || !strstr(status_text(s), part))
        print_error("%s\n  was not expected; \"%s\" was\n", status_text(s), part);
    assert_int_equal(status_code(s), code);
    assert_non_null(strstr(status_text(s), part));
    status_free(s);
}

int expect_directory(void **state) {
    (void)state;
    strcpy(directory, "/tmp/grpo-test-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

int expect_no_directory(void **state) {
    (void)state;
    return file_remove_tree(directory) ? -1 : 0;
}

const char *expect_path(const char *name) {
    static char paths[8][256];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

void expect_bytes(const char *path, struct span expected) {
    struct arena arena = {0};
    struct span got;
    expect_ok(file_read(&got, path, 1 << 24, &arena));
    assert_true(span_eq(got, expected));
    assert_int_equal(got.p[got.n], 0);
    arena_free(&arena);
}
