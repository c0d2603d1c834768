/* Fibers: stacks that hand the processor to one another, x86-64. A fiber runs until it switches away. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct fiber {
    void *stack_pointer; /* while it is not running */
    char *stack;         /* NULL for the thread's own stack */
    size_t stack_bytes;
    void (*body)(void);
    void *sanitizer_stack; /* the address sanitizer's fake stack, while it is not running */
};

/* The stack the caller runs on, as a fiber to come back to. */
void fiber_adopt(struct fiber *out);

/* A new stack with a guard page below it. `body` begins at the first switch and never returns. Fibers
 * are made once and used again; they live as long as the process. */
void fiber_make(struct fiber *out, void (*body)(void));

void fiber_switch(struct fiber *from, struct fiber *to);
