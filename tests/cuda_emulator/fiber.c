#include "tests/cuda_emulator/fiber.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#ifdef __SANITIZE_ADDRESS__
#include <pthread.h>
#include <sanitizer/common_interface_defs.h>
enum { STACK_BYTES = 512 << 10 }; /* frames with redzones are large */
#else
enum { STACK_BYTES = 128 << 10 };
#endif
enum { GUARD_BYTES = 4096, CACHE_LINE = 64, COLOURS = 67 };

/* Saves what a call must preserve, and the stack pointer; then the same backwards for the other. */
void fiber_swap(void **save_here, void *restore);
__asm__(".text\n"
        ".type fiber_swap, @function\n"
        ".hidden fiber_swap\n"
        ".globl fiber_swap\n"
        "fiber_swap:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        ".size fiber_swap, . - fiber_swap\n");

static struct fiber *starting; /* the fiber that runs for the first time */

static void first_frame(void) {
    struct fiber *self = starting;
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(NULL, NULL, NULL);
#endif
    self->body();
    abort();
}

void fiber_adopt(struct fiber *out) {
    *out = (struct fiber){0};
#ifdef __SANITIZE_ADDRESS__
    pthread_attr_t attributes;
    void *stack;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) abort();
    if (pthread_attr_getstack(&attributes, &stack, &out->stack_bytes) != 0) abort();
    pthread_attr_destroy(&attributes);
    out->stack = stack;
#endif
}

void fiber_make(struct fiber *out, void (*body)(void)) {
    char *memory = mmap(NULL, STACK_BYTES + GUARD_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, GUARD_BYTES, PROT_NONE) != 0) {
        perror("cuda-emulator: no memory for a thread's stack");
        abort();
    }
    *out = (struct fiber){.stack = memory + GUARD_BYTES, .stack_bytes = STACK_BYTES, .body = body};
    /* Stacks begin at different distances from a page, or all of them would share a few lines of the
     * cache. Then six saved registers and the address to "return" to, aligned as after a call. */
    static size_t made;
    size_t colour = made++ % COLOURS * 3 * CACHE_LINE;
    void **top = (void **)(void *)(out->stack + STACK_BYTES - colour) - 1;
    *--top = (void *)(uintptr_t)first_frame;
    for (int i = 0; i < 6; i++) *--top = NULL;
    out->stack_pointer = top;
}

void fiber_switch(struct fiber *from, struct fiber *to) {
    starting = to;
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(&from->sanitizer_stack, to->stack, to->stack_bytes);
#endif
    fiber_swap(&from->stack_pointer, to->stack_pointer);
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(from->sanitizer_stack, NULL, NULL);
#endif
}
