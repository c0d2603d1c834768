/* The schema as a JSON Schema, by which editors complete and check a config while it is written. */
#include "base/config.h"

#include "base/config_value.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

/* Both take over `value`. Only the want of memory makes jansson fail here. */
static void put(json_t *object, const char *name, json_t *value) {
    bool stored = json_object_set_new(object, name, value) == 0;
    REQUIRE(stored);
}

static void append(json_t *array, json_t *value) {
    bool stored = json_array_append_new(array, value) == 0;
    REQUIRE(stored);
}

static json_t *new_section(void) {
    json_t *section = json_object();
    put(section, "type", json_string("object"));
    put(section, "additionalProperties", json_false());
    put(section, "properties", json_object());
    return section;
}

/* The `properties` of the section that holds the key; `leaf` is the key's name in it. Missing
 * sections are made on the way. */
static json_t *section_properties(json_t *root, const char *name, const char **leaf) {
    json_t *properties = json_object_get(root, "properties");
    struct arena scratch = {0};
    for (const char *dot; (dot = strchr(name, '.')); name = dot + 1) {
        const char *part = arena_string(&scratch, (struct span){name, (size_t)(dot - name)});
        if (!json_object_get(properties, part)) put(properties, part, new_section());
        properties = json_object_get(json_object_get(properties, part), "properties");
    }
    arena_free(&scratch);
    *leaf = name;
    return properties;
}

static json_t *choices_schema(const char *choices) {
    json_t *list = json_array();
    for (const char *p = choices; *p;) {
        size_t n = strcspn(p, "|");
        append(list, json_stringn(p, n));
        p += n + (p[n] == '|');
    }
    return list;
}

static json_t *key_schema(const struct config_entry *e, struct arena *scratch) {
    static const char *const types[] = {
        [CONFIG_TYPE_INT] = "integer",  [CONFIG_TYPE_FLOAT] = "number",
        [CONFIG_TYPE_BOOL] = "boolean", [CONFIG_TYPE_STRING] = "string",
        [CONFIG_TYPE_ENUM] = "string",
    };
    const struct config_key *key = e->key;
    json_t *schema = json_object();
    put(schema, "type", json_string(types[key->type]));
    put(schema, "description",
        json_sprintf("%s%s", key->doc, key->mark == EXECUTION ? " (execution)" : ""));
    put(schema, "default",
        json_loads(config_value_text(key, e->field, scratch), JSON_DECODE_ANY, NULL));
    if (key->type == CONFIG_TYPE_ENUM) put(schema, "enum", choices_schema(key->choices));
    if (key->type == CONFIG_TYPE_INT || key->type == CONFIG_TYPE_FLOAT) {
        if (isfinite(key->low)) put(schema, "minimum", json_real(key->low));
        if (isfinite(key->high)) put(schema, "maximum", json_real(key->high));
    }
    return schema;
}

void config_print_schema(const struct config *c, FILE *out) {
    struct arena scratch = {0};
    json_t *root = new_section();
    put(root, "$schema", json_string("https://json-schema.org/draft/2020-12/schema"));
    put(root, "title", json_string("grpo configuration"));
    for (struct config_entry e = {0}; config_next(c, &e);) {
        const char *leaf;
        json_t *properties = section_properties(root, e.key->name, &leaf);
        put(properties, leaf, key_schema(&e, &scratch));
    }
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    REQUIRE(text);
    fprintf(out, "%s\n", text);
    free(text);
    json_decref(root);
    arena_free(&scratch);
}
