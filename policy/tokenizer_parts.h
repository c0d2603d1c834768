/* What the tokenizer's files share: the loaded tokenizer, and the state of one encoding.
 *
 * Text goes through stages, each of which hands pieces to the next:
 *   added tokens of the raw text -> normalizer -> added tokens of the normalized text
 *   -> pre-tokenizer -> BPE
 */
#pragma once

#include "policy/tokenizer.h"
#include "policy/tokenizer_map.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <jansson.h>
#include <pcre2.h>

enum { STEPS_MAX = 32, CHARACTERS_CACHED = 512 };

struct added_token {
    struct span content; /* as the file has it */
    struct span
        sought; /* what is searched for, and what decoding gives: normalized, if the token is */
    int32_t id;
    bool single_word, lstrip, rstrip, normalized, special;
    bool guarded; /* not recognised in user text: special, or named as control tokens are */
};

/* A node's children are a list, found through `child` and `sibling`; 0 ends it (the root is no child). */
struct trie_node {
    uint32_t child, sibling;
    int32_t token; /* index of the added token that ends here; -1 */
    uint8_t byte;
};

struct added_trie {
    struct trie_node *nodes; /* [n] */
    size_t n;
    bool first[256]; /* whether some token begins with the byte */
};

struct normalize_step {
    enum { NORMALIZE_NFC, NORMALIZE_PREPEND, NORMALIZE_REPLACE } kind;
    struct span pattern, content; /* PREPEND: content; REPLACE: both */
};

struct split_step {
    enum {
        SPLIT_PATTERN,      /* cut at matches of `code` */
        SPLIT_PREFIX_SPACE, /* begin every piece with a space */
        SPLIT_BYTES,        /* write every byte as a printable character */
    } kind;
    pcre2_code *code; /* owned */
    bool keep_matches, keep_rest;
};

enum decoder_kind { DECODER_BYTE_LEVEL, DECODER_CHAIN };

/* Replace, byte fallback, fuse, strip: in this order, each at most where it is. */
struct decoder {
    enum decoder_kind kind;
    struct {
        struct span pattern, content;
    } replace[STEPS_MAX];
    struct {
        struct span content;
        size_t start, stop;
    } strip[STEPS_MAX];
    int n_replace, n_strip;
    bool byte_fallback;
};

struct token {
    struct span text;  /* as the file has it; NULL: no such id */
    struct span bytes; /* what decoding gives for it */
    int16_t byte;      /* of a byte-fallback token; -1 */
    bool special;
};

struct tokenizer {
    struct arena arena;   /* holds all that follows */
    struct token *tokens; /* [size] */
    int size;

    struct text_map vocabulary; /* of the model */
    struct merge_map merges;
    int32_t character_id[CHARACTERS_CACHED]; /* vocabulary of the first code points; -1: none */
    int32_t byte_id[256];                    /* of <0x00>..<0xFF>; -1: none */
    int32_t unk;                             /* -1: none */
    bool fuse_unk, byte_fallback, ignore_merges;

    struct added_token *added; /* [n_added] */
    int n_added;
    struct text_map added_index; /* text to index in `added` */
    struct added_trie raw_trie, normalized_trie;

    struct normalize_step normalize[STEPS_MAX];
    struct split_step split[STEPS_MAX];
    int n_normalize, n_split;

    struct decoder decoder;
    int32_t begin; /* the token that a raw text begins with; -1: none */
};

/* One encoding under way. */
struct symbol {
    int32_t id; /* -1: merged into the one before */
    int32_t prev, next;
};

struct pending_merge {
    int32_t rank, position, id;
};

struct encoder {
    const struct tokenizer *t;
    bool parse_special;
    struct arena scratch;    /* texts made on the way */
    pcre2_match_data *match; /* owned */
    int32_t *ids;            /* [capacity], owned: the result so far */
    size_t n, capacity;
    struct symbol *symbols;     /* [symbols_capacity], owned */
    struct pending_merge *heap; /* [3 * symbols_capacity], owned */
    size_t symbols_capacity;
};

/* Each reads its part of the file into t. `where` begins the sentences. EXIT_BAD_DATA. */
status added_load(struct tokenizer *t, const json_t *root, const char *where);
status normalize_load(struct tokenizer *t, const json_t *root, const char *where);
status pretokenize_load(struct tokenizer *t, const json_t *root, const char *where);
status bpe_load(struct tokenizer *t, const json_t *root, const char *where);
status decoder_load(struct tokenizer *t, const json_t *root, const char *where);

/* The token that a raw text begins with, by the file's post-processor; and by DIR/tokenizer_config.json,
 * where that says it. */
void begin_load(struct tokenizer *t, const json_t *root);
status begin_settings(struct tokenizer *t, const char *dir);

/* "WHERE: the PART "TYPE" is not supported". */
status unsupported(const char *where, const char *part, struct span type);

/* The stages. A piece is valid UTF-8. */
status encode_text(struct encoder *e, struct span text);        /* from the beginning */
status encode_pretokenize(struct encoder *e, struct span text); /* from the pre-tokenizer on */
status encode_bpe(struct encoder *e, struct span text);
void encode_put(struct encoder *e, int32_t id);

/* Every `pattern` in the text replaced by `content`: `text` itself, or a copy in the arena. And a
 * Replace step read from the file. */
struct span text_replace(struct span text, struct span pattern, struct span content,
                         struct arena *arena);
status replace_read(const json_t *value, const char *where, struct span *pattern,
                    struct span *content, struct arena *arena);

/* The normalized text: `text` itself, or a copy in the arena. */
struct span normalize_text(const struct tokenizer *t, struct span text, struct arena *arena);

/* Byte-level BPE's alphabet: the character that stands for a byte, and back (-1: none). */
int32_t byte_character(uint8_t byte);
int character_byte(int32_t character);
