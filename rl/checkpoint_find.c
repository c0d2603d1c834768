#include "rl/checkpoint.h"

#include "base/file.h"
#include "base/json.h"
#include "rl/checkpoint_list.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

static status read_value(struct checkpoint_value *v, const char *name, const json_t *value) {
    v->name = name;
    if (json_is_integer(value)) {
        v->type = CHECKPOINT_INT;
        v->i = json_integer_value(value);
        return NULL;
    }
    if (json_is_real(value)) {
        v->type = CHECKPOINT_DOUBLE;
        v->d = json_real_value(value);
        return NULL;
    }
    const char *text = json_is_string(value) ? json_string_value(value) : "";
    char *end;
    errno = 0;
    v->type = CHECKPOINT_UINT;
    v->u = strtoull(text, &end, 10);
    if (errno || !*text || *end || text[strspn(text, "0123456789")])
        return fail(EXIT_BAD_DATA, "trainer_state.json: \"%s\" is not a number", name);
    return NULL;
}

static status read_values(struct checkpoint_found *out, const json_t *values, struct arena *arena) {
    const char *name;
    json_t *value;
    out->values = ARENA_ARRAY(arena, json_object_size(values), struct checkpoint_value);
    json_object_foreach((json_t *)values, name, value) {
        TRY(read_value(&out->values[out->n_values++], arena_string(arena, span_of(name)), value));
    }
    return NULL;
}

static status read_members(struct checkpoint_found *out, const json_t *state, int64_t step,
                           struct arena *arena) {
    static const char where[] = "trainer_state.json";
    struct span semantic;
    const json_t *values;
    TRY(json_get_int(state, where, "step", step, step, &out->step));
    TRY(json_get_int(state, where, "recorded", 0, step, &out->recorded));
    TRY(json_get_string(state, where, "semantic", &semantic));
    TRY(json_get_object(state, where, "values", &values));
    out->semantic = arena_string(arena, semantic);
    return read_values(out, values, arena);
}

status checkpoint_read(struct checkpoint_found *out, const char *root, int64_t step,
                       struct arena *arena) {
    enum { STATE_MAX = 64 << 20 };
    const char *dir = checkpoint_path(root, step, arena);
    *out = (struct checkpoint_found){
        .dir = dir,
        .policy_dir = arena_print(arena, "%s/hf", dir),
        .adapter_dir = arena_print(arena, "%s/adapter", dir),
        .optimizer = arena_print(arena, "%s/optimizer.safetensors", dir),
    };
    json_t *state;
    TRY(json_parse_file(&state, arena_print(arena, "%s/trainer_state.json", dir), STATE_MAX));
    status s = read_members(out, state, step, arena);
    json_decref(state);
    return s;
}

/* Opens one checkpoint: checksums, then the trainer's state. */
static status open_one(struct checkpoint_found *out, const char *root, int64_t step,
                       struct arena *arena) {
    TRY(checkpoint_verify(checkpoint_path(root, step, arena)));
    return checkpoint_read(out, root, step, arena);
}

status checkpoint_find(struct checkpoint_found *out, const char *root, struct arena *arena) {
    int64_t *steps;
    size_t n;
    TRY(checkpoint_list(root, arena, &steps, &n));
    const char *damage = "";
    for (size_t i = 0; i < n; i++) {
        status s = open_one(out, root, steps[i], arena);
        if (!s) {
            if (*damage)
                out->notice = arena_print(arena, "checkpoint %s; using global_step_%" PRId64,
                                          damage, steps[i]);
            return NULL;
        }
        damage = arena_print(arena, "%s%sglobal_step_%" PRId64 " is damaged (%s)", damage,
                             *damage ? ", " : "", steps[i], status_text(s));
        status_free(s);
    }
    *out = (struct checkpoint_found){.step = -1};
    if (n == 0) return NULL;
    return fail(EXIT_BAD_DATA, "%s: no checkpoint can be used: %s", root, damage);
}

status checkpoint_recover(struct checkpoint_found *out, const char *root, int64_t keep,
                          struct arena *arena) {
    TRY(checkpoint_remove_leftovers(root, arena));
    TRY(checkpoint_find(out, root, arena));
    return out->step < 0 ? NULL : checkpoint_settle(root, out->step, keep, arena);
}

static status find_value(const struct checkpoint_found *c, const char *name, int type,
                         const struct checkpoint_value **out) {
    for (int i = 0; i < c->n_values; i++) {
        if (strcmp(c->values[i].name, name) != 0) continue;
        *out = &c->values[i];
        if ((int)c->values[i].type == type) return NULL;
        return fail(EXIT_BAD_DATA, "%s/trainer_state.json: \"%s\" has another type than expected",
                    c->dir, name);
    }
    return fail(EXIT_BAD_DATA, "%s/trainer_state.json: \"%s\" is missing", c->dir, name);
}

status checkpoint_get_int(const struct checkpoint_found *c, const char *name, int64_t *out) {
    const struct checkpoint_value *v;
    TRY(find_value(c, name, CHECKPOINT_INT, &v));
    *out = v->i;
    return NULL;
}

status checkpoint_get_uint(const struct checkpoint_found *c, const char *name, uint64_t *out) {
    const struct checkpoint_value *v;
    TRY(find_value(c, name, CHECKPOINT_UINT, &v));
    *out = v->u;
    return NULL;
}

status checkpoint_get_double(const struct checkpoint_found *c, const char *name, double *out) {
    const struct checkpoint_value *v;
    TRY(find_value(c, name, CHECKPOINT_DOUBLE, &v));
    *out = v->d;
    return NULL;
}
