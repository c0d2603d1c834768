/* The warm-start corpus and its vocabulary: facts are true, answers are what was searched, loss is where it
 * should be, one symbol is one token. */
#include "base/file.h"
#include "base/json.h"
#include "policy/tokenizer.h"
#include "reward/judge_countdown.h"
#include "tasks/demo_vocabulary.h"
#include "tests/expect.h"
#include "tests/task_setup.h"

#include <math.h>

/* ---- documents ---- */

/* Reads the symbols of a document. */
struct reader {
    const char *at, *end;
};

static bool reader_take(struct reader *r, const char *symbol) {
    size_t n = strlen(symbol);
    if ((size_t)(r->end - r->at) < n || memcmp(r->at, symbol, n) != 0) return false;
    r->at += n;
    return true;
}

static long reader_number(struct reader *r) {
    char *end;
    assert_true(r->at < r->end && *r->at == ' ');
    long n = strtol(r->at + 1, &end, 10);
    assert_true(end > r->at + 1 && end <= r->end && r->at[1] >= '0');
    r->at = end;
    return n;
}

/* " a b op = r", which must be true, larger operand first, without multiplying or dividing by one. */
static long reader_fact(struct reader *r, long operands[2]) {
    long a = operands[0] = reader_number(r), b = operands[1] = reader_number(r);
    assert_true(r->end - r->at > 2 && r->at[0] == ' ');
    char op = r->at[1];
    r->at += 2;
    assert_true(reader_take(r, " ="));
    long v = reader_number(r);
    assert_true(a >= b && v >= 1 && v <= 99);
    if (op == '+') assert_int_equal(v, a + b);
    if (op == '-') assert_int_equal(v, a - b);
    if (op == '*') assert_true(v == a * b && b > 1);
    if (op == '/') assert_true(a % b == 0 && v == a / b && b > 1);
    assert_non_null(strchr("+-*/", op));
    return v;
}

struct rates {
    int n[4], hits, attempts, answered, right_answers, long_traces;
};

/* An answer must be the last attempt: right exactly when that one hit. */
static void check_trace(const struct document *d, struct rates *rates) {
    struct reader r = {d->text.p, d->text.p + d->text.n};
    int64_t numbers[3];
    int attempts = 0;
    bool hit = false;
    for (int i = 0; i < 3; i++) numbers[i] = reader_number(&r);
    assert_true(reader_take(&r, " :"));
    long target = reader_number(&r);
    assert_true(reader_take(&r, "<think>"));
    assert_ptr_equal(d->completion.p, r.at);
    while (!reader_take(&r, "</think>")) {
        long first[2], second[2];
        assert_false(hit); /* nothing follows a hit */
        long v = reader_fact(&r, first);
        assert_true(reader_take(&r, " ,"));
        long w = reader_fact(&r, second);
        /* The steps use the numbers of the problem, and the second one the value of the first. */
        int64_t sum = numbers[0] + numbers[1] + numbers[2];
        long third = (long)sum - first[0] - first[1];
        assert_true((second[0] == v && second[1] == third) ||
                    (second[1] == v && second[0] == third));
        hit = w == target;
        assert_true(reader_take(&r, hit ? " !" : " ;"));
        attempts++;
    }
    assert_int_equal(attempts, d->attempts);
    assert_int_equal(hit, d->hit);
    assert_true(attempts >= 1 && attempts <= 12 && d->end);
    rates->hits += hit;
    rates->attempts += attempts;
    rates->long_traces += attempts > 4;
    if (r.at == r.end) return;
    rates->answered++;
    assert_true(reader_take(&r, "<answer>"));
    const char *close = r.end - strlen("</answer>");
    struct span answer = {r.at, (size_t)(close - r.at)};
    enum countdown_verdict v = judge_countdown(answer, numbers, 3, target);
    assert_int_equal(v, hit ? COUNTDOWN_EQUAL : COUNTDOWN_DIFFERENT);
    r.at = close;
    assert_true(reader_take(&r, "</answer>") && r.at == r.end);
    rates->right_answers += v == COUNTDOWN_EQUAL;
}

static void check_arithmetic(const struct document *d) {
    struct reader r = {d->text.p, d->text.p + d->text.n};
    long operands[2];
    int facts = 0;
    do {
        reader_fact(&r, operands);
        assert_true(operands[1] <= 12);
        facts++;
    } while (reader_take(&r, " ,"));
    assert_true(r.at == r.end && facts == 8 && !d->end);
}

/* Check and look-ahead drills; returns how many of the seven facts reach the target. */
static int check_drill(const struct document *d) {
    struct reader r = {d->text.p, d->text.p + d->text.n};
    long operands[2];
    int hits = 0;
    for (int i = 0; i < 3; i++) reader_number(&r);
    assert_true(reader_take(&r, " :"));
    long target = reader_number(&r);
    assert_true(reader_take(&r, d->kind == DOCUMENT_CHECK ? " ," : " ("));
    for (int i = 0; i < 7; i++) {
        long v = reader_fact(&r, operands);
        assert_true(reader_take(&r, v == target ? " !" : " ;"));
        hits += v == target;
        if (d->kind == DOCUMENT_CHECK) continue;
        /* No other operator comes closer. */
        long a = operands[0], b = operands[1], distance = labs(v - target);
        assert_true(a + b > 99 || labs(a + b - target) >= distance);
        assert_true(a - b < 1 || labs(a - b - target) >= distance);
        assert_true(b == 1 || a * b > 99 || labs(a * b - target) >= distance);
        assert_true(b == 1 || a % b != 0 || labs(a / b - target) >= distance);
    }
    assert_true(r.at == r.end && !d->end);
    return hits;
}

/* Which bytes carry loss, told from the text alone: in traces all after <think>; in drills what follows
 * "=", the marks ! and ;, and in look-ahead drills the operators. */
static void check_loss(const struct document *d) {
    size_t at = 0;
    for (size_t i = 0; i < d->n_pieces; i++) {
        struct span piece = d->pieces[i].text;
        assert_ptr_equal(piece.p, d->text.p + at);
        assert_true(piece.n > 0 && (piece.p[0] == ' ' || piece.p[0] == '<'));
        if (d->kind == DOCUMENT_TRACE) {
            assert_int_equal(d->pieces[i].loss, at >= d->prompt.n);
        } else {
            bool operator= piece.n == 2 && strchr("+-*/", piece.p[1]);
            bool result = at >= 2 && d->text.p[at - 1] == '=';
            bool learned = result || (d->kind == DOCUMENT_LOOKAHEAD && operator);
            assert_int_equal(d->pieces[i].loss, learned);
            bool marked = piece.p[piece.n - 1] == '!' || piece.p[piece.n - 1] == ';';
            if (result && d->kind != DOCUMENT_ARITHMETIC) assert_true(marked);
        }
        at += piece.n;
    }
    assert_int_equal(at, d->text.n);
    assert_int_equal(d->prompt.n + d->completion.n, d->text.n);
}

/* The numbers a document begins with belong to the training part. */
static void check_part(const struct document *d, const struct split *split, bool *wide) {
    struct arena arena = {0};
    struct reader r = {d->text.p, d->text.p + d->text.n};
    int64_t numbers[3];
    for (int i = 0; i < 3; i++) {
        numbers[i] = reader_number(&r);
        *wide = *wide || numbers[i] > 10;
    }
    assert_int_equal(split_of(split, countdown_multiset(numbers, 3, &arena)), SPLIT_TRAIN);
    arena_free(&arena);
}

static struct rates check_corpus(const char *const *settings, double progress, int n, bool *wide) {
    struct setup s;
    struct trace_maker *maker;
    struct split split;
    struct rates rates = {0};
    struct arena arena = {0};
    int hits[4] = {0};
    setup_open(&s, settings);
    expect_ok(tasks_split(&s.tasks, &split));
    expect_ok(trace_open(&maker, &s.tasks, &s.trace));
    for (int i = 0; i < n; i++) {
        struct document d;
        arena_reset(&arena);
        trace_make(maker, 1, (uint32_t)i, progress, &arena, &d);
        rates.n[d.kind]++;
        check_loss(&d);
        if (d.kind == DOCUMENT_TRACE) check_trace(&d, &rates);
        if (d.kind == DOCUMENT_ARITHMETIC) check_arithmetic(&d);
        if (d.kind == DOCUMENT_CHECK || d.kind == DOCUMENT_LOOKAHEAD)
            hits[d.kind] += check_drill(&d);
        if (d.kind != DOCUMENT_ARITHMETIC) check_part(&d, &split, wide);
    }
    /* Hits are aimed at with probability 0.35 and 0.6; some more come by chance. */
    if (rates.n[DOCUMENT_CHECK])
        assert_true(hits[DOCUMENT_CHECK] > 7 * 0.33 * rates.n[DOCUMENT_CHECK] &&
                    hits[DOCUMENT_CHECK] < 7 * 0.40 * rates.n[DOCUMENT_CHECK]);
    if (rates.n[DOCUMENT_LOOKAHEAD])
        assert_true(hits[DOCUMENT_LOOKAHEAD] > 7 * 0.56 * rates.n[DOCUMENT_LOOKAHEAD] &&
                    hits[DOCUMENT_LOOKAHEAD] < 7 * 0.70 * rates.n[DOCUMENT_LOOKAHEAD]);
    print_message("%d traces: %.3f hit, %.2f attempts, %.3f answered; %d arithmetic, %d check, %d "
                  "look-ahead\n",
                  rates.n[0], (double)rates.hits / rates.n[0], (double)rates.attempts / rates.n[0],
                  (double)rates.answered / rates.n[0], rates.n[1], rates.n[2], rates.n[3]);
    trace_close(maker);
    arena_free(&arena);
    setup_close(&s);
    return rates;
}

static double share(int part, int whole) { return (double)part / whole; }

static void test_corpus(void **state) {
    (void)state;
    bool wide = false;
    struct rates r = check_corpus(NULL, 1, 20000, &wide);
    assert_true(wide);
    assert_true(fabs(share(r.n[DOCUMENT_TRACE], 20000) - 0.55) < 0.015);
    assert_true(fabs(share(r.n[DOCUMENT_LOOKAHEAD], 20000) - 0.27) < 0.015);
    assert_true(fabs(share(r.n[DOCUMENT_CHECK], 20000) - 0.09) < 0.01);
    assert_true(fabs(share(r.answered, r.n[DOCUMENT_TRACE]) - 0.95) < 0.01);
    /* Both successes and failures, and mostly short traces. */
    assert_true(share(r.hits, r.n[DOCUMENT_TRACE]) > 0.3 &&
                share(r.hits, r.n[DOCUMENT_TRACE]) < 0.6);
    assert_true(share(r.long_traces, r.n[DOCUMENT_TRACE]) < 0.15 && r.long_traces > 0);
}

/* A patient, systematic, greedy trace is the full good behaviour: it always finds the target. */
static void test_corpus_mixes(void **state) {
    (void)state;
    bool wide = false;
    const char *const settings[] = {"trace.last.patient",
                                    "1",
                                    "trace.last.systematic",
                                    "1",
                                    "trace.last.greedy",
                                    "1",
                                    "trace.last.drills",
                                    "0",
                                    "trace.last.wide",
                                    "0",
                                    "trace.attempts",
                                    "100",
                                    "trace.first.patient",
                                    "0",
                                    "trace.first.greedy",
                                    "0",
                                    "trace.first.drills",
                                    "1",
                                    "trace.first.lookahead",
                                    "0",
                                    "trace.first.check",
                                    "0",
                                    NULL};
    struct rates r = check_corpus(settings, 1, 3000, &wide);
    assert_int_equal(r.hits, 3000);
    assert_false(wide);
    /* At the beginning this mix is arithmetic alone; at the end it has none. */
    struct setup s;
    struct trace_maker *maker;
    struct arena arena = {0};
    int drills[3] = {0};
    setup_open(&s, settings);
    expect_ok(trace_open(&maker, &s.tasks, &s.trace));
    for (uint32_t i = 0; i < 1000; i++) {
        for (int k = 0; k < 3; k++) {
            struct document d;
            trace_make(maker, 1, i, 0.5 * k, &arena, &d);
            drills[k] += d.kind == DOCUMENT_ARITHMETIC;
        }
    }
    assert_int_equal(drills[0], 1000);
    assert_int_equal(drills[2], 0);
    assert_true(drills[1] > 240 && drills[1] < 360); /* half are drills, 0.6 of those arithmetic */
    trace_close(maker);
    arena_free(&arena);
    setup_close(&s);
}

/* Four numbers in wide ranges: three steps an attempt, all facts true. */
static void test_corpus_of_larger_problems(void **state) {
    (void)state;
    struct setup s;
    struct trace_maker *maker;
    struct arena arena = {0};
    setup_open(&s, SETTINGS("tasks.countdown.mode", "random", "tasks.countdown.count", "2..6",
                            "tasks.countdown.numbers", "1..50", "tasks.countdown.targets", "1..999",
                            "tasks.countdown.values", "1..5000", "trace.wide_numbers", "1..60",
                            "trace.last.drills", "0"));
    expect_ok(trace_open(&maker, &s.tasks, &s.trace));
    int hits = 0;
    for (uint32_t i = 0; i < 500; i++) {
        struct document d;
        arena_reset(&arena);
        trace_make(maker, 1, i, 1, &arena, &d);
        check_loss(&d);
        struct span open = SPAN("<answer>");
        size_t at = span_find(d.text, open, 0);
        hits += d.hit;
        if (at == (size_t)-1) continue;
        struct span answer = span_slice(d.text, at + open.n, d.text.n - strlen("</answer>"));
        int64_t numbers[6];
        struct reader r = {d.text.p, d.text.p + d.text.n};
        int n = 0;
        while (!reader_take(&r, " :")) numbers[n++] = reader_number(&r);
        enum countdown_verdict v = judge_countdown(answer, numbers, n, reader_number(&r));
        assert_int_equal(v == COUNTDOWN_EQUAL, d.hit);
    }
    assert_true(hits > 50 && hits < 450);
    trace_close(maker);
    arena_free(&arena);
    setup_close(&s);
}

/* ---- the vocabulary ---- */

struct vocabulary {
    struct arena arena;
    struct tokenizer *tokenizer;
    char dir[256];
};

static void vocabulary_open(struct vocabulary *v) {
    *v = (struct vocabulary){0};
    snprintf(v->dir, sizeof v->dir, "%s", expect_path("vocabulary"));
    expect_ok(file_make_dirs(v->dir));
    expect_ok(demo_vocabulary_write(v->dir));
    expect_ok(tokenizer_open(&v->tokenizer, v->dir));
    assert_int_equal(tokenizer_size(v->tokenizer), DEMO_VOCABULARY_SIZE);
    assert_true(
        tokenizer_is_special(v->tokenizer, tokenizer_id(v->tokenizer, SPAN(DEMO_END_OF_TEXT))));
}

static void vocabulary_close(struct vocabulary *v) {
    tokenizer_close(v->tokenizer);
    arena_free(&v->arena);
}

/* tests/golden/tasks/demo_vectors.jsonl is made by tools/make_demo_vectors.py with another tokenizer. */
static void test_vocabulary_vectors(void **state) {
    (void)state;
    struct vocabulary v;
    struct json_lines lines;
    struct span line;
    bool more = true;
    int rows = 0;
    vocabulary_open(&v);
    expect_ok(json_lines_open(&lines, "tests/golden/tasks/demo_vectors.jsonl", 1 << 16));
    for (expect_ok(json_lines_next(&lines, &line, &more)); more;
         expect_ok(json_lines_next(&lines, &line, &more))) {
        json_t *row;
        struct span text;
        const json_t *expected;
        int32_t *ids;
        size_t n;
        expect_ok(json_parse(&row, line, lines.path, lines.line));
        expect_ok(json_get_string(row, "row", "text", &text));
        expect_ok(json_get_array(row, "row", "ids", &expected));
        expect_ok(tokenizer_encode(v.tokenizer, text, true, &v.arena, &ids, &n));
        assert_int_equal(n, json_array_size(expected));
        for (size_t i = 0; i < n; i++)
            assert_int_equal(ids[i], json_integer_value(json_array_get(expected, i)));
        assert_true(span_eq(tokenizer_decode(v.tokenizer, ids, n, false, &v.arena), text));
        json_decref(row);
        rows++;
    }
    json_lines_close(&lines);
    assert_true(rows > 100);
    vocabulary_close(&v);
}

/* Each symbol of a document is one token, and encoding piece by piece gives the ids of the whole. */
static void test_vocabulary_of_corpus(void **state) {
    (void)state;
    struct vocabulary v;
    struct setup s;
    struct trace_maker *maker;
    vocabulary_open(&v);
    setup_open(&s, NULL);
    expect_ok(trace_open(&maker, &s.tasks, &s.trace));
    for (uint32_t i = 0; i < 2000; i++) {
        struct document d;
        int32_t *whole, *piece;
        size_t n, n_piece, at = 0, symbols = 0;
        arena_reset(&v.arena);
        trace_make(maker, 2, i, 1, &v.arena, &d);
        expect_ok(tokenizer_encode(v.tokenizer, d.text, false, &v.arena, &whole, &n));
        for (size_t k = 0; k < d.text.n; k++) symbols += d.text.p[k] == ' ' || d.text.p[k] == '<';
        assert_int_equal(n, symbols);
        for (size_t k = 0; k < d.n_pieces; k++) {
            expect_ok(
                tokenizer_encode(v.tokenizer, d.pieces[k].text, false, &v.arena, &piece, &n_piece));
            assert_true(at + n_piece <= n);
            assert_memory_equal(whole + at, piece, n_piece * sizeof *piece);
            at += n_piece;
        }
        assert_int_equal(at, n);
        assert_true(span_eq(tokenizer_decode(v.tokenizer, whole, n, true, &v.arena), d.text));
    }
    trace_close(maker);
    setup_close(&s);
    vocabulary_close(&v);
}

static void expect_no_traces(const char *const *settings, const char *part) {
    struct setup s;
    struct trace_maker *maker;
    setup_open(&s, settings);
    expect_failure(trace_open(&maker, &s.tasks, &s.trace), EXIT_BAD_CONFIG, part);
    setup_close(&s);
}

static void test_refused_traces(void **state) {
    (void)state;
    expect_no_traces(SETTINGS("tasks.source", "addition"), "tasks.source=countdown");
    expect_no_traces(SETTINGS("tasks.countdown.exact_division", "no"), "whole numbers");
    expect_no_traces(SETTINGS("tasks.countdown.values", "-9..99"), "whole numbers");
    expect_no_traces(SETTINGS("trace.first.lookahead", "0.9"), "must not exceed 1");
    expect_no_traces(SETTINGS("trace.wide_numbers", "500..501"), "no training problem");
    expect_no_traces(SETTINGS("trace.wide_numbers", "1..2", "tasks.countdown.duplicates", "no"),
                     "too few numbers");
    expect_no_traces(SETTINGS("trace.wide_numbers", "twelve"), "trace.wide_numbers");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_corpus),
        cmocka_unit_test(test_corpus_mixes),
        cmocka_unit_test(test_corpus_of_larger_problems),
        cmocka_unit_test(test_refused_traces),
        cmocka_unit_test(test_vocabulary_vectors),
        cmocka_unit_test(test_vocabulary_of_corpus),
    };
    return cmocka_run_group_tests(tests, expect_directory, expect_no_directory);
}
