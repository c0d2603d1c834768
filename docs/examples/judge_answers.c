/* Judges answers to one question with libgrpo_reward: the gold is the first argument, options are the
 * others, and each line of the standard input is a completion.
 *
 *     cc -o judge_answers judge_answers.c $(pkg-config --cflags --libs grpo_reward)
 *     printf '%s\n' 'I get \boxed{0.5}.' '0.49' | ./judge_answers '\frac12' math.require=any */
#include <grpo_reward.h>

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
    char error[256], line[4096];
    if (argc < 2) return fputs("usage: judge_answers GOLD [OPTION=VALUE...]\n", stderr), 64;
    struct grpo_reward *judge =
        grpo_reward_open((const char *const *)argv + 2, error, sizeof error);
    if (!judge) return fprintf(stderr, "%s\n", error), 78;

    /* The gold is read once, however many answers there are, in however many threads. */
    struct grpo_reward_problem *problem = grpo_reward_problem(judge, argv[1], strlen(argv[1]));
    if (!grpo_reward_readable(problem)) fputs("the gold cannot be read\n", stderr);
    while (fgets(line, sizeof line, stdin)) {
        struct grpo_reward_verdict v = grpo_reward_judge(problem, line, strcspn(line, "\n"));
        printf("%g %s, %s [%.*s]\n", v.score, v.name, *v.tier ? v.tier : "nowhere",
               (int)v.answer_size, v.answer ? v.answer : "");
    }
    grpo_reward_problem_close(problem);
    grpo_reward_close(judge);
    return 0;
}
