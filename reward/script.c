#include "reward/script.h"

#include <stddef.h>
#include <utf8proc.h>

struct range {
    int32_t first, last;
    enum script script;
};

/* The letters of Unicode 14, in order. Planes 2 and 3 are Han as a whole: they grow by nothing else. */
static const struct range RANGES[] = {
    {0x41, 0x5A, SCRIPT_LATIN},        {0x61, 0x7A, SCRIPT_LATIN},
    {0xAA, 0xAA, SCRIPT_LATIN},        {0xBA, 0xBA, SCRIPT_LATIN},
    {0xC0, 0xD6, SCRIPT_LATIN},        {0xD8, 0xF6, SCRIPT_LATIN},
    {0xF8, 0x2B8, SCRIPT_LATIN},       {0x2E0, 0x2E4, SCRIPT_LATIN},
    {0x400, 0x481, SCRIPT_CYRILLIC},   {0x48A, 0x52F, SCRIPT_CYRILLIC},
    {0x1100, 0x11FF, SCRIPT_CJK},      {0x1C80, 0x1C88, SCRIPT_CYRILLIC},
    {0x1D00, 0x1D25, SCRIPT_LATIN},    {0x1D2B, 0x1D2B, SCRIPT_CYRILLIC},
    {0x1D2C, 0x1D5C, SCRIPT_LATIN},    {0x1D62, 0x1D65, SCRIPT_LATIN},
    {0x1D6B, 0x1D77, SCRIPT_LATIN},    {0x1D78, 0x1D78, SCRIPT_CYRILLIC},
    {0x1D79, 0x1DBE, SCRIPT_LATIN},    {0x1E00, 0x1EFF, SCRIPT_LATIN},
    {0x2071, 0x2071, SCRIPT_LATIN},    {0x207F, 0x207F, SCRIPT_LATIN},
    {0x2090, 0x209C, SCRIPT_LATIN},    {0x212A, 0x212B, SCRIPT_LATIN},
    {0x2132, 0x2132, SCRIPT_LATIN},    {0x214E, 0x214E, SCRIPT_LATIN},
    {0x2183, 0x2184, SCRIPT_LATIN},    {0x2C60, 0x2C7F, SCRIPT_LATIN},
    {0x3005, 0x3005, SCRIPT_HAN},      {0x303B, 0x303B, SCRIPT_HAN},
    {0x3041, 0x3096, SCRIPT_CJK},      {0x309D, 0x309F, SCRIPT_CJK},
    {0x30A1, 0x30FA, SCRIPT_CJK},      {0x30FD, 0x30FF, SCRIPT_CJK},
    {0x3105, 0x312F, SCRIPT_CJK},      {0x3131, 0x318E, SCRIPT_CJK},
    {0x31A0, 0x31BF, SCRIPT_CJK},      {0x31F0, 0x31FF, SCRIPT_CJK},
    {0x3400, 0x4DBF, SCRIPT_HAN},      {0x4E00, 0x9FFF, SCRIPT_HAN},
    {0xA640, 0xA66E, SCRIPT_CYRILLIC}, {0xA67F, 0xA69D, SCRIPT_CYRILLIC},
    {0xA722, 0xA787, SCRIPT_LATIN},    {0xA78B, 0xA7FF, SCRIPT_LATIN},
    {0xA960, 0xA97C, SCRIPT_CJK},      {0xAB30, 0xAB5A, SCRIPT_LATIN},
    {0xAB5C, 0xAB64, SCRIPT_LATIN},    {0xAB66, 0xAB69, SCRIPT_LATIN},
    {0xAC00, 0xD7A3, SCRIPT_CJK},      {0xD7B0, 0xD7FB, SCRIPT_CJK},
    {0xF900, 0xFAD9, SCRIPT_HAN},      {0xFB00, 0xFB06, SCRIPT_LATIN},
    {0xFF21, 0xFF3A, SCRIPT_LATIN},    {0xFF41, 0xFF5A, SCRIPT_LATIN},
    {0xFF66, 0xFF6F, SCRIPT_CJK},      {0xFF71, 0xFF9D, SCRIPT_CJK},
    {0xFFA0, 0xFFDC, SCRIPT_CJK},      {0x10780, 0x107BA, SCRIPT_LATIN},
    {0x16FE3, 0x16FE3, SCRIPT_HAN},    {0x1AFF0, 0x1B167, SCRIPT_CJK},
    {0x1DF00, 0x1DF1E, SCRIPT_LATIN},  {0x20000, 0x3FFFD, SCRIPT_HAN},
};

/* What utf8proc calls the rest: it knows categories, not scripts. */
static enum script by_category(int32_t code) {
    switch (utf8proc_category(code)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
        return SCRIPT_MARK;
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LO:
        return SCRIPT_OTHER;
    default: /* modifier letters of no script of ours are signs, such as the prolonged sound mark */
        return SCRIPT_NONE;
    }
}

enum script script_of(int32_t code) {
    if (code < 'A') return SCRIPT_NONE;
    size_t low = 0, high = sizeof RANGES / sizeof *RANGES;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (code > RANGES[middle].last) low = middle + 1;
        else high = middle;
    }
    if (low < sizeof RANGES / sizeof *RANGES && code >= RANGES[low].first)
        return RANGES[low].script;
    return code < 0x80 ? SCRIPT_NONE : by_category(code);
}
