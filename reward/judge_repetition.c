#include "reward/judge_repetition.h"

#include "base/arena.h"
#include "base/status.h"
#include "base/utf8.h"
#include "reward/script.h"

#include <stdint.h>
#include <stdlib.h>

/* splitmix64's finalizer: every bit of x reaches every bit of the result. */
static uint64_t mix(uint64_t x) {
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

static bool stands_alone(int32_t code) {
    enum script script = script_of(code);
    return script == SCRIPT_HAN || script == SCRIPT_CJK;
}

/* Hashes of the words, in order: at most one for two bytes, and one more. Returns how many. */
static size_t hash_words(struct span text, uint64_t *out) {
    size_t n = 0;
    uint64_t hash = 0;
    bool in_word = false;
    int32_t code;
    for (size_t at = 0, length; at < text.n; at += length) {
        length = utf8_next(text, at, &code);
        bool blank = utf8_is_blank(code), alone = stands_alone(code);
        if (in_word && (blank || alone)) {
            out[n++] = mix(hash);
            in_word = false;
        }
        if (blank) continue;
        if (!in_word) hash = 0xCBF29CE484222325u; /* FNV-1a, byte by byte */
        for (size_t i = at; i < at + length; i++) {
            uint8_t byte = (uint8_t)text.p[i];
            if (byte >= 'A' && byte <= 'Z') byte += 'a' - 'A';
            hash = (hash ^ byte) * 0x100000001B3u;
        }
        in_word = !alone;
        if (alone) out[n++] = mix(hash);
    }
    if (in_word) out[n++] = mix(hash);
    return n;
}

/* The n-gram that begins at a word; never 0. */
static uint64_t hash_gram(const uint64_t *words, int n) {
    uint64_t hash = 0;
    for (int i = 0; i < n; i++) hash = mix(hash + 0x9E3779B97F4A7C15u) ^ words[i];
    return hash ? hash : 1;
}

static size_t count_distinct(const uint64_t *words, size_t grams, int n) {
    size_t size = 16, distinct = 0;
    while (size < 2 * grams) size *= 2;
    uint64_t *table = memory_new(size, sizeof *table);
    for (size_t i = 0; i < grams; i++) {
        uint64_t hash = hash_gram(words + i, n);
        size_t at = hash & (size - 1);
        while (table[at] && table[at] != hash) at = (at + 1) & (size - 1);
        distinct += table[at] == 0;
        table[at] = hash;
    }
    free(table);
    return distinct;
}

double judge_repetition(struct span text, int n) {
    REQUIRE(n >= 1 && n <= REPETITION_N_MAX);
    uint64_t *words = memory_new(text.n / 2 + 1, sizeof *words);
    size_t n_words = hash_words(text, words);
    double share = 0;
    if (n_words >= (size_t)n) {
        size_t grams = n_words - (size_t)n + 1;
        share = 1 - (double)count_distinct(words, grams, n) / (double)grams;
    }
    free(words);
    return share;
}
