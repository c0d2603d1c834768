#include "reward/plugin.h"

#include "base/arena.h"
#include "reward/include/grpo_reward_plugin.h"

#include <dlfcn.h>
#include <math.h>
#include <stdlib.h>

struct plugin {
    void *object;
    const struct grpo_reward_plugin *table;
    void *state;
};

/* The table of an object, if it is one that this program can read. */
static status table_of(void *object, const char *path, const struct grpo_reward_plugin **out) {
    const struct grpo_reward_plugin *(*get)(void);
    void *symbol = dlsym(object, "grpo_reward_plugin_v1");
    if (!symbol)
        return fail(EXIT_BAD_CONFIG,
                    "reward.plugin.path=%s: it has no function grpo_reward_plugin_v1", path);
    memcpy(&get, &symbol, sizeof get); /* ISO C does not turn one pointer into the other */
    const struct grpo_reward_plugin *table = get();
    if (!table || table->abi_version != GRPO_REWARD_ABI || table->struct_size < sizeof *table)
        return fail(
            EXIT_BAD_CONFIG,
            "reward.plugin.path=%s: made for another version of grpo_reward_plugin.h, expected %d",
            path, GRPO_REWARD_ABI);
    if (!table->score)
        return fail(EXIT_BAD_CONFIG, "reward.plugin.path=%s: its table has no score", path);
    *out = table;
    return NULL;
}

status plugin_open(struct plugin **out, const char *path, const char *arguments) {
    struct arena arena = {0};
    /* Without a slash the loader would search the system's libraries. */
    const char *file = strchr(path, '/') ? path : arena_print(&arena, "./%s", path);
    void *object = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    arena_free(&arena);
    if (!object) return fail(EXIT_BAD_CONFIG, "reward.plugin.path: %s", dlerror());
    const struct grpo_reward_plugin *table = NULL;
    void *state = NULL;
    char error[256] = "";
    status s = table_of(object, path, &table);
    if (!s && table->init && table->init(arguments, &state, error, sizeof error) != 0) {
        error[sizeof error - 1] = 0;
        s = fail(EXIT_BAD_CONFIG, "reward.plugin.arguments: the plug-in refuses them: %s",
                 error[0] ? error : "it does not say why");
    }
    if (s) {
        dlclose(object);
        return s;
    }
    *out = memory_new(1, sizeof **out);
    **out = (struct plugin){object, table, state};
    return NULL;
}

void plugin_close(struct plugin *p) {
    if (!p) return;
    if (p->table->fini) p->table->fini(p->state);
    dlclose(p->object);
    free(p);
}

static struct grpo_reward_text text_of(struct span s) {
    return (struct grpo_reward_text){s.p ? s.p : "", s.n};
}

static struct grpo_reward_item item_of(const struct reward_item *item) {
    const struct problem *p = item->problem;
    return (struct grpo_reward_item){
        .id = text_of(span_of(p->id)),
        .source = text_of(span_of(p->source)),
        .question = text_of(p->question),
        .prompt = text_of(item->prompt),
        .completion = text_of(item->completion),
        .gold = text_of(p->gold),
        .columns = text_of(p->columns),
        .numbers = p->numbers,
        .n_numbers = (size_t)p->n_numbers,
        .target = p->target,
        .n_tokens = item->n_tokens,
        .truncated = item->finish == FINISH_LENGTH,
    };
}

void plugin_score(struct plugin *p, const struct reward_item *items, size_t n, double *out) {
    struct grpo_reward_item *values = memory_new(n, sizeof *values);
    const struct grpo_reward_item **pointers = memory_new(n, sizeof *pointers);
    for (size_t i = 0; i < n; i++) {
        values[i] = item_of(&items[i]);
        pointers[i] = &values[i];
        out[i] = NAN;
    }
    if (p->table->score(p->state, pointers, n, out) != 0)
        for (size_t i = 0; i < n; i++) out[i] = INFINITY;
    free(pointers);
    free(values);
}
