#include "base/arena.h"

#include "base/status.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { CHUNK_MIN = 64 * 1024, ALIGNMENT = 16 };

struct arena_chunk {
    struct arena_chunk *next;
    size_t capacity, used;
    _Alignas(ALIGNMENT) char data[];
};

static _Noreturn void out_of_memory(size_t n) {
    fprintf(stderr, "grpo: out of memory: the system refused %zu more bytes\n", n);
    fflush(NULL);
    _Exit(EXIT_OUR_BUG);
}

void *memory_new(size_t n, size_t size) {
    void *p = calloc(n ? n : 1, size ? size : 1);
    if (!p) out_of_memory(n * size);
    return p;
}

void *memory_grow(void *p, size_t n, size_t size) {
    if (size && n > SIZE_MAX / size) out_of_memory(SIZE_MAX);
    size_t bytes = n * size;
    p = realloc(p, bytes > 0 ? bytes : 1);
    if (!p) out_of_memory(bytes);
    return p;
}

/* Makes `current` a chunk with n free bytes, reusing kept chunks in order. */
static void chunk_ensure(struct arena *a, size_t n) {
    struct arena_chunk **link = a->current ? &a->current->next : &a->first;
    while (*link && (*link)->capacity < n) link = &(*link)->next;
    if (!*link) {
        size_t capacity = a->current ? a->current->capacity * 2 : CHUNK_MIN;
        if (capacity > (size_t)64 << 20) capacity = (size_t)64 << 20;
        if (capacity < n) capacity = n;
        struct arena_chunk *chunk = malloc(sizeof *chunk + capacity);
        if (!chunk) out_of_memory(capacity);
        chunk->next = NULL;
        chunk->capacity = capacity;
        *link = chunk;
    }
    a->current = *link;
    a->current->used = 0;
}

void *arena_alloc(struct arena *a, size_t n) {
    if (n > SIZE_MAX / 2) out_of_memory(n);
    n = (n + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (!a->current || a->current->capacity - a->current->used < n) chunk_ensure(a, n);
    void *p = a->current->data + a->current->used;
    a->current->used += n;
    a->used += n;
    return memset(p, 0, n);
}

void *arena_array(struct arena *a, size_t n, size_t size) {
    if (size && n > SIZE_MAX / size) out_of_memory(SIZE_MAX);
    return arena_alloc(a, n * size);
}

char *arena_print(struct arena *a, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    REQUIRE(n >= 0);
    char *text = arena_alloc(a, (size_t)n + 1);
    vsnprintf(text, (size_t)n + 1, format, again);
    va_end(again);
    return text;
}

struct span arena_copy(struct arena *a, struct span s) {
    char *text = arena_alloc(a, s.n + 1);
    if (s.n) memcpy(text, s.p, s.n);
    return (struct span){text, s.n};
}

char *arena_string(struct arena *a, struct span s) { return (char *)arena_copy(a, s).p; }

void arena_reset(struct arena *a) {
    a->current = NULL;
    a->used = 0;
}

void arena_free(struct arena *a) {
    for (struct arena_chunk *chunk = a->first, *next; chunk; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    *a = (struct arena){0};
}
