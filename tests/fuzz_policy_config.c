/* Any bytes as a config.json: refused with a sentence, or accepted so that what we write of it reads back
 * as the same config. */
#include "policy/policy_config.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct policy_config first, second;
    struct arena arena = {0};
    status failed = policy_config_parse(&first, (struct span){(const char *)data, size}, "input");
    if (!failed) {
        struct span written = span_of(policy_config_json(&first, &arena));
        REQUIRE(policy_config_parse(&second, written, "written") == NULL);
        REQUIRE(memcmp(&first, &second, sizeof first) == 0);
    }
    status_free(failed);
    arena_free(&arena);
    return 0;
}
