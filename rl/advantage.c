#include "rl/advantage.h"

bool advantage_group(const double *scores, size_t n, bool scale_by_std, double eps,
                     double *advantages) {
    double sum = 0, squares = 0;
    bool signal = false;
    for (size_t i = 0; i < n; i++) {
        sum += scores[i];
        signal |= scores[i] != scores[0];
        advantages[i] = 0;
    }
    if (!signal) return false;
    double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++) squares += (scores[i] - mean) * (scores[i] - mean);
    double std = __builtin_sqrt(squares / (double)(n - 1));
    for (size_t i = 0; i < n; i++)
        advantages[i] = (scores[i] - mean) / (scale_by_std ? std + eps : 1);
    return true;
}
