# Makefile - builds libvalori and its tools, checks, installs.
#
# Sources are found, not listed: lib/*.c is the library, cmd/valori-*.c are the tools, the other cmd/*.c are
# what the tools share, tests/*/test_*.c are test programs. All that is made lies in $(BUILD).

BUILD ?= build
# make V=1 shows the commands.
Q = $(if $(V),,@)
say = $(if $(V),,@printf '  %-4s %s\n' $(1) $(2))
-include $(BUILD)/config.mak

# lib/valori.h says which version this is.
version = $(shell awk '$$2 == "VALORI_VERSION_$(1)" { print $$3 }' lib/valori.h 2>/dev/null)
MAJOR := $(or $(call version,MAJOR),0)
MINOR := $(or $(call version,MINOR),1)
PATCH := $(or $(call version,PATCH),0)
VERSION := $(MAJOR).$(MINOR).$(PATCH)

WARNINGS = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla -Wswitch-enum
COMMON = -std=c11 $(CFLAGS) $(WARNINGS) $(WERROR) -ffile-prefix-map=$(CURDIR)=. -MMD -MP -I$(BUILD)
HOSTED = $(COMMON) -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64 -pthread -fPIC -fvisibility=hidden

LIB_OBJECTS := $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard lib/*.c)))
# valori-serve needs civetweb and libsodium; the others need nothing; without libcurl valori-follow reads pipes only.
NET := $(if $(CIVETWEB_LIBS),$(SODIUM_LIBS))
TOOL_SOURCES := $(sort $(filter-out $(if $(NET),,cmd/valori-serve.c),$(wildcard cmd/valori-*.c)))
TOOLS := $(patsubst cmd/%.c,$(BUILD)/%,$(TOOL_SOURCES))
SHARED_OBJECTS := $(patsubst %.c,$(BUILD)/%.o,$(sort $(filter-out cmd/valori-%,$(wildcard cmd/*.c))))
NET_OBJECTS := $(if $(NET),$(BUILD)/lib/net/http.o) $(BUILD)/lib/net/client.o

STATIC := $(BUILD)/libvalori.a
SONAME := libvalori.so.$(MAJOR)
SHARED := $(BUILD)/libvalori.so.$(VERSION)

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all lib core test-programs fuzz fuzzers bench demo check check-ci check-long deps deps-ci format install
.PHONY: bench-anchors determinism uninstall clean

all: lib $(TOOLS)

# make runs configure by itself where nobody has; later with the same arguments whenever configure changed.
ifeq ($(filter deps deps-ci clean format check-ci fuzz determinism,$(MAKECMDGOALS)),)
$(BUILD)/config.mak: configure
	./configure $(or $(CONFIGURE_ARGS),--dir=$(BUILD)) $(if $(filter check demo,$(MAKECMDGOALS)),--install-deps)
endif

# ---- the library ----

lib: $(STATIC) $(SHARED)

# The suffix of a file of kernels names the instructions it may use; everything else runs on the oldest machine.
ifeq ($(ARCH),x86_64)
$(BUILD)/%_sse4.o: KERNEL = -msse4.2 -mpclmul
$(BUILD)/%_avx2.o: KERNEL = -mavx2
$(BUILD)/%_avx512.o: KERNEL = -mavx512f -mavx512vl -mavx512bw
endif

$(BUILD)/%.o: %.c $(BUILD)/config.mak
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(HOSTED) $(KERNEL) -Ilib $(if $(filter tests/% bench/%,$<),-Icmd) $(SODIUM_CFLAGS) \
		$(CIVETWEB_CFLAGS) $(CURL_CFLAGS) -c -o $@ $<

$(STATIC): $(LIB_OBJECTS)
	$(call say,AR,$@)
	@rm -f $@
	$(Q)$(AR) rcsD $@ $^

$(SHARED): $(LIB_OBJECTS) lib/valori.map
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -shared -pthread -Wl,-soname,$(SONAME) -Wl,--version-script,lib/valori.map \
		$(if $(filter no,$(SANITIZED)),-Wl$(comma)-z$(comma)defs) -o $@ $(LIB_OBJECTS)
	@ln -sf $(@F) $(BUILD)/$(SONAME)
	@ln -sf $(SONAME) $(BUILD)/libvalori.so
comma := ,

# ---- the pure core: what lies below the waterline of lib/LAYERS, built for a machine that has nothing ----

CORE_MODULES := $(shell awk '/^\#.*waterline/ { below = 1 } below && !/^\#/' lib/LAYERS)
CORE_SOURCES := $(sort $(wildcard $(foreach m,$(CORE_MODULES),lib/$(m).c lib/$(m)_*.c)))
CORE_OBJECTS := $(patsubst lib/%.c,$(BUILD)/core/%.o,$(CORE_SOURCES))
# mem*, and what the compiler calls for wide integers on small machines, and for atomic ones on AArch64.
CORE_ALLOWED := memcpy|memmove|memset|memcmp|_GLOBAL_OFFSET_TABLE_|__aeabi_[a-z0-9_]*
CORE_ALLOWED := $(CORE_ALLOWED)|__u?(div|mod|divmod|mul|cmp)[sdt]i[2-4]
CORE_ALLOWED := $(CORE_ALLOWED)|__aarch64_(ldadd|cas)[0-9]+_[a-z_]*
CORE_ALLOWED := $(CORE_ALLOWED)|__(ashl|ashr|lshr|clz|ctz|popcount|bswap)[sdt]i2

core: $(if $(CORE_OBJECTS),$(BUILD)/core.o)
	@[ -e $(BUILD)/core.o ] || exit 0; \
	needed=$$($(NM) -u $(BUILD)/core.o | awk '$$NF !~ /^($(CORE_ALLOWED))$$/ { print $$NF }'); \
	if [ -n "$$needed" ]; then echo "core: needs of the world:" $$needed >&2; exit 1; fi

$(BUILD)/core.o: $(CORE_OBJECTS) lib/LAYERS
	$(call say,CORE,$@)
	$(Q)$(CC) $(CFLAGS) -fno-sanitize=all -nostdlib -r -o $@ $(CORE_OBJECTS)

$(BUILD)/core/%.o: lib/%.c $(BUILD)/config.mak
	@mkdir -p $(@D)
	$(call say,CORE,$<)
	$(Q)$(CC) $(COMMON) $(KERNEL) -ffreestanding -fno-stack-protector -fno-sanitize=all -c -o $@ $<

# ---- the tools ----

# An archive, so that a program takes what it calls and no more.
PARTS := $(BUILD)/cmd.a

$(PARTS): $(SHARED_OBJECTS)
	$(call say,AR,$@)
	@rm -f $@
	$(Q)$(AR) rcsD $@ $^

$(TOOLS): $(BUILD)/%: $(BUILD)/cmd/%.o $(PARTS) $(STATIC)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $^ $(NET_LIBS)

# Not in the archive: what civetweb is told about its threads is for this program alone.
$(BUILD)/valori-serve: NET_LIBS = $(CIVETWEB_LIBS) $(SODIUM_LIBS) $(CURL_LIBS)
$(BUILD)/valori-serve: $(NET_OBJECTS)
$(BUILD)/valori-follow: NET_LIBS = $(CURL_LIBS)
$(BUILD)/valori-follow: $(BUILD)/lib/net/client.o

# ---- the checks ----

# tests/DIR/test_*.c is a program each, linked with the other tests/DIR/*.c, what the tools share, and the library.
TESTS := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/*/test_*.c)))
helpers = $(patsubst %.c,$(BUILD)/%.o,$(filter-out tests/$(1)/test_% %/failing.c,$(sort $(wildcard tests/$(1)/*.c))))
SUITES := $(sort $(wildcard tests/*/*.bats))

.SECONDEXPANSION:
$(TESTS): $(BUILD)/tests/%: $(BUILD)/tests/%.o $$(call helpers,$$(*D)) $(PARTS) $(STATIC)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $^ $(SODIUM_LIBS) -lm

# This one has a hand in all that takes memory, and in syncs, of which it makes thousands.
$(BUILD)/tests/fault/test_memory: LDFLAGS += $(patsubst %,-Wl$(comma)--wrap=%,malloc calloc realloc free aligned_alloc \
	strdup opendir fsync fdatasync)

# A fuzz target is a function that takes bytes. Here it is given those that are kept; fuzzers/ has it with libFuzzer.
FUZZ_SOURCES := $(sort $(filter-out $(if $(NET),,%/fuzz_serve.c),$(wildcard tests/fuzz/fuzz_*.c)))
FUZZ_REPLAYS := $(patsubst %.c,$(BUILD)/%,$(FUZZ_SOURCES))
FUZZERS := $(patsubst tests/fuzz/fuzz_%.c,$(BUILD)/fuzzers/%,$(FUZZ_SOURCES))
FUZZ_HELPERS := $(patsubst %.c,$(BUILD)/%.o,$(filter-out tests/fuzz/fuzz_% %/replay.c,$(wildcard tests/fuzz/*.c))) \
	$(BUILD)/tests/crash/sim_os.o $(BUILD)/tests/unit/sample.o $(BUILD)/lib/net/client.o

$(FUZZ_REPLAYS): $(BUILD)/tests/fuzz/%: $(BUILD)/tests/fuzz/%.o $(BUILD)/tests/fuzz/replay.o $(FUZZ_HELPERS) \
		$(PARTS) $(STATIC)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $^ $(FUZZ_LIBS)

$(FUZZERS): $(BUILD)/fuzzers/%: $(BUILD)/tests/fuzz/fuzz_%.o $(FUZZ_HELPERS) $(PARTS) $(STATIC)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -fsanitize=fuzzer -pthread -o $@ $^ $(FUZZ_LIBS)

# What the tools share is pulled in whole where sanitizers ask for it, the node's parts with it.
$(FUZZ_REPLAYS) $(FUZZERS): FUZZ_LIBS = $(CIVETWEB_LIBS) $(SODIUM_LIBS) $(CURL_LIBS)

fuzzers: $(FUZZERS)

# What makes calls of the system fail is loaded before a tool.
FAILING := $(BUILD)/tests/fault/failing.so

$(FAILING): tests/fault/failing.c $(BUILD)/config.mak
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(HOSTED) $(LDFLAGS) -fno-sanitize=all -U_FILE_OFFSET_BITS -U_TIME_BITS -shared -o $@ $<

# What follows commit streams in the determinism matrix: the core with a machine for it, and the engine; what makes the
# streams. Of a cross compiler only the first is asked.
DETERMINISM := $(BUILD)/determinism
MACHINE ?= hosted
answering = $(patsubst %,$(DETERMINISM)/%.o,answers indexes follow)

$(DETERMINISM)/%.o: tests/determinism/%.c $(BUILD)/config.mak
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(COMMON) -ffreestanding -Ilib -c -o $@ $<

$(DETERMINISM)/follow: $(answering) $(DETERMINISM)/machine_$(MACHINE).o $(CORE_OBJECTS) \
		$(if $(filter hosted,$(MACHINE)),$(BUILD)/core/cpu.o)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) -o $@ $^ $(LDFLAGS) $(if $(filter hosted,$(MACHINE)),,-lgcc)

$(DETERMINISM)/engine $(DETERMINISM)/generate: $(DETERMINISM)/%: $(BUILD)/tests/determinism/%.o \
		$(BUILD)/tests/determinism/answers.o $(BUILD)/tests/unit/sample.o $(STATIC)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $^

# The same streams on every machine that there is a compiler for (make deps-ci installs them).
determinism:
	@tests/determinism/matrix --build=$(BUILD)

test-programs: $(TESTS) $(FUZZ_REPLAYS) $(FAILING) $(addprefix $(DETERMINISM)/,follow engine generate)

# All processors, unless whoever called make has said how many.
PARALLEL = $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc 2>/dev/null || echo 2))

check:
	@./configure --dir=$(BUILD) --deps=check
	@$(MAKE) $(PARALLEL) --no-print-directory -s WERROR=-Werror BUILD=$(BUILD) all core test-programs
	@tests/run --build=$(BUILD) $(TESTS) $(FUZZ_REPLAYS) $(SUITES)

# The same with the long counts: every f32, every seed, every mutant of the code, half an hour for each fuzz target.
check-long:
	@$(MAKE) $(PARALLEL) --no-print-directory -s WERROR=-Werror BUILD=$(BUILD) all core test-programs
	@VALORI_LONG=1 tests/run --build=$(BUILD) $(TESTS) $(FUZZ_REPLAYS) $(SUITES)
	@BUILD=$(BUILD) tests/mutants
	@$(MAKE) --no-print-directory fuzz FUZZ_SECONDS=1800

# Looks for inputs that break what tests/fuzz demands, so many seconds for each target; it takes clang. FUZZ names them.
FUZZ_SECONDS ?= 600
FUZZ ?= $(patsubst tests/fuzz/fuzz_%.c,%,$(FUZZ_SOURCES))
fuzz:
	@tests/fuzz/run $(FUZZ_SECONDS) $(FUZZ)

# The other compiler, and the sanitizers.
check-ci: deps-ci
	tests/ci

deps:
	./configure --deps=check

deps-ci:
	./configure --deps=ci

# ---- the figures, and the first look ----

BENCHES := $(patsubst %.c,$(BUILD)/%,$(sort $(filter-out $(if $(NET),,%/bench_serve.c),$(wildcard bench/bench_*.c))))
bench_helpers := $(patsubst %.c,$(BUILD)/%.o,$(filter-out bench/bench_%,$(sort $(wildcard bench/*.c))))

$(BENCHES): $(BUILD)/bench/%: $(BUILD)/bench/%.o $(bench_helpers) $(PARTS) $(STATIC)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $^ $(NET_LIBS) -lm

# It has a server of its own, beside the node.
$(BUILD)/bench/bench_serve: NET_LIBS = $(CIVETWEB_LIBS)
$(BUILD)/bench/bench_serve: $(BUILD)/lib/net/http.o

# Other libraries in the same race, where they are installed (Debian: g++ libhnswlib-dev libfaiss-dev libopenblas-dev);
# nothing of the product links to them.
ANCHORS := $(patsubst %.cc,$(BUILD)/%,$(sort $(wildcard bench/anchors/*.cc)))

$(BUILD)/bench/anchors/faiss: ANCHOR_LIBS = -fopenmp -lfaiss -lopenblas

$(ANCHORS): $(BUILD)/%: %.cc bench/anchors/anchor.h
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)c++ -O3 -march=native -DNDEBUG -pthread -o $@ $< $(ANCHOR_LIBS)

bench-anchors: $(ANCHORS)

# Search, in one run with the other libraries, comes last: bench/README.md. SEARCH=--quick is three minutes of it.
bench: all $(BENCHES)
	@for program in $(filter-out %/bench_search,$(BENCHES)); do $$program || exit 1; done
	@BUILD=$(BUILD) bench/search.sh $(SEARCH)

demo:
	@./configure --dir=$(BUILD) --deps=build
	@$(MAKE) $(PARALLEL) --no-print-directory -s BUILD=$(BUILD) all
	@BUILD=$(BUILD) contrib/demo.sh

# ---- Python: a wheel that carries the library; pip install build/valori-*.whl needs no network ----

python: $(SHARED)
	$(call say,PY,$(BUILD))
	$(Q)python3 python/make_abi.py >$(BUILD)/_abi.py && cmp $(BUILD)/_abi.py python/valori/_abi.py
	$(Q)python3 python/backend.py $(BUILD) $(SHARED)

format:
	clang-format -i $(wildcard lib/*.[ch] cmd/*.[ch] tests/*/*.[ch] bench/*.[ch])

# ---- a place on this machine ----

MANS := $(sort $(wildcard man/*.[1-9]))
COMPLETED := $(notdir $(TOOLS))

install: all
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(INCLUDEDIR)
	install -m 755 $(TOOLS) $(DESTDIR)$(BINDIR)
	install -m 755 $(SHARED) $(DESTDIR)$(LIBDIR)
	ln -sf $(notdir $(SHARED)) $(DESTDIR)$(LIBDIR)/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libvalori.so
	install -m 644 $(STATIC) $(DESTDIR)$(LIBDIR)
	install -m 644 lib/valori.h $(DESTDIR)$(INCLUDEDIR)
	printf '%s\n' 'libdir=$(LIBDIR)' 'includedir=$(INCLUDEDIR)' '' 'Name: valori' \
		'Description: deterministic, event-sourced vector database and knowledge graph' \
		'Version: $(VERSION)' 'Libs: -L$${libdir} -lvalori' 'Libs.private: -pthread' \
		'Cflags: -I$${includedir}' >$(DESTDIR)$(LIBDIR)/pkgconfig/valori.pc
	for page in $(MANS); do install -D -m 644 -t $(DESTDIR)$(MANDIR)/man$${page##*.} $$page || exit 1; done
	install -D -m 644 completions/valori.bash $(DESTDIR)$(DATADIR)/bash-completion/completions/valori-ingest
	install -D -m 644 completions/_valori $(DESTDIR)$(DATADIR)/zsh/site-functions/_valori
	install -D -m 644 completions/valori.fish $(DESTDIR)$(DATADIR)/fish/vendor_completions.d/valori-ingest.fish
	for tool in $(filter-out valori-ingest,$(COMPLETED)); do \
		ln -sf valori-ingest $(DESTDIR)$(DATADIR)/bash-completion/completions/$$tool; \
		ln -sf valori-ingest.fish $(DESTDIR)$(DATADIR)/fish/vendor_completions.d/$$tool.fish; \
	done

uninstall:
	rm -f $(addprefix $(DESTDIR)$(BINDIR)/,$(COMPLETED)) $(DESTDIR)$(LIBDIR)/libvalori.a \
		$(DESTDIR)$(LIBDIR)/libvalori.so $(DESTDIR)$(LIBDIR)/$(SONAME) $(DESTDIR)$(LIBDIR)/$(notdir $(SHARED)) \
		$(DESTDIR)$(INCLUDEDIR)/valori.h $(DESTDIR)$(LIBDIR)/pkgconfig/valori.pc \
		$(foreach page,$(MANS),$(DESTDIR)$(MANDIR)/man$(subst .,,$(suffix $(page)))/$(notdir $(page))) \
		$(addprefix $(DESTDIR)$(DATADIR)/bash-completion/completions/,$(COMPLETED)) \
		$(DESTDIR)$(DATADIR)/zsh/site-functions/_valori \
		$(foreach tool,$(COMPLETED),$(DESTDIR)$(DATADIR)/fish/vendor_completions.d/$(tool).fish)

clean:
	rm -rf $(BUILD)

-include $(shell [ -d $(BUILD) ] && find $(BUILD) -name '*.d')
