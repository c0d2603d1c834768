/* Parcels: what one rank tells the others, as bytes. Written and read by the same version of the program (a
 * run makes sure of that when it opens), field by field in the same order. */
#pragma once

#include "base/arena.h"
#include "base/status.h"

/* A parcel being written ({0} at first); the bytes are owned. */
struct parcel {
    char *bytes; /* [n] */
    size_t n, capacity;
};

void parcel_put(struct parcel *p, const void *data, size_t bytes);
void parcel_put_text(struct parcel *p, struct span text);
void parcel_free(struct parcel *p);

/* Takes bytes from the front of what is left of a parcel. One that ends too early hits REQUIRE. */
void parcel_take(struct span *left, void *data, size_t bytes);
struct span parcel_take_text(struct span *left); /* borrowed from the parcel */
