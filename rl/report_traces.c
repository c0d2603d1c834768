#include "rl/report_page.h"

#include "base/json.h"
#include "base/utf8.h"
#include "rl/markup.h"

enum { TRACE_BYTES_MAX = 20000, TRACE_SAMPLES_MAX = 4, TRACES_BYTES_MAX = 8 << 20 };

/* A problem's rows: neighbours in the evaluation. */
struct group {
    const struct evaluation_row *rows;
    size_t n;
};

static struct group group_at(const struct evaluation *e, size_t from) {
    struct group g = {&e->rows[from], 0};
    while (from + g.n < e->n && e->rows[from + g.n].problem == g.rows[0].problem) g.n++;
    return g;
}

/* The rows of the problem with this id, looked for from *from on, because both evaluations ask the same
 * problems in the same order; n = 0 when it is not there. */
static struct group group_of(const struct evaluation *e, const char *id, size_t *from) {
    for (size_t i = *from; i < e->n;) {
        struct group g = group_at(e, i);
        if (strcmp(g.rows[0].problem->id, id) == 0) {
            *from = i + g.n;
            return g;
        }
        i += g.n;
    }
    return (struct group){0};
}

/* At most TRACE_BYTES_MAX bytes, cut between characters, and a note of what is missing. */
static json_t *trace_text(struct span text, size_t *budget, struct arena *arena) {
    size_t n = 0, limit = text.n < TRACE_BYTES_MAX ? text.n : TRACE_BYTES_MAX;
    int32_t code;
    while (n < limit) n += utf8_next(text, n, &code);
    *budget -= n < *budget ? n : *budget;
    if (n == text.n) return json_text(text);
    const char *note = arena_print(arena, " ... (%zu bytes more)", text.n - n);
    char *cut = arena_alloc(arena, n + strlen(note));
    memcpy(cut, text.p, n);
    memcpy(cut + n, note, strlen(note));
    return json_text((struct span){cut, n + strlen(note)});
}

static json_t *traces_json(struct group g, size_t *budget, struct arena *arena) {
    json_t *traces = json_array();
    for (size_t i = 0; i < g.n && i < TRACE_SAMPLES_MAX; i++) {
        const struct evaluation_row *r = &g.rows[i];
        json_t *trace = json_object();
        json_object_set_new(trace, "text", trace_text(r->text, budget, arena));
        json_object_set_new(trace, "correct", json_boolean(r->correct));
        json_object_set_new(trace, "verdict", json_text(span_of(r->verdict)));
        json_object_set_new(trace, "answer", json_text(r->answer));
        json_object_set_new(trace, "tokens", json_integer(r->n_tokens));
        json_object_set_new(trace, "cut", json_boolean(r->finish == FINISH_LENGTH));
        json_array_append_new(traces, trace);
    }
    return traces;
}

static json_t *problems_json(struct page *p) {
    const struct report *r = p->r;
    json_t *problems = json_array();
    size_t budget = TRACES_BYTES_MAX, after = 0;
    for (size_t i = 0; i < r->before_rows.n && budget > 0;) {
        struct group g = group_at(&r->before_rows, i);
        const struct problem *problem = g.rows[0].problem;
        struct group later = group_of(&r->after_rows, problem->id, &after);
        json_t *object = json_object();
        struct span name = problem->brief.n ? problem->brief : problem->question;
        json_object_set_new(object, "name", json_text(span_trim(name)));
        json_object_set_new(object, "question", json_text(problem->question));
        json_object_set_new(object, "gold", json_text(problem->gold));
        json_object_set_new(object, "before", traces_json(g, &budget, p->arena));
        json_object_set_new(object, "after", traces_json(later, &budget, p->arena));
        json_array_append_new(problems, object);
        i += g.n;
    }
    return problems;
}

void page_traces(struct page *p) {
    const struct report *r = p->r;
    if (r->before_rows.n == 0) return;
    fputs("<h2>Traces</h2>\n<p class=\"about\">", p->out);
    if (r->after.n)
        fputs("What the policy wrote for the same problems before and after training, ", p->out);
    else fputs("What the policy wrote, ", p->out);
    fprintf(
        p->out,
        "the first %d problems of the split in its own order, none picked; up to %d samples each. "
        "Arrow keys move through the list.</p>\n"
        "<div class=\"filters\"></div>\n<div class=\"browser\"><div class=\"card list\"></div>"
        "<div class=\"card detail\"><noscript>The traces need the page's script.</noscript></div>"
        "</div>\n<script type=\"application/json\" id=\"traces-data\">",
        r->before_rows.problems, TRACE_SAMPLES_MAX);
    json_t *problems = problems_json(p);
    markup_json(problems, p->out);
    json_decref(problems);
    fputs("</script>\n", p->out);
}
