/* Finding answers in any bytes: every function comes back, with slices of the text. */
#include "base/status.h"
#include "reward/math/locate.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(struct span text, struct span part) {
    REQUIRE(part.p >= text.p && part.n <= text.n && part.p + part.n <= text.p + text.n);
}

static void inside_all(struct span text, const struct location *l) {
    REQUIRE(l->n > 0 && l->n <= LOCATE_PARTS_MAX);
    for (int i = 0; i < l->n; i++) inside(text, l->parts[i]);
    inside(text, l->whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct span whole = {(const char *)data, size}, text = locate_visible(whole), part, number;
    struct location l;
    size_t end = text.n, before;
    if (text.n == 0) return 0;
    inside(whole, text);
    if (locate_boxed(text, &l)) inside_all(text, &l);
    if (locate_math(text, &l)) inside_all(text, &l);
    if (locate_formula(text, &part)) inside(text, part);
    for (before = end; locate_anchor(text, &end, &part); before = end) {
        inside(text, part);
        REQUIRE(end < before);
    }
    for (before = end = text.n; locate_number_word(text, &end, &part); before = end) {
        inside(text, part);
        REQUIRE(end < before);
        if (locate_number(part, &number)) inside(part, number);
    }
    return 0;
}
