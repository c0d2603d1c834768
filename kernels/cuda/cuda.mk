# The CUDA backend, a library that is loaded when device=cuda asks for it. Built where nvcc is; nothing else
# needs it. CUDA_ARCHITECTURES names the GPUs it holds machine code for; the last is also there as PTX, which
# a driver translates for later ones.
CUDA_HOME ?= /usr/local/cuda
NVCC ?= $(firstword $(wildcard $(shell command -v nvcc 2>/dev/null) $(CUDA_HOME)/bin/nvcc))
CUDA_ARCHITECTURES ?= 80 86 89 90 100 120
CUDA_SOURCES := $(wildcard kernels/cuda/*.cu)
# What the library has a copy of, so that it needs no symbol of the program.
CUDA_SUPPORT := base/status.c kernels/comm_launch.c
CUDA_HEADERS := $(wildcard kernels/cuda/*.cuh kernels/*.h base/*.h)
# Other trees (clang, sanitizers) differ in the host compiler only.
CUDA_LIBRARY := $(if $(filter build,$(BUILD)),$(if $(NVCC),$(BUILD)/libgrpo_cuda.so))
CUDA_OBJECTS := $(CUDA_SOURCES:%=$(BUILD)/%.o) $(CUDA_SUPPORT:%.c=$(BUILD)/%.o)

comma := ,
CUDA_CODE := $(foreach a,$(CUDA_ARCHITECTURES),-gencode arch=compute_$(a)$(comma)code=sm_$(a)) \
             -gencode arch=compute_$(lastword $(CUDA_ARCHITECTURES))$(comma)code=compute_$(lastword $(CUDA_ARCHITECTURES))
# No contraction, denormals are zero, divisions and roots as IEEE says: the arithmetic of kernels/ops.h.
NVCC_FLAGS = -std=c++17 -I. -O3 -fmad=false -ftz=true -prec-div=true -prec-sqrt=true $(CUDA_CODE) \
             -Werror all-warnings -Xcompiler -Wall,-Wextra,-fPIC,-fvisibility=hidden

$(BUILD)/kernels/cuda/%.cu.o: kernels/cuda/%.cu $(CUDA_HEADERS) $(BUILD)/.cuda_flags
	$(Q)mkdir -p $(@D) && $(NVCC) $(NVCC_FLAGS) -Xptxas -v -c -o $@ $< 2>$(@:.o=.ptxas) || { cat $(@:.o=.ptxas); false; }
$(BUILD)/libgrpo_cuda.so: $(CUDA_OBJECTS)
	$(Q)$(NVCC) -shared -cudart static -Xlinker -z,defs -o $@ $^
$(BUILD)/.cuda_flags: FORCE
	@mkdir -p $(@D); echo '$(NVCC) $(NVCC_FLAGS)' | cmp -s - $@ || echo '$(NVCC) $(NVCC_FLAGS)' >$@

ifeq ($(NVCC)$(filter-out build,$(BUILD)),)
all: no-nvcc
.PHONY: no-nvcc
no-nvcc:
	@echo "nvcc is not here: libgrpo_cuda.so is skipped, and with it device=cuda"
endif
