/* Which part of a data set an item belongs to: a function of its name and a seed, so that no item
 * is in two parts, whatever the order, number or mode in which items are made. */
#pragma once

#include "base/span.h"

#include <stdint.h>

enum split_part { SPLIT_TRAIN, SPLIT_VALIDATION, SPLIT_HELDOUT, SPLIT_PARTS };

/* "train", "validation", "heldout". */
const char *split_name(enum split_part part);

/* The part of that name, which must be one of these. */
enum split_part split_named(const char *name);

struct split {
    uint64_t seed;
    double validation, heldout; /* shares; the rest trains */
};

/* The part of the item called `name`. For Countdown the name is the multiset of numbers, so all
 * targets of a multiset stay together. */
enum split_part split_of(const struct split *split, struct span name);
