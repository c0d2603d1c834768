/* Tokenizers against the ids and texts of the `tokenizers` library (tools/make_tokenizer_vectors.py), and
 * against files that must be refused.
 *
 * Directories with full-size tokenizers are tested too when GRPO_TOKENIZERS names a folder of them, or
 * ../shared/data/tokenizers is one: each holds a tokenizer.json and a vectors.jsonl with lines
 * {"text": ..., "ids": [...]}. */
#include "base/file.h"
#include "base/json.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "kernels/pool.h"
#include "policy/tokenizer.h"
#include "tests/expect.h"

#include <dirent.h>
#include <stdatomic.h>

#define GOLDEN "tests/golden/tokenizers"

static int32_t *ids_of(const json_t *list, size_t *n, struct arena *arena) {
    *n = json_array_size(list);
    int32_t *ids = ARENA_ARRAY(arena, *n, int32_t);
    for (size_t i = 0; i < *n; i++) ids[i] = (int32_t)json_integer_value(json_array_get(list, i));
    return ids;
}

static void print_difference(const char *what, const char *where, size_t line, struct span text) {
    print_error("%s:%zu: %s differ for \"%.*s\"\n", where, line, what, SPAN_FMT(text));
}

/* The ids of a text are these. */
static int check_ids(const struct tokenizer *t, struct span text, bool parse_special,
                     const json_t *expected, const char *where, size_t line) {
    struct arena arena = {0};
    size_t n, m;
    int32_t *ids, *wanted = ids_of(expected, &m, &arena);
    expect_ok(tokenizer_encode(t, text, parse_special, &arena, &ids, &n));
    bool same = n == m && memcmp(ids, wanted, n * sizeof *ids) == 0;
    if (!same) print_difference(parse_special ? "ids" : "plain ids", where, line, text);
    arena_free(&arena);
    return !same;
}

static int check_text(const struct tokenizer *t, const json_t *list, bool skip_special,
                      struct span expected, const char *where, size_t line) {
    struct arena arena = {0};
    size_t n;
    int32_t *ids = ids_of(list, &n, &arena);
    bool same = span_eq(tokenizer_decode(t, ids, n, skip_special, &arena), expected);
    if (!same) print_difference(skip_special ? "skipped" : "decoded", where, line, expected);
    arena_free(&arena);
    return !same;
}

/* The ids one by one give the text in whole characters. */
static int check_stream(const struct tokenizer *t, const int32_t *ids, size_t n,
                        bool skip_special) {
    struct arena arena = {0};
    struct span whole = tokenizer_decode(t, ids, n, skip_special, &arena);
    struct tokenizer_stream *s = tokenizer_stream_open(t, skip_special);
    size_t at = 0;
    bool same = true;
    for (size_t i = 0; i <= n; i++) {
        struct span part = i < n ? tokenizer_stream_add(s, ids[i]) : tokenizer_stream_end(s);
        same &= utf8_invalid(part) == part.n && part.n <= whole.n - at &&
                memcmp(whole.p + at, part.p, part.n) == 0;
        at += same ? part.n : 0;
    }
    same &= at == whole.n;
    if (!same) print_error("streamed text differs for \"%.*s\"\n", SPAN_FMT(whole));
    tokenizer_stream_close(s);
    arena_free(&arena);
    return !same;
}

static int check_streams(const struct tokenizer *t, const json_t *list) {
    struct arena arena = {0};
    size_t n;
    int32_t *ids = ids_of(list, &n, &arena);
    int different = check_stream(t, ids, n, false) + check_stream(t, ids, n, true);
    arena_free(&arena);
    return different;
}

/* One line of a vectors.jsonl. What is equal to something before is left out of it. */
static int check_row(const struct tokenizer *t, const json_t *row, struct span text,
                     const char *where, size_t line) {
    const json_t *ids = json_object_get(row, "ids"), *plain = json_object_get(row, "plain");
    const json_t *decoded = json_object_get(row, "decoded"),
                 *skipped = json_object_get(row, "skipped");
    struct span after = decoded ? json_span(decoded) : text;
    return check_ids(t, text, true, ids, where, line) +
           check_ids(t, text, false, plain ? plain : ids, where, line) +
           check_text(t, ids, false, after, where, line) +
           check_text(t, ids, true, skipped ? json_span(skipped) : after, where, line) +
           check_streams(t, ids);
}

/* Checks every line of DIR/vectors.jsonl. Texts stand in its lines, or in `texts`. Returns the number
 * of lines. */
static size_t check_directory(const char *dir, const json_t *texts) {
    struct arena arena = {0};
    const char *path = arena_print(&arena, "%s/vectors.jsonl", dir);
    struct tokenizer *t = NULL;
    struct json_lines lines;
    struct span line;
    bool more;
    int different = 0;
    size_t n = 0;
    expect_ok(tokenizer_open(&t, dir));
    expect_ok(json_lines_open(&lines, path, 1 << 20));
    for (;; n++) {
        expect_ok(json_lines_next(&lines, &line, &more));
        if (!more) break;
        json_t *row;
        expect_ok(json_parse(&row, line, path, lines.line));
        if (texts)
            different += check_row(t, row, json_span(json_array_get(texts, n)), path, lines.line);
        else
            different += check_ids(t, json_span(json_object_get(row, "text")), true,
                                   json_object_get(row, "ids"), path, lines.line);
        json_decref(row);
    }
    assert_int_equal(different, 0);
    json_lines_close(&lines);
    tokenizer_close(t);
    arena_free(&arena);
    return n;
}

static size_t check_directories(const char *root, const json_t *texts) {
    struct arena arena = {0};
    size_t n = 0;
    DIR *dir = opendir(root);
    assert_non_null(dir);
    for (const struct dirent *entry; (entry = readdir(dir));) {
        const char *path = arena_print(&arena, "%s/%s", root, entry->d_name);
        if (!file_exists(arena_print(&arena, "%s/vectors.jsonl", path))) continue;
        assert_true(check_directory(path, texts) >= 500);
        n++;
    }
    closedir(dir);
    arena_free(&arena);
    return n;
}

static void test_vectors(void **state) {
    (void)state;
    json_t *texts = json_array(), *text;
    struct json_lines lines;
    struct span line;
    bool more;
    expect_ok(json_lines_open(&lines, GOLDEN "/texts.jsonl", 1 << 20));
    for (;;) {
        expect_ok(json_lines_next(&lines, &line, &more));
        if (!more) break;
        expect_ok(json_parse(&text, line, "texts.jsonl", lines.line));
        json_array_append_new(texts, text);
    }
    json_lines_close(&lines);
    assert_int_equal(json_array_size(texts), 537);
    assert_int_equal(check_directories(GOLDEN, texts), 12);
    json_decref(texts);
}

static void test_full_size(void **state) {
    (void)state;
    const char *root = getenv("GRPO_TOKENIZERS");
    if (!root) root = "../shared/data/tokenizers";
    if (!file_is_dir(root)) skip();
    assert_true(check_directories(root, NULL) > 0);
}

static struct tokenizer *opened(const char *name) {
    struct arena arena = {0};
    struct tokenizer *t = NULL;
    expect_ok(tokenizer_open(&t, arena_print(&arena, GOLDEN "/%s", name)));
    arena_free(&arena);
    return t;
}

static void test_names_of_tokens(void **state) {
    (void)state;
    struct tokenizer *t = opened("mini_qwen");
    assert_int_equal(tokenizer_size(t), 1261);
    assert_int_equal(tokenizer_id(t, SPAN("!")), 0);
    assert_int_equal(tokenizer_id(t, SPAN("<|im_end|>")), 1258);
    assert_int_equal(tokenizer_id(t, SPAN("</think>")), 1260);
    assert_int_equal(tokenizer_id(t, SPAN("no such token")), -1);
    assert_true(tokenizer_is_special(t, 1258));
    assert_false(tokenizer_is_special(t, 1260));
    assert_false(tokenizer_is_special(t, -1));
    assert_false(tokenizer_is_special(t, 1261));
    struct arena arena = {0};
    const int32_t ids[] = {-1, 1258, 1260, 5000, INT32_MAX};
    assert_true(span_eq(tokenizer_decode(t, ids, 5, true, &arena), SPAN("</think>")));
    assert_true(span_eq(tokenizer_decode(t, ids, 5, false, &arena), SPAN("<|im_end|></think>")));
    assert_int_equal(tokenizer_decode(t, NULL, 0, false, &arena).n, 0);
    arena_free(&arena);
    tokenizer_close(t);
}

static void test_not_text(void **state) {
    (void)state;
    struct tokenizer *t = opened("mini_gpt2");
    struct arena arena = {0};
    int32_t *ids;
    size_t n;
    expect_failure(tokenizer_encode(t, SPAN("ab\xFF"), true, &arena, &ids, &n), EXIT_BAD_DATA,
                   "not UTF-8 at byte 2");
    /* Half of U+0127 decodes to U+FFFD, both halves to the character. */
    expect_ok(tokenizer_encode(t, SPAN("\xC4\xA7"), true, &arena, &ids, &n));
    assert_int_equal(n, 2);
    assert_true(span_eq(tokenizer_decode(t, ids, 2, true, &arena), SPAN("\xC4\xA7")));
    assert_true(span_eq(tokenizer_decode(t, ids, 1, true, &arena), SPAN("\xEF\xBF\xBD")));
    arena_free(&arena);
    tokenizer_close(t);
}

/* Long runs must not take quadratic time: at a few MB/s each of these is a fraction of a second, while a
 * quadratic step would be hours. */
static void test_long_runs(void **state) {
    (void)state;
    static const struct {
        const char *tokenizer, *unit;
    } runs[] = {
        {"mini_qwen", " "},        {"mini_qwen", "a"},     {"mini_deepseek", "!"},
        {"mini_o200k", "A"},       {"byte_fallback", "a"}, {"byte_fallback", "\xE4\xB8\xAD"},
        {"mini_strip", "<mask> "}, {"mini_gpt2", "7"},
    };
    enum { BYTES = 600000 };
    char *text = malloc(BYTES);
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        struct tokenizer *t = opened(runs[i].tokenizer);
        struct arena arena = {0};
        size_t unit = strlen(runs[i].unit), n;
        for (size_t k = 0; k < BYTES; k++) text[k] = runs[i].unit[k % unit];
        int32_t *ids;
        struct span all = {text, BYTES - BYTES % unit};
        expect_ok(tokenizer_encode(t, all, false, &arena, &ids, &n));
        assert_true(span_eq(tokenizer_decode(t, ids, n, false, &arena), all));
        tokenizer_close(t);
        arena_free(&arena);
    }
    /* Marks in descending order, which composing has to sort. */
    size_t n = 0;
    for (; n + 2 <= BYTES / 2; n += 2) memcpy(text + n, "\xCC\x81", 2);
    for (; n + 2 <= BYTES; n += 2) memcpy(text + n, "\xCC\xA3", 2);
    struct tokenizer *t = opened("mini_qwen");
    struct arena arena = {0};
    int32_t *ids;
    size_t n_ids;
    expect_ok(tokenizer_encode(t, (struct span){text, n}, false, &arena, &ids, &n_ids));
    struct span sorted = tokenizer_decode(t, ids, n_ids, false, &arena);
    assert_true(sorted.n == n && memcmp(sorted.p, "\xCC\xA3", 2) == 0);
    tokenizer_close(t);
    arena_free(&arena);
    free(text);
}

/* What each thread encodes, and what it must come to. */
struct encoding {
    const struct tokenizer *tokenizer;
    struct span text;
    const int32_t *expected; /* [n] */
    size_t n;
    atomic_int *wrong;
};

static void encode_again(const void *task, int piece) {
    const struct encoding *e = task;
    struct arena own = {0};
    int32_t *ids;
    size_t n = 0;
    (void)piece;
    status s = tokenizer_encode(e->tokenizer, e->text, true, &own, &ids, &n);
    if (s || n != e->n || memcmp(ids, e->expected, n * sizeof *ids) != 0)
        atomic_fetch_add(e->wrong, 1);
    status_free(s);
    arena_free(&own);
}

/* One tokenizer used by several threads gives each what it gives alone. */
static void test_threads(void **state) {
    (void)state;
    struct tokenizer *t = opened("mini_llama3");
    struct span text = SPAN("Let me think: (3 + 4) * 12 = 84, isn't it? <|eot_id|>");
    struct arena arena = {0};
    int32_t *expected;
    size_t n;
    expect_ok(tokenizer_encode(t, text, true, &arena, &expected, &n));
    atomic_int wrong = 0;
    struct pool *pool = pool_open(4);
    pool_run(pool, 400, encode_again, &(struct encoding){t, text, expected, n, &wrong});
    pool_close(pool);
    assert_int_equal(atomic_load(&wrong), 0);
    arena_free(&arena);
    tokenizer_close(t);
}

/* A small tokenizer.json; `more` overrides its keys at the top, `model` those of its model. */
static status parse_small(struct tokenizer **t, const char *more, const char *model) {
    static const char base[] =
        "{\"decoder\": {\"type\": \"ByteLevel\"}, \"model\": {\"type\": \"BPE\", "
        "\"vocab\": {\"a\": 0, \"b\": 1, \"ab\": 2, \"c\": 3}, \"merges\": [\"a b\"]}}";
    struct arena arena = {0};
    json_t *file = json_loads(base, 0, NULL);
    json_t *top = json_loads(more ? more : "{}", 0, NULL),
           *inner = json_loads(model ? model : "{}", 0, NULL);
    assert_true(file && top && inner);
    json_object_update(json_object_get(file, "model"), inner);
    json_object_update(file, top);
    status s = tokenizer_parse(t, json_canonical(file, &arena), "small.json");
    json_decref(file);
    json_decref(top);
    json_decref(inner);
    arena_free(&arena);
    return s;
}

static void test_text_without_token(void **state) {
    (void)state;
    struct tokenizer *t = NULL;
    struct arena arena = {0};
    int32_t *ids;
    size_t n;
    expect_ok(parse_small(&t, NULL, NULL));
    expect_ok(tokenizer_encode(t, SPAN("abcb"), true, &arena, &ids, &n));
    assert_true(n == 3 && ids[0] == 2 && ids[1] == 3 && ids[2] == 1);
    expect_failure(tokenizer_encode(t, SPAN("abd"), true, &arena, &ids, &n), EXIT_BAD_DATA,
                   "no token for the character U+0064");
    tokenizer_close(t);
    arena_free(&arena);
}

/* Merges that lead back to where they began: of an empty token, which no text is cut into. */
static void test_cyclic_merges(void **state) {
    (void)state;
    struct tokenizer *t = NULL;
    struct arena arena = {0};
    int32_t *ids;
    size_t n;
    expect_ok(parse_small(&t, NULL,
                          "{\"vocab\": {\"a\": 0, \"b\": 1, \"ab\": 2, \"\": 3}, \"merges\": "
                          "[[\"ab\", \"\"], [\"\", \"ab\"], [\"a\", \"b\"], [\"\", \"\"]]}"));
    expect_ok(tokenizer_encode(t, SPAN("abab"), true, &arena, &ids, &n));
    assert_true(n == 2 && ids[0] == 2 && ids[1] == 2);
    tokenizer_close(t);
    arena_free(&arena);
}

static const char templated[] =
    "{\"post_processor\": {\"type\": \"Sequence\", \"processors\": [{\"type\": \"ByteLevel\"}, "
    "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"c\", "
    "\"type_id\": "
    "0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}]}]}}";

/* A directory of the golden tokenizer `name` whose settings say this. */
static status open_with(struct tokenizer **t, const char *name, const char *settings) {
    struct arena arena = {0};
    const char *dir = expect_path("settings");
    expect_ok(file_make_dirs(dir));
    expect_ok(file_copy(arena_print(&arena, GOLDEN "/%s/tokenizer.json", name),
                        arena_print(&arena, "%s/tokenizer.json", dir)));
    expect_ok(file_write(arena_print(&arena, "%s/tokenizer_config.json", dir), settings,
                         strlen(settings)));
    status s = tokenizer_open(t, dir);
    arena_free(&arena);
    return s;
}

static void expect_begin(const char *name, const char *settings, int32_t begin) {
    struct tokenizer *t = NULL;
    expect_ok(open_with(&t, name, settings));
    assert_int_equal(tokenizer_begin(t), begin);
    tokenizer_close(t);
}

/* What raw texts begin with: Llama 3 says it in tokenizer.json, DeepSeek in tokenizer_config.json. */
static void test_begin(void **state) {
    (void)state;
    struct tokenizer *t = NULL;
    expect_ok(parse_small(&t, NULL, NULL));
    assert_int_equal(tokenizer_begin(t), -1);
    tokenizer_close(t);
    expect_ok(parse_small(&t, templated, NULL));
    assert_int_equal(tokenizer_begin(t), 3);
    tokenizer_close(t);
    int32_t llama3, deepseek;
    expect_ok(tokenizer_open(&t, GOLDEN "/mini_llama3"));
    llama3 = tokenizer_id(t, SPAN("<|begin_of_text|>"));
    tokenizer_close(t);
    expect_ok(tokenizer_open(&t, GOLDEN "/mini_deepseek"));
    deepseek = tokenizer_id(t, SPAN("<｜begin▁of▁sentence｜>"));
    tokenizer_close(t);
    expect_begin("mini_llama3", "{\"bos_token\": \"<|begin_of_text|>\"}", -1);
    expect_begin("mini_llama3", "{\"add_bos_token\": true, \"bos_token\": \"<|begin_of_text|>\"}",
                 llama3);
    expect_begin("mini_deepseek",
                 "{\"add_bos_token\": true, \"bos_token\": {\"__type\": \"AddedToken\", "
                 "\"content\": \"<｜begin▁of▁sentence｜>\"}}",
                 deepseek);
    expect_begin("mini_deepseek", "{\"add_bos_token\": false, \"bos_token\": \"x\"}", -1);
    t = NULL; /* a failure leaves nothing behind that would be closed twice */
    expect_failure(open_with(&t, "mini_llama3", "{\"add_bos_token\": true, \"bos_token\": \"no\"}"),
                   EXIT_BAD_DATA, "\"bos_token\" was expected to be a token");
    assert_null(t);
    expect_failure(open_with(&t, "mini_llama3", "{\"add_bos_token\": 1}"), EXIT_BAD_DATA,
                   "\"add_bos_token\" must be");
}

static void test_refused(void **state) {
    (void)state;
    static const struct {
        const char *more, *model, *sentence;
    } cases[] = {
        {NULL, "{\"type\": \"Unigram\"}", "small.json: the model \"Unigram\" is not supported"},
        {NULL, "{\"type\": \"WordPiece\"}", "the model \"WordPiece\" is not supported"},
        {"{\"model\": null}", NULL, "\"model\" must be an object, not null"},
        {NULL, "{\"vocab\": []}", "\"vocab\" must be an object"},
        {NULL, "{\"vocab\": {\"a\": -1}}", "the token \"a\" has no id in [0, 65536]"},
        {NULL, "{\"vocab\": {\"a\": 3000000000}}", "the token \"a\" has no id"},
        {NULL, "{\"vocab\": {\"a\": 70000}}", "the token \"a\" has no id"},
        {NULL, "{\"vocab\": {\"a\": \"0\"}}", "the token \"a\" has no id"},
        {NULL, "{\"vocab\": {\"a\": 1, \"b\": 1}}", "the id 1 is given to two tokens"},
        {NULL, "{\"merges\": {}}", "\"merges\" must be a list"},
        {NULL, "{\"merges\": [\"ab\"]}", "merge 0 is not a pair of tokens"},
        {NULL, "{\"merges\": [\"a b c\"]}", "merge 0 is not a pair of tokens"},
        {NULL, "{\"merges\": [[\"a\", 3]]}", "merge 0 is not a pair of tokens"},
        {NULL, "{\"merges\": [\"a b\", \"a c\"]}", "merge 1 has a side or a result that is not in"},
        {NULL, "{\"merges\": [[\"d\", \"b\"]]}", "merge 0 has a side or a result that is not in"},
        {NULL, "{\"dropout\": 0.1}", "\"dropout\" is set, which is not supported"},
        {NULL, "{\"continuing_subword_prefix\": \"##\"}", "\"continuing_subword_prefix\" is set"},
        {NULL, "{\"end_of_word_suffix\": \"</w>\"}", "\"end_of_word_suffix\" is set"},
        {NULL, "{\"unk_token\": \"<unk>\"}", "the \"unk_token\" is not in the vocabulary"},
        {NULL, "{\"byte_fallback\": true}", "needs tokens for 256 bytes, the vocabulary has 0"},
        {"{\"normalizer\": {\"type\": \"NFKC\"}}", NULL,
         "the normalizer \"NFKC\" is not supported"},
        {"{\"normalizer\": {\"type\": \"Replace\", \"pattern\": {\"Regex\": \"a\"}, \"content\": "
         "\"\"}}",
         NULL, "a Replace of anything but a String"},
        {"{\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"Lowercase\"}]}}",
         NULL, "the normalizer \"Lowercase\" is not supported"},
        {"{\"pre_tokenizer\": {\"type\": \"Metaspace\"}}", NULL,
         "the pre_tokenizer \"Metaspace\" is not supported"},
        {"{\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"a(\"}, "
         "\"behavior\": "
         "\"Isolated\"}}",
         NULL, "a pattern of \"pre_tokenizer\" is not valid: missing closing parenthesis"},
        {"{\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"[a[b]]\"}, "
         "\"behavior\": "
         "\"Isolated\"}}",
         NULL, "a set inside of a set"},
        {"{\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"String\": \"a\"}, "
         "\"behavior\": "
         "\"MergedWithNext\"}}",
         NULL, "the behavior \"MergedWithNext\" is not supported"},
        {"{\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"String\": \"\"}, \"behavior\": "
         "\"Isolated\"}}",
         NULL, "a Split needs a pattern of 1 to"},
        {"{\"decoder\": null}", NULL, "\"decoder\" must be an object, not null"},
        {"{\"decoder\": {\"type\": \"WordPiece\"}}", NULL,
         "the decoder \"WordPiece\" is not supported"},
        {"{\"decoder\": {\"type\": \"Sequence\", \"decoders\": [{\"type\": \"Fuse\"}, {\"type\": "
         "\"ByteFallback\"}]}}",
         NULL, "the order of \"decoder\" is not supported"},
        {"{\"added_tokens\": [{\"content\": \"\"}]}", NULL, "an added token is 0 bytes long"},
        {"{\"added_tokens\": [{\"id\": 9, \"content\": \"x\"}]}", NULL,
         "the added token \"x\" has id 9, by its place it is 4"},
        {"{\"added_tokens\": [{\"id\": 4, \"content\": \"b\"}]}", NULL,
         "the added token \"b\" has id 4, by its place it is 1"},
        {"{\"added_tokens\": [{\"id\": 4, \"content\": \"x\"}, {\"id\": 4, \"content\": \"x\"}]}",
         NULL, "the added token \"x\" is listed twice"},
        {"{\"added_tokens\": [{\"id\": 2, \"content\": \"x\"}]}",
         "{\"vocab\": {\"a\": 0, \"b\": 2}, \"merges\": []}", "the id 2 is given to two tokens"},
    };
    struct tokenizer *t = NULL;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_failure(parse_small(&t, cases[i].more, cases[i].model), EXIT_BAD_DATA,
                       cases[i].sentence);
    expect_failure(tokenizer_parse(&t, SPAN("[]"), "f"), EXIT_BAD_DATA, "f: not a JSON object");
    expect_failure(tokenizer_parse(&t, SPAN("{"), "f"), EXIT_BAD_DATA, "f:1: not valid JSON");
    expect_failure(tokenizer_open(&t, "tests"), EXIT_NO_INPUT, "tests/tokenizer.json");
}

/* Ids that no text has, as a policy draws them. */
static void test_streams_of_anything(void **state) {
    (void)state;
    static const char *const names[] = {"mini_qwen", "byte_fallback", "unknown", "mini_strip"};
    struct rng rng = rng_open((struct rng_key){.seed = 5, .stage = RNG_TASK});
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        struct arena arena = {0};
        struct tokenizer *t;
        expect_ok(tokenizer_open(&t, arena_print(&arena, GOLDEN "/%s", names[k])));
        for (int round = 0; round < 2000; round++) {
            int32_t ids[24];
            size_t n = 1 + rng_below(&rng, 24);
            /* Half of them among the first ids, which are bytes. */
            for (size_t i = 0; i < n; i++)
                ids[i] =
                    (int32_t)rng_below(&rng, round % 2 ? 300 : (uint32_t)tokenizer_size(t) + 2);
            assert_int_equal(check_stream(t, ids, n, round % 3 == 0), 0);
        }
        tokenizer_close(t);
        arena_free(&arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_full_size),
        cmocka_unit_test(test_names_of_tokens),
        cmocka_unit_test(test_not_text),
        cmocka_unit_test(test_long_runs),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_text_without_token),
        cmocka_unit_test(test_streams_of_anything),
        cmocka_unit_test(test_begin),
        cmocka_unit_test(test_cyclic_merges),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, expect_directory, expect_no_directory);
}
