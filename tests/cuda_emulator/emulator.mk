# The CUDA backend for the emulator: kernels/cuda/*.cu by g++, and the emulator itself. Two builds of each:
# BUILD/emulated/ is fast, BUILD/checked/ looks at every memory access of a kernel (README.md).
CXX := $(if $(filter default,$(origin CXX)),g++,$(CXX))
EMULATOR := tests/cuda_emulator
EMULATOR_SOURCES := $(wildcard $(EMULATOR)/*.c)
MUTANT_SOURCES := $(wildcard $(EMULATOR)/mutants/*.cu)

# Instructions of the host that kernels may use are only those that keep fmaf from being a call.
EMULATED_FLAGS = -I. -I$(EMULATOR)/include -fPIC -fvisibility=hidden -ffp-contract=off -fno-math-errno \
                 -mavx2 -mfma -pthread $(CFLAGS) $(SAN)
EMULATED_WARN := -Wall -Wextra -Werror -Wshadow -Wno-unknown-pragmas -Wno-unused-function
EMULATED_CXX = $(CXX) -x c++ -std=gnu++17 $(EMULATED_WARN) -fno-exceptions -fno-rtti -fno-gnu-unique \
               -fno-extern-tls-init -fno-threadsafe-statics $(EMULATED_FLAGS)
EMULATED_CC = $(CC) -std=c11 -D_GNU_SOURCE $(WARN) $(EMULATED_FLAGS)
# The compiler calls __tsan_read4 and its kin, which checker.c defines; libtsan is not linked.
CHECKED_CXX = -DEMU_CHECKED -fsanitize=thread -fsanitize=bounds,alignment -fsanitize-undefined-trap-on-error \
              -fno-tree-vectorize -O1

PLAIN_SOURCES := $(filter-out $(EMULATOR)/checker.c,$(EMULATOR_SOURCES))
emulated_objects = $(patsubst %,$(BUILD)/emulated/%.o,$(1) $(CUDA_SUPPORT) $(PLAIN_SOURCES))
checked_objects = $(patsubst %,$(BUILD)/checked/%.o,$(1) $(CUDA_SUPPORT) $(EMULATOR_SOURCES))
EMULATED_COMPILE = $(Q)mkdir -p $(@D) && $(1) -MMD -MP -c -o $@ $<
EMULATED_LINK = $(Q)$(CXX) -shared $(SAN) -Wl,-soname,$(@F) -Wl,-z,defs -o $@ $^ -lm -lpthread -ldl

# Two libraries of the backend, and two of what the emulator is tried on. The address sanitizer and the
# checker exclude one another.
EMULATED := $(BUILD)/libgrpo_cuda_emulated.so $(BUILD)/libmutants_emulated.so
EMULATED_CHECKED := $(BUILD)/libgrpo_cuda_checked.so $(BUILD)/libmutants_checked.so
all: $(BUILD)/libgrpo_cuda_emulated.so
EMULATED_ALL := $(EMULATED) $(if $(SAN),,$(EMULATED_CHECKED))

$(BUILD)/emulated/%.cu.o: %.cu $(BUILD)/.flags
	$(call EMULATED_COMPILE,$(EMULATED_CXX))
$(BUILD)/emulated/%.c.o: %.c $(BUILD)/.flags
	$(call EMULATED_COMPILE,$(EMULATED_CC))
$(BUILD)/checked/%.cu.o: %.cu $(BUILD)/.flags
	$(call EMULATED_COMPILE,$(EMULATED_CXX) $(CHECKED_CXX))
$(BUILD)/checked/%.c.o: %.c $(BUILD)/.flags
	$(call EMULATED_COMPILE,$(EMULATED_CC) -DEMU_CHECKED)

$(BUILD)/libgrpo_cuda_emulated.so: $(call emulated_objects,$(CUDA_SOURCES))
	$(EMULATED_LINK)
$(BUILD)/libgrpo_cuda_checked.so: $(call checked_objects,$(CUDA_SOURCES))
	$(EMULATED_LINK)
$(BUILD)/libmutants_emulated.so: $(call emulated_objects,$(MUTANT_SOURCES))
	$(EMULATED_LINK)
$(BUILD)/libmutants_checked.so: $(call checked_objects,$(MUTANT_SOURCES))
	$(EMULATED_LINK)
$(BUILD)/tests/test_cuda_emulator: | $(filter %mutants_emulated.so %mutants_checked.so,$(EMULATED_ALL))

-include $(patsubst %.o,%.d,$(call emulated_objects,$(CUDA_SOURCES) $(MUTANT_SOURCES)) \
                            $(call checked_objects,$(CUDA_SOURCES) $(MUTANT_SOURCES)))
