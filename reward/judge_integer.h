/* Whole numbers of any length, compared exactly. */
#pragma once

#include "base/span.h"

enum integer_verdict { INTEGER_EQUAL, INTEGER_DIFFERENT, INTEGER_UNPARSED, INTEGER_BAD_GOLD };

const char *integer_verdict_name(enum integer_verdict verdict);

/* Both are an optional sign and decimal digits, with white space around; leading zeros do not count. */
enum integer_verdict judge_integer(struct span answer, struct span gold);
