/* What the environment says, and seeded chance. */
#include "tests/cuda_emulator/internals.h"

#include <stdlib.h>
#include <string.h>

static uint64_t number(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    if (!text || !*text) return otherwise;
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    if (*end) emu_report("setting", "%s=%s, expected a number", name, text);
    return value;
}

static enum emu_order order(const char *name) {
    const char *text = getenv(name);
    if (!text || !*text || strcmp(text, "random") == 0) return ORDER_RANDOM;
    if (strcmp(text, "forward") == 0) return ORDER_FORWARD;
    if (strcmp(text, "backward") == 0) return ORDER_BACKWARD;
    emu_report("setting", "%s=%s, expected random, forward or backward", name, text);
}

const struct emu_settings *emu_settings(void) {
    static struct emu_settings settings;
    static bool read;
    if (read) return &settings;
    read = true;
    settings.seed = number("CUDA_EMULATOR_SEED", 1);
    settings.order = order("CUDA_EMULATOR_ORDER");
    settings.eager = number("CUDA_EMULATOR_EAGER", 0) != 0;
    settings.memory_bytes = number("CUDA_EMULATOR_MEMORY", (uint64_t)4 << 30);
    /* What sm_86, sm_89 and sm_120 have: a kernel that fits there fits everywhere. */
    settings.shared_optin = number("CUDA_EMULATOR_SHARED", 99 << 10);
    settings.devices = (int)number("CUDA_EMULATOR_DEVICES", 1);
    settings.capability = (int)number("CUDA_EMULATOR_CAPABILITY", 80);
    settings.driver = (int)number("CUDA_EMULATOR_DRIVER", CUDART_VERSION);
    settings.failing_alloc = number("CUDA_EMULATOR_FAIL_ALLOC", 0);
    settings.failing_kernel = number("CUDA_EMULATOR_FAIL_KERNEL", 0);
    settings.failing_graph = number("CUDA_EMULATOR_FAIL_GRAPH", 0);
    settings.failing_capture = number("CUDA_EMULATOR_FAIL_CAPTURE", 0);
    return &settings;
}

/* SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014). */
uint32_t emu_random(uint32_t below) {
    static uint64_t state;
    static bool seeded;
    if (!seeded) {
        seeded = true;
        state = emu_settings()->seed * 0x9e3779b97f4a7c15u;
    }
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)(((z >> 32) * below) >> 32);
}
