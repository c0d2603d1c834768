#include "tests/onednn.h"

#include "base/status.h"

#if __has_include(<dnnl.h>)
#include <dnnl.h>
#endif

#if defined(DNNL_VERSION_MAJOR) && DNNL_VERSION_MAJOR == 2
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>

/* clang-format off */
#define FUNCTIONS(X)                                                                               \
    X(engine_create) X(stream_create) X(memory_desc_init_by_tag) X(matmul_desc_init)               \
    X(primitive_desc_create) X(primitive_desc_query_md) X(primitive_create)                        \
    X(memory_create) X(reorder_primitive_desc_create) X(primitive_execute) X(stream_wait)          \
    X(memory_destroy) X(primitive_destroy) X(primitive_desc_destroy) X(stream_destroy)             \
    X(engine_destroy)
/* clang-format on */

enum { ARGUMENTS = 3 };

struct onednn {
#define MEMBER(name) __typeof__(&dnnl_##name) name;
    FUNCTIONS(MEMBER)
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_desc_t description;
    dnnl_primitive_t matmul;
    dnnl_exec_arg_t arguments[ARGUMENTS];
};

/* The library stays loaded: its threads would not survive that it goes. */
static bool load(struct onednn *o) {
    setenv("OMP_NUM_THREADS", "1", 1);
    void *library = dlopen("libdnnl.so.2", RTLD_NOW);
    if (!library) return false;
#define FIND(name) o->name = (__typeof__(o->name))(intptr_t)dlsym(library, "dnnl_" #name);
    FUNCTIONS(FIND)
#define FOUND(name) &&o->name
    return true FUNCTIONS(FOUND);
}

static void must(dnnl_status_t s) { REQUIRE(s == dnnl_success); }

/* A copy of the matrix, arranged as `wanted` says. */
static dnnl_memory_t arranged(struct onednn *o, dnnl_memory_t from,
                              const dnnl_memory_desc_t *from_desc,
                              const dnnl_memory_desc_t *wanted) {
    dnnl_memory_t to;
    dnnl_primitive_desc_t description;
    dnnl_primitive_t reorder;
    must(o->memory_create(&to, wanted, o->engine, DNNL_MEMORY_ALLOCATE));
    must(o->reorder_primitive_desc_create(&description, from_desc, o->engine, wanted, o->engine,
                                          NULL));
    must(o->primitive_create(&reorder, description));
    dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
    must(o->primitive_execute(reorder, o->stream, 2, arguments));
    must(o->stream_wait(o->stream));
    must(o->primitive_destroy(reorder));
    must(o->primitive_desc_destroy(description));
    must(o->memory_destroy(from));
    return to;
}

struct onednn *onednn_open(float *y, float *x, float *w, int T, int N, int K, bool bf16) {
    struct onednn *o = calloc(1, sizeof *o);
    REQUIRE(o);
    if (!load(o)) {
        free(o);
        return NULL;
    }
    dnnl_data_type_t type = bf16 ? dnnl_bf16 : dnnl_f32;
    dnnl_memory_desc_t x_plain, w_plain, x_desc, w_desc, y_desc;
    dnnl_dims_t x_dims = {T, K}, w_dims = {K, N}, y_dims = {T, N};
    must(o->engine_create(&o->engine, dnnl_cpu, 0));
    must(o->stream_create(&o->stream, o->engine, dnnl_stream_default_flags));
    must(o->memory_desc_init_by_tag(&x_plain, 2, x_dims, dnnl_f32, dnnl_ab));
    must(o->memory_desc_init_by_tag(&w_plain, 2, w_dims, dnnl_f32, dnnl_ba));
    must(o->memory_desc_init_by_tag(&x_desc, 2, x_dims, type, dnnl_ab));
    must(o->memory_desc_init_by_tag(&w_desc, 2, w_dims, type, dnnl_format_tag_any));
    must(o->memory_desc_init_by_tag(&y_desc, 2, y_dims, dnnl_f32, dnnl_ab));
    dnnl_matmul_desc_t matmul;
    must(o->matmul_desc_init(&matmul, &x_desc, &w_desc, NULL, &y_desc));
    must(o->primitive_desc_create(&o->description, &matmul, NULL, o->engine, NULL));
    must(o->primitive_create(&o->matmul, o->description));
    dnnl_memory_t x_memory, w_memory, y_memory;
    must(o->memory_create(&x_memory, &x_plain, o->engine, x));
    must(o->memory_create(&w_memory, &w_plain, o->engine, w));
    must(o->memory_create(&y_memory, &y_desc, o->engine, y));
    if (bf16) x_memory = arranged(o, x_memory, &x_plain, &x_desc);
    w_memory = arranged(o, w_memory, &w_plain,
                        o->primitive_desc_query_md(o->description, dnnl_query_weights_md, 0));
    o->arguments[0] = (dnnl_exec_arg_t){DNNL_ARG_SRC, x_memory};
    o->arguments[1] = (dnnl_exec_arg_t){DNNL_ARG_WEIGHTS, w_memory};
    o->arguments[2] = (dnnl_exec_arg_t){DNNL_ARG_DST, y_memory};
    return o;
}

void onednn_run(const void *product) {
    const struct onednn *o = product;
    must(o->primitive_execute(o->matmul, o->stream, ARGUMENTS, o->arguments));
    must(o->stream_wait(o->stream));
}

void onednn_close(struct onednn *o) {
    if (!o) return;
    for (int i = 0; i < ARGUMENTS; i++) must(o->memory_destroy(o->arguments[i].memory));
    must(o->primitive_destroy(o->matmul));
    must(o->primitive_desc_destroy(o->description));
    must(o->stream_destroy(o->stream));
    must(o->engine_destroy(o->engine));
    free(o);
}

#else

struct onednn *onednn_open(float *y, float *x, float *w, int T, int N, int K, bool bf16) {
    (void)y, (void)x, (void)w, (void)T, (void)N, (void)K, (void)bf16;
    return NULL;
}

void onednn_run(const void *product) {
    (void)product;
    REQUIRE(false);
}

void onednn_close(struct onednn *o) { REQUIRE(!o); }

#endif
