/* Peers that behave, fail, die, hang and ramble: shell scripts in the place of Python. */
#include "base/file.h"
#include "tests/expect.h"
#include "tests/peer.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

static const double PATIENCE = 60, SHORT = 0.3; /* seconds */

/* A peer whose program is this shell script. */
static bool peer_of(struct peer *p, const char *script, double patience_s) {
    char text[512];
    const char *path = expect_path("python");
    int n = snprintf(text, sizeof text, "#!/bin/sh\n%s\n", script);
    expect_ok(file_write(path, text, (size_t)n));
    assert_int_equal(chmod(path, 0700), 0);
    assert_int_equal(setenv("GRPO_PEERS_PYTHON", path, 1), 0);
    return peer_open(p, "peer_x.py", "{}", patience_s);
}

static int open_files(void) {
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir)) n++;
    closedir(dir);
    return n;
}

static void expect_trouble(struct peer *p, const char *why) {
    assert_string_equal(p->trouble, why);
    assert_int_equal(p->fd, -1);
    peer_close(p); /* once more is fine */
    assert_string_equal(p->trouble, why);
}

static void test_rounds(void **state) {
    (void)state;
    struct peer p;
    double seconds, bytes;
    assert_true(
        peer_of(&p,
                "[ \"$1 $2\" = 'tools/peers/peer_x.py {}' ] || exit\n"
                "echo ready; n=0; while read -r line; do n=$((n + 1)); echo $n.5 4096; done",
                PATIENCE));
    for (int i = 1; i <= 3; i++) {
        assert_true(peer_round(&p, &seconds, &bytes));
        assert_float_equal(seconds, i + 0.5, 1e-9);
        assert_float_equal(bytes, 4096, 0);
    }
    peer_close(&p);
    expect_trouble(&p, "");
    assert_false(peer_round(&p, &seconds, &bytes));
}

static void test_not_ready(void **state) {
    (void)state;
    struct peer p;
    assert_false(peer_of(&p, "exit 1", PATIENCE));
    expect_trouble(&p, "it ended early");
    assert_false(peer_of(&p, "echo No module named torch; sleep 60", PATIENCE));
    expect_trouble(&p, "No module named torch");
    assert_false(peer_of(&p, "exec sleep 60", SHORT));
    expect_trouble(&p, "it did not answer in time");
    assert_false(peer_of(&p, "yes | tr -d '\\n'", PATIENCE));
    expect_trouble(&p, "its answer is too long");
    assert_int_equal(setenv("GRPO_PEERS_PYTHON", expect_path(""), 1), 0); /* a directory */
    assert_false(peer_open(&p, "peer_x.py", "{}", PATIENCE));
    expect_trouble(&p, "it cannot be started");
    assert_int_equal(setenv("GRPO_PEERS_PYTHON", expect_path("none"), 1), 0);
    assert_false(peer_open(&p, "peer_x.py", "{}", PATIENCE));
    expect_trouble(&p, "not installed");
}

static void test_lost_later(void **state) {
    (void)state;
    struct peer p;
    double seconds = 7, bytes = 7;
    assert_true(peer_of(&p, "echo ready; read -r line; echo 1 2", PATIENCE));
    assert_true(peer_round(&p, &seconds, &bytes));
    assert_false(peer_round(&p, &seconds, &bytes)); /* it is gone, or going: no signal ends us */
    expect_trouble(&p, "it ended early");
    assert_false(peer_round(&p, &seconds, &bytes));
    assert_true(peer_of(&p, "echo ready; exec sleep 60", PATIENCE));
    p.patience = SHORT;
    assert_false(peer_round(&p, &seconds, &bytes));
    expect_trouble(&p, "it did not answer in time");
    assert_true(peer_of(&p, "echo ready; read -r line; echo llama_decode failed", PATIENCE));
    assert_false(peer_round(&p, &seconds, &bytes));
    expect_trouble(&p, "llama_decode failed");
    assert_float_equal(seconds, 1, 0);
    assert_float_equal(bytes, 2, 0);
}

static void test_nothing_leaks(void **state) {
    int before = open_files();
    test_rounds(state);
    test_not_ready(state);
    test_lost_later(state);
    assert_int_equal(open_files(), before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounds), cmocka_unit_test(test_not_ready),
        cmocka_unit_test(test_lost_later), cmocka_unit_test(test_nothing_leaks)};
    return cmocka_run_group_tests(tests, expect_directory, expect_no_directory);
}
