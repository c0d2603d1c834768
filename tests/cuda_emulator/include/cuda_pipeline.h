/* cp.async for the emulator: shadows NVIDIA's header of the same name. */
#pragma once

#include <cuda_runtime.h>

#define __pipeline_memcpy_async(shared, ...) emu_async_copy(shared, __VA_ARGS__)
#define __pipeline_commit() emu_async_commit()
#define __pipeline_wait_prior(groups) emu_async_wait(groups)
