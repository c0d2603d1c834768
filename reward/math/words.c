#include "reward/math/words.h"

#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>

/* Sorted by name, as bytes; tests/test_math.c looks. */
const struct word words_commands[] = {
    {"Bbb", TOKEN_BLACKBOARD, 0, NULL},
    {"Big", TOKEN_SKIP, 0, NULL},
    {"Bigg", TOKEN_SKIP, 0, NULL},
    {"Biggl", TOKEN_SKIP, 0, NULL},
    {"Biggr", TOKEN_SKIP, 0, NULL},
    {"Bigl", TOKEN_SKIP, 0, NULL},
    {"Bigr", TOKEN_SKIP, 0, NULL},
    {"Delta", TOKEN_SYMBOL, 0, NULL},
    {"Gamma", TOKEN_SYMBOL, 0, NULL},
    {"Lambda", TOKEN_SYMBOL, 0, NULL},
    {"Large", TOKEN_SKIP, 0, NULL},
    {"Omega", TOKEN_SYMBOL, 0, NULL},
    {"Phi", TOKEN_SYMBOL, 0, NULL},
    {"Pi", TOKEN_SYMBOL, 0, NULL},
    {"Psi", TOKEN_SYMBOL, 0, NULL},
    {"R", TOKEN_REALS, 0, NULL},
    {"Sigma", TOKEN_SYMBOL, 0, NULL},
    {"Theta", TOKEN_SYMBOL, 0, NULL},
    {"Upsilon", TOKEN_SYMBOL, 0, NULL},
    {"Xi", TOKEN_SYMBOL, 0, NULL},
    {"aleph", TOKEN_SYMBOL, 0, NULL},
    {"allowbreak", TOKEN_SKIP, 0, NULL},
    {"alpha", TOKEN_SYMBOL, 0, NULL},
    {"angle", TOKEN_SKIP, 0, NULL},
    {"approx", TOKEN_RELATION, REL_APPROX, NULL},
    {"arccos", TOKEN_FUNCTION, CALL_ACOS, NULL},
    {"arccot", TOKEN_FUNCTION, CALL_ACOT, NULL},
    {"arccsc", TOKEN_FUNCTION, CALL_ACSC, NULL},
    {"arcctg", TOKEN_FUNCTION, CALL_ACOT, NULL},
    {"arcsec", TOKEN_FUNCTION, CALL_ASEC, NULL},
    {"arcsin", TOKEN_FUNCTION, CALL_ASIN, NULL},
    {"arctan", TOKEN_FUNCTION, CALL_ATAN, NULL},
    {"arctg", TOKEN_FUNCTION, CALL_ATAN, NULL},
    {"ast", TOKEN_TIMES, 0, NULL},
    {"backslash", TOKEN_REGION, TREE_DIFFERENCE, NULL},
    {"bar", TOKEN_ACCENT, 1, NULL},
    {"begin", TOKEN_BEGIN, 0, NULL},
    {"beta", TOKEN_SYMBOL, 0, NULL},
    {"bf", TOKEN_ACCENT, 1, NULL},
    {"big", TOKEN_SKIP, 0, NULL},
    {"bigg", TOKEN_SKIP, 0, NULL},
    {"biggl", TOKEN_SKIP, 0, NULL},
    {"biggr", TOKEN_SKIP, 0, NULL},
    {"bigl", TOKEN_SKIP, 0, NULL},
    {"bigr", TOKEN_SKIP, 0, NULL},
    {"bigtriangleup", TOKEN_SKIP, 0, NULL},
    {"binom", TOKEN_BINOMIAL, 0, NULL},
    {"bm", TOKEN_ACCENT, 1, NULL},
    {"bmod", TOKEN_MOD, 0, NULL},
    {"boldmath", TOKEN_SKIP, 0, NULL},
    {"boldsymbol", TOKEN_ACCENT, 1, NULL},
    {"boxed", TOKEN_ACCENT, 0, NULL},
    {"bullet", TOKEN_TIMES, 0, NULL},
    {"cap", TOKEN_REGION, TREE_INTERSECTION, NULL},
    {"cdot", TOKEN_TIMES, 0, NULL},
    {"cdots", TOKEN_ELLIPSIS, 0, NULL},
    {"centering", TOKEN_SKIP, 0, NULL},
    {"cfrac", TOKEN_FRACTION, 0, NULL},
    {"chi", TOKEN_SYMBOL, 0, NULL},
    {"choose", TOKEN_CHOOSE, 0, NULL},
    {"circ", TOKEN_DEGREE, 0, NULL},
    {"colon", TOKEN_COLON, 0, NULL},
    {"color", TOKEN_SKIP_ARGUMENT, 0, NULL},
    {"cos", TOKEN_FUNCTION, CALL_COS, NULL},
    {"cosec", TOKEN_FUNCTION, CALL_CSC, NULL},
    {"cosh", TOKEN_FUNCTION, CALL_COSH, NULL},
    {"cot", TOKEN_FUNCTION, CALL_COT, NULL},
    {"coth", TOKEN_FUNCTION, CALL_COTH, NULL},
    {"csc", TOKEN_FUNCTION, CALL_CSC, NULL},
    {"ctg", TOKEN_FUNCTION, CALL_COT, NULL},
    {"cup", TOKEN_REGION, TREE_UNION, NULL},
    {"dbinom", TOKEN_BINOMIAL, 0, NULL},
    {"degree", TOKEN_DEGREE, 0, NULL},
    {"delta", TOKEN_SYMBOL, 0, NULL},
    {"dfrac", TOKEN_FRACTION, 0, NULL},
    {"displaystyle", TOKEN_SKIP, 0, NULL},
    {"div", TOKEN_DIVIDE, 0, NULL},
    {"doteq", TOKEN_RELATION, REL_APPROX, NULL},
    {"dots", TOKEN_ELLIPSIS, 0, NULL},
    {"dotsb", TOKEN_ELLIPSIS, 0, NULL},
    {"dotsc", TOKEN_ELLIPSIS, 0, NULL},
    {"dotsi", TOKEN_ELLIPSIS, 0, NULL},
    {"dotsm", TOKEN_ELLIPSIS, 0, NULL},
    {"ell", TOKEN_SYMBOL, 0, NULL},
    {"emptyset", TOKEN_EMPTY_SET, 0, NULL},
    {"end", TOKEN_FINISH, 0, NULL},
    {"enspace", TOKEN_SKIP, 0, NULL},
    {"ensuremath", TOKEN_ACCENT, 0, NULL},
    {"epsilon", TOKEN_SYMBOL, 0, NULL},
    {"equiv", TOKEN_RELATION, REL_CONGRUENT, NULL},
    {"eta", TOKEN_SYMBOL, 0, NULL},
    {"exp", TOKEN_FUNCTION, CALL_EXP, NULL},
    {"fbox", TOKEN_ACCENT, 0, NULL},
    {"frac", TOKEN_FRACTION, 0, NULL},
    {"gamma", TOKEN_SYMBOL, 0, NULL},
    {"gcd", TOKEN_FUNCTION, CALL_GCD, NULL},
    {"ge", TOKEN_RELATION, REL_GREATER_EQUAL, NULL},
    {"geq", TOKEN_RELATION, REL_GREATER_EQUAL, NULL},
    {"geqq", TOKEN_RELATION, REL_GREATER_EQUAL, NULL},
    {"geqslant", TOKEN_RELATION, REL_GREATER_EQUAL, NULL},
    {"gt", TOKEN_RELATION, REL_GREATER, NULL},
    {"hat", TOKEN_ACCENT, 1, NULL},
    {"hbar", TOKEN_SYMBOL, 0, NULL},
    {"hbox", TOKEN_TEXT, 0, NULL},
    {"hline", TOKEN_SKIP, 0, NULL},
    {"hphantom", TOKEN_SKIP_ARGUMENT, 0, NULL},
    {"hspace", TOKEN_SKIP_ARGUMENT, 0, NULL},
    {"imath", TOKEN_CONSTANT, TREE_I, NULL},
    {"in", TOKEN_RELATION, REL_IN, NULL},
    {"infty", TOKEN_CONSTANT, TREE_INFINITY, NULL},
    {"iota", TOKEN_SYMBOL, 0, NULL},
    {"jmath", TOKEN_SYMBOL, 0, NULL},
    {"kappa", TOKEN_SYMBOL, 0, NULL},
    {"label", TOKEN_SKIP_ARGUMENT, 0, NULL},
    {"lambda", TOKEN_SYMBOL, 0, NULL},
    {"land", TOKEN_AND, 0, NULL},
    {"langle", TOKEN_OPEN, '<', NULL},
    {"large", TOKEN_SKIP, 0, NULL},
    {"lbrace", TOKEN_OPEN, 's', NULL},
    {"lbrack", TOKEN_OPEN, '[', NULL},
    {"lceil", TOKEN_OPEN, 'c', NULL},
    {"lcm", TOKEN_FUNCTION, CALL_LCM, NULL},
    {"ldots", TOKEN_ELLIPSIS, 0, NULL},
    {"le", TOKEN_RELATION, REL_LESS_EQUAL, NULL},
    {"left", TOKEN_SKIP, 0, NULL},
    {"leq", TOKEN_RELATION, REL_LESS_EQUAL, NULL},
    {"leqq", TOKEN_RELATION, REL_LESS_EQUAL, NULL},
    {"leqslant", TOKEN_RELATION, REL_LESS_EQUAL, NULL},
    {"lfloor", TOKEN_OPEN, 'f', NULL},
    {"lg", TOKEN_LOG, 10, NULL},
    {"limits", TOKEN_SKIP, 0, NULL},
    {"ln", TOKEN_FUNCTION, CALL_LN, NULL},
    {"log", TOKEN_LOG, 0, NULL},
    {"lor", TOKEN_OR, 0, NULL},
    {"lparen", TOKEN_OPEN, '(', NULL},
    {"lt", TOKEN_RELATION, REL_LESS, NULL},
    {"lvert", TOKEN_BAR, 0, NULL},
    {"mathbb", TOKEN_BLACKBOARD, 0, NULL},
    {"mathbf", TOKEN_ACCENT, 1, NULL},
    {"mathcal", TOKEN_ACCENT, 1, NULL},
    {"mathfrak", TOKEN_ACCENT, 1, NULL},
    {"mathit", TOKEN_WORDS, 0, NULL},
    {"mathnormal", TOKEN_WORDS, 0, NULL},
    {"mathop", TOKEN_ACCENT, 0, NULL},
    {"mathord", TOKEN_ACCENT, 0, NULL},
    {"mathrm", TOKEN_WORDS, 0, NULL},
    {"mathscr", TOKEN_ACCENT, 1, NULL},
    {"mathsf", TOKEN_WORDS, 0, NULL},
    {"mathstrut", TOKEN_ACCENT, 0, NULL},
    {"mathtt", TOKEN_WORDS, 0, NULL},
    {"max", TOKEN_FUNCTION, CALL_MAX, NULL},
    {"mbox", TOKEN_TEXT, 0, NULL},
    {"measuredangle", TOKEN_SKIP, 0, NULL},
    {"medspace", TOKEN_SKIP, 0, NULL},
    {"mid", TOKEN_BAR, 0, NULL},
    {"middle", TOKEN_SKIP, 0, NULL},
    {"min", TOKEN_FUNCTION, CALL_MIN, NULL},
    {"mod", TOKEN_MOD, 0, NULL},
    {"mp", TOKEN_MINUS_PLUS, 0, NULL},
    {"mspace", TOKEN_SKIP_ARGUMENT, 0, NULL},
    {"mu", TOKEN_SYMBOL, 0, NULL},
    {"ne", TOKEN_RELATION, REL_NOT_EQUAL, NULL},
    {"negthinspace", TOKEN_SKIP, 0, NULL},
    {"neq", TOKEN_RELATION, REL_NOT_EQUAL, NULL},
    {"nicefrac", TOKEN_FRACTION, 0, NULL},
    {"nobreak", TOKEN_SKIP, 0, NULL},
    {"nolimits", TOKEN_SKIP, 0, NULL},
    {"nonumber", TOKEN_SKIP, 0, NULL},
    {"not", TOKEN_NOT, 0, NULL},
    {"notag", TOKEN_SKIP, 0, NULL},
    {"notin", TOKEN_RELATION, REL_NOT_IN, NULL},
    {"nu", TOKEN_SYMBOL, 0, NULL},
    {"omega", TOKEN_SYMBOL, 0, NULL},
    {"omicron", TOKEN_SYMBOL, 0, NULL},
    {"operatorname", TOKEN_WORDS, 0, NULL},
    {"over", TOKEN_CHOOSE, 1, NULL},
    {"overline", TOKEN_ACCENT, 1, NULL},
    {"overrightarrow", TOKEN_ACCENT, 1, NULL},
    {"phantom", TOKEN_SKIP_ARGUMENT, 0, NULL},
    {"phi", TOKEN_SYMBOL, 0, NULL},
    {"pi", TOKEN_CONSTANT, TREE_PI, NULL},
    {"pm", TOKEN_PLUS_MINUS, 0, NULL},
    {"pmod", TOKEN_PMOD, 0, NULL},
    {"pod", TOKEN_PMOD, 0, NULL},
    {"prime", TOKEN_PRIME, 0, NULL},
    {"prod", TOKEN_SERIES, 1, NULL},
    {"psi", TOKEN_SYMBOL, 0, NULL},
    {"qquad", TOKEN_QUAD, 0, NULL},
    {"quad", TOKEN_QUAD, 0, NULL},
    {"rangle", TOKEN_CLOSE, '<', NULL},
    {"rbrace", TOKEN_CLOSE, 's', NULL},
    {"rbrack", TOKEN_CLOSE, '[', NULL},
    {"rceil", TOKEN_CLOSE, 'c', NULL},
    {"reals", TOKEN_REALS, 0, NULL},
    {"rfloor", TOKEN_CLOSE, 'f', NULL},
    {"rho", TOKEN_SYMBOL, 0, NULL},
    {"right", TOKEN_SKIP, 0, NULL},
    {"rm", TOKEN_WORDS, 0, NULL},
    {"rparen", TOKEN_CLOSE, '(', NULL},
    {"rvert", TOKEN_BAR, 0, NULL},
    {"scriptstyle", TOKEN_SKIP, 0, NULL},
    {"sec", TOKEN_FUNCTION, CALL_SEC, NULL},
    {"setminus", TOKEN_REGION, TREE_DIFFERENCE, NULL},
    {"sfrac", TOKEN_FRACTION, 0, NULL},
    {"sigma", TOKEN_SYMBOL, 0, NULL},
    {"simeq", TOKEN_RELATION, REL_APPROX, NULL},
    {"sin", TOKEN_FUNCTION, CALL_SIN, NULL},
    {"sinh", TOKEN_FUNCTION, CALL_SINH, NULL},
    {"smallsetminus", TOKEN_REGION, TREE_DIFFERENCE, NULL},
    {"sqrt", TOKEN_ROOT, 2, NULL},
    {"star", TOKEN_TIMES, 0, NULL},
    {"sum", TOKEN_SERIES, 0, NULL},
    {"surd", TOKEN_ROOT, 2, NULL},
    {"tag", TOKEN_SKIP_ARGUMENT, 0, NULL},
    {"tan", TOKEN_FUNCTION, CALL_TAN, NULL},
    {"tanh", TOKEN_FUNCTION, CALL_TANH, NULL},
    {"tau", TOKEN_SYMBOL, 0, NULL},
    {"tbinom", TOKEN_BINOMIAL, 0, NULL},
    {"text", TOKEN_TEXT, 0, NULL},
    {"textbf", TOKEN_TEXT, 0, NULL},
    {"textcolor", TOKEN_SKIP_ARGUMENT, 0, NULL},
    {"textit", TOKEN_TEXT, 0, NULL},
    {"textnormal", TOKEN_TEXT, 0, NULL},
    {"textrm", TOKEN_TEXT, 0, NULL},
    {"textsc", TOKEN_TEXT, 0, NULL},
    {"textsf", TOKEN_TEXT, 0, NULL},
    {"textstyle", TOKEN_SKIP, 0, NULL},
    {"texttt", TOKEN_TEXT, 0, NULL},
    {"textup", TOKEN_TEXT, 0, NULL},
    {"tfrac", TOKEN_FRACTION, 0, NULL},
    {"tg", TOKEN_FUNCTION, CALL_TAN, NULL},
    {"theta", TOKEN_SYMBOL, 0, NULL},
    {"thickapprox", TOKEN_RELATION, REL_APPROX, NULL},
    {"thickspace", TOKEN_SKIP, 0, NULL},
    {"thinspace", TOKEN_SKIP, 0, NULL},
    {"tilde", TOKEN_ACCENT, 1, NULL},
    {"times", TOKEN_TIMES, 0, NULL},
    {"triangle", TOKEN_SKIP, 0, NULL},
    {"underline", TOKEN_ACCENT, 1, NULL},
    {"upsilon", TOKEN_SYMBOL, 0, NULL},
    {"varepsilon", TOKEN_SYMBOL, 0, "epsilon"},
    {"varkappa", TOKEN_SYMBOL, 0, "kappa"},
    {"varnothing", TOKEN_EMPTY_SET, 0, NULL},
    {"varphi", TOKEN_SYMBOL, 0, "phi"},
    {"varpi", TOKEN_SYMBOL, 0, "varpi"},
    {"varrho", TOKEN_SYMBOL, 0, "rho"},
    {"varsigma", TOKEN_SYMBOL, 0, "sigma"},
    {"vartheta", TOKEN_SYMBOL, 0, "theta"},
    {"vec", TOKEN_ACCENT, 1, NULL},
    {"vee", TOKEN_OR, 0, NULL},
    {"vert", TOKEN_BAR, 0, NULL},
    {"vphantom", TOKEN_SKIP_ARGUMENT, 0, NULL},
    {"vspace", TOKEN_SKIP_ARGUMENT, 0, NULL},
    {"wedge", TOKEN_AND, 0, NULL},
    {"widehat", TOKEN_ACCENT, 1, NULL},
    {"widetilde", TOKEN_ACCENT, 1, NULL},
    {"xi", TOKEN_SYMBOL, 0, NULL},
    {"zeta", TOKEN_SYMBOL, 0, NULL},
};
const size_t words_commands_count = sizeof words_commands / sizeof *words_commands;

/* Words of plain text that are mathematics. Sorted likewise. */
const struct word words_plains[] = {
    {"AND", TOKEN_AND, 0, NULL},
    {"Infinity", TOKEN_CONSTANT, TREE_INFINITY, NULL},
    {"OR", TOKEN_OR, 0, NULL},
    {"PI", TOKEN_CONSTANT, TREE_PI, NULL},
    {"Pi", TOKEN_CONSTANT, TREE_PI, NULL},
    {"abs", TOKEN_FUNCTION, CALL_ABS, NULL},
    {"acos", TOKEN_FUNCTION, CALL_ACOS, NULL},
    {"alpha", TOKEN_SYMBOL, 0, NULL},
    {"and", TOKEN_AND, 0, NULL},
    {"arccos", TOKEN_FUNCTION, CALL_ACOS, NULL},
    {"arccot", TOKEN_FUNCTION, CALL_ACOT, NULL},
    {"arccsc", TOKEN_FUNCTION, CALL_ACSC, NULL},
    {"arcsec", TOKEN_FUNCTION, CALL_ASEC, NULL},
    {"arcsin", TOKEN_FUNCTION, CALL_ASIN, NULL},
    {"arctan", TOKEN_FUNCTION, CALL_ATAN, NULL},
    {"asin", TOKEN_FUNCTION, CALL_ASIN, NULL},
    {"atan", TOKEN_FUNCTION, CALL_ATAN, NULL},
    {"beta", TOKEN_SYMBOL, 0, NULL},
    {"binom", TOKEN_FUNCTION, CALL_BINOMIAL, NULL},
    {"binomial", TOKEN_FUNCTION, CALL_BINOMIAL, NULL},
    {"cbrt", TOKEN_ROOT, 3, NULL},
    {"ceil", TOKEN_FUNCTION, CALL_CEILING, NULL},
    {"ceiling", TOKEN_FUNCTION, CALL_CEILING, NULL},
    {"choose", TOKEN_CHOOSE, 0, NULL},
    {"cos", TOKEN_FUNCTION, CALL_COS, NULL},
    {"cosh", TOKEN_FUNCTION, CALL_COSH, NULL},
    {"cot", TOKEN_FUNCTION, CALL_COT, NULL},
    {"coth", TOKEN_FUNCTION, CALL_COTH, NULL},
    {"csc", TOKEN_FUNCTION, CALL_CSC, NULL},
    {"deg", TOKEN_DEGREE, 0, NULL},
    {"degree", TOKEN_DEGREE, 0, NULL},
    {"degrees", TOKEN_DEGREE, 0, NULL},
    {"delta", TOKEN_SYMBOL, 0, NULL},
    {"exp", TOKEN_FUNCTION, CALL_EXP, NULL},
    {"factorial", TOKEN_FUNCTION, CALL_FACTORIAL, NULL},
    {"floor", TOKEN_FUNCTION, CALL_FLOOR, NULL},
    {"gamma", TOKEN_SYMBOL, 0, NULL},
    {"gcd", TOKEN_FUNCTION, CALL_GCD, NULL},
    {"inf", TOKEN_CONSTANT, TREE_INFINITY, NULL},
    {"infinity", TOKEN_CONSTANT, TREE_INFINITY, NULL},
    {"infty", TOKEN_CONSTANT, TREE_INFINITY, NULL},
    {"intersect", TOKEN_REGION, TREE_INTERSECTION, NULL},
    {"intersection", TOKEN_REGION, TREE_INTERSECTION, NULL},
    {"lambda", TOKEN_SYMBOL, 0, NULL},
    {"lcm", TOKEN_FUNCTION, CALL_LCM, NULL},
    {"ln", TOKEN_FUNCTION, CALL_LN, NULL},
    {"log", TOKEN_LOG, 0, NULL},
    {"max", TOKEN_FUNCTION, CALL_MAX, NULL},
    {"min", TOKEN_FUNCTION, CALL_MIN, NULL},
    {"mod", TOKEN_MOD, 0, NULL},
    {"omega", TOKEN_SYMBOL, 0, NULL},
    {"oo", TOKEN_CONSTANT, TREE_INFINITY, NULL},
    {"or", TOKEN_OR, 0, NULL},
    {"pct", TOKEN_PERCENT, 0, NULL},
    {"percent", TOKEN_PERCENT, 0, NULL},
    {"percentage", TOKEN_PERCENT, 0, NULL},
    {"phi", TOKEN_SYMBOL, 0, NULL},
    {"pi", TOKEN_CONSTANT, TREE_PI, NULL},
    {"sec", TOKEN_FUNCTION, CALL_SEC, NULL},
    {"sigma", TOKEN_SYMBOL, 0, NULL},
    {"sin", TOKEN_FUNCTION, CALL_SIN, NULL},
    {"sinh", TOKEN_FUNCTION, CALL_SINH, NULL},
    {"sqrt", TOKEN_ROOT, 2, NULL},
    {"tan", TOKEN_FUNCTION, CALL_TAN, NULL},
    {"tanh", TOKEN_FUNCTION, CALL_TANH, NULL},
    {"theta", TOKEN_SYMBOL, 0, NULL},
    {"union", TOKEN_REGION, TREE_UNION, NULL},
};
const size_t words_plains_count = sizeof words_plains / sizeof *words_plains;

/* Sorted. Nouns that problems count stand here so that they are also known when glued to the number or
 * shorter than a word that is no product of letters. */
static const char *const units[] = {
    "A",          "C",           "F",         "Hz",         "J",           "K",
    "L",          "N",           "Pa",        "USD",        "V",           "W",
    "apples",     "books",       "boys",      "cent",       "centimeter",  "centimeters",
    "centimetre", "centimetres", "cents",     "children",   "cm",          "coins",
    "cu",         "cubic",       "cup",       "cups",       "day",         "days",
    "deg",        "degree",      "degrees",   "digit",      "digits",      "dm",
    "dollar",     "dollars",     "edge",      "edges",      "euro",        "euros",
    "feet",       "foot",        "ft",        "g",          "gallon",      "gallons",
    "girls",      "gram",        "grams",     "h",          "hour",        "hours",
    "hr",         "hrs",         "in",        "inch",       "inches",      "integer",
    "integers",   "kHz",         "kPa",       "kg",         "kilogram",    "kilograms",
    "kilometer",  "kilometers",  "kilometre", "kilometres", "km",          "kmh",
    "kph",        "l",           "lb",        "lbs",        "liter",       "liters",
    "litre",      "litres",      "m",         "mL",         "marbles",     "men",
    "meter",      "meters",      "metre",     "metres",     "mg",          "mi",
    "mile",       "miles",       "milligram", "milligrams", "milliliter",  "milliliters",
    "millimeter", "millimeters", "min",       "mins",       "minute",      "minutes",
    "ml",         "mm",          "mol",       "month",      "months",      "mph",
    "ms",         "nm",          "number",    "numbers",    "ounce",       "ounces",
    "oz",         "pages",       "people",    "per",        "percentages", "person",
    "persons",    "piece",       "pieces",    "pint",       "pints",       "points",
    "pound",      "pounds",      "quart",     "quarts",     "rad",         "radian",
    "radians",    "rpm",         "ruble",     "rubles",     "rupee",       "rupees",
    "s",          "sec",         "second",    "seconds",    "secs",        "side",
    "sides",      "solution",    "solutions", "sq",         "square",      "squares",
    "student",    "students",    "ton",       "tonne",      "tonnes",      "tons",
    "um",         "unit",        "units",     "usd",        "value",       "values",
    "way",        "ways",        "week",      "weeks",      "women",       "yard",
    "yards",      "yd",          "year",      "years",      "yuan",
};

/* Sorted. Behind a value these words change it, so the value alone is not what was said. */
static const char *const refused[] = {
    "a",      "ad",       "all",      "am",        "any",     "bc",     "between",
    "choose", "cubed",    "divided",  "except",    "for",     "from",   "half",
    "if",     "least",    "less",     "minus",     "mod",     "modulo", "more",
    "most",   "negative", "no",       "not",       "over",    "plus",   "pm",
    "point",  "quarter",  "quarters", "remainder", "squared", "than",   "third",
    "thirds", "times",    "to",       "unless",    "when",    "where",  "without",
};

static int compare_words(const void *key, const void *entry) {
    return span_order(*(const struct span *)key, span_of(((const struct word *)entry)->name));
}

const struct word *words_command(struct span name) {
    return bsearch(&name, words_commands, words_commands_count, sizeof *words_commands,
                   compare_words);
}

const struct word *words_plain(struct span name) {
    return bsearch(&name, words_plains, words_plains_count, sizeof *words_plains, compare_words);
}

static int compare_names(const void *key, const void *entry) {
    return span_order(*(const struct span *)key, span_of(*(const char *const *)entry));
}

static bool listed(struct span word, const char *const *list, size_t n) {
    return bsearch(&word, list, n, sizeof *list, compare_names) != NULL;
}

enum word_role words_role(struct span word, int *power) {
    static const struct {
        const char *name;
        int power;
    } multipliers[] = {
        {"hundred", 2}, {"thousand", 3}, {"million", 6}, {"billion", 9}, {"trillion", 12},
    };
    char lower[24] = {0};
    if (word.n == 0 || word.n >= sizeof lower) return ROLE_PLAIN;
    for (size_t i = 0; i < word.n; i++)
        lower[i] = (char)(word.p[i] >= 'A' && word.p[i] <= 'Z' ? word.p[i] + 32 : word.p[i]);
    struct span low = {lower, word.n};
    for (size_t i = 0; i < sizeof multipliers / sizeof *multipliers; i++)
        if (strcmp(lower, multipliers[i].name) == 0) {
            *power = multipliers[i].power;
            return ROLE_MULTIPLIER;
        }
    if (span_eq(low, SPAN("and"))) return ROLE_AND;
    if (span_eq(low, SPAN("or"))) return ROLE_OR;
    if (span_eq(low, SPAN("percent")) || span_eq(low, SPAN("pct"))) return ROLE_PERCENT;
    if (span_eq(low, SPAN("approximately")) || span_eq(low, SPAN("about")) ||
        span_eq(low, SPAN("roughly")) || span_eq(low, SPAN("exactly")) ||
        span_eq(low, SPAN("usd")) || span_eq(low, SPAN("rs")) || span_eq(low, SPAN("rs.")))
        return ROLE_ABOUT;
    if (listed(low, refused, sizeof refused / sizeof *refused)) return ROLE_REFUSED;
    /* A single letter is a unit in its own case only: m is metres, M is none. */
    struct span exact = word.n == 1 ? word : low;
    if (listed(exact, units, sizeof units / sizeof *units) ||
        listed(word, units, sizeof units / sizeof *units))
        return ROLE_UNIT;
    return ROLE_PLAIN;
}

/* ---- characters beyond ASCII ---- */

struct character {
    uint32_t code;
    const char *ascii;
};

/* Sorted by code. */
static const struct character characters[] = {
    {0x00A0, " "},        {0x00A3, ""},         {0x00A5, ""},         {0x00AD, ""},
    {0x00B0, "circ"},     {0x00B1, "pm"},       {0x00B4, "'"},        {0x00B7, "cdot"},
    {0x00D7, "times"},    {0x00F7, "div"},      {0x0393, "Gamma"},    {0x0394, "Delta"},
    {0x0398, "Theta"},    {0x039B, "Lambda"},   {0x039E, "Xi"},       {0x03A0, "Pi"},
    {0x03A3, "Sigma"},    {0x03A6, "Phi"},      {0x03A8, "Psi"},      {0x03A9, "Omega"},
    {0x03B1, "alpha"},    {0x03B2, "beta"},     {0x03B3, "gamma"},    {0x03B4, "delta"},
    {0x03B5, "epsilon"},  {0x03B6, "zeta"},     {0x03B7, "eta"},      {0x03B8, "theta"},
    {0x03B9, "iota"},     {0x03BA, "kappa"},    {0x03BB, "lambda"},   {0x03BC, "mu"},
    {0x03BD, "nu"},       {0x03BE, "xi"},       {0x03C0, "pi"},       {0x03C1, "rho"},
    {0x03C3, "sigma"},    {0x03C4, "tau"},      {0x03C6, "phi"},      {0x03C7, "chi"},
    {0x03C8, "psi"},      {0x03C9, "omega"},    {0x03D5, "phi"},      {0x2002, " "},
    {0x2003, " "},        {0x2004, " "},        {0x2005, " "},        {0x2007, " "},
    {0x2009, " "},        {0x200A, " "},        {0x200B, ""},         {0x2010, "-"},
    {0x2011, "-"},        {0x2012, "-"},        {0x2013, "-"},        {0x2014, "-"},
    {0x2016, "|"},        {0x2018, "'"},        {0x2019, "'"},        {0x201C, ""},
    {0x201D, ""},         {0x2022, "cdot"},     {0x2026, "ldots"},    {0x202F, " "},
    {0x2032, "'"},        {0x2044, "/"},        {0x2060, ""},         {0x20AC, ""},
    {0x2102, "mathbb C"}, {0x2115, "mathbb N"}, {0x211A, "mathbb Q"}, {0x211D, "reals"},
    {0x2124, "mathbb Z"}, {0x2205, "emptyset"}, {0x2208, "in"},       {0x2209, "notin"},
    {0x2211, "sum"},      {0x220F, "prod"},     {0x2212, "-"},        {0x2213, "mp"},
    {0x2215, "/"},        {0x2216, "setminus"}, {0x2217, "*"},        {0x2219, "cdot"},
    {0x221A, "sqrt"},     {0x221B, "sqrt[3]"},  {0x221C, "sqrt[4]"},  {0x221E, "infty"},
    {0x2220, "angle"},    {0x2227, "land"},     {0x2228, "lor"},      {0x2229, "cap"},
    {0x222A, "cup"},      {0x2236, ":"},        {0x2248, "approx"},   {0x2260, "ne"},
    {0x2261, "equiv"},    {0x2264, "le"},       {0x2265, "ge"},       {0x22C5, "cdot"},
    {0x2308, "lceil"},    {0x2309, "rceil"},    {0x230A, "lfloor"},   {0x230B, "rfloor"},
    {0x2329, "langle"},   {0x232A, "rangle"},   {0x25B3, "triangle"}, {0x27E8, "langle"},
    {0x27E9, "rangle"},   {0x2A7D, "le"},       {0x2A7E, "ge"},       {0x3000, " "},
    {0x3001, ","},        {0xFEFF, ""},
};

/* The spelling of one character; NULL when it means nothing here. */
static const char *spelling(uint32_t code) {
    static const char wide[][2] = {
        "!", "",  "",  "",  "%", "",  "'", "(", ")", "*", "+", ",", "-", ".", "/",
        "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", ":", ";", "<", "=", ">",
    };
    if (code >= 0xFF01 && code < 0xFF01 + sizeof wide / sizeof *wide) return wide[code - 0xFF01];
    size_t low = 0, high = sizeof characters / sizeof *characters;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (characters[middle].code == code) return characters[middle].ascii;
        if (characters[middle].code < code) low = middle + 1;
        else high = middle;
    }
    return NULL;
}

/* A raised ('^') or lowered ('_') digit; 0 for any other character. */
static char script(uint32_t code, int *digit) {
    *digit = code == 0x00B9                     ? 1
             : code == 0x00B2 || code == 0x00B3 ? (int)(code - 0x00B0)
                                                : (int)(code & 15);
    if (code == 0x00B9 || code == 0x00B2 || code == 0x00B3 || code == 0x2070) return '^';
    if (code >= 0x2074 && code <= 0x2079) return '^';
    return code >= 0x2080 && code <= 0x2089 ? '_' : '\0';
}

/* Bold and italic Latin letters, and the digits of five faces; '\0' for all others. */
static char styled(uint32_t code) {
    uint32_t letter = code - 0x1D400, digit = code - 0x1D7CE;
    if (letter < 3 * 52) return (char)(letter % 52 < 26 ? 'A' + letter % 52 : 'a' + letter % 26);
    return digit < 5 * 10 ? (char)('0' + digit % 10) : '\0';
}

static bool vulgar_fraction(uint32_t code, char out[16]) {
    static const struct {
        uint32_t code;
        char fraction[4];
    } known[] = {
        {0x00BC, "14"}, {0x00BD, "12"}, {0x00BE, "34"}, {0x2150, "17"}, {0x2151, "19"},
        {0x2153, "13"}, {0x2154, "23"}, {0x2155, "15"}, {0x2156, "25"}, {0x2157, "35"},
        {0x2158, "45"}, {0x2159, "16"}, {0x215A, "56"}, {0x215B, "18"}, {0x215C, "38"},
        {0x215D, "58"}, {0x215E, "78"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].code == code) {
            snprintf(out, 16, "\\frac{%c}{%c}", known[i].fraction[0], known[i].fraction[1]);
            return true;
        }
    return false;
}

struct span words_ascii(struct span text, struct arena *arena) {
    size_t at = 0;
    while (at < text.n && (unsigned char)text.p[at] < 0x80) at++;
    if (at == text.n) return text;
    enum { LONGEST = 16 }; /* the longest spelling of one character */
    size_t n = at, beyond = 0;
    for (size_t i = at; i < text.n; i++) beyond += (unsigned char)text.p[i] >= 0x80;
    char *out = arena_alloc(arena, text.n + (beyond + 1) * LONGEST), open = '\0';
    memcpy(out, text.p, at);
    while (at < text.n) {
        int32_t code;
        int digit;
        at += utf8_next(text, at, &code);
        char raised = code >= 0 ? script((uint32_t)code, &digit) : '\0', fraction[LONGEST];
        if (open && raised != open) out[n++] = '}';
        if (raised) {
            if (raised != open) n += (size_t)sprintf(out + n, "%c{", raised);
            out[n++] = (char)('0' + digit);
        } else if (code >= 0 && code < 0x80) {
            out[n++] = (char)code;
        } else if (code >= 0 && styled((uint32_t)code)) {
            out[n++] = styled((uint32_t)code);
        } else if (code >= 0 && vulgar_fraction((uint32_t)code, fraction)) {
            n += (size_t)sprintf(out + n, "%s", fraction);
        } else {
            const char *ascii = code >= 0 ? spelling((uint32_t)code) : NULL;
            bool command = ascii && ascii[0] >= 'A' && ascii[0] <= 'z';
            n += (size_t)sprintf(out + n, command ? "\\%s " : "%s", ascii ? ascii : "\001");
        }
        open = raised;
    }
    if (open) out[n++] = '}';
    return (struct span){out, n};
}
