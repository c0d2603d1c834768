#include "tests/oracle_file.h"

#include <stdio.h>

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

/* The tensor "NAME.i" of the file, of this type; ends the program when it is not there. */
static const struct tensor_entry *numbered(const struct golden *g, const char *name, int i,
                                           enum tensor_dtype dtype) {
    char full[64];
    snprintf(full, sizeof full, "%s.%d", name, i);
    const struct tensor_entry *e = safetensors_find(&g->file, full);
    REQUIRE(e && e->dtype == dtype);
    return e;
}

const float *golden_tensor(const struct golden *g, const char *name, size_t n,
                           struct arena *arena) {
    const struct tensor_entry *e = safetensors_find(&g->file, name);
    REQUIRE(e && e->dtype == DTYPE_F32 && (size_t)e->elements == n);
    float *data = ARENA_ARRAY(arena, n, float);
    memcpy(data, e->data, n * sizeof *data);
    return data;
}

/* Sequence i; every target counts 1. Returns how many there are. */
static int sequence_read(const struct golden *g, int i, const struct policy_config *config,
                         struct arena *arena, struct oracle_sequence *s) {
    const struct tensor_entry *ids = numbered(g, "input_ids", i, DTYPE_I64);
    const uint8_t *mask = numbered(g, "loss_mask", i, DTYPE_U8)->data;
    size_t T = (size_t)ids->elements;
    int32_t *id = ARENA_ARRAY(arena, T, int32_t), *target = ARENA_ARRAY(arena, T, int32_t);
    double *weight = ARENA_ARRAY(arena, T, double);
    int targets = 0;
    for (size_t t = 0; t < T; t++) {
        int64_t wide;
        memcpy(&wide, (const char *)ids->data + t * sizeof wide, sizeof wide);
        id[t] = (int32_t)wide;
        if (t == 0 || !mask[t]) continue;
        target[t - 1] = id[t];
        weight[t - 1] = 1;
        targets++;
    }
    *s = (struct oracle_sequence){.ids = id,
                                  .T = (int)T,
                                  .target = target,
                                  .weight = weight,
                                  .inv_temp = 1,
                                  .valid = config->vocab};
    return targets;
}

status golden_read(struct golden *out, const char *dir, const struct policy_config *config,
                   struct arena *arena) {
    enum { SEQUENCES = 4 };
    *out = (struct golden){.n = SEQUENCES};
    TRY(safetensors_open(&out->file, arena_print(arena, "%s/golden.safetensors", dir), arena));
    out->sequences = ARENA_ARRAY(arena, SEQUENCES, struct oracle_sequence);
    out->logits = ARENA_ARRAY(arena, SEQUENCES, const float *);
    int targets = 0;
    for (int i = 0; i < SEQUENCES; i++) {
        struct oracle_sequence *s = &out->sequences[i];
        targets += sequence_read(out, i, config, arena, s);
        out->logits[i] = golden_tensor(out, arena_print(arena, "logits.%d", i),
                                       (size_t)s->T * config->vocab, arena);
    }
    for (int i = 0; i < SEQUENCES; i++) {
        struct oracle_sequence *s = &out->sequences[i];
        double *weight = ARENA_ARRAY(arena, (size_t)s->T, double);
        for (int t = 0; t < s->T; t++) weight[t] = -s->weight[t] / targets;
        s->weight = weight;
    }
    out->loss = *golden_tensor(out, "loss", 1, arena);
    return NULL;
}
