#include "tests/task_setup.h"

#include "tests/expect.h"

void setup_open(struct setup *s, const char *const *settings) {
    *s = (struct setup){.fragments = {{tasks_keys, &s->tasks}, {trace_keys, &s->trace}}};
    s->config = (struct config){s->fragments, NULL, &s->arena};
    config_defaults(&s->config);
    for (; settings && *settings; settings += 2)
        expect_ok(config_set(&s->config, settings[0], settings[1], "test"));
}

void setup_close(struct setup *s) { arena_free(&s->arena); }
