/* What the emulator's parts, and the shadow headers that C++ sees, know of one another. README.md has
 * the picture. Everything runs on the host thread that calls the runtime: a device is a set of queues
 * and an arena of memory, and works only while somebody synchronises with it. */
#pragma once

#include <cuda_runtime_api.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- called by code in .cu files ---------------------------------------------------------------- */

/* A kernel call with its arguments, made by the template in cuda_runtime.h. One heap block. */
struct emu_call {
    void (*run)(const struct emu_call *call); /* calls the kernel as one thread */
    size_t bytes;                             /* of this block, arguments included */
    const void *kernel;
};

/* Checks the configuration as a device does and queues the call; owns `call` from now on. */
cudaError_t emu_launch(const cudaLaunchConfig_t *config, struct emu_call *call);
cudaError_t emu_func_set_attribute(const void *kernel, enum cudaFuncAttribute attribute, int value);

/* __syncthreads and its reducing forms; returns how many threads had a predicate that is not 0. */
unsigned emu_barrier(const char *site, bool predicate);

/* A warp collective: waits until every lane in `mask` is here with the same `kind` and `site`, then the
 * last to come calls `work` with what each lane brought (NULL for lanes outside the mask), which
 * leaves each lane's result in it. `lane` points to something alive until the call returns. */
typedef void emu_collective_work(void *const lanes[32], unsigned mask);
void emu_collective(const char *kind, const char *site, unsigned mask, void *lane,
                    emu_collective_work *work);
unsigned emu_lane(void);        /* 0..31 */
unsigned emu_active_mask(void); /* lanes of this warp that have not returned */

/* cp.async: a copy happens at once, or when the thread waits for it: at random. */
void emu_async_copy(void *shared, const void *global, size_t bytes, size_t zero_fill EMU_ZERO);
void emu_async_commit(void);
void emu_async_wait(unsigned groups_left);

/* asm("trap"): the device is lost, with this error. Does not return. */
void emu_trap(const char *site) __attribute__((noreturn));

#ifdef __cplusplus
}
#endif
