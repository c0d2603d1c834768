/* Problems as JSON lines. */
#pragma once

#include "base/json.h"
#include "tasks/problem.h"

#include <stdio.h>

/* Which columns hold the question and the answer; "": those that the shape of the row says. A name that is
 * no column may lead into objects: "reward_model.ground_truth". */
struct problem_columns {
    const char *question, *answer;
};

/* Reads the problems of a JSONL file ("-": standard input). Rows are told apart by their columns:
 *
 * - ours: "id", "source", "question", "gold", for Countdown also "numbers", "target", "witness";
 * - TinyZero's: "nums", "target";
 * - verl's: "prompt" (text or messages), "reward_model" with a "ground_truth" that is text, a
 * number, or an object with "numbers" and "target"; the question is then the whole prompt as it
 * stands, so tasks.prompt=none or compact fits;
 * - plain: "question", "problem" or "prompt", with "gold", "answer", "solution" or "ground_truth".
 *   Of a solution with "#### 1,234" in it the gold is 1234.
 *
 * With a column of `columns`, that is where the question (EXIT_BAD_DATA for a row without it) or the answer
 * (none for a row without it) stands, whatever the shape; an answer that is an object makes a Countdown
 * problem of its "numbers" and "target".
 *
 * A row without "id" is called "STEM:LINE". Its source is "source", else "data_source", else
 * "countdown" when it has numbers, else the file's stem.
 *
 * EXIT_NO_INPUT. EXIT_BAD_DATA: "FILE:LINE: ..." for what is missing or wrong, and for an id that
 * comes twice. */
status problem_file_read(const char *path, const struct problem_columns *columns,
                         struct problem_set *out, struct arena *arena);

/* Reads one row of such a file into the arena; question, id and source may be missing and are then empty.
 * `where` stands in front of sentences. EXIT_BAD_DATA. */
status problem_row_read(const json_t *row, const char *where, struct arena *arena,
                        struct problem *out);

/* Writes one problem as a line that problem_file_read reads back. `prompt` may be empty. EXIT_IO.
 */
status problem_file_write(const struct problem *problem, struct span prompt, FILE *out);
