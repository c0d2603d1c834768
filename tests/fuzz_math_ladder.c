/* Two values, apart by the first line's end, on the ladder: it comes back, a value is not different from
 * itself, and no order of the two, and no tier, contradicts another. */
#include "base/arena.h"
#include "base/status.h"
#include "reward/math/ladder.h"
#include "reward/math/parser.h"
#include "reward/math/words.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool contradict(enum truth a, enum truth b) {
    return (a == TRUTH_EQUAL && b == TRUTH_DIFFERENT) || (a == TRUTH_DIFFERENT && b == TRUTH_EQUAL);
}

static void climb(struct math_work *w, const struct tree *a, const struct tree *b) {
    enum truth forward = ladder_compare(w, a, b).truth;
    enum truth backward = ladder_compare(w, b, a).truth;
    REQUIRE(!contradict(forward, backward));
    if ((a->flags | b->flags) & TREE_BROKEN) return;
    REQUIRE(ladder_compare(w, a, a).truth == TRUTH_EQUAL);
    enum truth tiers[] = {forward, tier_formal(w, a, b), tier_ball(w, a, b)};
    for (int i = 1; i < 3; i++) REQUIRE(!contradict(tiers[0], tiers[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = (const char *)data, *end = size ? memchr(text, '\n', size) : NULL;
    size_t first = end ? (size_t)(end - text) : size, second = end ? first + 1 : size;
    struct arena arena = {0};
    struct math_work w;
    work_open(&w, &arena);
    struct span left = words_ascii((struct span){text, first}, &arena);
    struct span right = words_ascii((struct span){text + second, size - second}, &arena);
    const struct tree *a = parser_read(&w, left, COMMAS_GROUP, NULL);
    const struct tree *b = parser_read(&w, right, COMMAS_GROUP, NULL);
    if (a && b && tree_is_value(a) && tree_is_value(b)) climb(&w, a, b);
    work_close(&w);
    arena_free(&arena);
    return 0;
}
