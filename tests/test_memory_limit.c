/* The limits of control groups, read from made-up trees. */
#include "base/memory_limit.h"

#include "base/file.h"
#include "tests/expect.h"
#include "tests/run_fixture.h"

#include <stdlib.h>
#include <string.h>

enum { MACHINE = 1 << 30 };

struct tree {
    struct arena arena;
    const char *dir;
};

static void tree_put(struct tree *t, const char *path, const char *text) {
    char *file = arena_print(&t->arena, "%s/%s", t->dir, path);
    char *parent = arena_print(&t->arena, "%s", file);
    *strrchr(parent, '/') = 0;
    expect_ok(file_make_dirs(parent));
    expect_ok(file_write(file, text, strlen(text)));
}

static size_t tree_limit(struct tree *t, const char *groups) {
    tree_put(t, "groups", groups);
    return memory_limit_of(arena_print(&t->arena, "%s/groups", t->dir),
                           arena_print(&t->arena, "%s/mount", t->dir), MACHINE);
}

static void test_limits(void **state) {
    (void)state;
    struct tree t = {0};
    t.dir = fixture_directory(&t.arena);
    assert_int_equal(memory_limit_of("/nowhere", "/nowhere", MACHINE), MACHINE);
    assert_int_equal(tree_limit(&t, ""), MACHINE);
    assert_int_equal(tree_limit(&t, "0::/a/b\n"), MACHINE);
    tree_put(&t, "mount/a/b/memory.max", "max\n");
    assert_int_equal(tree_limit(&t, "0::/a/b\n"), MACHINE);
    tree_put(&t, "mount/a/memory.max", "70000\n"); /* of a parent */
    assert_int_equal(tree_limit(&t, "0::/a/b\n"), 70000);
    assert_int_equal(tree_limit(&t, "0::/other\n"), MACHINE);
    tree_put(&t, "mount/a/b/memory.max", "50000\n");
    assert_int_equal(tree_limit(&t, "0::/a/b\n"), 50000);
    tree_put(&t, "mount/memory.max", "60000\n"); /* a container sees its group as the root */
    assert_int_equal(tree_limit(&t, "0::/../../elsewhere\n"), 60000);
    assert_int_equal(tree_limit(&t, "nonsense\n:\n0::"), 60000);
    tree_put(&t, "mount/memory/x/memory.limit_in_bytes", "40000\n"); /* version 1 */
    assert_int_equal(tree_limit(&t, "5:cpu:/x\n4:memory,other:/x/y\n"), 40000);
    assert_int_equal(tree_limit(&t, "5:cpu:/x\n0::/a\n"), 60000);
    tree_put(&t, "mount/memory/x/memory.limit_in_bytes", "9223372036854771712\n"); /* none */
    assert_int_equal(tree_limit(&t, "4:memory:/x\n"), MACHINE);
    assert_true(memory_limit() > 1 << 20);
    expect_ok(file_remove_tree(t.dir));
    arena_free(&t.arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_limits)};
    return cmocka_run_group_tests_name("memory_limit", tests, NULL, NULL);
}
