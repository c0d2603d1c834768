/* Microseconds a verdict, for answers as policies write them and for long completions. */
#include "reward/reward.h"
#include "reward/reward_config.h"
#include "tests/measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const char *const ANSWERS[] = {
    "( 10 * 9 ) + 3",  "10 * 9 + 3",         "(3 + 9) * 10", "10 - 9 / 3", "9/(10-3)", "93",
    "10 + 9 * 3 = 37", "((10) * (9)) + (3)", "3 * (10 + 9",  "10*9+3+3",
};
enum { N_ANSWERS = sizeof ANSWERS / sizeof ANSWERS[0], ROUNDS = 20000 };

/* Processor time: judging waits for nothing, so what else the machine does need not count. */
static double processor_seconds(void) { return (double)clock() / CLOCKS_PER_SEC; }

/* A completion of about n bytes of thinking before its answer; malloced. */
static char *completion(const char *answer, size_t n) {
    static const char thought[] = "Let me try 10 * 9 = 90 and 90 + 3 = 93. ";
    char *text = memory_new(n + 256, 1), *at = text;
    while ((size_t)(at - text) + sizeof thought <= n) at = stpcpy(at, thought);
    snprintf(at, 200, "</think><answer>%s</answer>", answer);
    return text;
}

static void bench(const struct reward *reward, size_t thinking, int rounds) {
    static const int64_t numbers[] = {3, 9, 10};
    const struct problem problem = {
        .id = "p", .source = "countdown", .numbers = numbers, .n_numbers = 3, .target = 93};
    char *texts[N_ANSWERS];
    struct span spans[N_ANSWERS], prompt = SPAN(" 3 9 10 : 93<think>");
    int correct = 0;
    double us[N_ANSWERS], sum = 0;
    for (int i = 0; i < N_ANSWERS; i++)
        spans[i] = span_of(texts[i] = completion(ANSWERS[i], thinking));
    for (int i = 0; i < N_ANSWERS; i++) {
        double began = processor_seconds();
        for (int round = 0; round < rounds; round++)
            correct += reward_judge(reward, &problem, prompt, spans[i], 0, FINISH_STOP).correct;
        sum += us[i] = 1e6 * (processor_seconds() - began) / rounds;
    }
    printf("reward countdown: %7zu bytes: median %7.3f us a verdict, mean %7.3f us (%d%% right)\n",
           spans[0].n, median(us, N_ANSWERS), sum / N_ANSWERS,
           100 * correct / (rounds * N_ANSWERS));
    for (int i = 0; i < N_ANSWERS; i++) free(texts[i]);
}

int main(void) {
    struct arena arena = {0};
    struct reward_config settings;
    const struct config_fragment fragments[] = {{reward_keys, &settings}, {NULL, NULL}};
    struct config config = {fragments, NULL, &arena};
    config_defaults(&config);
    struct reward *reward;
    status s = reward_open(&reward, &settings);
    REQUIRE(!s);
    bench(reward, 0, ROUNDS);
    bench(reward, 200, ROUNDS);
    bench(reward, 4096, ROUNDS / 10);
    bench(reward, 256 * 1024, ROUNDS / 1000);
    reward_close(reward);
    arena_free(&arena);
    return 0;
}
