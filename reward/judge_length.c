#include "reward/judge_length.h"

double judge_length(int n_tokens, double max_tokens) {
    return n_tokens < max_tokens ? n_tokens / max_tokens : 1;
}

double judge_overlong(int n_tokens, double max_tokens, double buffer) {
    if (n_tokens <= max_tokens - buffer) return 0;
    if (n_tokens > max_tokens) return -1;
    return ((max_tokens - buffer) - n_tokens) / buffer;
}
