# Parapet: trains, audits and ships a small safety guardrail. `make help` lists the targets.
#
# Switches: SAN=1 (address and undefined sanitizers), OMP=0 (one thread, no pthread), CC=clang, B=folder (objects),
#           CURL=0 (no language models over HTTP), T=pattern (make test T='rmsnorm*'), FRESH=1 (make demo from the start), PREFIX, DESTDIR.

ifeq ($(origin CC),default)
CC := gcc
endif
SAN    ?= 0
OMP    ?= 1
JOBS   ?= $(shell nproc 2>/dev/null || echo 1)
PREFIX ?= /usr/local
mode   := $(if $(filter 1,$(SAN)),san,release)$(if $(filter 0,$(OMP)),-one)
B      ?= build/$(notdir $(CC))-$(mode)
MACHINE := $(or $(shell $(CC) -dumpmachine 2>/dev/null),$(shell uname -m))

# --- flags ---------------------------------------------------------------------------------------
# No flag here may change a number. The last three only let compilers turn x > a ? a : x into vector
# code and sqrtf into an instruction; without -ffp-contract=off they would fuse products as they like.
WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wdouble-promotion -Wmissing-prototypes \
        -Wstrict-prototypes -Wwrite-strings -Wundef -Wvla $(WERROR)
# gcc for s390x computes floats in double under -std=c99 unless told otherwise.
FP   := -ffp-contract=off -fno-math-errno -fno-trapping-math $(if $(filter s390x%,$(MACHINE)),-fexcess-precision=fast)
OPT  := $(if $(filter 1,$(SAN)),-O1,-O2)
ifeq ($(SAN),1)
SANFLAGS := -fsanitize=address,undefined -fno-omit-frame-pointer
endif
PARFLAG  := $(if $(filter 0,$(OMP)),,-DNN_THREADS)
LUA_CFLAGS := $(shell pkg-config --cflags lua5.4 2>/dev/null || echo -I/usr/include/lua5.4)
LUA_LIBS   := $(shell pkg-config --libs lua5.4 2>/dev/null || echo -llua5.4)
BASE  = -std=c99 -g $(WARN) $(FP) $(SANFLAGS) -I. -MMD -MP
# Language models over HTTP: where libcurl's header is, unless CURL=0. The library is loaded when a server is asked.
WANT_CURL := $(CURL)
CURL ?= $(if $(shell printf '\043include <curl/curl.h>\n' | $(CC) -E -x c - >/dev/null 2>&1 && echo 1),1,0)
LIBS := $(LUA_LIBS) $(if $(filter 1,$(CURL)),-ldl) -ljansson -lz -lm $(if $(PARFLAG),-pthread)

# Flags of single files: kernels keep -O3 and their instruction set under the sanitizers too.
KERNELS := $(patsubst %.c,$(B)/%.o,$(wildcard nn/kern_*.c))
$(KERNELS): OPT := -O3
ifneq ($(filter x86_64% amd64%,$(MACHINE)),)
$(B)/nn/kern_avx2.o: EXTRA := -mavx2 -mfma -mf16c
$(B)/nn/kern_avx512.o: EXTRA := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mfma -mf16c -mprefer-vector-width=512
$(B)/nn/sha256_x86.o: EXTRA := -msha -msse4.1
endif
$(B)/nn/sha256_x86.o $(B)/nn/dtype.o: OPT := -O3
$(B)/nn/par.o $(B)/nn/par_posix.o: EXTRA := $(PARFLAG)
$(B)/guard/ask/http_curl.o $(B)/guard/ask/http_curl_load.o: EXTRA := -D_POSIX_C_SOURCE=200809L
$(B)/tests/%.o: EXTRA := -D_POSIX_C_SOURCE=200809L $(LUA_CFLAGS)
$(B)/guard/lua/%.o: EXTRA := $(LUA_CFLAGS)
$(B)/guard/main.o $(B)/guard/cmd_%.o: EXTRA := $(LUA_CFLAGS)

# --- what is built from what ---------------------------------------------------------------------
obj      = $(patsubst %.c,$(B)/%.o,$(1))
CLI_SRC := $(wildcard guard/main.c guard/cmd_*.c)
LIB_OBJ := $(call obj,$(wildcard nn/*.c) $(filter-out $(CLI_SRC),$(wildcard guard/*.c)))
NO_HTTP := $(addprefix guard/ask/http_,$(if $(filter 1,$(CURL)),none.c,curl.c curl_load.c))
LUA_OBJ := $(call obj,$(wildcard guard/lua/*.c) $(filter-out $(NO_HTTP),$(wildcard guard/ask/*.c)))
CLI_OBJ := $(call obj,$(CLI_SRC))
CHECK_OBJ := $(call obj,$(filter-out tests/check_data.c,$(wildcard tests/check_*.c)))
FUZZ_OBJ := $(call obj,$(filter-out tests/fuzz_main.c,$(wildcard tests/fuzz.c tests/fuzz_*.c)))
TEST_OBJ := $(call obj,$(wildcard tests/test_*.c tests/strict_*.c tests/stub_*.c tests/support.c)) $(CHECK_OBJ) $(FUZZ_OBJ)
BENCHES := $(patsubst bench/%.c,$(B)/%,$(wildcard bench/bench_*.c))
LIB     := $(B)/libparapet.a
SCRIPT  := $(B)/libscript.a
CLI     := $(if $(wildcard guard/main.c),$(B)/parapet)
PUBLIC  := guard/parapet.h guard/taxonomy.h nn/err.h
ALL_OBJ := $(LIB_OBJ) $(LUA_OBJ) $(CLI_OBJ) $(TEST_OBJ) $(B)/tests/check_data.o $(B)/tests/fuzz_main.o

# The part that goes on a machine without Lua, jansson, zlib, files or threads: classify from memory.
EMBEDDED := $(wildcard nn/kern_*.c nn/op_*.c nn/unicode*.c) \
            $(patsubst %,nn/%.c,err arena cursor rng sha256 sha256_x86 mathf par exec dtype fmt_gguf fmt_gguf_get \
              tok tok_encode tok_pre tok_text tok_spm tok_unigram tok_trie tok_norm tok_vocab tok_build tok_clone \
              tok_spelled tok_gguf_own lora model model_body model_pack model_i8 model_stored model_round quantize \
              model_state config_keys) \
            $(patsubst %,guard/%.c,classify format windows window_batch check gguard gguard_get gguard_keys \
              gguard_model gguard_tok wide ngram text) \
            tests/embedded_driver.c

.PHONY: all objects demo deps deps-check test fuzz fuzz-seeds check-data identity ship manifest lint bench bench-peers embedded install uninstall clean help
.DELETE_ON_ERROR:
.SECONDARY:

all: $(LIB) $(CLI) ## library and command line; build/parapet is a link to the last default build
ifeq ($(origin B)-$(mode)-$(CLI),file-release-$(B)/parapet)
	@ln -sfn $(patsubst build/%,%,$(CLI)) build/parapet
endif

$(B)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(BASE) $(OPT) $(EXTRA) $(CFLAGS) -c $< -o $@

$(LIB): $(LIB_OBJ)
$(SCRIPT): $(LUA_OBJ)
$(LIB) $(SCRIPT):
	@rm -f $@
	ar rcs $@ $^

$(B)/parapet: $(CLI_OBJ) $(SCRIPT) $(LIB)
	$(CC) $(SANFLAGS) $(LDFLAGS) $^ $(LIBS) -o $@

$(B)/test_all: $(TEST_OBJ) $(SCRIPT) $(LIB)
	$(CC) $(SANFLAGS) $(LDFLAGS) $^ -lcriterion $(LIBS) -o $@

$(B)/check_data: $(B)/tests/check_data.o $(CHECK_OBJ) $(LIB)
	$(CC) $(SANFLAGS) $(LDFLAGS) $^ $(LIBS) -o $@

$(B)/fuzz: $(B)/tests/fuzz_main.o $(FUZZ_OBJ) $(SCRIPT) $(LIB)
	$(CC) $(SANFLAGS) -fsanitize=fuzzer $(LDFLAGS) $^ $(LIBS) -o $@

# What the benchmark programs share stands in an archive, so that each takes what it uses; oneDNN is linked where its header is.
BENCH_LIB := $(B)/libbench.a
DNNL = $(shell printf '\043include <oneapi/dnnl/dnnl.h>\n' | $(CC) -E -x c - >/dev/null 2>&1 && echo -ldnnl)
$(BENCH_LIB): $(call obj,$(filter-out bench/bench_%,$(wildcard bench/*.c)))
	@rm -f $@
	ar rcs $@ $^
$(B)/bench/bench.o: EXTRA := -DBENCH_FLAGS='"$(OPT), kernels -O3, $(FP) $(CFLAGS)"'
$(B)/bench/peak.o: OPT := -O3

$(B)/bench_start: | $(CLI) # runs it
$(B)/bench_%: $(B)/bench/bench_%.o $(BENCH_LIB) $(LIB)
	$(CC) $(SANFLAGS) $(LDFLAGS) $^ -Wl,--as-needed $(DNNL) -ldl $(LIBS) -o $@

objects: $(ALL_OBJ)

-include $(ALL_OBJ:.o=.d) $(wildcard $(B)/bench/*.d)

# --- packages ------------------------------------------------------------------------------------
DEPS       := build-essential clang libcriterion-dev liblua5.4-dev libjansson-dev zlib1g-dev libcurl4-openssl-dev
DEPS_CHECK := libutf8proc-dev cppcheck lua-check qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross \
              gcc-s390x-linux-gnu libc6-dev-s390x-cross gcc-riscv64-linux-gnu libc6-dev-riscv64-cross
SUDO        = $$([ "$$(id -u)" = 0 ] || echo sudo)
APT         = $(SUDO) apt-get -qq update && \
              $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends
HEADERS    := criterion/criterion.h lua.h jansson.h zlib.h $(if $(filter 0,$(WANT_CURL)),,curl/curl.h)

deps: ## install what the build and the tests lack (apt-get, no prompts)
	@mkdir -p $(B)
	@if { for h in $(HEADERS); do echo "#include <$$h>"; done; echo "int main(void) { return 0; }"; } | \
	    $(CC) $(LUA_CFLAGS) -x c - -lcriterion $(LIBS) -o $(B)/deps_probe 2>/dev/null; then :; \
	elif command -v apt-get >/dev/null; then $(APT) $(DEPS); \
	else echo "Please install (Debian names): $(DEPS)" >&2; exit 1; fi

deps-check: deps ## the same for what lint and the cross-machine tests use
	@if command -v apt-get >/dev/null; then $(APT) $(DEPS_CHECK); \
	else echo "Please install (Debian names): $(DEPS_CHECK)" >&2; exit 1; fi

# --- running -------------------------------------------------------------------------------------
demo: deps ## build, then run scripts/quickstart.lua into runs/quickstart (resumes; FRESH=1 starts over)
	@$(MAKE) --no-print-directory -j$(JOBS) all
	@$(if $(FRESH),rm -rf runs/quickstart)
	$(B)/parapet run scripts/quickstart.lua --out runs/quickstart $$([ ! -d runs/quickstart ] || echo --resume)

test: deps ## build and run every test; T='suite*' chooses
	@$(MAKE) --no-print-directory -j$(JOBS) all $(B)/test_all
	@sh tests/run.sh $(B) '$(T)'

# clang's libFuzzer over tests/fuzz_*.c (tests/fuzz.h). An input that breaks something is kept in tests/corpus/NAME once it is
# minimised (-minimize_crash=1) and the code mended.
SECONDS  ?= 60
FUZZ_B   := $(if $(filter file,$(origin B)),build/fuzz,$(B))
FUZZ_CC  := -fsanitize=fuzzer-no-link,float-cast-overflow -fno-sanitize-recover=all
fuzz: ## fuzz every format that is read, SECONDS=60 each (T='gguf csv' chooses; needs clang)
	@$(MAKE) --no-print-directory -j$(JOBS) CC=clang SAN=1 B=$(FUZZ_B) CFLAGS='$(FUZZ_CC)' $(FUZZ_B)/fuzz
	@sh tests/fuzz.sh $(FUZZ_B) $(SECONDS) $(or $(T),$(sort $(notdir $(wildcard tests/corpus/*))))

fuzz-seeds: $(LIB) ## write the seeds in tests/corpus again
	python3 tests/gen/fuzz_seeds.py tests/corpus
	$(CC) -std=c99 $(SANFLAGS) -I. tests/gen/guard_seeds.c $(LIB) $(LIBS) -o $(B)/guard_seeds
	$(B)/guard_seeds tests/corpus/guard

check-data: deps ## schema, near-duplicates, baselines, copied sentences of data/; COMPLETE=1: the corpus' plan is filled too
	@$(MAKE) --no-print-directory $(B)/check_data
	@$(B)/check_data $(if $(COMPLETE),--complete) $(if $(wildcard data/corpus),--corpus data/corpus) \
	    --dev "$${PARAPET_SHARED:-../shared}/data/dev" data/seeds.jsonl README.md docs/*.md tests/*.c tests/*.h
	@awk -F'\t' 'NR > 1 {print $$5 "  " $$1}' data/manifest.tsv | sha256sum --quiet -c -

# The whole quickstart, four times: two compilers, one and two threads. One hash, or it fails.
identity: deps ## full size: the same reproducible half with gcc and clang, 1 and 2 threads
	@for cc in gcc clang; do $(MAKE) --no-print-directory -j$(JOBS) CC=$$cc B=build/$$cc-release all; done
	@rm -rf build/identity; for cc in gcc clang; do for t in 1 2; do \
	    build/$$cc-release/parapet run scripts/quickstart.lua --threads $$t --quiet --out build/identity/$$cc-$$t >/dev/null || exit; \
	    echo "$$(build/$$cc-release/parapet audit --identity build/identity/$$cc-$$t) $$cc, $$t threads"; done; done | tee build/identity.txt
	@[ "$$(wc -l <build/identity.txt)" = 4 ] && [ "$$(cut -d' ' -f1 build/identity.txt | sort -u | wc -l)" = 1 ]

ship: deps ## train the guard that `parapet check` uses, on all texts of data/
	@$(MAKE) --no-print-directory -j$(JOBS) all
	@rm -rf runs/guard
	$(B)/parapet run scripts/guard.lua --out runs/guard
	cp runs/guard/guard.gguf data/guard.gguf
	@$(MAKE) --no-print-directory manifest

manifest: ## source, licence, bytes and hash of every file in data/
	@for f in data/seeds.jsonl data/lexicon/concepts.jsonl data/guard.gguf data/lexicon/acts.jsonl data/lexicon/ordinary.jsonl data/lexicon/languages/*.jsonl data/corpus/*.jsonl; do printf '%s\t%s\t%s\t%s\t%s\n' \
	    $$f "$$(case $$f in *.gguf) echo 'scripts/guard.lua on the other files of data/';; *) echo 'written for this project';; esac)" CC-BY-4.0 \
	    $$(wc -c <$$f) $$(sha256sum $$f | cut -d' ' -f1); done | { printf 'file\tsource\tlicence\tbytes\tsha256\n'; cat; } >data/manifest.tsv

lint: ## warnings as errors in both compilers, cppcheck, luacheck, no libm function that rounds
	@$(MAKE) --no-print-directory -j$(JOBS) CC=gcc B=build/lint-gcc WERROR=-Werror objects build/lint-gcc/libparapet.a
	@$(MAKE) --no-print-directory -j$(JOBS) CC=clang B=build/lint-clang WERROR=-Werror objects
	cppcheck -q --std=c99 --enable=warning,portability --inline-suppr --error-exitcode=1 -I. nn guard
	@set -- $$(find scripts tests/lua -name '*.lua'); [ $$# = 0 ] || luacheck -q --std lua54 --no-max-line-length --no-unused-args --read-globals parapet nn help -- "$$@"
	@! nm -u build/lint-gcc/libparapet.a | awk '{print $$2}' | sort -u | grep -xE \
	  '(exp|exp2|exp10|expm1|log|log2|log10|log1p|pow|a?(sin|cos|tan)h?|sincos|atan2|cbrt|hypot|erfc?|[tl]gamma)[fl]?'

# One and two threads, results appended to bench/results.csv. T='gemm i8' chooses subjects, QUICK=1 takes fewer cases,
# CSV= writes no file.
CSV ?= bench/results.csv
bench: $(if $(T),$(patsubst %,$(B)/bench_%,$(T)),$(BENCHES)) ## ours beside the peers (T=subject, QUICK=1, CSV=file)
	@set -e; for b in $^; do \
	    case $$b in *_par | *_start) n=2 ;; *) n='1 2' ;; esac; \
	    for t in $$n; do $$b --threads $$t $(if $(QUICK),--quick) $(if $(CSV),--csv $(CSV)); done; done

BENCH_PEERS := libopenblas-dev libopenblas0-openmp libblis-openmp-dev libdnnl-dev python3-torch
bench-peers: ## install the programs that make bench compares with
	@if command -v apt-get >/dev/null; then $(APT) $(BENCH_PEERS); \
	else echo "Please install (Debian names): $(BENCH_PEERS)" >&2; exit 1; fi

embedded: ## the inference part alone: plain cc -std=c99 and libm
	@mkdir -p $(B)
	$(CC) -std=c99 -O2 $(FP) -I. $(EMBEDDED) -lm -o $(B)/embedded

install: all ## copy into DESTDIR/PREFIX; users compile with -I PREFIX/include/parapet
	install -d $(addprefix $(DESTDIR)$(PREFIX)/,bin lib include/parapet share/parapet)
	$(if $(CLI),install -m 755 $(CLI) $(DESTDIR)$(PREFIX)/bin/)
	install -m 644 $(LIB) $(DESTDIR)$(PREFIX)/lib/
	cp --parents $(PUBLIC) $(DESTDIR)$(PREFIX)/include/parapet/
	$(if $(wildcard data/guard.gguf),install -m 644 data/guard.gguf $(DESTDIR)$(PREFIX)/share/parapet/)

uninstall: ## remove what install copied
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/,bin/parapet lib/libparapet.a)
	rm -rf $(addprefix $(DESTDIR)$(PREFIX)/,include/parapet share/parapet)

clean: ## remove build/
	rm -rf build

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile
