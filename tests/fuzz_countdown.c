/* Any bytes as a completion: judged without harm, and the same when nothing that matters has changed. */
#include "base/status.h"
#include "base/utf8.h"
#include "reward/extract.h"
#include "reward/judge_countdown.h"
#include "reward/judge_format.h"
#include "reward/judge_integer.h"

#include <stdint.h>
#include <stdlib.h>

/* The first bytes choose the problem: how many numbers, the numbers, the target. */
enum { HEAD = 6 };

static void check_answer(struct span answer, const int64_t *numbers, int n, int64_t target) {
    enum countdown_verdict verdict = judge_countdown(answer, numbers, n, target);
    if (verdict == COUNTDOWN_EQUAL)
        REQUIRE(judge_countdown(answer, numbers, n, target + 1) == COUNTDOWN_DIFFERENT);
    if (verdict == COUNTDOWN_TOO_DEEP || verdict == COUNTDOWN_TOO_LONG) return;
    /* Parentheses and blanks around an expression change nothing, unless they reach a bound. */
    struct span trimmed = utf8_trim(answer);
    char *wrapped = malloc(trimmed.n + 4);
    REQUIRE(wrapped);
    wrapped[0] = ' ', wrapped[1] = '(';
    if (trimmed.n) memcpy(wrapped + 2, trimmed.p, trimmed.n);
    wrapped[trimmed.n + 2] = ')', wrapped[trimmed.n + 3] = '\n';
    enum countdown_verdict again =
        judge_countdown((struct span){wrapped, trimmed.n + 4}, numbers, n, target);
    if (verdict != COUNTDOWN_UNPARSED)
        REQUIRE(again == verdict || again == COUNTDOWN_TOO_DEEP || again == COUNTDOWN_TOO_LONG);
    free(wrapped);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < HEAD) return 0;
    int64_t numbers[4];
    int n = data[0] % 5;
    for (int i = 0; i < 4; i++) numbers[i] = data[1 + i];
    int64_t target = (int8_t)data[5];
    struct span text = {(const char *)data + HEAD, size - HEAD}, answer;
    check_answer(text, numbers, n, target);
    if (extract_answer(text, &answer)) {
        REQUIRE(answer.p >= text.p && answer.p + answer.n <= text.p + text.n);
        check_answer(answer, numbers, n, target);
    }
    bool kept = judge_format(SPAN(""), text, FINISH_STOP);
    REQUIRE(!kept || extract_answer(text, &answer));
    REQUIRE(!kept || !judge_format(SPAN("<think>"), text, FINISH_STOP));
    (void)judge_integer(text, SPAN("12"));
    return 0;
}
