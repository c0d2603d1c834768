/* How long a completion is, against how long it may be. */
#pragma once

/* The share of its tokens that a completion used, min(1, n_tokens / max_tokens): a negative weight asks for
 * short answers, a positive one for long ones. */
double judge_length(int n_tokens, double max_tokens);

/* The soft overlong punishment of DAPO (arXiv 2503.14476, eq. 13): 0 up to max_tokens - buffer tokens, from
 * there down in a straight line to -1 at max_tokens, -1 beyond. buffer in [0, max_tokens]. */
double judge_overlong(int n_tokens, double max_tokens, double buffer);
