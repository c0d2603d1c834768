/* Memory of a device that is the host: buffers are plain allocations, and nothing is ever pending.
 */
#include "kernels/host.h"
#include "kernels/number.h"
#include "kernels/ref/ref.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { LINE = 64, HUGE_PAGE = 1 << 21 };

/* Large buffers lie on huge pages where the system has them: weights and activations are gigabytes, and
 * a fault or a miss of the page tables for each 4 KiB of them costs more than clearing them. */
static status memory_alloc(struct stream *s, size_t bytes, buf *out) {
    (void)s;
    size_t unit = bytes < HUGE_PAGE ? LINE : HUGE_PAGE;
    size_t whole = bytes ? (bytes + unit - 1) & ~(unit - 1) : unit;
    bool possible = bytes <= PTRDIFF_MAX - HUGE_PAGE;
    out->addr = possible ? aligned_alloc(unit, whole) : NULL;
    if (out->addr && unit == HUGE_PAGE)
        (void)madvise(out->addr, whole, MADV_HUGEPAGE); /* without it all is only slower */
    if (!out->addr)
        return fail(EXIT_BAD_CONFIG,
                    "cannot allocate %zu bytes for tensors, expected a smaller model or batch",
                    bytes);
    return NULL;
}

static void memory_free(struct stream *s, buf b) {
    (void)s;
    free(b.addr);
}

static void memory_touch(struct stream *s, buf b, size_t bytes) { (void)s, (void)b, (void)bytes; }

static void memory_write(struct stream *s, buf dst, const void *src, size_t bytes) {
    (void)s;
    if (bytes) memcpy(dst.addr, src, bytes);
}

static void memory_read(struct stream *s, void *dst, buf src, size_t bytes) {
    (void)s;
    if (bytes) memcpy(dst, src.addr, bytes);
}

static void memory_copy(struct stream *s, buf dst, buf src, size_t bytes) {
    (void)s;
    if (bytes) memcpy(dst.addr, src.addr, bytes);
}

static void memory_zero(struct stream *s, buf dst, size_t bytes) {
    (void)s;
    if (bytes) memset(dst.addr, 0, bytes);
}

static void numbers_load(struct stream *s, buf dst, const void *src, enum number_form form,
                         int64_t n, buf flaw) {
    (void)s;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = number_bits(src, form, i);
        memcpy(host_f32(dst) + i, &bits, sizeof bits);
        if (!number_is_finite(bits)) host_i32(flaw)[0] = 1;
    }
}

static status memory_sync(struct stream *s) {
    (void)s;
    return NULL;
}

/* The host starts its work by doing it: there is nothing to keep. */
static void memory_repeat(struct stream *s, const void *owner, int shape,
                          void (*make)(void *context), void *context) {
    (void)s, (void)owner, (void)shape;
    make(context);
}

void ref_memory(struct ops *table) {
    table->alloc = memory_alloc;
    table->free = memory_free;
    table->touch = memory_touch;
    table->write = memory_write;
    table->read = memory_read;
    table->copy = memory_copy;
    table->zero = memory_zero;
    table->load = numbers_load;
    table->sync = memory_sync;
    table->repeat = memory_repeat;
}
