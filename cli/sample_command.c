/* `grpo sample model=DIR --prompt TEXT`: what a policy answers, to a text or as tasks.chat. */
#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/session.h"
#include "rl/prompt_ids.h"

#include <stdio.h>
#include <stdlib.h>

enum { PROMPT, COUNT, LOGPS, OPTIONS };

const struct command_option cli_sample_options[] = {
    [PROMPT] = {"--prompt", "TEXT",
                "what to complete, as it stands; with tasks.chat, the user's message"},
    [COUNT] = {"--n", "N", "how many completions (1)"},
    [LOGPS] = {"--logps", NULL, "also print every token's log-probability"},
    [OPTIONS] = {0},
};

static status count_read(const char *text, int *n) {
    char *end;
    long value = strtol(text, &end, 10);
    if (*end || end == text || value < 1 || value > 65535)
        return fail(EXIT_USAGE_ERROR, "--n %.40s: expected a number from 1 to 65535", text);
    *n = (int)value;
    return NULL;
}

/* Begins as raw texts do, where the text does not say it itself. */
static status raw_ids(const struct tokenizer *tokenizer, struct span text, struct arena *arena,
                      int32_t **ids, size_t *n) {
    int32_t *text_ids, begin = tokenizer_begin(tokenizer);
    TRY(tokenizer_encode(tokenizer, text, true, arena, &text_ids, n));
    *ids = text_ids;
    if (begin < 0 || *n == 0 || text_ids[0] == begin) return NULL;
    *ids = ARENA_ARRAY(arena, *n + 1, int32_t);
    memcpy(*ids + 1, text_ids, *n * sizeof **ids);
    **ids = begin;
    ++*n;
    return NULL;
}

/* A text as it stands may hold special tokens; a message may not. */
static status prompt_read(const struct settings *settings, const struct tokenizer *tokenizer,
                          const char *text, struct arena *arena, int32_t **ids, size_t *n) {
    struct prompt_style style;
    const struct problem problem = {.question = span_of(text)};
    TRY(prompt_style_open(&style, "none", settings->tasks.chat, settings->tasks.system));
    if (!style.chat) {
        TRY(raw_ids(tokenizer, problem.question, arena, ids, n));
    } else {
        struct prompt prompt = prompt_render(&style, &problem, arena);
        TRY(prompt_ids(tokenizer, &prompt, arena, ids, n));
    }
    return *n ? NULL : fail(EXIT_USAGE_ERROR, "--prompt is empty");
}

/* A completion that is shown while it is drawn. */
struct shown {
    const struct completion *completion;
    struct tokenizer_stream *text;
    int n; /* tokens shown */
};

static void show(struct span text) {
    fwrite(text.p, 1, text.n, stdout);
    fflush(stdout);
}

static bool show_more(void *ctx, double done) {
    struct shown *s = ctx;
    (void)done;
    while (s->n < s->completion->n) show(tokenizer_stream_add(s->text, s->completion->ids[s->n++]));
    return true;
}

static void logps_print(const struct session *s, const struct completion *c, struct arena *arena) {
    for (int i = 0; i < c->n; i++) {
        struct span token = tokenizer_decode(s->tokenizer, &c->ids[i], 1, false, arena);
        printf("  %9.5f  %.*s\n", (double)c->logp[i], SPAN_FMT(token));
    }
}

static void completion_print(const struct session *s, const struct completion *c,
                             struct arena *arena) {
    printf("[%d] %d tokens, %s\n", c->sample, c->n,
           c->finish == FINISH_STOP ? "stopped" : "cut at the length cap");
    show(tokenizer_decode(s->tokenizer, c->ids, (size_t)c->n, true, arena));
    putchar('\n');
}

/* One completion appears as it is drawn; several, when all are there. */
static status complete(const struct session *s, const struct request *request, bool logps,
                       struct arena *arena) {
    int n = request->n_samples;
    struct completion *all = ARENA_ARRAY(arena, n, struct completion);
    struct shown shown = {.completion = all};
    if (n == 1) shown.text = tokenizer_stream_open(s->tokenizer, true);
    status failed =
        engine_run(s->engine, request, 1, arena, all, n == 1 ? show_more : NULL, &shown, NULL);
    if (!failed && n == 1) {
        show_more(&shown, 1);
        show(tokenizer_stream_end(shown.text));
        puts(all->finish == FINISH_STOP ? "" : " [cut at the length cap]");
    }
    for (int i = 0; !failed && i < n; i++) {
        if (n > 1) completion_print(s, &all[i], arena);
        if (logps) logps_print(s, &all[i], arena);
    }
    tokenizer_stream_close(shown.text);
    return failed;
}

static status sample(const struct settings *settings, const char **given, struct arena *arena) {
    int n = 1;
    int32_t *ids;
    size_t n_ids = 0;
    struct session s;
    if (!given[PROMPT]) return fail(EXIT_USAGE_ERROR, "expected --prompt TEXT");
    if (given[COUNT]) TRY(count_read(given[COUNT], &n));
    TRY(temperature_check("rollout.temperature", settings->rollout.temperature));
    TRY(session_open(&s, settings, (int)settings->rollout.max_new_tokens, n));
    status failed = prompt_read(settings, s.tokenizer, given[PROMPT], arena, &ids, &n_ids);
    if (!failed && n_ids > (size_t)settings->rollout.max_prompt_tokens)
        failed = fail(EXIT_BAD_DATA,
                      "the prompt has %zu tokens, more than rollout.max_prompt_tokens=%lld", n_ids,
                      (long long)settings->rollout.max_prompt_tokens);
    if (!failed && n_ids >= (size_t)s.positions)
        failed = fail(EXIT_BAD_DATA, "the prompt has %zu tokens, %s is made for %d positions",
                      n_ids, settings->general.model, s.positions);
    if (!failed) {
        struct request request = {
            .prompt = ids,
            .n_prompt = (int)n_ids,
            .n_samples = n,
            .sampling = rollout_sampling(&settings->rollout),
            .key = {.seed = (uint64_t)settings->general.seed, .stage = RNG_SAMPLE}};
        int room = s.positions - (int)n_ids; /* at most to where the policy ends */
        if (request.sampling.max_new > room) request.sampling.max_new = room;
        failed = complete(&s, &request, given[LOGPS] != NULL, arena);
    }
    session_close(&s);
    return failed;
}

status cli_sample(int argc, char **argv) {
    struct settings settings;
    struct arena arena = {0};
    const char *given[OPTIONS];
    TRY(session_arguments(&settings, cli_sample_options, given, NULL, 0, argc, argv));
    status failed = sample(&settings, given, &arena);
    arena_free(&arena);
    schema_close(&settings);
    return failed;
}
