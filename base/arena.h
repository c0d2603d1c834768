/* Arenas: memory that lives and dies together. Allocation is a pointer bump; reset keeps the chunks.
 * For host-side objects; device memory is planned by a `struct layout` (kernels/ops.h). */
#pragma once

#include "base/span.h"

struct arena {
    struct arena_chunk *first, *current; /* owned */
    size_t used;                         /* bytes handed out since the last reset */
};

/* n zeroed bytes, 16-byte aligned. Never NULL: when the system has no memory left, the program says
 * so and ends (EXIT_OUR_BUG), because no caller could do anything else. n = 0 is fine. */
void *arena_alloc(struct arena *a, size_t n);

/* n * size zeroed bytes; overflow counts as out of memory. */
void *arena_array(struct arena *a, size_t n, size_t size);
#define ARENA_NEW(arena, type) ((type *)arena_alloc((arena), sizeof(type)))
#define ARENA_ARRAY(arena, n, type) ((type *)arena_array((arena), (n), sizeof(type)))

char *arena_print(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *arena_string(struct arena *a, struct span s);      /* NUL-terminated copy */
struct span arena_copy(struct arena *a, struct span s);  /* copy, also NUL-terminated */

void arena_reset(struct arena *a); /* everything handed out becomes invalid; memory is kept */
void arena_free(struct arena *a);  /* gives the memory back; the arena is empty and usable again */

/* malloc and realloc that never return NULL: they end the program with a sentence instead. */
void *memory_new(size_t n, size_t size); /* zeroed; free() it */
void *memory_grow(void *p, size_t n, size_t size);
