#include "policy/rotary.h"

#include "kernels/fmath.h"

static const double TWO_PI = 6.283185307179586;

static const char *const type_names[] = {
    [ROTARY_DEFAULT] = "default",
    [ROTARY_LINEAR] = "linear",
    [ROTARY_LLAMA3] = "llama3",
    [ROTARY_YARN] = "yarn",
};
enum { N_TYPES = sizeof type_names / sizeof *type_names };

/* The numbers beside `original`, and the types that read them. */
static const struct real_key {
    const char *name;
    size_t offset;
    int types;
    bool required;
    double low, high;
} real_keys[] = {
#define KEY(name, field, types, required, low, high)                                               \
    { name, offsetof(struct rotary_scaling, field), types, required, low, high }
    KEY("factor", factor, 1 << ROTARY_LINEAR | 1 << ROTARY_LLAMA3 | 1 << ROTARY_YARN, true, 1, 1e4),
    KEY("low_freq_factor", low_factor, 1 << ROTARY_LLAMA3, true, 1e-3, 1e6),
    KEY("high_freq_factor", high_factor, 1 << ROTARY_LLAMA3, true, 1e-3, 1e6),
    KEY("beta_fast", beta_fast, 1 << ROTARY_YARN, false, 1e-3, 1e6),
    KEY("beta_slow", beta_slow, 1 << ROTARY_YARN, false, 1e-3, 1e6),
    KEY("attention_factor", attention_factor, 1 << ROTARY_YARN, false, 1e-3, 1e3),
    KEY("mscale", mscale, 1 << ROTARY_YARN, false, 0, 1e3),
    KEY("mscale_all_dim", mscale_all_dim, 1 << ROTARY_YARN, false, 0, 1e3),
#undef KEY
};
enum { N_REAL_KEYS = sizeof real_keys / sizeof *real_keys };

static double *real_field(struct rotary_scaling *r, const struct real_key *key) {
    return (double *)((char *)r + key->offset);
}

static bool has_original(const struct rotary_scaling *r) {
    return r->type == ROTARY_LLAMA3 || r->type == ROTARY_YARN;
}

static status read_type(struct rotary_scaling *out, const json_t *rope, const char *where,
                        const char *key) {
    struct span type = {0};
    TRY(json_maybe_string(rope, where, "type", &type));
    TRY(json_maybe_string(rope, where, "rope_type", &type));
    int i = 0;
    while (i < N_TYPES && !span_eq(type, span_of(type_names[i]))) i++;
    if (i == N_TYPES)
        return fail(EXIT_BAD_DATA,
                    "%s: \"%s\" of type \"%.*s\" is not supported, only default, linear, llama3 "
                    "and yarn are",
                    where, key, type.n < 64 ? (int)type.n : 64, type.p ? type.p : "");
    out->type = (enum rotary_type)i;
    return NULL;
}

status rotary_read(struct rotary_scaling *out, const json_t *rope, const char *where,
                   const char *key) {
    *out = (struct rotary_scaling){0};
    TRY(read_type(out, rope, where, key));
    if (has_original(out)) {
        int64_t original = 0;
        TRY(json_get_int(rope, where, "original_max_position_embeddings", 1, 1 << 24, &original));
        out->original = (int)original;
    }
    for (int i = 0; i < N_REAL_KEYS; i++) {
        const struct real_key *k = &real_keys[i];
        if (!(k->types >> out->type & 1) || (!k->required && !json_has(rope, k->name))) continue;
        TRY(json_get_number(rope, where, k->name, k->low, k->high, real_field(out, k)));
        *real_field(out, k) += 0.0; /* -0 is "not given" too, and would not be read back */
    }
    bool truncate = true;
    TRY(json_maybe_bool(rope, where, "truncate", &truncate));
    if (!truncate && out->type == ROTARY_YARN)
        return fail(EXIT_BAD_DATA, "%s: \"truncate\" of \"%s\" is false, only true is supported",
                    where, key);
    return rotary_check(out, where);
}

status rotary_check(const struct rotary_scaling *r, const char *where) {
    struct rotary_scaling copy = *r;
    if (has_original(r) && r->original < 1)
        return fail(EXIT_BAD_DATA,
                    "%s: \"original_max_position_embeddings\" must be positive, not %d", where,
                    r->original);
    for (int i = 0; i < N_REAL_KEYS; i++) {
        const struct real_key *k = &real_keys[i];
        double x = *real_field(&copy, k);
        if (!(k->types >> r->type & 1) || (!k->required && x == 0)) continue;
        if (!(x >= k->low && x <= k->high))
            return fail(EXIT_BAD_DATA, "%s: \"%s\" must be a number in [%g, %g], not %g", where,
                        k->name, k->low, k->high, x);
    }
    if (r->type == ROTARY_LLAMA3 && r->low_factor >= r->high_factor)
        return fail(EXIT_BAD_DATA,
                    "%s: \"low_freq_factor\" is %g, less than \"high_freq_factor\" %g was expected",
                    where, r->low_factor, r->high_factor);
    return NULL;
}

json_t *rotary_json(const struct rotary_scaling *r) {
    struct rotary_scaling copy = *r;
    if (r->type == ROTARY_DEFAULT) return json_null();
    /* "type" is what older readers look for. */
    json_t *rope =
        json_pack("{s:s, s:s}", "rope_type", type_names[r->type], "type", type_names[r->type]);
    REQUIRE(rope);
    if (has_original(r))
        json_object_set_new(rope, "original_max_position_embeddings", json_integer(r->original));
    for (int i = 0; i < N_REAL_KEYS; i++) {
        double x = *real_field(&copy, &real_keys[i]);
        if ((real_keys[i].types >> r->type & 1) && x != 0)
            json_object_set_new(rope, real_keys[i].name, json_real(x));
    }
    return rope;
}

static double llama3_frequency(const struct rotary_scaling *r, double f) {
    double turns = r->original * f / TWO_PI; /* over the original context */
    if (turns < r->low_factor) return f / r->factor;
    if (turns > r->high_factor) return f;
    double smooth = (turns - r->low_factor) / (r->high_factor - r->low_factor);
    return (1 - smooth) * f / r->factor + smooth * f;
}

/* The dimension that turns `turns` times over the original context. */
static double yarn_dimension(const struct rotary_scaling *r, double theta, double turns, int half) {
    return half * fmath_log64(r->original / (turns * TWO_PI)) / fmath_log64(theta);
}

static double yarn_frequency(const struct rotary_scaling *r, double theta, double f, int j,
                             int half) {
    double fast = r->beta_fast ? r->beta_fast : 32, slow = r->beta_slow ? r->beta_slow : 1;
    double low = __builtin_floor(yarn_dimension(r, theta, fast, half));
    double high = __builtin_ceil(yarn_dimension(r, theta, slow, half));
    if (low < 0) low = 0;
    if (high > 2 * half - 1) high = 2 * half - 1;
    if (low == high) high += 0.001;
    double ramp = (j - low) / (high - low);
    ramp = ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
    return f / r->factor * ramp + f * (1 - ramp);
}

double rotary_frequency(const struct rotary_scaling *r, double theta, int j, int half) {
    double f = fmath_exp64(-(double)j / half * fmath_log64(theta));
    switch (r->type) {
    case ROTARY_LINEAR:
        return f / r->factor;
    case ROTARY_LLAMA3:
        return llama3_frequency(r, f);
    case ROTARY_YARN:
        return yarn_frequency(r, theta, f, j, half);
    default:
        return f;
    }
}

static double yarn_scale(const struct rotary_scaling *r, double mscale) {
    return r->factor <= 1 ? 1 : 0.1 * mscale * fmath_log64(r->factor) + 1;
}

double rotary_magnitude(const struct rotary_scaling *r) {
    if (r->type != ROTARY_YARN) return 1;
    if (r->attention_factor) return r->attention_factor;
    if (r->mscale && r->mscale_all_dim)
        return yarn_scale(r, r->mscale) / yarn_scale(r, r->mscale_all_dim);
    return yarn_scale(r, 1);
}

double rotary_softmax_factor(const struct rotary_scaling *r) {
    if (r->type != ROTARY_YARN || !r->mscale_all_dim) return 1;
    double m = yarn_scale(r, r->mscale_all_dim);
    return m * m;
}
