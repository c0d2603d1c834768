#include "reward/extract.h"
#include "reward/math/judge.h"
#include "reward/math/text.h"

/* Where a completion settles on a letter, and on which. */
struct settled {
    char letter;
    struct span where;
    enum locate_tier tier;
};

static bool settle(struct settled *s, struct span text, enum locate_tier tier) {
    char letter = text_choice(text, false);
    if (!letter) return false;
    *s = (struct settled){letter, text, tier};
    return true;
}

static struct settled settled_in(struct span text) {
    struct settled s = {0};
    struct location box;
    struct span part;
    size_t end = text.n;
    if (extract_answer(text, &part)) {
        if (!settle(&s, span_trim(part), LOCATE_ANSWER)) s.where = part;
        return s;
    }
    if (locate_boxed(text, &box)) {
        /* Several boxes side by side settle on nothing. */
        if (box.n > 1 || !settle(&s, box.parts[0], LOCATE_BOXED)) s.where = box.whole;
        return s;
    }
    while (locate_anchor(text, &end, &part))
        if (settle(&s, part, LOCATE_ANCHOR)) return s;
    if (locate_option(text, &part) && settle(&s, part, LOCATE_ANCHOR)) return s;
    s.letter = text_choice_line(text);
    if (s.letter) s = (struct settled){s.letter, text, LOCATE_CHOICE};
    return s;
}

struct math_verdict math_choice(struct span gold, struct span completion) {
    struct math_verdict v = {MATH_NO_GOLD, {0}, "", ""};
    char right = text_choice(span_trim(gold), false);
    if (!right) right = text_choice_line(gold);
    if (!right) return v;
    struct settled s = settled_in(span_trim(locate_visible(completion)));
    v.result = s.letter == right ? MATH_EQUAL
               : s.letter        ? MATH_DIFFERENT
               : s.where.n       ? MATH_UNPARSED
                                 : MATH_NO_ANSWER;
    v.answer = s.where;
    v.tier = locate_tier_name(s.tier);
    v.proof = s.letter ? "text" : "";
    return v;
}
