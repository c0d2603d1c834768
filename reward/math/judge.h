/* What the parts of the judge share; for reward/math/ only. */
#pragma once

#include "reward/math/locate.h"
#include "reward/math/match.h"
#include "reward/math/parser.h"

/* A text, read. */
struct reading {
    struct span text;        /* without outer marks; of the arena or the caller's */
    const struct tree *tree; /* NULL: not mathematics */
    const struct tree
        *split; /* read with commas that always separate; NULL where that is no other */
    const struct tree *counted; /* read with C(10, 3) for a binomial; NULL where that is no other */
    struct parser_notes notes;
    int counted_operations; /* that `counted` leaves to be carried out beside those in notes */
};

struct math_gold {
    struct arena arena;
    struct math_work work;
    struct math_options options;
    struct reading reading;
    struct span folded; /* as words */
    char choice;        /* the letter of multiple choice it names, or '\0' */
    bool words;         /* words rather than mathematics */
    bool readable;
};

/* The text without white space, Markdown and punctuation around it. */
struct span reading_trim(struct span text);
struct reading reading_of(struct math_work *w, struct span text);
/* 1/0 and its kin, which equals nothing, not even the same text. */
static inline bool reading_is_undefined(const struct reading *r) {
    return r->tree && (r->tree->flags & (TREE_BROKEN | TREE_TOO_LARGE)) == TREE_BROKEN;
}
/* Parts of a location as one text, joined by commas. */
struct span reading_join(struct math_work *w, const struct location *e);
