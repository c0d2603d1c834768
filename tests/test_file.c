/* Files and JSON lines: atomic replacement, a full disk, trees with links, hashes against FIPS 180-2. */
#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "tests/expect.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_read_and_map(void **state) {
    (void)state;
    struct span text = SPAN("a\0b\n"), got;
    struct arena arena = {0};
    expect_ok(file_write(expect_path("plain"), text.p, text.n));
    expect_bytes(expect_path("plain"), text);
    expect_ok(file_map(&got, expect_path("plain")));
    assert_true(span_eq(got, text));
    file_unmap(got);

    expect_ok(file_write(expect_path("empty"), "", 0));
    expect_bytes(expect_path("empty"), SPAN(""));
    expect_ok(file_map(&got, expect_path("empty")));
    assert_int_equal(got.n, 0);
    file_unmap(got);

    expect_ok(file_read(&got, expect_path("plain"), 4, &arena));
    expect_failure(file_read(&got, expect_path("plain"), 3, &arena), EXIT_BAD_DATA,
                   "larger than the 3 bytes");
    expect_failure(file_read(&got, expect_path("none"), 9, &arena), EXIT_NO_INPUT,
                   "/none: No such file");
    expect_failure(file_map(&got, expect_path("none")), EXIT_NO_INPUT, "/none: No such file");
    expect_failure(file_read(&got, expect_path(""), 9, &arena), EXIT_NO_INPUT, "Is a directory");
    expect_failure(file_map(&got, "/dev/null"), EXIT_NO_INPUT, "regular file");
    /* A file that does not tell its size. */
    expect_ok(file_read(&got, "/proc/self/status", 1 << 20, &arena));
    assert_true(span_starts(got, SPAN("Name:\ttest_file")));
    arena_free(&arena);
}

static void test_write_replaces(void **state) {
    (void)state;
    expect_ok(file_write(expect_path("twice"), "first", 5));
    expect_ok(file_write(expect_path("twice"), "2nd", 3));
    expect_bytes(expect_path("twice"), SPAN("2nd"));
    assert_false(file_exists(expect_path("twice.tmp")));
    expect_failure(file_write(expect_path("none/file"), "x", 1), EXIT_IO, "/none/file");
    expect_failure(file_write("/dev/null/file", "x", 1), EXIT_IO, "/dev/null/file");
}

/* A limit on file size stands for a full disk: the write fails half-way. */
static void test_full_disk(void **state) {
    (void)state;
    expect_ok(file_write(expect_path("kept"), "old", 3));
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 1000;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    static char big[5000];
    status replaced = file_write(expect_path("kept"), big, sizeof big);
    struct file_writer w;
    const char *pieces = expect_path("pieces");
    status opened = file_writer_open(&w, pieces);
    status first = file_writer_put(&w, big, 900), second = file_writer_put(&w, big, 900);
    file_writer_abandon(&w);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);

    expect_failure(replaced, EXIT_IO, "no room left on the disk to write");
    expect_bytes(expect_path("kept"), SPAN("old"));
    assert_false(file_exists(expect_path("kept.tmp")));
    expect_ok(opened);
    expect_ok(first);
    expect_failure(second, EXIT_IO, "no room left on the disk to write");
    assert_false(file_exists(pieces));

    expect_ok(file_writer_open(&w, "/dev/full"));
    expect_failure(file_writer_put(&w, "x", 1), EXIT_IO, "/dev/full: No space left on device");
    file_writer_abandon(&w);
    assert_true(file_exists("/dev/full"));
}

static void test_copy_and_rename(void **state) {
    (void)state;
    expect_ok(file_write(expect_path("from"), "bytes", 5));
    expect_ok(file_copy(expect_path("from"), expect_path("to")));
    expect_bytes(expect_path("to"), SPAN("bytes"));
    expect_failure(file_copy(expect_path("none"), expect_path("to2")), EXIT_NO_INPUT, "/none");
    assert_false(file_exists(expect_path("to2")));
    expect_ok(file_rename(expect_path("to"), expect_path("moved")));
    assert_false(file_exists(expect_path("to")));
    expect_bytes(expect_path("moved"), SPAN("bytes"));
    expect_failure(file_rename(expect_path("to"), expect_path("moved")), EXIT_IO, "/to to ");
}

static void test_trees(void **state) {
    (void)state;
    expect_ok(file_make_dirs(expect_path("tree/a//b/c/")));
    expect_ok(file_make_dirs(expect_path("tree/a/b")));
    assert_true(file_is_dir(expect_path("tree/a/b/c")));
    expect_ok(file_write(expect_path("outside"), "stays", 5));
    expect_ok(file_make_dirs(expect_path("elsewhere")));
    expect_ok(file_write(expect_path("elsewhere/file"), "stays", 5));
    expect_ok(file_write(expect_path("tree/a/file"), "goes", 4));
    assert_int_equal(symlink("../outside", expect_path("tree/link")), 0);
    assert_int_equal(symlink("../../elsewhere", expect_path("tree/a/dir")), 0);
    expect_failure(file_make_dirs(expect_path("outside/x")), EXIT_IO, "/outside");

    expect_ok(file_remove_tree(expect_path("tree/")));
    assert_false(file_exists(expect_path("tree")));
    expect_bytes(expect_path("outside"), SPAN("stays"));
    expect_bytes(expect_path("elsewhere/file"), SPAN("stays"));
    expect_ok(file_remove_tree(expect_path("tree")));
    const char *refused[] = {"", "/", "//", ".", "..", "x/..", "./", "/."};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        expect_failure(file_remove_tree(refused[i]), EXIT_IO, "will not remove");
}

static void test_sha256(void **state) {
    (void)state;
    char hex[SHA256_TEXT];
    file_sha256_bytes(SPAN("abc"), hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    expect_ok(file_write(expect_path("hashed"), "", 0));
    expect_ok(file_sha256(expect_path("hashed"), hex));
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    /* FIPS 180-2's third example: a million times "a". */
    char *a = malloc(1000000);
    memset(a, 'a', 1000000);
    expect_ok(file_write(expect_path("hashed"), a, 1000000));
    free(a);
    expect_ok(file_sha256(expect_path("hashed"), hex));
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    expect_failure(file_sha256(expect_path("none"), hex), EXIT_NO_INPUT, "/none");
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
    expect_ok(file_write(expect_path("lines"), text, n));
    free(text);

    struct json_lines r;
    struct span line;
    bool more;
    expect_ok(json_lines_open(&r, expect_path("lines"), 1 << 20));
    expect_ok(json_lines_next(&r, &line, &more));
    assert_true(more && r.line == 1 && span_eq(line, SPAN("{\"a\": 1}")));
    expect_ok(json_lines_next(&r, &line, &more));
    assert_true(more && r.line == 4 && line.n == n_long + 2);
    expect_ok(json_lines_next(&r, &line, &more));
    assert_true(more && r.line == 5 && span_eq(line, SPAN("[2]")));
    expect_ok(json_lines_next(&r, &line, &more));
    assert_false(more);
    json_lines_close(&r);

    expect_ok(json_lines_open(&r, expect_path("lines"), 100));
    expect_ok(json_lines_next(&r, &line, &more));
    expect_failure(json_lines_next(&r, &line, &more), EXIT_BAD_DATA, ":4: the line is longer");
    json_lines_close(&r);
    expect_failure(json_lines_open(&r, expect_path("none"), 1), EXIT_NO_INPUT, "/none");
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

    struct span text =
        SPAN("{\"z\": 0.1, \"n\": 3, \"s\": \"a\\u0000b\", \"x\": null, \"b\": true}");
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
    expect_failure(json_get_number(value, "f", "s", 0, 9, &d), EXIT_BAD_DATA, "a number in [0, 9]");
    expect_ok(json_get_bool(value, "f", "b", &b));
    assert_true(b);
    expect_ok(json_get_string(value, "f", "s", &s));
    assert_true(span_eq(s, SPAN("a\0b")));

    struct arena arena = {0};
    assert_true(span_eq(json_canonical(value, &arena),
                        SPAN("{\"b\":true,\"n\":3,\"s\":\"a\\u0000b\",\"x\":null,"
                             "\"z\":0.10000000000000001}")));
    json_t *reals = json_pack("[f,{s:f}]", 0.1, "x", 1.0 / 3);
    char *tenth = json_write(json_array_get(reals, 0), JSON_ENCODE_ANY);
    char *third = json_write(reals, JSON_COMPACT);
    assert_string_equal(tenth, "0.1"); /* all of a value have the digits that one of them needs */
    assert_string_equal(third, "[0.1,{\"x\":0.3333333333333333}]");
    free(tenth);
    free(third);
    json_decref(reals);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_and_map), cmocka_unit_test(test_write_replaces),
        cmocka_unit_test(test_full_disk),    cmocka_unit_test(test_copy_and_rename),
        cmocka_unit_test(test_trees),        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_json_lines),   cmocka_unit_test(test_json),
        cmocka_unit_test(test_utf8),
    };
    return cmocka_run_group_tests(tests, expect_directory, expect_no_directory);
}
