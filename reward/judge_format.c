#include "reward/judge_format.h"

#include "reward/extract.h"

static const size_t NONE = (size_t)-1;

/* Whether `tag` occurs exactly once; *at is where. */
static bool only_one(struct span text, struct span tag, size_t *at) {
    *at = span_find(text, tag, 0);
    return *at != NONE && span_find(text, tag, *at + tag.n) == NONE;
}

static bool is_blank(struct span s) { return extract_trim(s).n == 0; }

bool judge_format(struct span prompt, struct span completion, enum finish_reason finish) {
    const struct span think = SPAN("<think>"), end_think = SPAN("</think>"),
                      answer = SPAN("<answer>"), end_answer = SPAN("</answer>");
    size_t at_think, at_end_think, at_answer, at_end_answer, body = 0;
    if (finish != FINISH_STOP) return false;
    if (span_ends(extract_trim(prompt), think)) {
        if (span_find(completion, think, 0) != NONE) return false;
    } else {
        if (!only_one(completion, think, &at_think)) return false;
        if (!is_blank(span_slice(completion, 0, at_think))) return false;
        body = at_think + think.n;
    }
    if (!only_one(completion, end_think, &at_end_think) ||
        !only_one(completion, answer, &at_answer) ||
        !only_one(completion, end_answer, &at_end_answer))
        return false;
    return body <= at_end_think && at_end_think < at_answer && at_answer < at_end_answer &&
           is_blank(span_slice(completion, at_end_think + end_think.n, at_answer)) &&
           !is_blank(span_slice(completion, at_answer + answer.n, at_end_answer)) &&
           is_blank(span_slice(completion, at_end_answer + end_answer.n, completion.n));
}

double judge_tags(struct span prompt, struct span completion) {
    const struct span tags[] = {SPAN("<think>"), SPAN("</think>"), SPAN("<answer>"), SPAN("</answer>")};
    int first = span_ends(extract_trim(prompt), tags[0]), found = 0;
    size_t at;
    for (int i = first; i < 4; i++) found += only_one(completion, tags[i], &at);
    return (double)found / (4 - first);
}
