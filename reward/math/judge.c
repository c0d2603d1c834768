#include "reward/math/judge.h"

#include "reward/extract.h"
#include "base/characters.h"
#include "reward/math/cleanup.h"
#include "reward/math/text.h"
#include "reward/math/words.h"

/* One judgement. */
struct judge {
    const struct math_gold *gold;
    struct math_work work;
    struct matcher matcher;
};

const char *math_result_name(enum math_result result) {
    static const char *const names[] = {"equal",     "different", "unknown",    "unparsed",
                                        "no_answer", "no_gold",   "unevaluated"};
    return names[result];
}

static const char *proof_name(enum ladder_tier tier) {
    static const char *const names[] = {"",     "same",  "rational", "formal",
                                        "ball", "exact", "points"};
    return names[tier];
}

struct math_options math_defaults(void) {
    return (struct math_options){0};
}

struct math_options math_verify_compatible(void) {
    return (struct math_options){.decimals = MATH_DECIMALS_SIX_PLACES};
}

void math_thread_end(void) { flint_cleanup(); }

/* ---- comparing ---- */

static enum truth match_pair(struct judge *j, const struct tree *gold, const struct tree *answer) {
    return gold && answer ? match_trees(&j->matcher, gold, answer) : TRUTH_DIFFERENT;
}

/* A tight comma read in other ways, where the first way did not give the gold: as a separator on either
 * side, and in the answer as a decimal point. */
static bool equal_by_commas(struct judge *j, const struct reading *answer) {
    const struct reading *gold = &j->gold->reading;
    /* 1,000,000 and 1,000 are two numbers, however their groups would compare as lists. */
    if (gold->tree && gold->tree->kind == TREE_NUMBER && answer->tree &&
        answer->tree->kind == TREE_NUMBER)
        return false;
    if (match_pair(j, gold->tree, answer->split) == TRUTH_EQUAL) return true;
    if (match_pair(j, gold->split, answer->tree) == TRUTH_EQUAL) return true;
    if (match_pair(j, gold->split, answer->split) == TRUTH_EQUAL) return true;
    if (!answer->notes.tight_comma || !gold->tree || gold->tree->kind != TREE_NUMBER) return false;
    struct span ascii = words_ascii(answer->text, j->work.arena);
    return match_pair(j, gold->tree, parser_read(&j->work, ascii, COMMAS_DECIMAL, NULL)) ==
           TRUTH_EQUAL;
}

/* P(1, 0), first read as a point of that name or a function. */
static bool is_named_pair(const struct reading *r) {
    return r->counted && r->tree && r->tree->kind == TREE_APPLY;
}

/* With C(10, 3) for a binomial coefficient on either side, where the first reading decided nothing. Two named
 * pairs are compared as they stand: P(1, 0) and P(2, 0) are two points before they are one number. */
static enum truth match_counted(struct judge *j, const struct reading *answer) {
    const struct reading *gold = &j->gold->reading;
    if (is_named_pair(gold) && is_named_pair(answer)) return TRUTH_DIFFERENT;
    return match_pair(j, gold->counted ? gold->counted : gold->tree,
                      answer->counted ? answer->counted : answer->tree);
}

/* Words, letters of multiple choice, and texts that are the same. */
static bool equal_as_text(struct judge *j, const struct reading *answer) {
    const struct math_gold *gold = j->gold;
    struct arena *arena = j->work.arena;
    if (gold->reading.text.n == 0 || answer->text.n == 0) return false;
    if (!reading_is_undefined(&gold->reading) && span_eq(gold->reading.text, answer->text))
        return true;
    if (gold->words) {
        struct span folded = text_fold(answer->text, arena);
        /* One letter has a case: e is not E. */
        if (folded.n == 1 && !gold->choice)
            return span_eq(text_fold_case(answer->text, arena),
                           text_fold_case(gold->reading.text, arena));
        if (folded.n > 0 && span_eq(folded, gold->folded)) return true;
    }
    bool list = answer->tree && answer->tree->kind == TREE_LIST;
    return gold->choice && !list && text_choice(answer->text, false) == gold->choice;
}

/* What a reading leaves to be carried out. */
static int operations_of(const struct reading *r, bool counted) {
    return r->notes.operations + (counted ? r->counted_operations : 0);
}

/* Whether the answer leaves something to be carried out that the gold does not. `counted`: they are equal as
 * what C(10, 3) counts. */
static bool is_unevaluated(const struct judge *j, const struct reading *answer, bool counted) {
    const struct math_gold *gold = j->gold;
    return gold->options.evaluated && gold->reading.tree && !gold->words && !gold->choice &&
           operations_of(&gold->reading, counted) == 0 && operations_of(answer, counted) > 0;
}

static enum math_result compare_forms(struct judge *j, const struct reading *answer,
                                      bool *by_count) {
    const struct math_gold *gold = j->gold;
    *by_count = false;
    enum truth truth = match_pair(j, gold->reading.tree, answer->tree);
    if (truth == TRUTH_EQUAL) return MATH_EQUAL;
    if (equal_as_text(j, answer)) {
        j->matcher.tier = LADDER_NONE;
        return MATH_EQUAL;
    }
    if ((answer->split || gold->reading.split || answer->notes.tight_comma) &&
        equal_by_commas(j, answer))
        return MATH_EQUAL;
    if (gold->reading.counted || answer->counted) {
        enum truth counted = match_counted(j, answer);
        *by_count = counted == TRUTH_EQUAL;
        if (*by_count) return MATH_EQUAL;
        if (truth == TRUTH_UNKNOWN) truth = counted;
    }
    if (!gold->readable) return MATH_NO_GOLD;
    if (answer->text.n == 0) return MATH_NO_ANSWER;
    if (!gold->reading.tree || gold->words) return MATH_DIFFERENT; /* other words */
    if (!answer->tree) return MATH_UNPARSED;
    return truth == TRUTH_UNKNOWN ? MATH_UNKNOWN : MATH_DIFFERENT;
}

static enum math_result compare(struct judge *j, const struct reading *answer) {
    bool counted;
    enum math_result result = compare_forms(j, answer, &counted);
    return result == MATH_EQUAL && is_unevaluated(j, answer, counted) ? MATH_UNEVALUATED : result;
}

/* ---- looking for the answer ---- */

static struct math_verdict say(struct judge *j, enum math_result result, struct span answer,
                               enum locate_tier tier) {
    const char *proof = proof_name(j->matcher.tier);
    if (result == MATH_EQUAL && !*proof) proof = "text";
    if (result != MATH_EQUAL && result != MATH_DIFFERENT) proof = "";
    return (struct math_verdict){result, answer, locate_tier_name(tier), proof};
}

static struct math_verdict judge_text(struct judge *j, struct span text, enum locate_tier tier) {
    struct reading r = reading_of(&j->work, text);
    return say(j, compare(j, &r), r.text, tier);
}

static struct math_verdict judge_parts(struct judge *j, const struct location *e,
                                       enum locate_tier tier) {
    struct reading r = reading_of(&j->work, reading_join(&j->work, e));
    return say(j, compare(j, &r), e->n == 1 ? e->parts[0] : e->whole, tier);
}

/* Whether a reading found in prose is worth a verdict: mathematics, and where the gold is mathematics,
 * without words or runs of letters that prose is more likely to mean. */
static bool credible(const struct judge *j, const struct reading *r, bool prose) {
    if (!r->tree) return false;
    if (r->tree->kind == TREE_TEXT) return j->gold->words;
    if (!prose || r->notes.letter_runs == 0) return true;
    /* "Hm." is no product; xy may be one where the gold has symbols. */
    return r->text.n <= 8 && j->gold->reading.tree && j->gold->reading.tree->flags & TREE_SYMBOLIC;
}

static bool judge_prose(struct judge *j, struct span text, enum locate_tier tier,
                        struct math_verdict *out) {
    struct reading r = reading_of(&j->work, text);
    if (!credible(j, &r, true)) return false;
    *out = say(j, compare(j, &r), r.text, tier);
    return true;
}

/* The number a word of prose is, or holds. */
static bool judge_word(struct judge *j, struct span word, enum locate_tier tier,
                       struct math_verdict *out) {
    struct span number;
    struct reading r = reading_of(&j->work, word);
    /* A text that begins with a digit is a date, which is none of its numbers. */
    bool date = r.tree && r.tree->kind == TREE_TEXT && r.text.n && is_digit(r.text.p[0]);
    if (date || (r.tree && r.notes.letter_runs == 0 && r.tree->kind != TREE_TEXT)) {
        *out = say(j, compare(j, &r), r.text, tier);
        return true;
    }
    if (!locate_number(word, &number)) return false;
    *out = judge_text(j, number, tier);
    return true;
}

static struct span first_word(struct span s) {
    size_t n = 0;
    while (n < s.n && s.p[n] != ' ' && s.p[n] != '\n') n++;
    return reading_trim(span_slice(s, 0, n));
}

/* Of a word, with an apostrophe of either kind; bytes beyond ASCII belong to it. */
static bool is_word_byte(char c) { return is_letter(c) || c == '\'' || (unsigned char)c >= 0x80; }

/* Whether the words right in front of a part of the text say that it is not the answer: "is not equal to 5",
 * "less than 5", "isn't 5", "NOT \(5\)". */
static bool is_denied(struct judge *j, struct span text, struct span part) {
    static const char *const denials[] = {"not",     "than",  "least",   "most",   "nor",
                                          "neither", "never", "without", "except", "cannot"};
    static const char *const between[] = {"equal", "to", "or", "the", "number", "be", "simply", "just"};
    size_t at = (size_t)(part.p - text.p);
    for (int words = 0; words < 5; words++) {
        while (at > 0 && is_one_of(text.p[at - 1], " \t\r\n$*_([`\\")) at--;
        size_t end = at;
        while (at > 0 && is_word_byte(text.p[at - 1])) at--;
        struct span word = text_fold(span_slice(text, at, end), j->work.arena);
        if (span_ends(word, SPAN("n't")) || span_ends(word, SPAN("n\u2019t"))) return true;
        bool passes = false;
        for (size_t i = 0; i < sizeof denials / sizeof *denials; i++)
            if (span_eq(word, span_of(denials[i]))) return true;
        for (size_t i = 0; i < sizeof between / sizeof *between; i++)
            passes |= span_eq(word, span_of(between[i]));
        if (!passes) return false;
    }
    return false;
}

static bool deny(struct judge *j, struct span text, struct span part, enum locate_tier tier,
                 struct math_verdict *out) {
    if (!is_denied(j, text, part)) return false;
    *out = say(j, MATH_UNPARSED, part, tier);
    return true;
}

/* What an anchor announces: all of it, its formula, or its number. */
static bool judge_sentence(struct judge *j, struct span s, enum locate_tier tier,
                           struct math_verdict *out) {
    struct location e;
    struct span word;
    if (judge_prose(j, s, tier, out)) return true;
    if (j->gold->choice && text_choice(s, false)) {
        *out = judge_text(j, s, tier);
        return true;
    }
    struct span start = reading_trim(s);
    bool formula_first =
        s.n && (s.p[0] == '$' || (s.p[0] == '\\' && s.n > 1 && (s.p[1] == '(' || s.p[1] == '[')));
    if (formula_first && locate_formula(s, &word)) {
        *out = judge_text(j, word, tier);
        return true;
    }
    if (locate_math(s, &e)) {
        if (deny(j, s, e.whole, tier, out)) return true;
        *out = judge_parts(j, &e, tier);
        return true;
    }
    if (j->gold->words) {
        *out = judge_text(j, s, tier);
        return true;
    }
    if (start.n && judge_word(j, first_word(start), tier, out)) return true;
    size_t end = s.n;
    for (int tries = 0; tries < 8 && locate_number_word(s, &end, &word); tries++)
        if (deny(j, s, word, tier, out) || judge_word(j, word, tier, out)) return true;
    return false;
}

static bool judge_anchor(struct judge *j, struct span text, struct math_verdict *out) {
    size_t end = text.n;
    struct span sentence;
    for (int tries = 0; tries < 4 && locate_anchor(text, &end, &sentence); tries++)
        if (judge_sentence(j, sentence, LOCATE_ANCHOR, out)) return true;
    return false;
}

/* "The final answer is 5" behind the last box: where the two differ, the last word counts. */
static bool judge_final_anchor(struct judge *j, struct span text, const struct location *box,
                               struct math_verdict *out) {
    size_t behind = (size_t)(box->whole.p + box->whole.n - text.p), end = text.n;
    struct span sentence;
    if (!locate_anchor(text, &end, &sentence) || end < behind) return false;
    bool final =
        text.p[end] == '#' || (end >= 6 && (span_ends(span_slice(text, 0, end), SPAN("final ")) ||
                                            span_ends(span_slice(text, 0, end), SPAN("Final "))));
    return final && judge_sentence(j, sentence, LOCATE_ANCHOR, out);
}

/* Whether the word, a number, is the only one of the text, or what an equation of the text comes to. */
static bool stands_out(struct span text, struct span word) {
    size_t at = (size_t)(word.p - text.p), end = at;
    struct span other;
    while (at > 0 && (text.p[at - 1] == ' ' || text.p[at - 1] == '$')) at--;
    return (at > 0 && text.p[at - 1] == '=') || !locate_number_word(text, &end, &other);
}

/* The last formula or the last number, whichever comes later. In a tag, which is there for the answer, a
 * number must stand out: the question, repeated there, often ends in one. */
static bool judge_last(struct judge *j, struct span text, bool tag, struct math_verdict *out) {
    struct location e;
    struct span word;
    bool formula = locate_math(text, &e);
    size_t behind = formula ? (size_t)(e.whole.p + e.whole.n - text.p) : 0, end = text.n;
    for (int tries = 0; tries < 8 && !j->gold->words; tries++) {
        if (!locate_number_word(text, &end, &word) || (size_t)(word.p - text.p) < behind) break;
        if (tag && !stands_out(text, word)) break;
        if (deny(j, text, word, LOCATE_NUMBER, out) || judge_word(j, word, LOCATE_NUMBER, out))
            return true;
    }
    if (formula && !deny(j, text, e.whole, LOCATE_MATH, out))
        *out = judge_parts(j, &e, LOCATE_MATH);
    return formula;
}

/* "A: 72" as the last line, which is how some data sets write answers, unless A is a choice. */
static bool judge_label(struct judge *j, struct span text, struct math_verdict *out) {
    size_t line = span_find_last(text, SPAN("\n"));
    struct span last = span_trim(span_slice(text, line == (size_t)-1 ? 0 : line, text.n));
    if (j->gold->choice || !span_starts(last, SPAN("A:"))) return false;
    last = span_trim(span_slice(last, 2, last.n));
    return last.n > 0 && judge_sentence(j, last, LOCATE_ANCHOR, out);
}

enum { WHOLE_MAX = 512 };

static struct math_verdict judge_anywhere(struct judge *j, struct span text, bool tag) {
    struct location box;
    struct math_verdict out;
    if (locate_boxed(text, &box))
        return judge_final_anchor(j, text, &box, &out) ? out : judge_parts(j, &box, LOCATE_BOXED);
    if (judge_label(j, text, &out)) return out;
    bool announced = j->gold->choice && !text_choice(text, false); /* "Answer: (A) 12" */
    if (text.n <= WHOLE_MAX && !announced && judge_prose(j, text, LOCATE_WHOLE, &out)) return out;
    if (judge_anchor(j, text, &out)) return out;
    if (j->gold->choice) {
        struct span option;
        if (locate_option(text, &option) && text_choice(option, false))
            return judge_text(j, option, LOCATE_ANCHOR);
        char letter = text_choice_line(text);
        if (letter)
            return say(j, letter == j->gold->choice ? MATH_EQUAL : MATH_DIFFERENT, text,
                       LOCATE_CHOICE);
    }
    if (judge_last(j, text, tag, &out)) return out;
    if (j->gold->words && text.n <= WHOLE_MAX) return judge_text(j, text, LOCATE_WHOLE);
    return say(j, MATH_NO_ANSWER, (struct span){0}, LOCATE_NONE);
}

static struct math_verdict judge_completion(struct judge *j, struct span completion) {
    struct span text = locate_visible(completion), tag;
    struct math_verdict none = say(j, MATH_NO_ANSWER, (struct span){0}, LOCATE_NONE);
    enum math_require require = j->gold->options.require;
    struct location box;
    text = span_trim(text);
    if (text.n == 0) return none;
    if (require == MATH_REQUIRE_BOXED)
        return locate_boxed(text, &box) ? judge_parts(j, &box, LOCATE_BOXED) : none;
    if (!extract_answer(text, &tag))
        return require == MATH_REQUIRE_ANSWER ? none : judge_anywhere(j, text, false);
    struct math_verdict v;
    tag = span_trim(tag);
    if (locate_boxed(tag, &box)) v = judge_parts(j, &box, LOCATE_ANSWER);
    else if (!judge_prose(j, tag, LOCATE_ANSWER, &v)) {
        v = judge_anywhere(j, tag, true);
        if (v.result != MATH_NO_ANSWER) v.tier = locate_tier_name(LOCATE_ANSWER);
    }
    return v;
}

static struct math_verdict run(const struct math_gold *gold, struct span text,
                               struct arena *scratch, bool search) {
    cleanup_at_thread_end();
    struct judge j = {.gold = gold};
    work_open(&j.work, scratch);
    j.matcher = (struct matcher){
        .work = &j.work, .options = &gold->options, .gold_units = gold->reading.notes.units};
    struct math_verdict v =
        search ? judge_completion(&j, text) : judge_text(&j, text, LOCATE_WHOLE);
    if (!gold->readable && v.result != MATH_EQUAL) v.result = MATH_NO_GOLD;
    /* The answer is a slice of what was given, or nothing. */
    if (v.answer.p < text.p || v.answer.p + v.answer.n > text.p + text.n)
        v.answer = (struct span){0};
    work_close(&j.work);
    arena_reset(scratch);
    return v;
}

struct math_verdict math_judge(const struct math_gold *gold, struct span completion,
                               struct arena *scratch) {
    return run(gold, completion, scratch, true);
}

struct math_verdict math_compare(const struct math_gold *gold, struct span answer,
                                 struct arena *scratch) {
    return run(gold, answer, scratch, false);
}
