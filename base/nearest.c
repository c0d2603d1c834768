#include "base/nearest.h"

#include <string.h>

enum { NAME_MAX_COMPARED = 96 }; /* longer names are not near anything */

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* The edit distance by the usual table, of which three rows are kept: a swap looks two rows back.
 */
static size_t edit_distance(const char *a, size_t n, const char *b, size_t m) {
    size_t rows[3][NAME_MAX_COMPARED + 1];
    size_t *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= m; j++) above[j] = before[j] = j;
    for (size_t i = 1; i <= n; i++) {
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t replace = above[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = least(replace, least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], before[j - 2] + 1);
        }
        size_t *oldest = before;
        before = above, above = row, row = oldest;
    }
    return above[m];
}

static size_t count_dots(const char *text) {
    size_t n = 0;
    for (; *text; text++) n += *text == '.';
    return n;
}

static void offer(struct nearest *n, const char *compared, const char *candidate, size_t cost) {
    size_t wanted_length = strlen(n->wanted), length = strlen(compared);
    if (wanted_length > NAME_MAX_COMPARED || length > NAME_MAX_COMPARED) return;
    size_t distance = edit_distance(n->wanted, wanted_length, compared, length) + cost;
    if (n->best && distance >= n->distance) return;
    n->best = candidate;
    n->distance = distance;
}

void nearest_offer(struct nearest *n, const char *candidate) {
    offer(n, candidate, candidate, 0);
    size_t wanted_dots = count_dots(n->wanted), dots = count_dots(candidate);
    if (dots <= wanted_dots) return;
    const char *tail = candidate;
    for (; dots > wanted_dots; dots--) tail = strchr(tail, '.') + 1;
    offer(n, tail, candidate, 1);
}

const char *nearest_name(const struct nearest *n) {
    /* One slip in a short name, one more for every four letters: beyond that a guess misleads. */
    return n->best && n->distance <= 1 + strlen(n->wanted) / 4 ? n->best : NULL;
}
