/* Policies as Hugging Face directories: reading weights in the ways they are spelt. */
#include "policy/policy_layout.h"
#include "policy/safetensors.h"

#include <stdio.h>
#include <stdlib.h>

/* A checkpoint while it is read. */
struct reader {
    struct policy *p;
    const struct safetensors *st;
    const char *dir;
    bool *used;  /* [st->n] */
    int stretch; /* that is read now */
    struct policy_stage stage;
};

/* Where the float at `offset` of the parameters goes. */
static buf place_of(const struct reader *r, int64_t offset) {
    if (policy_parameter_at(r->p, offset)->at >= 0) return policy_param(r->p, offset);
    return buf_f32(r->stage.raw, offset - r->stage.base);
}

const char *policy_bias_name(struct arena *arena, int layer) {
    return arena_print(arena, "model.layers.%d.mlp.gate.e_score_correction_bias", layer);
}

static bool same_shape(const struct tensor_entry *e, int n_dims, const int64_t *dims) {
    bool same = e->n_dims == n_dims;
    for (int i = 0; same && i < n_dims; i++) same = e->dims[i] == dims[i];
    return same;
}

static status shape_check(const struct reader *r, const struct tensor_entry *e, int n_dims,
                          const int64_t *dims) {
    if (same_shape(e, n_dims, dims)) return NULL;
    char is[128] = "", expected[128] = "";
    for (int i = 0, at = 0; i < e->n_dims && at < 100; i++)
        at += snprintf(is + at, sizeof is - at, "%s%lld", i ? ", " : "", (long long)e->dims[i]);
    for (int i = 0, at = 0; i < n_dims && at < 100; i++)
        at += snprintf(expected + at, sizeof expected - at, "%s%lld", i ? ", " : "",
                       (long long)dims[i]);
    return fail(EXIT_BAD_DATA, "%s: tensor %s has shape [%s], config.json expects [%s]", r->dir,
                e->name, is, expected);
}

static void mark_used(struct reader *r, const struct tensor_entry *e) {
    r->used[e - r->st->entries] = true;
}

/* Multiplies a matrix that came in 8 bits with the scales of its blocks, the tensor NAME_scale_inv. */
static status blocks_scale(struct reader *r, const struct tensor_entry *e, float *w) {
    struct arena arena = {0};
    const struct tensor_entry *scales =
        safetensors_find(r->st, arena_print(&arena, "%s_scale_inv", e->name));
    arena_free(&arena);
    if (!scales || e->n_dims != 2)
        return fail(EXIT_BAD_DATA,
                    "%s: tensor %s is F8_E4M3, a matrix with %s_scale_inv was expected", r->dir,
                    e->name, e->name);
    const int64_t B = POLICY_FP8_BLOCK, rows = e->dims[0], columns = e->dims[1];
    const int64_t dims[] = {(rows + B - 1) / B, (columns + B - 1) / B};
    TRY(shape_check(r, scales, 2, dims));
    float *scale = memory_new((size_t)scales->elements, sizeof *scale);
    status failed = status_context(tensor_to_f32(scales, scale), "%s", r->dir);
    for (int64_t i = 0; !failed && i < rows; i++)
        for (int64_t j = 0; j < columns; j++) w[i * columns + j] *= scale[i / B * dims[1] + j / B];
    free(scale);
    mark_used(r, scales);
    return failed;
}

/* A tensor as floats, out [its elements]; marks what was used. */
static status entry_read(struct reader *r, const struct tensor_entry *e, float *out) {
    mark_used(r, e);
    TRY(status_context(tensor_to_f32(e, out), "%s", r->dir));
    if (e->dtype == DTYPE_F8_E4M3) TRY(blocks_scale(r, e, out));
    for (int64_t i = 0; i < e->elements; i++)
        if (!__builtin_isfinite(out[i]))
            return fail(EXIT_BAD_DATA, "%s: tensor %s holds a value that is not a finite number",
                        r->dir, e->name);
    return NULL;
}

/* E matrices [columns, rows] in place of E matrices [rows, columns]. */
static void transpose(float *w, int64_t E, int64_t rows, int64_t columns) {
    float *copy = memory_new((size_t)(rows * columns), sizeof *copy);
    for (int64_t e = 0; e < E; e++, w += rows * columns) {
        memcpy(copy, w, (size_t)(rows * columns) * sizeof *copy);
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < columns; j++) w[i * columns + j] = copy[j * rows + i];
    }
    free(copy);
}

/* Reads a tensor to the device, one at a time on the host: no second copy of the policy is made. `turned`
 * tensors [E, columns, rows] become [E, rows, columns]. */
static status entry_load(struct reader *r, const struct tensor_entry *e, buf to, bool turned) {
    float *host = memory_new((size_t)e->elements, sizeof *host);
    status failed = entry_read(r, e, host);
    if (!failed && turned) transpose(host, e->dims[0], e->dims[2], e->dims[1]);
    if (!failed) op_write(r->p->stream, to, host, (size_t)e->elements * sizeof *host);
    free(host);
    return failed;
}

static status tensor_take(struct reader *r, const char *name, int n_dims, const int64_t *dims,
                          buf to) {
    const struct tensor_entry *e = safetensors_find(r->st, name);
    if (!e) return fail(EXIT_BAD_DATA, "%s: tensor %s is missing", r->dir, name);
    TRY(shape_check(r, e, n_dims, dims));
    return entry_load(r, e, to, false);
}

/* All experts of a layer in two tensors, where the file has them so: transformers 5 in memory as
 * [E, 2I, D] and [E, D, I], which is how they lie here too; some older files as [E, D, 2I] and [E, I, D].
 * The two shapes together tell which; *taken says whether there were any. */
static status fused_take(struct reader *r, int layer, bool *taken) {
    const struct policy *p = r->p;
    const char *block = policy_traits(&p->config)->moe_block;
    struct arena arena = {0};
    const struct tensor_entry *up = safetensors_find(
        r->st, arena_print(&arena, "model.layers.%d.%s.experts.gate_up_proj", layer, block));
    const struct tensor_entry *down = safetensors_find(
        r->st, arena_print(&arena, "model.layers.%d.%s.experts.down_proj", layer, block));
    arena_free(&arena);
    *taken = up && down;
    if (!*taken) return NULL;
    int64_t E = p->config.experts, D = p->config.hidden, I = p->config.expert_ffn;
    const int64_t up_dims[] = {E, 2 * I, D}, down_dims[] = {E, D, I};
    const int64_t up_turned[] = {E, D, 2 * I}, down_turned[] = {E, I, D};
    bool turned = same_shape(up, 3, up_turned) && same_shape(down, 3, down_turned);
    if (!turned) {
        TRY(shape_check(r, up, 3, up_dims));
        TRY(shape_check(r, down, 3, down_dims));
    }
    const struct policy_layer *to = &p->layers[layer];
    TRY(entry_load(r, up, place_of(r, to->expert_gate_up.offset), turned));
    return entry_load(r, down, place_of(r, to->expert_down.offset), turned);
}

/* Whether the parameter at `offset` is one of `w`'s matrices. */
static bool lies_in(const struct weight *w, int64_t offset) {
    return offset >= w->offset && offset < w->offset + w->M * w->hw;
}

/* What a policy for inference does not keep is packed as soon as a stretch is there. */
static void stretch_end(struct reader *r) {
    if (r->p->form.inference) policy_pack_stretch(r->p, r->stretch, &r->stage);
    r->stage.base = policy_stretch(r->p, ++r->stretch);
}

static status parameters_read(struct reader *r) {
    const struct policy *p = r->p;
    struct weight none = {.offset = INT64_MAX};
    const struct weight *fused[] = {&none, &none}; /* of the last layer that has them fused */
    int next = 0;                                  /* the layer that comes next by offset */
    for (int i = 0; i < p->n_parameters; i++) {
        const struct parameter *t = &p->parameters[i];
        while (t->offset >= policy_stretch(p, r->stretch + 1)) stretch_end(r);
        for (; next < p->config.layers && p->layers[next].norm1 <= t->offset; next++) {
            bool taken = false;
            if (p->layers[next].moe) TRY(fused_take(r, next, &taken));
            if (!taken) continue;
            fused[0] = &p->layers[next].expert_gate_up;
            fused[1] = &p->layers[next].expert_down;
        }
        if (lies_in(fused[0], t->offset) || lies_in(fused[1], t->offset)) continue;
        TRY(tensor_take(r, t->name, t->n_dims, t->dims, place_of(r, t->offset)));
    }
    stretch_end(r);
    return NULL;
}

/* Keeps a tensor as it is; one in 8 bits as floats, because nothing we write has scales. */
static status tensor_carry(struct reader *r, const struct tensor_entry *e) {
    struct policy *p = r->p;
    struct arena *a = &p->carried_arena;
    struct tensor_source *to = &p->carried[p->n_carried];
    if (e->dtype == DTYPE_OTHER)
        return fail(EXIT_BAD_DATA, "%s: tensor %s has dtype %s, which cannot be carried along",
                    r->dir, e->name, e->dtype_name);
    *to = (struct tensor_source){
        .name = arena_print(a, "%s", e->name), .dtype = e->dtype, .n_dims = e->n_dims};
    memcpy(to->dims, e->dims, sizeof to->dims);
    if (e->dtype == DTYPE_F8_E4M3) {
        float *x = ARENA_ARRAY(a, e->elements, float);
        TRY(entry_read(r, e, x));
        to->dtype = DTYPE_F32;
        to->data = x;
    } else {
        char *x = ARENA_ARRAY(a, e->bytes, char);
        if (e->bytes) memcpy(x, e->data, e->bytes);
        mark_used(r, e);
        to->data = x;
    }
    p->n_carried++;
    return NULL;
}

static status drafting_carry(struct reader *r) {
    struct policy *p = r->p;
    arena_free(&p->carried_arena);
    p->n_carried = 0;
    p->carried = ARENA_ARRAY(&p->carried_arena, r->st->n, struct tensor_source);
    for (int pass = 0; pass < 2;
         pass++) /* the scales of 8-bit tensors go with them, so they wait */
        for (int i = 0; i < r->st->n; i++) {
            const struct tensor_entry *e = &r->st->entries[i];
            if (r->used[i] || !policy_is_drafting(&p->config, e->name)) continue;
            if ((e->dtype == DTYPE_F8_E4M3) == (pass == 0)) TRY(tensor_carry(r, e));
        }
    if (!p->n_carried) p->config.mtp_layers = 0; /* what is saved has none either */
    return NULL;
}

static status weights_read(struct reader *r) {
    struct policy *p = r->p;
    const struct policy_config *c = &p->config;
    TRY(parameters_read(r));
    for (int i = 0; c->router_sigmoid && i < c->layers; i++) {
        if (!p->layers[i].moe) continue;
        int64_t E = c->experts;
        buf to = buf_f32(p->router_bias, p->layers[i].moe_index * E);
        TRY(tensor_take(r, policy_bias_name(&p->arena, i), 1, &E, to));
    }
    if (!p->form.inference) TRY(drafting_carry(r)); /* they are saved again, and nothing else */
    for (int i = 0; i < r->st->n; i++) {
        const char *name = r->st->entries[i].name;
        bool tied_head = c->tied && strcmp(name, "lm_head.weight") == 0;
        bool left = p->form.inference && policy_is_drafting(c, name);
        if (!r->used[i] && !tied_head && !left)
            return fail(EXIT_BAD_DATA,
                        "%s: tensor %s does not belong to a policy of this config.json", r->dir,
                        name);
    }
    return NULL;
}

/* Room for the largest stretch of a policy for inference. The embedding, the first one, is kept. */
static status stage_open(struct policy *p, struct policy_stage *stage) {
    int64_t most = 0;
    *stage = (struct policy_stage){0};
    if (!p->form.inference) return NULL;
    for (int i = 1; i < p->config.layers + 2; i++) {
        int64_t size = policy_stretch(p, i + 1) - policy_stretch(p, i);
        if (size > most) most = size;
    }
    return op_alloc(p->stream, (size_t)most * sizeof(float), &stage->raw);
}

status policy_load_weights(struct policy *p, const char *dir) {
    struct arena arena = {0};
    struct safetensors st;
    status failed = safetensors_open(&st, dir, &arena);
    if (failed) {
        arena_free(&arena);
        return failed;
    }
    struct reader r = {.p = p, .st = &st, .dir = dir, .used = memory_new(st.n, sizeof *r.used)};
    failed = stage_open(p, &r.stage);
    if (!failed) failed = weights_read(&r);
    op_free(p->stream, r.stage.raw);
    free(r.used);
    safetensors_close(&st);
    arena_free(&arena);
    if (!failed && !p->form.inference) policy_pack(p);
    return failed;
}
