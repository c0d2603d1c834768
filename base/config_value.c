#include "base/config_value.h"

#include "base/utf8.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool multiply_by_ten(int64_t *value, int times) {
    for (; times > 0 && *value != 0; times--)
        if (__builtin_mul_overflow(*value, 10, value)) return false;
    return true;
}

/* Whether `text` is [sign] digits [. digits] [e [sign] digits], with a digit in front of the
 * exponent. strtod alone would also take hexadecimal, nan and leading blanks. */
static bool is_decimal(const char *text) {
    size_t digits = 0;
    if (*text == '+' || *text == '-') text++;
    for (; isdigit((unsigned char)*text); text++) digits++;
    if (*text == '.')
        for (text++; isdigit((unsigned char)*text); text++) digits++;
    if (digits == 0) return false;
    if (*text == 'e' || *text == 'E') {
        text++;
        if (*text == '+' || *text == '-') text++;
        if (!isdigit((unsigned char)*text)) return false;
        while (isdigit((unsigned char)*text)) text++;
    }
    return *text == 0;
}

/* The exact integer a decimal number stands for: 1e6 and 2.50e2 are integers, 1.5 is none. Zeros
 * are held back until a digit follows, so that the value never needs more digits than it has. */
static bool read_int(const char *text, int64_t *out) {
    if (!is_decimal(text)) return false;
    bool negative = *text == '-';
    if (*text == '+' || *text == '-') text++;
    int64_t value = 0;
    long zeros = 0, fraction = 0;
    bool after_point = false;
    for (; *text && *text != 'e' && *text != 'E'; text++) {
        if (*text == '.') {
            after_point = true;
            continue;
        }
        fraction += after_point;
        if (*text == '0') {
            zeros++;
            continue;
        }
        if (!multiply_by_ten(&value, (int)(value ? zeros + 1 : 0))) return false;
        if (__builtin_add_overflow(value, *text - '0', &value)) return false;
        zeros = 0;
    }
    long exponent = *text ? strtol(text + 1, NULL, 10) : 0;
    if (exponent > 1000000 || exponent < -1000000) return false;
    long scale = zeros - fraction + exponent;
    if (value != 0 && (scale < 0 || scale > 18 || !multiply_by_ten(&value, (int)scale)))
        return false;
    *out = negative ? -value : value;
    return true;
}

static bool read_float(const char *text, double *out) {
    const char *magnitude = text + (*text == '+' || *text == '-');
    double value;
    if (strcasecmp(magnitude, "inf") == 0 || strcasecmp(magnitude, ".inf") == 0)
        value = *text == '-' ? -INFINITY : INFINITY;
    else if (!is_decimal(text)) return false;
    else if (isinf(value = strtod(text, NULL)))
        return false;   /* 1e999 is a slip, not a wish for infinity */
    *out = value + 0.0; /* makes -0 the one zero there is, so that equal values have equal texts */
    return true;
}

static bool read_bool(const char *text, bool *out) {
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasecmp(text, words[i]) == 0) {
            *out = i % 2;
            return true;
        }
    return false;
}

static bool is_choice(const char *choices, const char *text) {
    size_t n = strlen(text);
    for (const char *p = choices; *p;) {
        size_t length = strcspn(p, "|");
        if (length == n && memcmp(p, text, n) == 0) return true;
        p += length + (p[length] == '|');
    }
    return false;
}

bool config_value_read(const struct config_key *key, const char *text, void *field,
                       struct arena *arena) {
    int64_t i;
    double x;
    switch (key->type) {
    case CONFIG_TYPE_INT:
        if (!read_int(text, &i) || (double)i < key->low || (double)i > key->high) return false;
        *(int64_t *)field = i;
        return true;
    case CONFIG_TYPE_FLOAT:
        if (!read_float(text, &x) || x < key->low || x > key->high) return false;
        *(double *)field = x;
        return true;
    case CONFIG_TYPE_BOOL:
        return read_bool(text, field);
    case CONFIG_TYPE_ENUM:
        if (!is_choice(key->choices, text)) return false;
        break;
    case CONFIG_TYPE_STRING:
        if (utf8_invalid(span_of(text)) != strlen(text)) return false;
        break;
    }
    *(const char **)field = arena_string(arena, span_of(text));
    return true;
}

/* The shortest of 15, 16 or 17 digits that reads back the same. With a point in it always, because
 * readers of YAML 1.1 take 1e-06 for a string. */
static const char *float_text(double x, struct arena *arena) {
    if (isinf(x)) return x > 0 ? "\"inf\"" : "\"-inf\"";
    char text[32];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (strtod(text, NULL) == x) break;
    }
    size_t mantissa = strcspn(text, "e");
    bool has_point = memchr(text, '.', mantissa) != NULL;
    return arena_print(arena, "%.*s%s%s", (int)mantissa, text, has_point ? "" : ".0",
                       text + mantissa);
}

/* Whether YAML's reader takes the character as it is inside double quotes. */
static bool is_plain(int32_t code) {
    return code >= 0x20 && code != '"' && code != '\\' && (code < 0x7F || code > 0xA0) &&
           code != 0x2028 && code != 0x2029 && code != 0xFEFF && code != 0xFFFE && code != 0xFFFF;
}

/* A double-quoted string of which both JSON and YAML read the same text. */
static const char *string_text(const char *text, struct arena *arena) {
    struct span s = span_of(text);
    char *out = arena_array(arena, s.n + 1, 6), *p = out;
    *p++ = '"';
    int32_t code;
    for (size_t i = 0, n; i < s.n; i += n) {
        n = utf8_next(s, i, &code);
        if (is_plain(code)) {
            memcpy(p, s.p + i, n);
            p += n;
        } else if (code == '\n' || code == '\t' || code == '"' || code == '\\') {
            *p++ = '\\';
            *p++ = code == '\n' ? 'n' : code == '\t' ? 't' : (char)code;
        } else {
            p += sprintf(p, "\\u%04x", (unsigned)code);
        }
    }
    *p = '"';
    return out;
}

const char *config_value_text(const struct config_key *key, const void *field,
                              struct arena *arena) {
    switch (key->type) {
    case CONFIG_TYPE_INT:
        return arena_print(arena, "%lld", (long long)*(const int64_t *)field);
    case CONFIG_TYPE_FLOAT:
        return float_text(*(const double *)field, arena);
    case CONFIG_TYPE_BOOL:
        return *(const bool *)field ? "true" : "false";
    default:
        return string_text(*(const char *const *)field, arena);
    }
}

const char *config_value_shown(const char *text, char shown[static CONFIG_SHOWN_MAX]) {
    size_t n = 0;
    shown[n++] = '"';
    for (; *text && n < CONFIG_SHOWN_MAX - 5; text++)
        shown[n++] = isprint((unsigned char)*text) ? *text : '?';
    strcpy(shown + n, *text ? "...\"" : "\"");
    return shown;
}
