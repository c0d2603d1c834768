#include "tests/oracle_file.h"

#include "policy/safetensors.h"

status oracle_read(struct oracle *out, const char *dir, struct arena *arena) {
    struct policy_config *config = ARENA_NEW(arena, struct policy_config);
    TRY(policy_config_read(config, dir));
    struct safetensors file;
    TRY(safetensors_open(&file, dir, arena));
    *out = (struct oracle){.config = config, .n = file.n};
    out->tensors = ARENA_ARRAY(arena, (size_t)file.n, struct oracle_tensor);
    status failed = NULL;
    for (int i = 0; i < file.n && !failed; i++) {
        const struct tensor_entry *e = &file.entries[i];
        size_t n = (size_t)e->elements;
        float *narrow = ARENA_ARRAY(arena, n, float);
        double *data = ARENA_ARRAY(arena, n, double);
        failed = tensor_to_f32(e, narrow);
        for (size_t j = 0; j < n; j++) data[j] = narrow[j];
        out->tensors[i] = (struct oracle_tensor){arena_print(arena, "%s", e->name), data, n};
    }
    safetensors_close(&file);
    return failed;
}

int oracle_find(const struct oracle *o, const char *name) {
    for (int i = 0; i < o->n; i++)
        if (strcmp(o->tensors[i].name, name) == 0) return i;
    return -1;
}
