/* Classes of ASCII characters, the same in every locale. */
#pragma once

#include <stdbool.h>
#include <string.h>

static inline bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static inline bool is_digit(char c) { return c >= '0' && c <= '9'; }
static inline bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* Whether c is one of the marks; a NUL byte, which texts from outside may hold, never is. */
static inline bool is_one_of(char c, const char *marks) { return c != '\0' && strchr(marks, c); }
