#include "tasks/demo_vocabulary.h"

#include "base/file.h"
#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const ADDED[] = {"<think>", "</think>", "<answer>", "</answer>",
                                    DEMO_END_OF_TEXT};
enum { ADDED_COUNT = sizeof ADDED / sizeof ADDED[0], SPECIAL = ADDED_COUNT - 1 };

/* How byte-level BPE writes a byte: printable Latin-1 characters stand for themselves, the others in
 * order for U+0100, U+0101, ... */
static unsigned byte_character(unsigned byte) {
    unsigned shifted = 0x100;
    for (unsigned b = 0;; b++) {
        bool printable = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        if (b == byte) return printable ? b : shifted;
        shifted += !printable;
    }
}

static void put_utf8(char *out, unsigned character) {
    if (character < 0x80) {
        out[0] = (char)character, out[1] = 0;
    } else {
        out[0] = (char)(0xC0 | character >> 6), out[1] = (char)(0x80 | (character & 0x3F)),
        out[2] = 0;
    }
}

/* The next token and the merge of two earlier ones that makes it. */
static void add_merge(json_t *vocabulary, json_t *merges, const char *left, const char *right) {
    char token[16], merge[16];
    snprintf(token, sizeof token, "%s%s", left, right);
    snprintf(merge, sizeof merge, "%s %s", left, right);
    json_object_set_new(vocabulary, token, json_integer((json_int_t)json_object_size(vocabulary)));
    json_array_append_new(merges, json_string(merge));
}

static json_t *model_json(void) {
    json_t *vocabulary = json_object(), *merges = json_array();
    char blank[4], digit[2] = "", tens[16];
    put_utf8(blank, byte_character(' '));
    for (unsigned byte = 0; byte < 256; byte++) {
        char token[4];
        put_utf8(token, byte_character(byte));
        json_object_set_new(vocabulary, token, json_integer(byte));
    }
    for (digit[0] = '0'; digit[0] <= '9'; digit[0]++) add_merge(vocabulary, merges, blank, digit);
    for (int number = 10; number < 100; number++) {
        snprintf(tens, sizeof tens, "%s%d", blank, number / 10);
        digit[0] = (char)('0' + number % 10);
        add_merge(vocabulary, merges, tens, digit);
    }
    for (const char *symbol = "+-*/=:,;!()"; *symbol; symbol++)
        add_merge(vocabulary, merges, blank, (char[]){*symbol, 0});
    return json_pack("{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:o, s:o}", "type", "BPE", "dropout",
                     "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0,
                     "byte_fallback", 0, "ignore_merges", 0, "vocab", vocabulary, "merges", merges);
}

static json_t *added_json(int i, bool with_id) {
    json_t *token =
        json_pack("{s:s, s:b, s:b, s:b, s:b, s:b}", "content", ADDED[i], "single_word", 0, "lstrip",
                  0, "rstrip", 0, "normalized", 0, "special", i == SPECIAL);
    if (with_id)
        json_object_set_new(token, "id", json_integer(DEMO_VOCABULARY_SIZE - ADDED_COUNT + i));
    return token;
}

static json_t *tokenizer_json(void) {
    json_t *added = json_array(), *model = model_json();
    REQUIRE(model);
    REQUIRE(json_object_size(json_object_get(model, "vocab")) ==
            DEMO_VOCABULARY_SIZE - ADDED_COUNT);
    for (int i = 0; i < ADDED_COUNT; i++) json_array_append_new(added, added_json(i, true));
    return json_pack(
        "{s:s, s:n, s:n, s:o, s:n, s:{s:s, s:b, s:b, s:b}, s:n, s:{s:s, s:b, s:b, s:b}, s:o}",
        "version", "1.0", "truncation", "padding", "added_tokens", added, "normalizer",
        "pre_tokenizer", "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets", 1, "use_regex",
        1, "post_processor", "decoder", "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets",
        1, "use_regex", 1, "model", model);
}

static json_t *tokenizer_config_json(void) {
    json_t *added = json_object();
    for (int i = 0; i < ADDED_COUNT; i++) {
        char id[16];
        snprintf(id, sizeof id, "%d", DEMO_VOCABULARY_SIZE - ADDED_COUNT + i);
        json_object_set_new(added, id, added_json(i, false));
    }
    return json_pack("{s:b, s:o, s:n, s:b, s:s, s:s, s:s, s:n}", "add_prefix_space", 0,
                     "added_tokens_decoder", added, "bos_token", "clean_up_tokenization_spaces", 0,
                     "eos_token", DEMO_END_OF_TEXT, "pad_token", DEMO_END_OF_TEXT,
                     "tokenizer_class", "PreTrainedTokenizerFast", "unk_token");
}

/* Writes DIR/NAME and gives the value back. */
static status write_json(json_t *value, const char *dir, const char *name) {
    struct arena arena = {0};
    REQUIRE(value);
    char *text = json_dumps(value, JSON_INDENT(1));
    REQUIRE(text);
    size_t n = strlen(text);
    text[n] = '\n'; /* in place of the NUL; the bytes go out with their length */
    status s = file_write(arena_print(&arena, "%s/%s", dir, name), text, n + 1);
    free(text);
    json_decref(value);
    arena_free(&arena);
    return s;
}

status demo_vocabulary_write(const char *dir) {
    TRY(write_json(tokenizer_json(), dir, "tokenizer.json"));
    TRY(write_json(tokenizer_config_json(), dir, "tokenizer_config.json"));
    return write_json(
        json_pack("{s:s, s:s}", "eos_token", DEMO_END_OF_TEXT, "pad_token", DEMO_END_OF_TEXT), dir,
        "special_tokens_map.json");
}
