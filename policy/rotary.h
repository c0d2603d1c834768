/* Rotary positions: the frequencies, and the ways checkpoints stretch them to longer contexts. */
#pragma once

#include "base/json.h"

enum rotary_type { ROTARY_DEFAULT, ROTARY_LINEAR, ROTARY_LLAMA3, ROTARY_YARN };

/* What rope_scaling (transformers 4) or rope_parameters (5) says; all 0 for the default. A number that is
 * 0 was not given. */
struct rotary_scaling {
    enum rotary_type type;
    int original;                   /* original_max_position_embeddings; llama3, yarn */
    double factor;                  /* at least 1 */
    double low_factor, high_factor; /* llama3: low_freq_factor, high_freq_factor */
    /* yarn */
    double beta_fast, beta_slow, attention_factor, mscale, mscale_all_dim;
};

/* Reads one of those objects; `key` is its name, for the sentence. EXIT_BAD_DATA names a type or a key that
 * is not computed. */
status rotary_read(struct rotary_scaling *out, const json_t *rope, const char *where,
                   const char *key);

/* Whether the numbers lie in their ranges. EXIT_BAD_DATA. */
status rotary_check(const struct rotary_scaling *r, const char *where);

/* The object that rotary_read reads, in transformers 4's spelling; null for the default. A new reference. */
json_t *rotary_json(const struct rotary_scaling *r);

/* Angle per position of pair j of `half` pairs, in double. Linear: position interpolation (arXiv
 * 2306.15595). llama3: as Llama 3.1 was released. yarn: arXiv 2309.00071, section 3.2. */
double rotary_frequency(const struct rotary_scaling *r, double theta, int j, int half);

/* What sine and cosine are multiplied with: 1 but for yarn. */
double rotary_magnitude(const struct rotary_scaling *r);

/* What DeepSeek's latent attention multiplies its softmax scale with under yarn: m(mscale_all_dim) squared.
 * Releases of transformers before July 2026 left it out for DeepSeek-V2 (not V3), which makes them wrong
 * there. */
double rotary_softmax_factor(const struct rotary_scaling *r);
