#include "base/config.h"

#include "base/config_value.h"

#include <jansson.h>
#include <string.h>

/* A sentence that names more keys than this helps nobody. */
enum { NAMED_MAX = 8 };

static const char *side_text(const json_t *value, struct arena *arena) {
    if (!value) return "absent";
    char shown[CONFIG_SHOWN_MAX];
    if (json_is_string(value))
        return arena_print(arena, "%s", config_value_shown(json_string_value(value), shown));
    if (json_is_real(value)) {
        static const struct config_key any = {.type = CONFIG_TYPE_FLOAT};
        double x = json_real_value(value);
        return config_value_text(&any, &x, arena);
    }
    if (json_is_integer(value))
        return arena_print(arena, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    return json_is_true(value) ? "true" : json_is_false(value) ? "false" : "not a value";
}

static const char *list_differences(json_t *there, json_t *here, struct arena *arena) {
    /* The union of both sides' keys; jansson sorts nothing, so the order is that of `here`, in
     * which config_semantic writes sorted keys, and then what only `there` has. */
    const char *list = "", *name;
    json_t *value;
    size_t n = 0;
    json_object_foreach(here, name, value) {
        const json_t *other = json_object_get(there, name);
        if (other && json_equal(other, value)) continue;
        if (n++ < NAMED_MAX)
            list = arena_print(arena, "%s%s%s: %s there, %s here", list, *list ? "; " : "", name,
                               side_text(other, arena), side_text(value, arena));
    }
    json_object_foreach(there, name, value) {
        if (json_object_get(here, name)) continue;
        char shown[CONFIG_SHOWN_MAX];
        if (n++ < NAMED_MAX)
            list = arena_print(arena, "%s%s%s: %s there, absent here", list, *list ? "; " : "",
                               config_value_shown(name, shown), side_text(value, arena));
    }
    if (n > NAMED_MAX) list = arena_print(arena, "%s; and %zu more", list, n - NAMED_MAX);
    return n ? list : NULL;
}

const char *config_difference(const char *there, const char *here, struct arena *arena) {
    if (strcmp(there, here) == 0) return NULL;
    const size_t flags = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL;
    json_t *a = json_loads(there, flags, NULL), *b = json_loads(here, flags, NULL);
    REQUIRE(json_is_object(b));
    const char *list = json_is_object(a) ? list_differences(a, b, arena)
                                         : "the config stored there is not a JSON object";
    json_decref(a);
    json_decref(b);
    return list;
}
