/* Configs of tasks and traces for tests. */
#pragma once

#include "tasks/tasks_config.h"
#include "tasks/trace.h"

struct setup {
    struct arena arena;
    struct tasks_config tasks;
    struct trace_config trace;
    struct config_fragment fragments[3];
    struct config config;
};

/* "key", "value", ... as setup_open takes them. */
#define SETTINGS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* The defaults, then these settings (NULL: none). Fails the running test when one is refused. */
void setup_open(struct setup *s, const char *const *settings);
void setup_close(struct setup *s);
