#include "reward/math/work.h"

struct big_number {
    struct big_number *next;
    fmpq_t value;
};

void work_open(struct math_work *w, struct arena *arena) {
    *w = (struct math_work){.arena = arena, .nodes_left = WORK_NODES, .effort_left = WORK_EFFORT};
}

void work_close(struct math_work *w) {
    for (struct big_number *b = w->bigs; b; b = b->next) fmpq_clear(b->value);
    w->bigs = NULL;
}

fmpq *work_number(struct math_work *w) {
    struct big_number *b = ARENA_NEW(w->arena, struct big_number);
    fmpq_init(b->value);
    b->next = w->bigs;
    w->bigs = b;
    return b->value;
}
