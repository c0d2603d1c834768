/* Files and JSON lines: atomic replacement, a full disk, trees with links, hashes against FIPS 180-2. */
#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char root[64]; /* a fresh directory for this program */

static const char *in_root(const char *name) {
    static char paths[4][256];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
}

static void expect_ok(status s) {
    if (s) print_error("%s\n", status_text(s));
    assert_null(s);
}

/* The status failed with this code and names `part`. */
static void expect_failure(status s, enum exit_code code, const char *part) {
    assert_non_null(s);
    if (status_code(s) != code || !strstr(status_text(s), part)) print_error("%s\n", status_text(s));
    assert_int_equal(status_code(s), code);
    assert_non_null(strstr(status_text(s), part));
    status_free(s);
}

static void expect_bytes(const char *path, struct span expected) {
    struct arena arena = {0};
    struct span got;
    expect_ok(file_read(&got, path, 1 << 20, &arena));
    assert_true(span_eq(got, expected));
    assert_int_equal(got.p[got.n], 0);
    arena_free(&arena);
}

static void test_read_and_map(void **state) {
    (void)state;
    struct span text = SPAN("a\0b\n"), got;
    struct arena arena = {0};
    expect_ok(file_write(in_root("plain"), text.p, text.n));
    expect_bytes(in_root("plain"), text);
    expect_ok(file_map(&got, in_root("plain")));
    assert_true(span_eq(got, text));
    file_unmap(got);

    expect_ok(file_write(in_root("empty"), "", 0));
    expect_bytes(in_root("empty"), SPAN(""));
    expect_ok(file_map(&got, in_root("empty")));
    assert_int_equal(got.n, 0);
    file_unmap(got);

    expect_ok(file_read(&got, in_root("plain"), 4, &arena));
    expect_failure(file_read(&got, in_root("plain"), 3, &arena), EXIT_BAD_DATA,
                   "larger than the 3 bytes");
    expect_failure(file_read(&got, in_root("none"), 9, &arena), EXIT_NO_INPUT,
                   "/none: No such file");
    expect_failure(file_map(&got, in_root("none")), EXIT_NO_INPUT, "/none: No such file");
    expect_failure(file_read(&got, root, 9, &arena), EXIT_NO_INPUT, "Is a directory");
    expect_failure(file_map(&got, "/dev/null"), EXIT_NO_INPUT, "regular file");
    /* A file that does not tell its size. */
    expect_ok(file_read(&got, "/proc/self/status", 1 << 20, &arena));
    assert_true(span_starts(got, SPAN("Name:\ttest_file")));
    arena_free(&arena);
}

static void test_write_replaces(void **state) {
    (void)state;
    expect_ok(file_write(in_root("twice"), "first", 5));
    expect_ok(file_write(in_root("twice"), "2nd", 3));
    expect_bytes(in_root("twice"), SPAN("2nd"));
    assert_false(file_exists(in_root("twice.tmp")));
    expect_failure(file_write(in_root("none/file"), "x", 1), EXIT_IO, "/none/file");
    expect_failure(file_write("/dev/null/file", "x", 1), EXIT_IO, "/dev/null/file");
}

/* A limit on file size stands for a full disk: the write fails half-way. */
static void test_full_disk(void **state) {
    (void)state;
    expect_ok(file_write(in_root("kept"), "old", 3));
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 1000;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    static char big[5000];
    status replaced = file_write(in_root("kept"), big, sizeof big);
    struct file_writer w;
    const char *pieces = in_root("pieces");
    status opened = file_writer_open(&w, pieces);
    status first = file_writer_put(&w, big, 900), second = file_writer_put(&w, big, 900);
    file_writer_abandon(&w);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);

    expect_failure(replaced, EXIT_IO, "no room left on the disk to write");
    expect_bytes(in_root("kept"), SPAN("old"));
    assert_false(file_exists(in_root("kept.tmp")));
    expect_ok(opened);
    expect_ok(first);
    expect_failure(second, EXIT_IO, "no room left on the disk to write");
    assert_false(file_exists(pieces));

    expect_ok(file_writer_open(&w, "/dev/full"));
    expect_failure(file_writer_put(&w, "x", 1), EXIT_IO, "/dev/full: No space left on device");
    close(w.fd);
}

static void test_copy_and_rename(void **state) {
    (void)state;
    expect_ok(file_write(in_root("from"), "bytes", 5));
    expect_ok(file_copy(in_root("from"), in_root("to")));
    expect_bytes(in_root("to"), SPAN("bytes"));
    expect_failure(file_copy(in_root("none"), in_root("to2")), EXIT_NO_INPUT, "/none");
    assert_false(file_exists(in_root("to2")));
    expect_ok(file_rename(in_root("to"), in_root("moved")));
    assert_false(file_exists(in_root("to")));
    expect_bytes(in_root("moved"), SPAN("bytes"));
    expect_failure(file_rename(in_root("to"), in_root("moved")), EXIT_IO, "/to to ");
}

static void test_trees(void **state) {
    (void)state;
    expect_ok(file_make_dirs(in_root("tree/a//b/c/")));
    expect_ok(file_make_dirs(in_root("tree/a/b")));
    assert_true(file_is_dir(in_root("tree/a/b/c")));
    expect_ok(file_write(in_root("outside"), "stays", 5));
    expect_ok(file_make_dirs(in_root("elsewhere")));
    expect_ok(file_write(in_root("elsewhere/file"), "stays", 5));
    expect_ok(file_write(in_root("tree/a/file"), "goes", 4));
    assert_int_equal(symlink("../outside", in_root("tree/link")), 0);
    assert_int_equal(symlink("../../elsewhere", in_root("tree/a/dir")), 0);
    expect_failure(file_make_dirs(in_root("outside/x")), EXIT_IO, "/outside");

    expect_ok(file_remove_tree(in_root("tree/")));
    assert_false(file_exists(in_root("tree")));
    expect_bytes(in_root("outside"), SPAN("stays"));
    expect_bytes(in_root("elsewhere/file"), SPAN("stays"));
    expect_ok(file_remove_tree(in_root("tree")));
    const char *refused[] = {"", "/", "//", ".", "..", "x/..", "./", "/."};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        expect_failure(file_remove_tree(refused[i]), EXIT_IO, "will not remove");
}

static void test_sha256(void **state) {
    (void)state;
    char hex[SHA256_TEXT];
    file_sha256_bytes(SPAN("abc"), hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    expect_ok(file_write(in_root("hashed"), "", 0));
    expect_ok(file_sha256(in_root("hashed"), hex));
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    /* FIPS 180-2's third example: a million times "a". */
    char *a = malloc(1000000);
    memset(a, 'a', 1000000);
    expect_ok(file_write(in_root("hashed"), a, 1000000));
    free(a);
    expect_ok(file_sha256(in_root("hashed"), hex));
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    expect_failure(file_sha256(in_root("none"), hex), EXIT_NO_INPUT, "/none");
}

static void test_json_lines(void **state) {
    (void)state;
    /* A long line crosses the reader's first buffer. */
    size_t n_long = 200000, n = 0;
    char *text = malloc(n_long + 100);
    n += (size_t)sprintf(text + n, "{\"a\": 1}\n\n  \r\n\"");
    memset(text + n, 'x', n_long);
    n += n_long;
    n += (size_t)sprintf(text + n, "\"\n[2]");
    expect_ok(file_write(in_root("lines"), text, n));
    free(text);

    struct json_lines r;
    struct span line;
    bool more;
    expect_ok(json_lines_open(&r, in_root("lines"), 1 << 20));
    expect_ok(json_lines_next(&r, &line, &more));
    assert_true(more && r.line == 1 && span_eq(line, SPAN("{\"a\": 1}")));
    expect_ok(json_lines_next(&r, &line, &more));
    assert_true(more && r.line == 4 && line.n == n_long + 2);
    expect_ok(json_lines_next(&r, &line, &more));
    assert_true(more && r.line == 5 && span_eq(line, SPAN("[2]")));
    expect_ok(json_lines_next(&r, &line, &more));
    assert_false(more);
    json_lines_close(&r);

    expect_ok(json_lines_open(&r, in_root("lines"), 100));
    expect_ok(json_lines_next(&r, &line, &more));
    expect_failure(json_lines_next(&r, &line, &more), EXIT_BAD_DATA, ":4: the line is longer");
    json_lines_close(&r);
    expect_failure(json_lines_open(&r, in_root("none"), 1), EXIT_NO_INPUT, "/none");
}

static void test_json(void **state) {
    (void)state;
    json_t *value;
    expect_failure(json_parse(&value, SPAN("{\"a\": 1, \"a\": 2}"), "f.json", 1), EXIT_BAD_DATA,
                   "f.json:1: not valid JSON: duplicate object key");
    expect_failure(json_parse(&value, SPAN("{\n\"a\":\n}"), "f.json", 7), EXIT_BAD_DATA,
                   "f.json:9: ");
    expect_failure(json_parse(&value, SPAN("\"\xff\""), "f", 1), EXIT_BAD_DATA, "f:1: ");
    expect_failure(json_parse(&value, SPAN(""), "f", 1), EXIT_BAD_DATA, "f:1: ");

    struct span text = SPAN("{\"z\": 0.1, \"n\": 3, \"s\": \"a\\u0000b\", \"x\": null, \"b\": true}");
    expect_ok(json_parse(&value, text, "f", 1));
    int64_t i = 7;
    double d = 7;
    bool b = false;
    struct span s;
    expect_ok(json_get_int(value, "f", "n", 1, 3, &i));
    assert_int_equal(i, 3);
    expect_ok(json_maybe_int(value, "f", "x", 1, 3, &i));
    assert_int_equal(i, 3);
    expect_failure(json_get_int(value, "f", "n", 4, 9, &i), EXIT_BAD_DATA,
                   "f: \"n\" must be an integer in [4, 9], not 3");
    expect_failure(json_get_int(value, "f", "z", 0, 9, &i), EXIT_BAD_DATA, "not 0.1");
    expect_failure(json_get_int(value, "f", "none", 0, 9, &i), EXIT_BAD_DATA, "not missing");
    expect_ok(json_get_number(value, "f", "n", 0, 9, &d));
    assert_true(d == 3);
    expect_failure(json_get_number(value, "f", "s", 0, 9, &d), EXIT_BAD_DATA,
                   "a number in [0, 9]");
    expect_ok(json_get_bool(value, "f", "b", &b));
    assert_true(b);
    expect_ok(json_get_string(value, "f", "s", &s));
    assert_true(span_eq(s, SPAN("a\0b")));

    struct arena arena = {0};
    assert_true(span_eq(json_canonical(value, &arena),
                        SPAN("{\"b\":true,\"n\":3,\"s\":\"a\\u0000b\",\"x\":null,"
                             "\"z\":0.10000000000000001}")));
    arena_free(&arena);
    json_decref(value);

    value = json_text(SPAN("a\xE2\x82 \xF0\x9F\x98\x80"));
    assert_true(span_eq(json_span(value), SPAN("a\xEF\xBF\xBD \xF0\x9F\x98\x80")));
    json_decref(value);
}

/* Unicode 15, section 3.9, tables 3-8 to 3-11: one U+FFFD for each maximal subpart. */
static void test_utf8(void **state) {
    (void)state;
    static const struct {
        struct span in;
        const char *out; /* '?' for U+FFFD */
    } cases[] = {
        {{"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", 9}, "????????A"},
        {{"\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", 9}, "????????A"},
        {{"\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", 9}, "?????A??B"},
        {{"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", 9}, "????A"},
    };
    struct arena arena = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char expected[64];
        size_t n = 0;
        for (const char *p = cases[i].out; *p; p++) {
            const char *piece = *p == '?' ? "\xEF\xBF\xBD" : p;
            size_t m = *p == '?' ? 3 : 1;
            memcpy(expected + n, piece, m);
            n += m;
        }
        assert_true(span_eq(utf8_lossy(cases[i].in, &arena), (struct span){expected, n}));
        assert_int_equal(utf8_invalid(cases[i].in), 0);
    }
    for (int32_t code = 0; code < 0x110000; code++) {
        if (code >= 0xD800 && code < 0xE000) continue;
        char bytes[4];
        int32_t back;
        struct span s = {bytes, utf8_put(code, bytes)};
        assert_int_equal(utf8_next(s, 0, &back), s.n);
        assert_int_equal(back, code);
    }
    arena_free(&arena);
}

static int make_root(void **state) {
    (void)state;
    strcpy(root, "/tmp/grpo-test-file-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state) {
    (void)state;
    return file_remove_tree(root) ? -1 : 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_and_map), cmocka_unit_test(test_write_replaces),
        cmocka_unit_test(test_full_disk),    cmocka_unit_test(test_copy_and_rename),
        cmocka_unit_test(test_trees),        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_json_lines),   cmocka_unit_test(test_json),
        cmocka_unit_test(test_utf8),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
