/* The access checker: looks at every read and write of a kernel for races, bounds, and values that nobody
 * wrote. Only the checked build has it (EMU_CHECKED, and -fsanitize=thread for .cu files, whose calls
 * it answers); in the others these functions do nothing. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#ifdef EMU_CHECKED
/* Once, before anything is allocated: the range that device addresses come from. */
void checker_begin(const char *arena, size_t bytes);
void checker_freed(const char *start, size_t bytes); /* what was known about this memory is void */
/* The host, or a copy or fill on a stream, wrote here; `copied` tells what from, or is NULL. */
void checker_written(const void *start, size_t bytes, const void *copied);

void checker_grid(void); /* a kernel begins */
/* A block begins: its shared memory is undefined. Part of it is smem_raw, of which the launch may use
 * dynamic_bytes. */
void checker_block(const char *shared, size_t shared_bytes, const char *raw, size_t raw_bytes,
                   size_t dynamic_bytes);
void checker_thread(unsigned thread);            /* this thread of the block runs from now on */
void checker_barrier(void);                      /* every thread of the block has arrived */
void checker_warp(unsigned warp, unsigned mask); /* __syncwarp has ordered these lanes */
void checker_quiet(bool on); /* the emulator itself runs: no access is a kernel's */
void checker_idle(void);     /* no kernel runs any more */

/* What an asynchronous copy does on its thread's behalf, which asked for it at `code`. */
void checker_read_range(const void *start, size_t bytes, const void *code);
void checker_write_range(const void *start, size_t bytes, const void *code);
#else
static inline void checker_begin(const char *arena, size_t bytes) { (void)arena, (void)bytes; }
static inline void checker_freed(const char *start, size_t bytes) { (void)start, (void)bytes; }
static inline void checker_written(const void *start, size_t bytes, const void *copied) {
    (void)start, (void)bytes, (void)copied;
}
static inline void checker_grid(void) {}
static inline void checker_block(const char *shared, size_t shared_bytes, const char *raw,
                                 size_t raw_bytes, size_t dynamic_bytes) {
    (void)shared, (void)shared_bytes, (void)raw, (void)raw_bytes, (void)dynamic_bytes;
}
static inline void checker_thread(unsigned thread) { (void)thread; }
static inline void checker_barrier(void) {}
static inline void checker_warp(unsigned warp, unsigned mask) { (void)warp, (void)mask; }
static inline void checker_quiet(bool on) { (void)on; }
static inline void checker_idle(void) {}
static inline void checker_read_range(const void *start, size_t bytes, const void *code) {
    (void)start, (void)bytes, (void)code;
}
static inline void checker_write_range(const void *start, size_t bytes, const void *code) {
    (void)start, (void)bytes, (void)code;
}
#endif
