#include "rl/checkpoint.h"

#include "base/file.h"
#include "base/json.h"
#include "rl/checkpoint_list.h"
#include "rl/checkpoint_sums.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

const struct config_key checkpoint_keys[] = {
    CONFIG_INT(struct checkpoint_config, every, "checkpoint.every", "10", 1, 1e12, EXECUTION,
               "steps between checkpoints; the last step always has one"),
    CONFIG_INT(struct checkpoint_config, keep, "checkpoint.keep", "2", 0, 1e9, EXECUTION,
               "how many of the newest checkpoints stay on disk; 0 keeps all"),
    CONFIG_END,
};

/* JSON has one kind of integer of 63 bits: unsigned values travel as decimal strings, so that the
 * kind of JSON value tells the type. */
static json_t *value_json(const struct checkpoint_value *v) {
    char text[24];
    switch (v->type) {
    case CHECKPOINT_INT:
        return json_integer(v->i);
    case CHECKPOINT_DOUBLE:
        REQUIRE(isfinite(v->d));
        return json_real(v->d);
    case CHECKPOINT_UINT:
        snprintf(text, sizeof text, "%" PRIu64, v->u);
        return json_string(text);
    }
    return NULL;
}

static status write_state(const char *dir, const struct checkpoint *c, struct arena *arena) {
    json_t *values = json_object(), *state = json_object();
    for (int i = 0; i < c->n_values; i++) {
        REQUIRE(!json_object_get(values, c->values[i].name));
        json_object_set_new(values, c->values[i].name, value_json(&c->values[i]));
    }
    json_object_set_new(state, "step", json_integer(c->step));
    json_object_set_new(state, "recorded", json_integer(c->recorded));
    json_object_set_new(state, "semantic", json_text(span_of(c->semantic)));
    json_object_set_new(state, "values", values);
    char *text = json_dumps(state, JSON_SORT_KEYS | JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    json_decref(state);
    REQUIRE(text);

    struct file_writer w;
    status s = file_writer_open(&w, arena_print(arena, "%s/trainer_state.json", dir));
    if (!s) {
        s = file_writer_put(&w, text, strlen(text));
        if (!s) s = file_writer_put(&w, "\n", 1);
        status closed = file_writer_close(&w);
        if (s) status_free(closed);
        else s = closed;
    }
    free(text);
    return s;
}

/* Fills the temporary directory with a whole, synced checkpoint. */
static status fill(const char *dir, const struct checkpoint *c, struct arena *arena) {
    const char *policy = arena_print(arena, "%s/hf", dir);
    const char *adapter = arena_print(arena, "%s/adapter", dir);
    REQUIRE(c->save_policy || c->save_adapter);
    TRY(file_make_dirs(dir));
    if (c->save_policy) TRY(file_make_dirs(policy));
    if (c->save_policy) TRY(c->save_policy(c->ctx, policy));
    if (c->save_adapter) TRY(file_make_dirs(adapter));
    if (c->save_adapter) TRY(c->save_adapter(c->ctx, adapter));
    TRY(safetensors_write(arena_print(arena, "%s/optimizer.safetensors", dir), c->tensors,
                          c->n_tensors, NULL));
    TRY(write_state(dir, c, arena));
    return checkpoint_sums_write(dir, arena);
}

static status save(const char *root, const struct checkpoint *c, struct arena *arena) {
    const char *path = checkpoint_path(root, c->step, arena);
    const char *temporary = arena_print(arena, "%s/.tmp-global_step_%" PRId64, root, c->step);
    status s = file_make_dirs(root);
    if (!s) s = file_remove_tree(temporary);
    if (!s) s = fill(temporary, c, arena);
    if (!s && file_exists(path)) s = checkpoint_discard(root, c->step, arena);
    if (!s) s = file_rename(temporary, path);
    /* The first failure is the one to tell; a temporary that stays is removed by the next start. */
    if (s) status_free(file_remove_tree(temporary));
    return s;
}

status checkpoint_save(const char *root, const struct checkpoint *c, int64_t keep) {
    struct arena arena = {0};
    const char *path = checkpoint_path(root, c->step, &arena);
    status damage = file_exists(path) ? checkpoint_verify(path) : NULL, s = NULL;
    if (damage || !file_exists(path)) s = save(root, c, &arena);
    status_free(damage);
    if (!s) s = checkpoint_settle(root, c->step, keep, &arena);
    arena_free(&arena);
    return status_context(s, "checkpoint of step %" PRId64, c->step);
}

status checkpoint_verify(const char *dir) {
    struct arena arena = {0};
    bool adapted = file_is_dir(arena_print(&arena, "%s/adapter", dir));
    const char *const required[] = {adapted ? "adapter/adapter_config.json" : "hf/config.json",
                                    "optimizer.safetensors", "trainer_state.json", NULL};
    arena_free(&arena);
    return checkpoint_sums_verify(dir, required);
}
