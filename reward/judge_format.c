#include "reward/judge_format.h"

#include "base/arena.h"
#include "base/utf8.h"
#include "reward/extract.h"

#include <stdlib.h>

static const size_t NOT_FOUND = (size_t)-1;

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

static bool is_blank(struct span text, size_t from, size_t to) {
    return from <= to && utf8_trim(span_slice(text, from, to)).n == 0;
}

bool judge_format(struct span prompt, struct span completion, enum finish_reason finish) {
    if (finish != FINISH_STOP) return false;
    const struct tag_count c = count_tags(completion);
    bool is_open = extract_opens_thinking(prompt);
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

/* The <think> that the prompt ends in, with the white space after it, and the completion; malloced. */
static struct span whole_text(struct span prompt, struct span completion, char **owned) {
    *owned = NULL;
    if (!extract_opens_thinking(prompt)) return completion;
    size_t from = span_find_last(prompt, extract_tag_text(TAG_THINK));
    struct span head = span_slice(prompt, from, prompt.n);
    *owned = memory_new(head.n + completion.n, 1);
    memcpy(*owned, head.p, head.n);
    if (completion.n) memcpy(*owned + head.n, completion.p, completion.n);
    return (struct span){*owned, head.n + completion.n};
}

static bool is_trl(struct span text) {
    const struct span think = extract_tag_text(TAG_THINK);
    return span_starts(text, think) && span_find(text, think, think.n) == NOT_FOUND &&
           span_find(text, extract_tag_text(TAG_END_THINK), think.n) != NOT_FOUND;
}

/* The first place where the middle stands leaves the most room for the end, so no other need be tried. */
static bool is_open_r1(struct span text) {
    const struct span begin = SPAN("<think>\n"), middle = SPAN("\n</think>\n<answer>\n"),
                      end = SPAN("\n</answer>");
    if (!span_starts(text, begin)) return false;
    size_t at = span_find(text, middle, begin.n);
    if (at == NOT_FOUND) return false;
    for (at += middle.n; (at = span_find(text, end, at)) != NOT_FOUND; at++)
        if (at + end.n == text.n || text.p[at + end.n] == '\n') return true;
    return false;
}

bool judge_format_trl(struct span prompt, struct span completion) {
    char *owned;
    bool good = is_trl(whole_text(prompt, completion, &owned));
    free(owned);
    return good;
}

bool judge_format_open_r1(struct span prompt, struct span completion) {
    char *owned;
    bool good = is_open_r1(whole_text(prompt, completion, &owned));
    free(owned);
    return good;
}

double judge_tags(struct span prompt, struct span completion) {
    const struct tag_count c = count_tags(completion);
    int first = extract_opens_thinking(prompt) ? TAG_END_THINK : TAG_THINK, found = 0;
    for (int tag = first; tag < TAGS; tag++) found += c.n[tag] == 1;
    return (double)found / (TAGS - first);
}
