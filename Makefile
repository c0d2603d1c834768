# grpo.c: `make help` lists the targets. Honours CC, CFLAGS, CPPFLAGS, LDFLAGS, DESTDIR, PREFIX, V=1.
SHELL := /bin/bash
CC := $(if $(filter default,$(origin CC)),gcc,$(CC))
BUILD ?= build
CFLAGS ?= -O2 -g
PREFIX ?= /usr/local
SEED ?= 1
V ?= 0
Q := $(if $(filter 1,$(V)),,@)

LIBS := jansson yaml-0.1 libpcre2-8 sqlite3 libutf8proc libmd
MATH_LIBS := -lcalcium -lantic -lflint-arb -lflint -lgmp
WARN := -Wall -Wextra -Wpedantic -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
        -Wvla -Wpointer-arith -Wno-overlength-strings -Wno-gnu-zero-variadic-macro-arguments
# No contraction: fused operations stand where the source says fma, nowhere else.
STD := -std=c11 -D_GNU_SOURCE -I. -ffp-contract=off -fno-math-errno -fopenmp -pthread
PKG = $(shell pkg-config --cflags $(LIBS) 2>/dev/null)
COMPILE = $(CC) $(STD) $(WARN) $(CPPFLAGS) $(CFLAGS) $(PKG) $(SAN) -MMD -MP -c -o $@ $<
LINK_LIBS = $(shell pkg-config --libs $(LIBS) 2>/dev/null) $(MATH_LIBS) -ldl -lm

FOLDERS := base kernels kernels/ref policy tasks rollout reward rl
SOURCES := $(foreach f,$(FOLDERS),$(wildcard $(f)/*.c))
CPU_SOURCES := $(wildcard kernels/cpu/*.c)
OBJECTS := $(SOURCES:%.c=$(BUILD)/%.o) $(CPU_SOURCES:%.c=$(BUILD)/%.avx2.o) \
           $(CPU_SOURCES:%.c=$(BUILD)/%.avx512.o)
CLI_OBJECTS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard cli/*.c))
TESTS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/test_*.c))
TEST_HELPERS := $(patsubst %.c,$(BUILD)/%.o,$(filter-out $(wildcard tests/test_*.c tests/bench_*.c \
                tests/fuzz_*.c),$(wildcard tests/*.c)))
BENCHES := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/bench_*.c))

# Kernels need FMA as an instruction; the rest of the program stays portable so that it can say so.
AVX2 := -mavx2 -mfma -mf16c
AVX512 := $(AVX2) -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512

.PHONY: all test bench asan fuzz lint fmt install uninstall demo help clean setup gpu-test gpu-bench
all: $(BUILD)/grpo ## build build/grpo

$(BUILD)/grpo: $(CLI_OBJECTS) $(BUILD)/libgrpo.a
	$(Q)$(CC) $(STD) $(CFLAGS) $(SAN) -o $@ $(CLI_OBJECTS) $(BUILD)/libgrpo.a $(LDFLAGS) $(LINK_LIBS)

$(BUILD)/libgrpo.a: $(OBJECTS)
	$(Q)rm -f $@ && ar rcs $@ $^

$(BUILD)/kernels/cpu/%.avx2.o: kernels/cpu/%.c
	@mkdir -p $(@D)
	$(Q)$(COMPILE) $(AVX2) -DCPU_ISA=avx2
$(BUILD)/kernels/cpu/%.avx512.o: kernels/cpu/%.c
	@mkdir -p $(@D)
	$(Q)$(COMPILE) $(AVX512) -DCPU_ISA=avx512
$(BUILD)/kernels/ref/%.o: kernels/ref/%.c
	@mkdir -p $(@D)
	$(Q)$(COMPILE) $(AVX2)
$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(COMPILE)

$(BUILD)/tests/test_%: $(BUILD)/tests/test_%.o $(TEST_HELPERS) $(BUILD)/libgrpo.a
	$(Q)$(CC) $(STD) $(CFLAGS) $(SAN) -o $@ $< $(TEST_HELPERS) $(BUILD)/libgrpo.a $(LDFLAGS) -lcmocka $(LINK_LIBS)
$(BUILD)/tests/bench_%: $(BUILD)/tests/bench_%.o $(TEST_HELPERS) $(BUILD)/libgrpo.a
	$(Q)$(CC) $(STD) $(CFLAGS) $(SAN) -o $@ $< $(TEST_HELPERS) $(BUILD)/libgrpo.a $(LDFLAGS) -lcmocka -ldl $(LINK_LIBS)

setup: ## install missing Debian packages
	$(Q)tools/setup.sh

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

clean: ## remove build/
	rm -rf $(BUILD)

-include $(OBJECTS:.o=.d) $(CLI_OBJECTS:.o=.d) $(TESTS:%=%.d) $(BENCHES:%=%.d) $(TEST_HELPERS:.o=.d)
.SECONDARY:
