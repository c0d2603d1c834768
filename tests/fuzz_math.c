/* A gold and a completion, apart by the first line's end: the judge must come back, and an answer that is
 * the gold's own text must be right unless the gold cannot be read. */
#include "base/arena.h"
#include "base/status.h"
#include "reward/math.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = (const char *)data;
    const char *end = size ? memchr(text, '\n', size) : NULL;
    size_t first = end ? (size_t)(end - text) : size, second = end ? first + 1 : size;
    struct span gold_text = {text, first}, completion = {text + second, size - second};
    struct math_options options = math_defaults();
    struct arena scratch = {0};
    struct math_gold *gold = math_gold_open(gold_text, &options);
    struct math_verdict v = math_judge(gold, completion, &scratch);
    REQUIRE(v.answer.n <= completion.n);
    REQUIRE(math_gold_readable(gold) || v.result == MATH_NO_GOLD || v.result == MATH_EQUAL);
    struct math_verdict again = math_judge(gold, completion, &scratch);
    REQUIRE(v.result == again.result && v.tier == again.tier && v.proof == again.proof);
    math_gold_close(gold);
    arena_free(&scratch);
    return 0;
}
