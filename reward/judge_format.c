#include "reward/judge_format.h"

#include "reward/extract.h"

/* How often each tag stands in a text, and where first. */
struct tag_count {
    int n[TAGS];
    size_t begin[TAGS], end[TAGS];
};

static struct tag_count count_tags(struct span text) {
    struct tag_count count = {0};
    size_t at = 0, begin;
    enum tag tag;
    while (extract_tag(text, &at, &begin, &tag)) {
        if (count.n[tag]++ > 0) continue;
        count.begin[tag] = begin;
        count.end[tag] = at;
    }
    return count;
}

static bool opens_thinking(struct span prompt) {
    return span_ends(extract_trim(prompt), extract_tag_text(TAG_THINK));
}

static bool is_blank(struct span text, size_t from, size_t to) {
    return from <= to && extract_trim(span_slice(text, from, to)).n == 0;
}

bool judge_format(struct span prompt, struct span completion, enum finish_reason finish) {
    if (finish != FINISH_STOP) return false;
    const struct tag_count c = count_tags(completion);
    bool is_open = opens_thinking(prompt);
    if (c.n[TAG_THINK] != !is_open) return false;
    for (int tag = TAG_END_THINK; tag < TAGS; tag++)
        if (c.n[tag] != 1) return false;
    return is_blank(completion, 0, c.begin[TAG_THINK]) &&
           c.end[TAG_THINK] <= c.begin[TAG_END_THINK] &&
           is_blank(completion, c.end[TAG_END_THINK], c.begin[TAG_ANSWER]) &&
           c.end[TAG_ANSWER] <= c.begin[TAG_END_ANSWER] &&
           !is_blank(completion, c.end[TAG_ANSWER], c.begin[TAG_END_ANSWER]) &&
           is_blank(completion, c.end[TAG_END_ANSWER], completion.n);
}

double judge_tags(struct span prompt, struct span completion) {
    const struct tag_count c = count_tags(completion);
    int first = opens_thinking(prompt) ? TAG_END_THINK : TAG_THINK, found = 0;
    for (int tag = first; tag < TAGS; tag++) found += c.n[tag] == 1;
    return (double)found / (TAGS - first);
}
