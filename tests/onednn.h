/* oneDNN's matrix products, to compare with: of version 2, loaded when the program runs. Programs that were
 * compiled without its header have none. */
#pragma once

#include <stdbool.h>

struct onednn;

/* y = x w^T on one thread: x [T, K], w [N, K], y [T, N], w packed as oneDNN likes it; with `bf16`, x and w
 * are bf16 (copied beforehand) and y fp32. x, w and y stay the caller's. NULL: there is no oneDNN. */
struct onednn *onednn_open(float *y, float *x, float *w, int T, int N, int K, bool bf16);

void onednn_run(const void *product);
void onednn_close(struct onednn *o); /* NULL is fine */
