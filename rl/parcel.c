#include "rl/parcel.h"

#include <stdlib.h>

void parcel_put(struct parcel *p, const void *data, size_t bytes) {
    if (p->n + bytes > p->capacity) {
        p->capacity = 2 * (p->n + bytes);
        p->bytes = memory_grow(p->bytes, p->capacity, 1);
    }
    if (bytes) memcpy(p->bytes + p->n, data, bytes);
    p->n += bytes;
}

void parcel_put_text(struct parcel *p, struct span text) {
    parcel_put(p, &text.n, sizeof text.n);
    parcel_put(p, text.p, text.n);
}

void parcel_free(struct parcel *p) {
    free(p->bytes);
    *p = (struct parcel){0};
}

void parcel_take(struct span *left, void *data, size_t bytes) {
    REQUIRE(bytes <= left->n);
    if (bytes) memcpy(data, left->p, bytes);
    *left = span_slice(*left, bytes, left->n);
}

struct span parcel_take_text(struct span *left) {
    size_t n;
    parcel_take(left, &n, sizeof n);
    REQUIRE(n <= left->n);
    struct span text = span_slice(*left, 0, n);
    *left = span_slice(*left, n, left->n);
    return text;
}
