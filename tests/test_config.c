/* The configuration: typed values, hostile YAML, command lines, and what is written read back by
 * others (jansson, libyaml's own loader). */
#include "base/config.h"
#include "base/nearest.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>
#include <yaml.h>

struct optim {
    double lr, limit, signed_one;
    int64_t steps, seed;
    bool clip;
    const char *schedule, *note;
};

struct other {
    const char *path;
    int64_t numbers;
};

static const struct config_key optim_keys[] = {
    CONFIG_INT(struct optim, steps, "steps", "100", 1, 1e6, SEMANTIC, "steps of the run"),
    CONFIG_INT(struct optim, seed, "seed", "-5", -0x1p63, 0x1p63, SEMANTIC, "any integer"),
    CONFIG_FLOAT(struct optim, lr, "optim.lr", "1e-6", 0, 1, SEMANTIC, "the learning rate"),
    CONFIG_FLOAT(struct optim, limit, "optim.limit", "inf", 0, INFINITY, SEMANTIC,
                 "no bound above"),
    CONFIG_FLOAT(struct optim, signed_one, "optim.signed", "0", -1, 1, SEMANTIC, "a signed number"),
    CONFIG_BOOL(struct optim, clip, "optim.clip", "no", SEMANTIC, "whether to clip"),
    CONFIG_END,
};
static const struct config_key other_keys[] = {
    CONFIG_STRING(struct other, path, "data.path", "", EXECUTION, "where the a|b data is"),
    CONFIG_INT(struct other, numbers, "data.countdown.numbers", "3", 2, 6, SEMANTIC, "how many"),
    CONFIG_END,
};
static const struct config_key late_keys[] = {
    CONFIG_ENUM(struct optim, schedule, "optim.schedule", "constant", "constant|cosine|linear",
                SEMANTIC, "how the rate moves"),
    CONFIG_STRING(struct optim, note, "optim.note", "a note", SEMANTIC, "free text"),
    CONFIG_END,
};
static const struct config_alias aliases[] = {
    {"learning_rate", "optim.lr"},
    {"actor.optim.lr", "optim.lr"},
    {"data", "data.path"},
    {NULL, NULL},
};

/* A config of two structs in three fragments; the section `optim` comes from two of them. */
struct fixture {
    struct arena arena;
    struct optim optim;
    struct other other;
    struct config_fragment fragments[4];
    struct config config;
};

static void fixture_open(struct fixture *f) {
    *f = (struct fixture){0};
    f->fragments[0] = (struct config_fragment){optim_keys, &f->optim};
    f->fragments[1] = (struct config_fragment){other_keys, &f->other};
    f->fragments[2] = (struct config_fragment){late_keys, &f->optim};
    f->config = (struct config){f->fragments, aliases, &f->arena};
    config_defaults(&f->config);
}

static int setup(void **state) {
    struct fixture *f = malloc(sizeof *f);
    fixture_open(f);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    arena_free(&((struct fixture *)*state)->arena);
    free(*state);
    return 0;
}

static void expect_ok(status s) {
    if (s) print_error("%s\n", status_text(s));
    assert_null(s);
}

/* The status failed with this code, and its sentence is exactly this one. */
static void expect_failure(status s, enum exit_code code, const char *sentence) {
    assert_non_null(s);
    assert_string_equal(status_text(s), sentence);
    assert_int_equal(status_code(s), code);
    status_free(s);
}

static void refuse(struct fixture *f, const char *key, const char *value) {
    status s = config_set(&f->config, key, value, "here");
    if (!s) print_error("accepted: %s=%s\n", key, value);
    assert_non_null(s);
    assert_int_equal(status_code(s), EXIT_BAD_CONFIG);
    status_free(s);
}

static status parse(struct fixture *f, const char *text) {
    return config_parse_yaml(&f->config, span_of(text), "f.yaml");
}

static char *written(const struct fixture *f) {
    char *text;
    size_t n;
    FILE *out = open_memstream(&text, &n);
    config_write_yaml(&f->config, out);
    assert_int_equal(fclose(out), 0);
    return text;
}

/* ---- values ---- */

static void test_defaults(void **state) {
    struct fixture *f = *state;
    assert_int_equal(f->optim.steps, 100);
    assert_int_equal(f->optim.seed, -5);
    assert_true(f->optim.lr == 1e-6 && isinf(f->optim.limit));
    assert_false(f->optim.clip);
    assert_string_equal(f->optim.schedule, "constant");
    assert_string_equal(f->other.path, "");
}

static void test_integers(void **state) {
    struct fixture *f = *state;
    const struct {
        const char *text;
        int64_t value;
    } good[] = {{"7", 7},
                {"+7", 7},
                {"-0", 0},
                {"007", 7},
                {"1e6", 1000000},
                {"1E+3", 1000},
                {"2.50e2", 250},
                {"12.0", 12},
                {".5e1", 5},
                {"1000e-3", 1},
                {"0.00001e5", 1},
                {"0e99", 0},
                {"100000000000000000000e-18", 100},
                {"9223372036854775807", INT64_MAX},
                {"-9223372036854775807", -INT64_MAX},
                {"9007199254740993", 9007199254740993}}; /* not a double */
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        expect_ok(config_set(&f->config, "seed", good[i].text, "here"));
        assert_int_equal(f->optim.seed, good[i].value);
    }
    const char *bad[] = {"",
                         " 1",
                         "1 ",
                         "x",
                         "1x",
                         "0x10",
                         "1e",
                         "1e+",
                         "e3",
                         ".",
                         "-",
                         "+-1",
                         "1.5",
                         "1e-1",
                         "nan",
                         "inf",
                         "1,2",
                         "1_000",
                         "1e19",
                         "64k",
                         "true",
                         "1e9999",
                         "1.5e0",
                         "1..0",
                         "1e1.0",
                         "9223372036854775808",
                         "1e99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) refuse(f, "seed", bad[i]);
    assert_int_equal(f->optim.seed, 9007199254740993); /* a refused value leaves the old one */
    refuse(f, "steps", "0");
    refuse(f, "steps", "1000001");
    expect_ok(config_set(&f->config, "steps", "1e6", "here"));
    assert_int_equal(f->optim.steps, 1000000);
}

static void test_floats(void **state) {
    struct fixture *f = *state;
    const char *good[] = {
        "0", "1", "1e-6", ".5", "5e-1", "0.1", "1.", "4.9e-324", "0.30000000000000004"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        expect_ok(config_set(&f->config, "optim.lr", good[i], "here"));
        assert_true(f->optim.lr == atof(good[i]));
    }
    const char *bad[] = {"",      "nan",   "-nan",      "NaN", "inf", "0x1p-3", "1e-6 ",
                         " 1e-6", "-1e-9", "1.0000001", "1e",  "one", "1,5"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) refuse(f, "optim.lr", bad[i]);
    refuse(f, "optim.limit", "nan");
    refuse(f, "optim.limit", "-inf");
    refuse(f, "optim.limit", "1e999"); /* a slip, not a wish for infinity */
    expect_ok(config_set(&f->config, "optim.limit", "3", "here"));
    expect_ok(config_set(&f->config, "optim.limit", ".inf", "here"));
    assert_true(isinf(f->optim.limit));
    expect_ok(config_set(&f->config, "optim.signed", "-0.0", "here"));
    assert_false(
        signbit(f->optim.signed_one)); /* one zero, so that equal values have equal texts */
}

static void test_bools_and_choices(void **state) {
    struct fixture *f = *state;
    const char *yes[] = {"true", "yes", "on", "1", "True", "YES"};
    const char *no[] = {"false", "no", "off", "0", "False", "No"};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        expect_ok(config_set(&f->config, "optim.clip", yes[i], "here"));
        assert_true(f->optim.clip);
        expect_ok(config_set(&f->config, "optim.clip", no[i], "here"));
        assert_false(f->optim.clip);
    }
    refuse(f, "optim.clip", "");
    refuse(f, "optim.clip", "2");
    refuse(f, "optim.clip", "truee");

    expect_ok(config_set(&f->config, "optim.schedule", "linear", "here"));
    assert_string_equal(f->optim.schedule, "linear");
    const char *bad[] = {"", "cos", "constant|cosine", "|", "linear|", "Cosine"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) refuse(f, "optim.schedule", bad[i]);
    refuse(f, "optim.note", "not \xff UTF-8");
}

static void test_sentences(void **state) {
    struct fixture *f = *state;
    struct config *c = &f->config;
    expect_failure(config_set(c, "steps", "0", "run.yaml:12"), EXIT_BAD_CONFIG,
                   "run.yaml:12: steps must be an integer in [1, 1000000], not \"0\"");
    expect_failure(config_set(c, "learning_rate", "x\033[1m", "here"), EXIT_BAD_CONFIG,
                   "here: learning_rate must be a number in [0, 1], not \"x?[1m\"");
    expect_failure(config_set(c, "optim.limit", "-1", "here"), EXIT_BAD_CONFIG,
                   "here: optim.limit must be a number of at least 0, not \"-1\"");
    expect_failure(config_set(c, "optim.clip", "maybe", "here"), EXIT_BAD_CONFIG,
                   "here: optim.clip must be true or false, not \"maybe\"");
    expect_failure(config_set(c, "optim.schedule", "exp", "here"), EXIT_BAD_CONFIG,
                   "here: optim.schedule must be one of constant, cosine, linear, not \"exp\"");
    expect_failure(config_set(c, "optim.lrr", "1", "here"), EXIT_BAD_CONFIG,
                   "here: unknown key \"optim.lrr\"; did you mean optim.lr?");
    expect_failure(config_set(c, "lr", "1", "here"), EXIT_BAD_CONFIG,
                   "here: unknown key \"lr\"; did you mean optim.lr?");
    expect_failure(config_set(c, "learning_rte", "1", "here"), EXIT_BAD_CONFIG,
                   "here: unknown key \"learning_rte\"; did you mean learning_rate?");
    expect_failure(config_set(c, "optim", "1", "here"), EXIT_BAD_CONFIG,
                   "here: \"optim\" is a section, a value goes to one of its keys");
    expect_failure(config_set(c, "frobnicate", "1", "here"), EXIT_BAD_CONFIG,
                   "here: unknown key \"frobnicate\"; \"grpo config --help-keys\" lists the keys");
    char long_value[5000];
    memset(long_value, 'x', sizeof long_value - 1);
    long_value[sizeof long_value - 1] = 0;
    status s = config_set(c, "steps", long_value, "here");
    assert_non_null(strstr(status_text(s), "xxx...\""));
    status_free(s);
    refuse(f, long_value, "1");
}

/* ---- the nearest name ---- */

/* The definition, by recursion: exponential, for short words only. */
static size_t distance_by_definition(const char *a, size_t n, const char *b, size_t m) {
    if (n == 0 || m == 0) return n + m;
    size_t best = distance_by_definition(a, n - 1, b, m - 1) + (a[n - 1] != b[m - 1]);
    size_t shorter_a = distance_by_definition(a, n - 1, b, m) + 1;
    size_t shorter_b = distance_by_definition(a, n, b, m - 1) + 1;
    if (shorter_a < best) best = shorter_a;
    if (shorter_b < best) best = shorter_b;
    if (n > 1 && m > 1 && a[n - 1] == b[m - 2] && a[n - 2] == b[m - 1]) {
        size_t swapped = distance_by_definition(a, n - 2, b, m - 2) + 1;
        if (swapped < best) best = swapped;
    }
    return best;
}

static void test_nearest_distance(void **state) {
    (void)state;
    uint32_t random = 1;
    for (int round = 0; round < 2000; round++) {
        char words[2][7] = {{0}};
        size_t lengths[2];
        for (int w = 0; w < 2; w++) {
            random = random * 1664525 + 1013904223;
            lengths[w] = (random >> 24) % 6;
            for (size_t i = 0; i < lengths[w]; i++) {
                random = random * 1664525 + 1013904223;
                words[w][i] = (char)('a' + (random >> 24) % 3);
            }
        }
        struct nearest n = {.wanted = words[0]};
        nearest_offer(&n, words[1]);
        assert_int_equal(n.distance,
                         distance_by_definition(words[0], lengths[0], words[1], lengths[1]));
    }
}

static const char *nearest_of(const char *wanted) {
    static const char *names[] = {"train", "eval", "rl.group_size", "rl.kl_coef", "optim.lr"};
    struct nearest n = {.wanted = wanted};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) nearest_offer(&n, names[i]);
    return nearest_name(&n);
}

static void test_nearest_names(void **state) {
    (void)state;
    assert_string_equal(nearest_of("trian"), "train");
    assert_string_equal(nearest_of("evl"), "eval");
    assert_string_equal(nearest_of("group_sise"), "rl.group_size");
    assert_string_equal(nearest_of("rl.group-size"), "rl.group_size");
    assert_string_equal(nearest_of("lr"), "optim.lr");
    assert_null(nearest_of("frobnicate"));
    assert_null(nearest_of(""));
    assert_null(nearest_of("xy"));
}

/* ---- YAML ---- */

static void test_yaml_values(void **state) {
    struct fixture *f = *state;
    expect_ok(parse(f, "# a comment\n"
                       "steps: 1e3\n"
                       "optim:\n"
                       "  lr: 1e-4   # YAML 1.1 takes this for a string\n"
                       "  clip: no\n"
                       "  note: no\n"
                       "  schedule: 'cosine'\n"
                       "data.countdown.numbers: \"4\"\n"
                       "data: {path: [a, 'b c', 3]}\n"));
    assert_int_equal(f->optim.steps, 1000);
    assert_true(f->optim.lr == 1e-4);
    assert_false(f->optim.clip);
    assert_string_equal(f->optim.note, "no");
    assert_string_equal(f->optim.schedule, "cosine");
    assert_int_equal(f->other.numbers, 4);
    assert_string_equal(f->other.path, "a,b c,3");
    expect_ok(parse(f, "optim: {note: [], lr: 0}\n"));
    assert_string_equal(f->optim.note, "");
    expect_ok(parse(f, "actor: {optim: {lr: 0.5}}\ndata: here\n"));
    assert_true(f->optim.lr == 0.5);
    assert_string_equal(f->other.path, "here");
    expect_ok(parse(f, "optim: {note: }"));
    assert_string_equal(f->optim.note, "");
    expect_ok(parse(f, ""));
    expect_ok(parse(f, "# nothing\n"));
    expect_ok(parse(f, "---\n...\n"));
    expect_ok(parse(f, "optim: {}\n"));
}

static void test_json_is_yaml(void **state) {
    struct fixture *f = *state;
    expect_ok(parse(f, "{\"steps\":7,\"optim\":{\"lr\":1e-3,\"clip\":true,\n"
                       "\t\"note\":\"tab\\t \\\"q\\\" \\/ \\u00e9 \\\\\"}, \"data\" : {\"path\": "
                       "[\"x\",\"y\"]}}\n"));
    assert_int_equal(f->optim.steps, 7);
    assert_true(f->optim.clip && f->optim.lr == 1e-3);
    assert_string_equal(f->optim.note, "tab\t \"q\" / \xc3\xa9 \\");
    assert_string_equal(f->other.path, "x,y");
}

static void test_yaml_sentences(void **state) {
    struct fixture *f = *state;
    const struct {
        const char *text, *sentence;
    } bad[] = {
        {"seed: 5\nstepz: 2\n", "f.yaml:2: unknown key \"stepz\"; did you mean steps?"},
        {"steps: 5\nsteps: 6\n", "f.yaml:2: steps stands twice, first on line 1"},
        {"optim:\n  lr: 0\noptim.lr: 1\n", "f.yaml:3: optim.lr stands twice, first on line 2"},
        {"learning_rate: 0\noptim:\n  lr: 1\n", "f.yaml:3: optim.lr stands twice, first on line 1"},
        {"optim:\n  lr: 0\noptim:\n  clip: 1\n", "f.yaml:3: optim stands twice, first on line 1"},
        {"data: x\ndata: {}\n", "f.yaml:2: data stands twice, first on line 1"},
        {"steps: &a 5\n", "f.yaml:1: YAML anchors are not supported"},
        {"&k steps: 5\n", "f.yaml:1: YAML anchors are not supported"},
        {"optim: &a {}\n", "f.yaml:1: YAML anchors are not supported"},
        {"seed: 1\nsteps: *a\n", "f.yaml:2: YAML aliases are not supported"},
        {"steps: !!int 5\n",
         "f.yaml:1: YAML tags are not supported: the key says what its value is"},
        {"steps: [5]\n", "f.yaml:1: steps must be an integer in [1, 1000000], not a list"},
        {"steps: {a: 5}\n", "f.yaml:1: steps must be an integer in [1, 1000000], not a map"},
        {"optimm: {lr: 5}\n", "f.yaml:1: unknown section \"optimm\"; did you mean optim?"},
        {"optim: {x: {lr: 5}}\n", "f.yaml:1: unknown section \"optim.x\"; did you mean optim?"},
        {"optim: 5\n", "f.yaml:1: \"optim\" is a section, a value goes to one of its keys"},
        {"optim: [5]\n", "f.yaml:1: \"optim\" is a section, a value goes to one of its keys"},
        {"data: [[a]]\n", "f.yaml:1: the list of data may hold plain values only"},
        {"data: [{a: b}]\n", "f.yaml:1: the list of data may hold plain values only"},
        {"data: ['a,b']\n",
         "f.yaml:1: an item in the list of data holds a comma, which joins items"},
        {"data: [*a]\n", "f.yaml:1: YAML aliases are not supported"},
        {"data: \"a\\0b\"\n", "f.yaml:1: text with a NUL character in it"},
        {"[a]: 5\n", "f.yaml:1: a key must be a name, not a list or a map"},
        {"? {a: b}\n: 5\n", "f.yaml:1: a key must be a name, not a list or a map"},
        {"5\n", "f.yaml:1: expected keys with values, such as \"steps: 100\""},
        {"\n- a\n", "f.yaml:2: expected keys with values, such as \"steps: 100\""},
        {"steps: 5\n---\nsteps: 6\n", "f.yaml:2: a second YAML document; a config is one document"},
        {"<<: {steps: 5}\n", "f.yaml:1: unknown section \"<<\""},
        {"steps:\n", "f.yaml:1: steps must be an integer in [1, 1000000], not \"\""},
        {"\n\ndata: [5\n", "f.yaml:4: not valid YAML: did not find expected ',' or ']'"},
        {"steps: 5\n\nseed: \xff\n", "f.yaml:3: not valid YAML: invalid leading UTF-8 octet"},
        {"steps: 5\nseed: \x01\n", "f.yaml:2: not valid YAML: control characters are not allowed"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        status s = parse(f, bad[i].text);
        if (!s) print_error("accepted: %s\n", bad[i].text);
        expect_failure(s, EXIT_BAD_CONFIG, bad[i].sentence);
    }
}

static void test_yaml_bounds(void **state) {
    struct fixture *f = *state;
    enum { BIG = (1 << 20) + 1 };
    char *text = malloc(BIG + 1);
    memset(text, '#', BIG);
    text[BIG] = 0;
    expect_failure(parse(f, text), EXIT_BAD_CONFIG, "f.yaml: more than 1048576 bytes of config");
    const char *opening[] = {"[", "{", "{a: ", "- ", "? ", "{? ", "data: [", "\"", "optim: {"};
    for (size_t i = 0; i < sizeof opening / sizeof *opening; i++) {
        size_t n = strlen(opening[i]);
        for (size_t at = 0; at + n < 100000; at += n) memcpy(text + at, opening[i], n + 1);
        status s = parse(f, text);
        assert_int_equal(status_code(s), EXIT_BAD_CONFIG);
        status_free(s);
    }
    /* A long list takes time in proportion to its length. */
    strcpy(text, "data: [a");
    for (char *p = text + 8; p < text + 800000; p += 2) memcpy(p, ",b", 3);
    strcat(text, "]");
    expect_ok(parse(f, text));
    assert_int_equal(strlen(f->other.path), 799993);
    free(text);
}

static void test_yaml_files(void **state) {
    struct fixture *f = *state;
    status s = config_load_yaml(&f->config, "/no/such/file.yaml");
    assert_int_equal(status_code(s), EXIT_NO_INPUT);
    assert_non_null(strstr(status_text(s), "/no/such/file.yaml"));
    status_free(s);
    s = config_load_yaml(&f->config, "/");
    assert_int_equal(status_code(s), EXIT_NO_INPUT);
    status_free(s);
}

/* ---- the command line ---- */

static status load(struct fixture *f, int argc, const char *const *argv) {
    return config_load_args(&f->config, argc, (char **)argv);
}
#define LOAD(f, ...)                                                                               \
    load(f, (int)(sizeof(const char *[]){__VA_ARGS__} / sizeof(const char *)),                     \
         (const char *const[]){__VA_ARGS__})

static void test_arguments(void **state) {
    struct fixture *f = *state;
    expect_ok(LOAD(f, "steps=5", "--seed=-6", "--optim.lr", "0.25", "--optim.clip",
                   "optim.note=a=b --c", "--data.path", "--odd name="));
    assert_int_equal(f->optim.steps, 5);
    assert_int_equal(f->optim.seed, -6);
    assert_true(f->optim.lr == 0.25);
    assert_true(f->optim.clip);
    assert_string_equal(f->optim.note, "a=b --c");
    assert_string_equal(f->other.path, "--odd name=");
    expect_ok(LOAD(f, "--optim.clip", "false", "--seed", "-7", "optim.note="));
    assert_false(f->optim.clip);
    assert_int_equal(f->optim.seed, -7);
    assert_string_equal(f->optim.note, "");
    expect_ok(LOAD(f, "--optim.clip", "--seed", "1", "steps=6", "steps=7"));
    assert_true(f->optim.clip);
    assert_int_equal(f->optim.steps, 7);
    expect_ok(load(f, 0, NULL));

    const char *usage[][2] = {{"steps", NULL}, {"-x", NULL},      {"=5", NULL},
                              {"--=5", NULL},  {"--", NULL},      {"-steps=5", NULL},
                              {"-c", NULL},    {"--steps", NULL}, {"", NULL},
                              {"-", NULL},     {"--config", NULL}};
    for (size_t i = 0; i < sizeof usage / sizeof *usage; i++) {
        status s = load(f, 1, usage[i]);
        if (!s) print_error("accepted: %s\n", usage[i][0]);
        assert_int_equal(status_code(s), EXIT_USAGE_ERROR);
        status_free(s);
    }
    expect_failure(LOAD(f, "--stepz", "5"), EXIT_BAD_CONFIG,
                   "command line: unknown key \"stepz\"; did you mean steps?");
    expect_failure(LOAD(f, "steps=5", "steps=1.5"), EXIT_BAD_CONFIG,
                   "command line: steps must be an integer in [1, 1000000], not \"1.5\"");
}

static void test_argument_files(void **state) {
    struct fixture *f = *state;
    char path[] = "/tmp/test_config_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "steps: 50\nseed: 51\n", 19), 19);
    assert_int_equal(close(fd), 0);
    expect_ok(LOAD(f, "steps=1", "-c", path, "seed=2"));
    assert_int_equal(f->optim.steps, 50); /* later wins, whichever it is */
    assert_int_equal(f->optim.seed, 2);
    expect_ok(LOAD(f, "--config", path, "steps=3"));
    assert_int_equal(f->optim.steps, 3);
    assert_int_equal(f->optim.seed, 51);
    assert_int_equal(unlink(path), 0);
    status s = LOAD(f, "-c", path);
    assert_int_equal(status_code(s), EXIT_NO_INPUT);
    status_free(s);
}

/* ---- what is written ---- */

static const char *const odd_texts[] = {
    "",
    "no",
    "null",
    "~",
    "1e-6",
    "a: b # c",
    "'",
    "\"",
    "\\",
    "\n\t\r\b",
    "\x01\x1f\x7f",
    "  blanks  ",
    "line\n\n end\n",
    "{}",
    "[",
    "*a",
    "\xc2\x85 \xc2\xa0 \xe2\x80\xa8 \xe2\x80\xa9 \xef\xbb\xbf",             /* NEL NBSP LS PS BOM */
    "\xef\xbf\xbe \xef\xbf\xbf \xf0\x9f\x98\x80 \xf4\x8f\xbf\xbf \xc3\xa9", /* nonplanes, emoji */
};

static void test_round_trip(void **state) {
    struct fixture *f = *state;
    uint64_t random = 1;
    for (int round = 0; round < 500; round++) {
        /* Any double in [0, 1]: its bits are drawn, so that all exponents come up. */
        double x;
        do {
            random = random * 6364136223846793005u + 1442695040888963407u;
            uint64_t bits = (random >> 2) % 0x3ff0000000000001u;
            memcpy(&x, &bits, sizeof x);
        } while (!(x >= 0 && x <= 1));
        f->optim.lr = x;
        f->optim.limit = round % 10 ? x * 1e300 : INFINITY;
        f->optim.signed_one = -x;
        f->optim.seed = (int64_t)random;
        f->optim.clip = round % 2;
        f->optim.note = odd_texts[(size_t)round % (sizeof odd_texts / sizeof *odd_texts)];
        f->other.path = f->optim.note;
        char *text = written(f);
        struct fixture again;
        fixture_open(&again);
        expect_ok(parse(&again, text));
        assert_memory_equal(&again.optim.lr, &f->optim.lr, sizeof(double));
        assert_memory_equal(&again.optim.limit, &f->optim.limit, sizeof(double));
        assert_memory_equal(&again.optim.signed_one, &f->optim.signed_one, sizeof(double));
        assert_int_equal(again.optim.seed, f->optim.seed);
        assert_int_equal(again.optim.clip, f->optim.clip);
        assert_string_equal(again.optim.note, f->optim.note);
        assert_string_equal(again.other.path, f->other.path);
        char *twice = written(&again);
        assert_string_equal(twice, text);
        free(twice);
        free(text);
        arena_free(&again.arena);
    }
}

static void test_written_yaml(void **state) {
    struct fixture *f = *state;
    char *text = written(f);
    assert_string_equal(text, "steps: 100\n"
                              "seed: -5\n"
                              "optim:\n"
                              "  lr: 1.0e-06\n"
                              "  limit: \"inf\"\n"
                              "  signed: 0.0\n"
                              "  clip: false\n"
                              "  schedule: \"constant\"\n"
                              "  note: \"a note\"\n"
                              "data:\n"
                              "  path: \"\" # execution\n"
                              "  countdown:\n"
                              "    numbers: 3\n");
    free(text);
}

/* What libyaml's own loader finds for a key of a map in the document. */
static const char *loaded(yaml_document_t *document, const char *section, const char *key) {
    yaml_node_t *node = yaml_document_get_root_node(document);
    const char *path[] = {section, key};
    for (int depth = 0; depth < 2; depth++) {
        assert_int_equal(node->type, YAML_MAPPING_NODE);
        yaml_node_t *found = NULL;
        for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top;
             p++)
            if (!strcmp((char *)yaml_document_get_node(document, p->key)->data.scalar.value,
                        path[depth]))
                found = yaml_document_get_node(document, p->value);
        assert_non_null(found);
        node = found;
    }
    return (const char *)node->data.scalar.value;
}

static void test_others_read_what_we_write(void **state) {
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof odd_texts / sizeof *odd_texts; i++) {
        f->optim.note = odd_texts[i];
        f->optim.lr = 0.1 + 0.2;
        char *text = written(f);
        yaml_parser_t parser;
        yaml_document_t document;
        assert_int_equal(yaml_parser_initialize(&parser), 1);
        yaml_parser_set_input_string(&parser, (unsigned char *)text, strlen(text));
        assert_int_equal(yaml_parser_load(&parser, &document), 1);
        assert_string_equal(loaded(&document, "optim", "note"), odd_texts[i]);
        assert_true(atof(loaded(&document, "optim", "lr")) == 0.1 + 0.2);
        yaml_document_delete(&document);
        yaml_parser_delete(&parser);
        free(text);

        json_t *json = json_loads(config_semantic(&f->config, &f->arena), 0, NULL);
        assert_non_null(json);
        assert_string_equal(json_string_value(json_object_get(json, "optim.note")), odd_texts[i]);
        assert_true(json_real_value(json_object_get(json, "optim.lr")) == 0.1 + 0.2);
        json_decref(json);
    }
}

static void test_semantic(void **state) {
    struct fixture *f = *state;
    assert_string_equal(
        config_semantic(&f->config, &f->arena),
        "{\"data.countdown.numbers\":3,\"optim.clip\":false,\"optim.limit\":\"inf\","
        "\"optim.lr\":1.0e-06,\"optim.note\":\"a note\",\"optim.schedule\":"
        "\"constant\",\"optim.signed\":0.0,\"seed\":-5,\"steps\":100}");
    const char *before = config_semantic(&f->config, &f->arena);
    expect_ok(config_set(&f->config, "data.path", "elsewhere", "here"));
    assert_string_equal(config_semantic(&f->config, &f->arena), before);
}

static void test_difference(void **state) {
    struct fixture *f = *state;
    const char *there = config_semantic(&f->config, &f->arena);
    assert_null(config_difference(there, there, &f->arena));
    expect_ok(LOAD(f, "optim.lr=2e-3", "optim.note=b", "steps=7", "optim.clip=1"));
    const char *here = config_semantic(&f->config, &f->arena);
    assert_string_equal(config_difference(there, here, &f->arena),
                        "optim.clip: false there, true here; optim.lr: 1.0e-06 there, 0.002 here; "
                        "optim.note: \"a note\" there, \"b\" here; steps: 100 there, 7 here");
    assert_string_equal(config_difference("{\"a\":1}", "{\"b\":1.5}", &f->arena),
                        "b: absent there, 1.5 here; \"a\": 1 there, absent here");
    assert_null(config_difference("{\"a\":1, \"b\":2}", "{\"b\":2,\"a\":1}", &f->arena));
    assert_non_null(config_difference("{\"a\":1", "{}", &f->arena));
    assert_non_null(config_difference("[]", "{}", &f->arena));
    assert_string_equal(
        config_difference("{}",
                          "{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,"
                          "\"i\":1,\"j\":1}",
                          &f->arena) +
            strlen("a: absent there, 1 here; ") * 8 - 2,
        "; and 2 more");
}

static char *printed(const struct fixture *f, void (*print)(const struct config *, FILE *)) {
    char *text;
    size_t n;
    FILE *out = open_memstream(&text, &n);
    print(&f->config, out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void print_optim_help(const struct config *c, FILE *out) {
    config_print_help(c, "optim.l", out);
}

static void print_data_help(const struct config *c, FILE *out) {
    config_print_help(c, "data.", out);
}

static void test_help(void **state) {
    char *text = printed(*state, print_optim_help);
    assert_string_equal(text, "  optim.lr=1e-6    the learning rate (a number in [0, 1])\n"
                              "  optim.limit=inf  no bound above (a number of at least 0)\n");
    free(text);
    text = printed(*state, print_data_help);
    assert_string_equal(text,
                        "  data.path=                where the a|b data is (text; execution)\n"
                        "  data.countdown.numbers=3  how many (an integer in [2, 6])\n");
    free(text);
}

static int count_of(const char *text, const char *part) {
    int n = 0;
    for (; (text = strstr(text, part)); text++) n++;
    return n;
}

static void test_markdown(void **state) {
    char *text = printed(*state, config_print_markdown);
    const char *lines[] = {
        "## Top level\n",
        "\n## optim\n",
        "| `optim.lr` | `1e-6` | a number in [0, 1] | semantic | the learning rate |\n",
        "| `data.path` | empty | text | execution | where the a\\|b data is |\n",
        "| `optim.schedule` | `constant` | one of constant, cosine, linear | semantic |",
        "| `learning_rate` | `optim.lr` |\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        if (!strstr(text, lines[i])) print_error("missing: %s", lines[i]);
        assert_non_null(strstr(text, lines[i]));
    }
    assert_int_equal(count_of(text, "## optim"), 1); /* two fragments, but one table */
    free(text);
}

static void test_json_schema(void **state) {
    char *text = printed(*state, config_print_schema);
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    json_t *optim = json_object_get(json_object_get(root, "properties"), "optim");
    json_t *lr = json_object_get(json_object_get(optim, "properties"), "lr");
    assert_string_equal(json_string_value(json_object_get(lr, "type")), "number");
    assert_true(json_number_value(json_object_get(lr, "default")) == 1e-6);
    assert_true(json_number_value(json_object_get(lr, "maximum")) == 1);
    json_t *limit = json_object_get(json_object_get(optim, "properties"), "limit");
    assert_null(json_object_get(limit, "maximum"));
    json_t *schedule = json_object_get(json_object_get(optim, "properties"), "schedule");
    assert_int_equal(json_array_size(json_object_get(schedule, "enum")), 3);
    assert_int_equal(json_object_size(json_object_get(optim, "properties")), 6);
    json_decref(root);
    free(text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_defaults),
        TEST(test_integers),
        TEST(test_floats),
        TEST(test_bools_and_choices),
        TEST(test_sentences),
        cmocka_unit_test(test_nearest_distance),
        cmocka_unit_test(test_nearest_names),
        TEST(test_yaml_values),
        TEST(test_json_is_yaml),
        TEST(test_yaml_sentences),
        TEST(test_yaml_bounds),
        TEST(test_yaml_files),
        TEST(test_arguments),
        TEST(test_argument_files),
        TEST(test_round_trip),
        TEST(test_written_yaml),
        TEST(test_others_read_what_we_write),
        TEST(test_semantic),
        TEST(test_difference),
        TEST(test_help),
        TEST(test_markdown),
        TEST(test_json_schema),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
