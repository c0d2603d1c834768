/* Text from outside, made safe to stand in HTML. */
#pragma once

#include "base/span.h"

#include <jansson.h>
#include <stdio.h>

/* Text between tags or in a quoted attribute: & < > " ' as entities, bytes that are not UTF-8 and control
 * characters as U+FFFD. */
void markup_text(struct span text, FILE *out);

/* JSON inside a <script> element: ASCII, and nothing in it can end the element. */
void markup_json(const json_t *value, FILE *out);
