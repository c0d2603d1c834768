/* Scripts of letters, by ranges of Unicode. */
#pragma once

#include <stdint.h>

enum script {
    SCRIPT_NONE, /* no letter: a digit, a symbol, white space, what is not UTF-8 */
    SCRIPT_MARK, /* combines with the letter before it */
    SCRIPT_LATIN,
    SCRIPT_CYRILLIC,
    SCRIPT_HAN,
    SCRIPT_CJK,   /* kana, bopomofo, hangul: East Asian letters that are not Han */
    SCRIPT_OTHER, /* a letter of any other script */
};

enum script script_of(int32_t code); /* code: a code point, or -1 */
