/* An input that begins with '{' is a tokenizer.json, and after its first NUL byte a text for it: refused
 * with a sentence, or encoded and decoded. Any other input is a text, which GPT-2's pipeline must give back
 * as it was, and the others in some form. */
#include "base/utf8.h"
#include "policy/tokenizer.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What comes back of a text; false when the text was refused. */
static bool there_and_back(const struct tokenizer *t, struct span text, bool parse_special,
                           struct span *back, struct arena *arena) {
    int32_t *ids;
    size_t n;
    status failed = tokenizer_encode(t, text, parse_special, arena, &ids, &n);
    status_free(failed);
    if (failed) return false;
    for (size_t i = 0; i < n; i++) REQUIRE(ids[i] >= 0 && ids[i] < tokenizer_size(t));
    *back = tokenizer_decode(t, ids, n, false, arena);
    REQUIRE(utf8_invalid(*back) == back->n);
    struct span skipped = tokenizer_decode(t, ids, n, true, arena);
    REQUIRE(utf8_invalid(skipped) == skipped.n);
    return true;
}

static void run_file(struct span input) {
    const char *nul = memchr(input.p, 0, input.n);
    size_t length = nul ? (size_t)(nul - input.p) : input.n;
    struct span text =
        nul ? span_slice(input, length + 1, input.n) : SPAN("a text, 12 <s> \xE4\xB8\xAD");
    struct tokenizer *t;
    status failed = tokenizer_parse(&t, span_slice(input, 0, length), "input");
    if (!failed) {
        struct arena arena = {0};
        struct span back;
        there_and_back(t, text, true, &back, &arena);
        tokenizer_close(t);
        arena_free(&arena);
    }
    status_free(failed);
}

static void run_text(struct span text) {
    static const char *const names[] = {"mini_gpt2", "mini_deepseek", "mini_strip", "byte_fallback",
                                        "removed"};
    enum { N = sizeof names / sizeof *names };
    static struct tokenizer *opened[N]; /* kept from input to input */
    struct arena arena = {0};
    for (int i = 0; i < N; i++) {
        const char *dir = arena_print(&arena, "tests/golden/tokenizers/%s", names[i]);
        if (!opened[i]) REQUIRE(tokenizer_open(&opened[i], dir) == NULL);
        struct span back;
        bool valid = utf8_invalid(text) == text.n;
        REQUIRE(there_and_back(opened[i], text, i % 2 == 0, &back, &arena) == valid);
        if (i == 0 && valid) REQUIRE(span_eq(back, text));
    }
    arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct span input = {(const char *)data, size};
    if (size > 0 && data[0] == '{') run_file(input);
    else run_text(input);
    return 0;
}
