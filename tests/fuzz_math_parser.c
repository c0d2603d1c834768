/* Any bytes as an answer, in each reading of commas: the parser comes back, what it read is a whole tree, and
 * it reads the same again. */
#include "base/arena.h"
#include "base/status.h"
#include "reward/math/parser.h"
#include "reward/math/words.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A value that holds what has none has none itself. */
static void expect_whole(const struct tree *t) {
    for (int i = 0; i < t->n; i++) {
        REQUIRE(t->child[i]);
        if (t->kind < TREE_PLUS_MINUS)
            REQUIRE((t->flags & TREE_BROKEN) || !(t->child[i]->flags & TREE_BROKEN));
        expect_whole(t->child[i]);
    }
}

static const struct tree *read_answer(struct math_work *w, struct arena *arena, struct span text,
                                      enum lexer_commas commas) {
    work_open(w, arena);
    struct parser_notes notes;
    const struct tree *t = parser_read(w, words_ascii(text, arena), commas, &notes);
    if (t) expect_whole(t);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct span text = {(const char *)data, size};
    for (int commas = COMMAS_GROUP; commas <= COMMAS_DECIMAL; commas++) {
        struct arena first_arena = {0}, second_arena = {0};
        struct math_work first, second;
        const struct tree *a = read_answer(&first, &first_arena, text, (enum lexer_commas)commas);
        const struct tree *b = read_answer(&second, &second_arena, text, (enum lexer_commas)commas);
        REQUIRE(!a == !b);
        if (a) REQUIRE(tree_same(a, b));
        work_close(&first);
        work_close(&second);
        arena_free(&first_arena);
        arena_free(&second_arena);
    }
    return 0;
}
