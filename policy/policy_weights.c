/* Policies as Hugging Face directories: reading weights in the ways they are spelt. */
#include "kernels/number.h"
#include "policy/policy_layout.h"
#include "policy/safetensors.h"

#include <stdio.h>
#include <stdlib.h>

/* Where the numbers of a parameter are. */
struct source {
    const struct tensor_entry *entry;
    const struct tensor_entry *scales; /* of its blocks, where the numbers have 8 bits; else NULL */
    int64_t first;                     /* element of the entry that the parameter begins with */
    int64_t stride; /* elements between columns of a matrix that lies turned; 0: it does not */
};

/* A checkpoint while it is read. */
struct reader {
    struct policy *p;
    const struct safetensors *st;
    const char *dir;
    bool *used;             /* [st->n] */
    struct source *sources; /* [sources_n()] of the parameters, then of the router biases */
    buf flaws;              /* int32, one a source: whether a number is not finite */
    buf piece;              /* of a weight that is kept only as it is packed */
};

enum { PIECE = 1 << 19 }; /* floats: what threads convert and then pack stays in their caches */

static int sources_n(const struct policy *p) { return p->n_parameters + p->moe_layers; }

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

/* A source of all of an entry's numbers. */
static status source_open(struct reader *r, const struct tensor_entry *e, struct source *out) {
    enum number_form form;
    *out = (struct source){.entry = e};
    mark_used(r, e);
    if (tensor_form(e, &form)) return NULL;
    if (e->dtype != DTYPE_F8_E4M3)
        return fail(EXIT_BAD_DATA,
                    "%s: tensor %s has dtype %s, F32, F16, BF16 or F8_E4M3 was expected", r->dir,
                    e->name, e->dtype_name);
    struct arena arena = {0};
    out->scales = safetensors_find(r->st, arena_print(&arena, "%s_scale_inv", e->name));
    arena_free(&arena);
    if (!out->scales || e->n_dims != 2)
        return fail(EXIT_BAD_DATA,
                    "%s: tensor %s is F8_E4M3, a matrix with %s_scale_inv was expected", r->dir,
                    e->name, e->name);
    const int64_t B = POLICY_FP8_BLOCK;
    const int64_t dims[] = {(e->dims[0] + B - 1) / B, (e->dims[1] + B - 1) / B};
    mark_used(r, out->scales);
    return shape_check(r, out->scales, 2, dims);
}

/* n numbers of the entry from element `first` on, as they are in the file. */
static status entry_floats(const struct reader *r, const struct tensor_entry *e, int64_t first,
                           int64_t n, float *out) {
    struct tensor_entry part = *e;
    size_t width = e->elements ? e->bytes / (size_t)e->elements : 0;
    part.data = (const char *)e->data + (size_t)first * width;
    part.elements = n;
    part.bytes = (size_t)n * width;
    return status_context(tensor_to_f32(&part, out), "%s", r->dir);
}

/* Multiplies n numbers from element `first` on with the scales of their blocks. */
static status blocks_scale(const struct reader *r, const struct source *x, int64_t first, int64_t n,
                           float *w) {
    const int64_t B = POLICY_FP8_BLOCK, columns = x->entry->dims[1], across = x->scales->dims[1];
    float *scale = memory_new((size_t)x->scales->elements, sizeof *scale);
    status failed = entry_floats(r, x->scales, 0, x->scales->elements, scale);
    for (int64_t i = first; !failed && i < first + n; i++)
        w[i - first] *= scale[i / columns / B * across + i % columns / B];
    free(scale);
    return failed;
}

/* Rows of a matrix [.., columns] that lies turned: its columns are what is contiguous. */
static status turned_floats(const struct reader *r, const struct source *x, int64_t row,
                            int64_t rows, int64_t columns, float *out) {
    float *column = memory_new((size_t)rows, sizeof *column);
    status failed = NULL;
    for (int64_t j = 0; !failed && j < columns; j++) {
        failed = entry_floats(r, x->entry, x->first + j * x->stride + row, rows, column);
        for (int64_t i = 0; !failed && i < rows; i++) out[i * columns + j] = column[i];
    }
    free(column);
    return failed;
}

/* n numbers of source i, from number `first` on, to the device: whole rows where its matrix lies turned. */
static status source_load(struct reader *r, int i, int64_t first, int64_t n, int64_t columns,
                          buf to) {
    const struct source *x = &r->sources[i];
    struct stream *s = r->p->stream;
    buf flaw = buf_i32(r->flaws, i);
    enum number_form form;
    if (!x->stride && tensor_form(x->entry, &form)) {
        const char *data = x->entry->data;
        op_load(s, to, data + (x->first + first) * number_bytes(form), form, n, flaw);
        return NULL;
    }
    float *host = memory_new((size_t)n, sizeof *host);
    status failed = x->stride ? turned_floats(r, x, first / columns, n / columns, columns, host)
                              : entry_floats(r, x->entry, x->first + first, n, host);
    if (!failed && x->scales) failed = blocks_scale(r, x, x->first + first, n, host);
    if (!failed) op_load(s, to, host, NUMBER_F32, n, flaw);
    free(host);
    return failed;
}

/* ---- which tensor holds a parameter --------------------------------------------------------------- */

static status tensor_find(struct reader *r, const char *name, int n_dims, const int64_t *dims,
                          struct source *out) {
    const struct tensor_entry *e = safetensors_find(r->st, name);
    if (!e) return fail(EXIT_BAD_DATA, "%s: tensor %s is missing", r->dir, name);
    TRY(shape_check(r, e, n_dims, dims));
    return source_open(r, e, out);
}

/* All experts of a layer in two tensors, where the file has them so: transformers 5 in memory as
 * [E, 2I, D] and [E, D, I], which is how they lie here too; some older files as [E, D, 2I] and [E, I, D].
 * The two shapes together tell which. */
struct fused {
    struct source up, down; /* entry NULL: the experts are one by one */
    bool turned;
};

static status fused_find(struct reader *r, int layer, struct fused *out) {
    const struct policy *p = r->p;
    const char *block = policy_traits(&p->config)->moe_block;
    struct arena arena = {0};
    const struct tensor_entry *up = safetensors_find(
        r->st, arena_print(&arena, "model.layers.%d.%s.experts.gate_up_proj", layer, block));
    const struct tensor_entry *down = safetensors_find(
        r->st, arena_print(&arena, "model.layers.%d.%s.experts.down_proj", layer, block));
    arena_free(&arena);
    *out = (struct fused){0};
    if (!up || !down) return NULL;
    int64_t E = p->config.experts, D = p->config.hidden, I = p->config.expert_ffn;
    const int64_t up_dims[] = {E, 2 * I, D}, down_dims[] = {E, D, I};
    const int64_t up_turned[] = {E, D, 2 * I}, down_turned[] = {E, I, D};
    out->turned = same_shape(up, 3, up_turned) && same_shape(down, 3, down_turned);
    if (!out->turned) {
        TRY(shape_check(r, up, 3, up_dims));
        TRY(shape_check(r, down, 3, down_dims));
    }
    TRY(source_open(r, up, &out->up));
    return source_open(r, down, &out->down);
}

/* Finds the parameter at `offset` in a layer's fused experts; false: it is not one of them. */
static bool fused_take(const struct policy_layer *layer, const struct fused *fused, int64_t offset,
                       struct source *out) {
    if (!fused->up.entry) return false;
    const struct weight *up = &layer->expert_gate_up, *down = &layer->expert_down;
    bool is_up = offset >= up->offset && offset < up->offset + up->M * up->hw;
    const struct weight *w = is_up ? up : down;
    if (offset < w->offset || offset >= w->offset + w->M * w->hw) return false;
    *out = is_up ? fused->up : fused->down;
    out->first = offset - w->offset;
    if (!fused->turned) return true;
    int64_t row = out->first % w->hw / w->K; /* of the expert's matrix */
    out->first = out->first / w->hw * w->hw + row;
    out->stride = w->N;
    return true;
}

static status sources_find(struct reader *r) {
    const struct policy *p = r->p;
    struct fused fused = {0};
    int next = 0; /* the layer that comes next by offset */
    for (int i = 0; i < p->n_parameters; i++) {
        const struct parameter *t = &p->parameters[i];
        for (; next < p->config.layers && p->layers[next].norm1 <= t->offset; next++) {
            fused = (struct fused){0};
            if (p->layers[next].moe) TRY(fused_find(r, next, &fused));
        }
        if (next > 0 && fused_take(&p->layers[next - 1], &fused, t->offset, &r->sources[i]))
            continue;
        TRY(tensor_find(r, t->name, t->n_dims, t->dims, &r->sources[i]));
    }
    for (int i = 0; p->config.router_sigmoid && i < p->config.layers; i++) {
        int64_t E = p->config.experts;
        struct source *to = &r->sources[p->n_parameters + p->layers[i].moe_index];
        if (p->layers[i].moe) TRY(tensor_find(r, policy_bias_name(&r->p->arena, i), 1, &E, to));
    }
    return NULL;
}

/* ---- reading -------------------------------------------------------------------------------------- */

/* The floats at offset..offset+n-1 of the flat parameters, whole rows, wherever they come from. */
static status range_load(struct reader *r, int64_t offset, int64_t n, buf to) {
    const struct policy *p = r->p;
    const struct parameter *t = policy_parameter_at(p, offset);
    for (int64_t done = 0; done < n; t++) {
        int64_t first = offset + done - t->offset;
        int64_t count = t->size - first < n - done ? t->size - first : n - done;
        int64_t columns = t->n_dims == 2 ? t->dims[1] : 1;
        TRY(source_load(r, (int)(t - p->parameters), first, count, columns, buf_f32(to, done)));
        done += count;
    }
    return NULL;
}

static bool is_kept(const struct policy *p, const struct weight *w) {
    return policy_parameter_at(p, w->offset)->at >= 0;
}

static int piece_rows(const struct weight *w) {
    int64_t rows = PIECE / w->K / BF16_BLOCK * BF16_BLOCK;
    if (rows < BF16_BLOCK) rows = BF16_BLOCK;
    return rows < w->N && !w->turned_hw ? (int)rows : w->N;
}

/* Packs a weight that is not kept otherwise, straight from the file. */
static status weight_load(struct reader *r, const struct weight *w) {
    for (int m = 0; m < w->M; m++)
        for (int first = 0, rows = piece_rows(w); first < w->N; first += rows) {
            if (rows > w->N - first) rows = w->N - first;
            int64_t offset = w->offset + m * w->hw + (int64_t)first * w->K;
            TRY(range_load(r, offset, (int64_t)rows * w->K, r->piece));
            policy_pack_rows(r->p, w, m, first, rows, r->piece);
        }
    return NULL;
}

static status parameters_load(struct reader *r) {
    struct policy *p = r->p;
    const struct weight *weights[STRETCH_WEIGHTS];
    for (int i = 0; i < p->n_parameters; i++) {
        const struct parameter *t = &p->parameters[i];
        if (t->at >= 0) TRY(range_load(r, t->offset, t->size, policy_param(p, t->offset)));
    }
    for (int stretch = 0; p->form.inference && stretch < p->config.layers + 2; stretch++)
        for (int i = 0, n = policy_stretch_weights(p, stretch, weights); i < n; i++) {
            if (is_kept(p, weights[i])) policy_pack_weight(p, weights[i]);
            else TRY(weight_load(r, weights[i]));
        }
    for (int i = 0; p->config.router_sigmoid && i < p->moe_layers; i++) {
        int64_t E = p->config.experts;
        TRY(source_load(r, p->n_parameters + i, 0, E, 1, buf_f32(p->router_bias, i * E)));
    }
    return NULL;
}

/* The device has noted which tensors hold numbers that are not finite: names the first. */
static status flaws_check(const struct reader *r) {
    int n = sources_n(r->p);
    int32_t *flaws = memory_new((size_t)n, sizeof *flaws);
    op_read(r->p->stream, flaws, r->flaws, (size_t)n * sizeof *flaws);
    int i = 0;
    while (i < n && !flaws[i]) i++;
    free(flaws);
    if (i == n) return NULL;
    return fail(EXIT_BAD_DATA, "%s: tensor %s holds a value that is not a finite number", r->dir,
                r->sources[i].entry->name);
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
        struct source source;
        TRY(source_open(r, e, &source));
        TRY(entry_floats(r, e, 0, e->elements, x));
        TRY(blocks_scale(r, &source, 0, e->elements, x));
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
    TRY(sources_find(r));
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
    TRY(parameters_load(r));
    return flaws_check(r);
}

/* Memory on the device for flaws, and for the largest piece. */
static status scratch_open(struct reader *r, buf *base) {
    const struct policy *p = r->p;
    const struct weight *weights[STRETCH_WEIGHTS];
    int64_t most = 0;
    for (int stretch = 0; p->form.inference && stretch < p->config.layers + 2; stretch++)
        for (int i = 0, n = policy_stretch_weights(p, stretch, weights); i < n; i++) {
            int64_t size = (int64_t)piece_rows(weights[i]) * weights[i]->K;
            if (size > most) most = size;
        }
    size_t flaws = (size_t)sources_n(p) * sizeof(int32_t);
    struct layout l = {0};
    layout_take(&l, flaws);
    layout_f32(&l, (size_t)most);
    TRY(op_alloc(p->stream, l.used, base));
    l = (struct layout){.base = *base};
    r->flaws = layout_take(&l, flaws);
    r->piece = layout_f32(&l, (size_t)most);
    op_zero(p->stream, r->flaws, flaws);
    return NULL;
}

static status load(struct policy *p, const struct safetensors *st, const char *dir) {
    buf scratch = NO_BUF;
    struct reader r = {.p = p,
                       .st = st,
                       .dir = dir,
                       .used = memory_new((size_t)st->n, sizeof *r.used),
                       .sources = memory_new((size_t)sources_n(p), sizeof *r.sources)};
    status failed = scratch_open(&r, &scratch);
    if (!failed) failed = weights_read(&r);
    op_free(p->stream, scratch);
    free(r.sources);
    free(r.used);
    if (!failed && !p->form.inference) policy_pack(p);
    return failed;
}

status policy_load_weights(struct policy *p, const char *dir) {
    struct arena arena = {0};
    struct safetensors st;
    REQUIRE(!p->form.inference);
    status failed = safetensors_open(&st, dir, &arena);
    if (!failed) {
        failed = load(p, &st, dir);
        safetensors_close(&st);
    }
    arena_free(&arena);
    return failed;
}

status policy_open(struct policy **out, struct stream *s, const char *dir,
                   struct policy_form form) {
    struct policy_config config;
    struct arena arena = {0};
    struct safetensors st;
    struct policy *p = NULL;
    TRY(policy_config_read(&config, dir));
    status failed = safetensors_open(&st, dir, &arena);
    if (!failed) {
        failed = policy_new(&p, s, &config, form);
        if (!failed) failed = load(p, &st, dir);
        safetensors_close(&st);
    }
    arena_free(&arena);
    if (failed) policy_close(p);
    else *out = p;
    return failed;
}
