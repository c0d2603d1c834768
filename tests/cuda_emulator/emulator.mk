# The CUDA backend for the emulator: kernels/cuda/*.cu by g++, and the emulator itself. Two builds of each:
# BUILD/emulated/ is fast, BUILD/checked/ looks at every memory access of a kernel (README.md).
CXX := $(if $(filter default,$(origin CXX)),g++,$(CXX))
EMULATOR := tests/cuda_emulator
EMULATOR_SOURCES := $(wildcard $(EMULATOR)/*.c)

# Instructions of the host that kernels may use are only those that keep fmaf from being a call.
EMULATED_FLAGS = -I. -I$(EMULATOR)/include -fPIC -fvisibility=hidden -ffp-contract=off -fno-math-errno \
                 -mavx2 -mfma -pthread $(CFLAGS) $(SAN)
EMULATED_WARN := -Wall -Wextra -Werror -Wshadow -Wno-unknown-pragmas -Wno-unused-function
EMULATED_CXX = $(CXX) -x c++ -std=gnu++17 $(EMULATED_WARN) -fno-exceptions -fno-rtti -fno-gnu-unique \
               -fno-extern-tls-init $(EMULATED_FLAGS)
EMULATED_CC = $(CC) -std=c11 -D_GNU_SOURCE $(WARN) $(EMULATED_FLAGS)
# The compiler calls __tsan_read4 and its kin, which checker.c defines; libtsan is not linked.
CHECKED := -DEMU_CHECKED
CHECKED_CXX = $(CHECKED) -fsanitize=thread -fsanitize=bounds,alignment -fsanitize-undefined-trap-on-error \
              -fno-tree-vectorize -O1

emulated_objects = $(patsubst %,$(BUILD)/$(1)/%.o,$(2) $(CUDA_SUPPORT) $(EMULATOR_SOURCES))
EMULATED_COMPILE = $(Q)mkdir -p $(@D) && $(1) -MMD -MP -c -o $@ $<
EMULATED_LINK = $(Q)$(CXX) -shared $(SAN) -Wl,-soname,$(@F) -Wl,-z,defs -o $@ $^ -lm -lpthread -ldl

EMULATED := $(if $(CUDA_SOURCES),$(BUILD)/libgrpo_cuda_emulated.so)
EMULATED_ALL := $(EMULATED)

$(BUILD)/emulated/%.cu.o: %.cu $(BUILD)/.flags
	$(call EMULATED_COMPILE,$(EMULATED_CXX))
$(BUILD)/emulated/%.c.o: %.c $(BUILD)/.flags
	$(call EMULATED_COMPILE,$(EMULATED_CC))
$(BUILD)/checked/%.cu.o: %.cu $(BUILD)/.flags
	$(call EMULATED_COMPILE,$(EMULATED_CXX) $(CHECKED_CXX))
$(BUILD)/checked/%.c.o: %.c $(BUILD)/.flags
	$(call EMULATED_COMPILE,$(EMULATED_CC) $(CHECKED))

$(BUILD)/libgrpo_cuda_emulated.so: $(call emulated_objects,emulated,$(CUDA_SOURCES))
	$(EMULATED_LINK)
$(BUILD)/libgrpo_cuda_checked.so: $(call emulated_objects,checked,$(CUDA_SOURCES))
	$(EMULATED_LINK)

-include $(patsubst %.o,%.d,$(call emulated_objects,emulated,$(CUDA_SOURCES)) \
                            $(call emulated_objects,checked,$(CUDA_SOURCES)))
