/* What tests say about statuses and files; includes cmocka. */
#pragma once

#include "base/span.h"
#include "base/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* The status is a success; prints its sentence when it is not. */
void expect_ok(status s);

/* The status failed with this code and its sentence holds `part`. Frees it. */
void expect_failure(status s, enum exit_code code, const char *part);

/* Group fixtures: a fresh directory for the program, removed at its end. */
int expect_directory(void **state);
int expect_no_directory(void **state);

/* A path in that directory; valid until the eighth call after it. */
const char *expect_path(const char *name);

/* The file's bytes are these. */
void expect_bytes(const char *path, struct span expected);
