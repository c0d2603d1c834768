#include "policy/gguf_convert.h"

#include "policy/gguf_config.h"
#include "policy/gguf_map.h"
#include "policy/gguf_tokenizer.h"
#include "policy/policy_layout.h"

#include <stdlib.h>

enum { QUANTIZATION_VERSION = 2 };

static status check_free(const char *path) {
    if (!file_exists(path)) return NULL;
    return fail(EXIT_IO, "%s is there already; a new name was expected", path);
}

static status link_check(const struct gguf_link *l, const struct gguf_tensor *t, const char *path) {
    if (!t) return fail(EXIT_BAD_DATA, "%s: tensor %s is missing", path, l->name);
    bool same = t->n_dims == l->n_dims;
    for (int i = 0; same && i < l->n_dims; i++) same = t->dims[i] == l->dims[i];
    if (same) return NULL;
    return fail(EXIT_BAD_DATA, "%s: tensor %s does not have the shape that the keys ask for", path,
                l->name);
}

/* Every tensor that the keys ask for is there, and no other. */
static status tensors_check(const struct gguf *g, const struct gguf_map *m) {
    bool *used = memory_new((size_t)g->n_tensors, sizeof *used);
    status s = NULL;
    for (int i = 0; !s && i < m->n_links; i++) {
        const struct gguf_tensor *t = gguf_tensor(g, m->links[i].name);
        s = link_check(&m->links[i], t, g->path);
        if (t) used[t - g->tensors] = true;
    }
    for (int i = 0; !s && i < g->n_tensors; i++)
        if (!used[i])
            s = fail(EXIT_BAD_DATA, "%s: tensor %s is not supported for this architecture", g->path,
                     g->tensors[i].name);
    free(used);
    return s;
}

/* Space for all weights, one after the other; free it. */
static float *weights_new(struct gguf_map *m) {
    int64_t n = 0;
    for (int i = 0; i < m->n_weights; i++) n += m->weights[i].elements;
    float *data = memory_new((size_t)n, sizeof *data), *at = data;
    for (int i = 0; i < m->n_weights; at += m->weights[i++].elements) m->weights[i].data = at;
    return data;
}

static int64_t largest_link(const struct gguf_map *m) {
    int64_t largest = 0;
    for (int i = 0; i < m->n_links; i++) {
        int64_t n = gguf_link_elements(&m->links[i]);
        if (n > largest) largest = n;
    }
    return largest;
}

static status weights_import(const struct gguf *g, struct gguf_map *m, const char *path,
                             struct arena *arena) {
    TRY(tensors_check(g, m));
    float *data = weights_new(m);
    float *tensor = memory_new((size_t)largest_link(m), sizeof *tensor);
    for (int i = 0; i < m->n_links; i++) {
        const struct gguf_tensor *t = gguf_tensor(g, m->links[i].name);
        gguf_decode(t->format, t->data, t->elements, tensor);
        gguf_link_scatter(&m->links[i], m, tensor);
    }
    struct tensor_source *sources = ARENA_ARRAY(arena, (size_t)m->n_weights, struct tensor_source);
    for (int i = 0; i < m->n_weights; i++) {
        const struct gguf_weight *w = &m->weights[i];
        sources[i] = (struct tensor_source){.name = w->name,
                                            .dtype = DTYPE_F32,
                                            .n_dims = w->n_dims,
                                            .dims = {w->dims[0], w->dims[1]},
                                            .data = w->data};
    }
    status s = safetensors_write(path, sources, m->n_weights, NULL);
    free(tensor);
    free(data);
    return s;
}

static status import_into(const struct gguf *g, const char *dir, struct arena *arena) {
    struct policy_config c;
    TRY(gguf_config_read(&c, g));
    struct gguf_map m = gguf_map(&c, arena);
    TRY(gguf_tokenizer_read(g, &c, dir));
    TRY(weights_import(g, &m, arena_print(arena, "%s/model.safetensors", dir), arena));
    const char *json = policy_config_json(&c, arena);
    return file_write(arena_print(arena, "%s/config.json", dir), json, strlen(json));
}

status gguf_import(const char *from, const char *to) {
    struct arena arena = {0};
    struct gguf g;
    const char *temporary = arena_print(&arena, "%s.tmp", to);
    status s = check_free(to);
    if (!s) s = gguf_open(&g, from, &arena);
    if (s) {
        arena_free(&arena);
        return s;
    }
    s = file_remove_tree(temporary);
    if (!s) s = file_make_dirs(temporary);
    if (!s) s = import_into(&g, temporary, &arena);
    if (!s) s = file_rename(temporary, to);
    if (s) status_free(file_remove_tree(temporary));
    gguf_close(&g);
    arena_free(&arena);
    return s;
}

/* Layers beyond the model's own only draft; they are left out. */
static int drafting_tensors(const struct safetensors *st, const struct policy_config *c) {
    int n = 0;
    for (int i = 0; i < st->n; i++) n += policy_is_drafting(c, st->entries[i].name);
    return n;
}

/* Where each weight lies in the checkpoint; all of it must be known. */
static status sources_find(const struct tensor_entry **entries, const struct safetensors *st,
                           const struct gguf_map *m, const struct policy_config *c,
                           const char *dir) {
    for (int i = 0; i < m->n_weights; i++) {
        const struct gguf_weight *w = &m->weights[i];
        const struct tensor_entry *e = entries[i] = safetensors_find(st, w->name);
        if (!e) return fail(EXIT_BAD_DATA, "%s: tensor %s is missing", dir, w->name);
        bool same = e->n_dims == w->n_dims;
        for (int k = 0; same && k < w->n_dims; k++) same = e->dims[k] == w->dims[k];
        if (!same)
            return fail(EXIT_BAD_DATA,
                        "%s: tensor %s does not have the shape that config.json asks for", dir,
                        w->name);
    }
    int surplus = st->n - m->n_weights - drafting_tensors(st, c);
    if (c->tied && safetensors_find(st, "lm_head.weight")) surplus--;
    if (surplus == 0) return NULL;
    return fail(EXIT_BAD_DATA, "%s: %d tensors do not belong to a policy of this config.json", dir,
                surplus);
}

static const struct gguf_format *link_format(const struct gguf_link *l,
                                             const struct gguf_format *format) {
    if (l->plain) return gguf_format(GGUF_F32);
    return l->dims[l->n_dims - 1] % format->block ? gguf_format(GGUF_F16) : format;
}

/* Reads the weights of one link, and writes its tensor. */
static status link_export(struct gguf_writer *w, const struct gguf_link *l, struct gguf_map *m,
                          const struct tensor_entry *const *entries,
                          const struct gguf_format *format, float *ours, float *tensor,
                          uint8_t *encoded) {
    for (int i = l->first; i < l->first + l->n; i++) {
        m->weights[i].data = ours;
        TRY(tensor_to_f32(entries[i], ours));
        ours += m->weights[i].elements;
    }
    int64_t n = gguf_link_elements(l);
    gguf_link_gather(l, m, tensor);
    TRY(status_context(gguf_encode(format, tensor, n, encoded), "tensor %s", l->name));
    return gguf_writer_put(w, encoded, (size_t)(n / format->block * format->bytes));
}

static status weights_export(struct gguf_writer *w, struct gguf_map *m,
                             const struct tensor_entry *const *entries,
                             const struct gguf_format *format, const char *path,
                             struct arena *arena) {
    struct gguf_plan *plans = ARENA_ARRAY(arena, (size_t)m->n_links, struct gguf_plan);
    int64_t largest = largest_link(m);
    for (int i = 0; i < m->n_weights; i++)
        if (m->weights[i].elements > largest) largest = m->weights[i].elements;
    for (int i = 0; i < m->n_links; i++) {
        const struct gguf_link *l = &m->links[i];
        plans[i] = (struct gguf_plan){.name = l->name,
                                      .format = link_format(l, format),
                                      .n_dims = l->n_dims,
                                      .dims = {l->dims[0], l->dims[1], l->dims[2]}};
    }
    TRY(gguf_writer_begin(w, path, plans, m->n_links));
    float *ours = memory_new((size_t)largest, 4), *tensor = memory_new((size_t)largest, 4);
    uint8_t *encoded = memory_new((size_t)largest, 4);
    status s = NULL;
    for (int i = 0; !s && i < m->n_links; i++)
        s = link_export(w, &m->links[i], m, entries, plans[i].format, ours, tensor, encoded);
    free(ours);
    free(tensor);
    free(encoded);
    return s ? s : gguf_writer_close(w);
}

/* llama.cpp's numbers for what most tensors of a file are of. */
static int file_type(const struct gguf_format *format) {
    return format->type == GGUF_F32    ? 0
           : format->type == GGUF_F16  ? 1
           : format->type == GGUF_Q8_0 ? 7
                                       : 32;
}

static status export_to(struct gguf_writer *w, const char *dir, const char *path,
                        const struct gguf_format *format, const struct safetensors *st,
                        const struct policy_config *c, struct arena *arena) {
    struct gguf_map m = gguf_map(c, arena);
    const struct tensor_entry **entries =
        ARENA_ARRAY(arena, (size_t)m.n_weights, const struct tensor_entry *);
    TRY(sources_find(entries, st, &m, c, dir));
    gguf_config_put(c, w);
    gguf_put_int(w, "general.file_type", file_type(format));
    gguf_put_int(w, "general.quantization_version", QUANTIZATION_VERSION);
    TRY(gguf_tokenizer_put(w, c, dir));
    return status_context(weights_export(w, &m, entries, format, path, arena), "%s", dir);
}

static status export_plain(const char *from, const char *to, const struct gguf_format *format,
                           const struct policy_config *c, const struct safetensors *st,
                           struct arena *arena) {
    struct gguf_writer w = {.file.fd = -1};
    const char *temporary = arena_print(arena, "%s.tmp", to);
    status s = export_to(&w, from, temporary, format, st, c, arena);
    if (!s) s = file_rename(temporary, to);
    gguf_writer_abandon(&w);
    return s;
}

/* Whether weights are spelt in ways that reading a policy undoes: in 8 bits, or experts fused. */
static bool is_packed(const struct safetensors *st) {
    for (int i = 0; i < st->n; i++)
        if (st->entries[i].dtype == DTYPE_F8_E4M3 ||
            span_ends(span_of(st->entries[i].name), SPAN(".experts.gate_up_proj")))
            return true;
    return false;
}

/* Writes the policy at `from` anew, in the plain spelling. */
static status unpack(const char *from, const char *to) {
    const struct stream_config config = {.device = "ref", .isa = "auto", .threads = 1};
    struct stream *stream;
    struct policy *p = NULL;
    TRY(stream_open(&stream, &config));
    status s = file_remove_tree(to);
    if (!s) s = file_make_dirs(to);
    if (!s) s = policy_open(&p, stream, from, (struct policy_form){.max_positions = 1});
    if (!s) s = policy_save(p, to);
    if (!s) s = policy_copy_files(from, to);
    policy_close(p);
    op_close(stream);
    return s;
}

static status export_unpacked(const char *from, const char *to, const struct gguf_format *format,
                              const struct policy_config *c, struct arena *arena) {
    const char *plain = arena_print(arena, "%s.unpacked", to);
    struct safetensors st = {0};
    status s = unpack(from, plain);
    if (!s) s = safetensors_open(&st, plain, arena);
    if (!s) s = export_plain(plain, to, format, c, &st, arena);
    safetensors_close(&st);
    status left = file_remove_tree(plain);
    if (!s) return left;
    status_free(left); /* the first failure is the one to tell */
    return s;
}

status gguf_export(const char *from, const char *to, const struct gguf_format *format) {
    struct arena arena = {0};
    struct policy_config c;
    struct safetensors st = {0};
    status s = check_free(to);
    if (!s) s = policy_config_read(&c, from);
    if (!s) s = gguf_config_check(&c, from);
    if (!s) s = safetensors_open(&st, from, &arena);
    if (!s && is_packed(&st)) s = export_unpacked(from, to, format, &c, &arena);
    else if (!s) s = export_plain(from, to, format, &c, &st, &arena);
    safetensors_close(&st);
    arena_free(&arena);
    return s;
}
