/* Whether a text is written in one language: the language consistency of DeepSeek-R1 (Nature 2025; arXiv
 * 2501.12948v2), the share of words of the target language. */
#pragma once

#include "base/span.h"

/* The choices: two languages, and three groups of scripts. */
#define LANGUAGES "english|chinese|latin|cyrillic|cjk"

/* The share, in [0, 1], of the text's words that are of the target's script. A word is a run of letters of
 * one script; a Han, kana, bopomofo or hangul letter is a word by itself. Not counted, because they are of
 * no language: single letters (x, π), names of LaTeX commands (\frac), the tags of the format, digits and
 * symbols. A text without words has 0.
 *
 * English and Chinese are more than a script, so their share is also multiplied by min(1, s / s0), where s is
 * the share of common function words among the words of the script (s0 = 0.1, English prose has about 0.3),
 * or of common function characters among Han ones (s0 = 0.02, Chinese prose has about 0.1): German is Latin
 * but not English. Fewer than 12 words (Han: 24 characters) are too few to tell, and have the factor 1.
 *
 * `language` is one of LANGUAGES. Linear in the text. */
double judge_language(struct span text, const char *language);
