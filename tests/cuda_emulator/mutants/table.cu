#include "tests/cuda_emulator/mutants/mutants.h"

extern const struct mutant_list shared_mutants_list, device_mutants_list, pipeline_mutants_list,
    host_mutants_list;

extern "C" __attribute__((visibility("default"))) const struct mutant_list *
cuda_mutants(int *lists);
extern "C" const struct mutant_list *cuda_mutants(int *lists) {
    static const struct mutant_list all[] = {shared_mutants_list, device_mutants_list,
                                             pipeline_mutants_list, host_mutants_list};
    *lists = sizeof all / sizeof *all;
    return all;
}
