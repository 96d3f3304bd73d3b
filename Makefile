# tacet: build, test, install. Everything lands in build/; see docs/DEVELOPING.md.
#
#   make            build/tacet (dynamic)            make static     build/tacet-static (musl, static-pie, no libraries needed)
#   make check      install what is missing, build, run every test; last line: N passed, N failed
#   make demo       install what is missing, build, show a rotation       make bench | lint | fuzz | install | uninstall | clean
#   make dependencies   install (as root) what building needs
#
# Variables: CC, PREFIX, DESTDIR, SANITIZE=1 (ASan+UBSan, in build/sanitize), V=1 (show commands).

CC         ?= gcc
PREFIX     ?= /usr/local
MANDIR     ?= $(PREFIX)/share/man
SANITIZE   ?=
V          ?=
ifeq ($(origin CC),default)
CC         := gcc
endif
PKG_CONFIG ?= pkg-config
PYTHON     ?= /usr/bin/python3
MUSL_CC    ?= musl-gcc
VERSION    := 0.1.0

FOLDERS  := $(shell sed -n 's/^[0-9][0-9]*  *\([^ ]*\).*/\1/p' floors)
SOURCES  := $(foreach folder,$(FOLDERS),$(wildcard $(folder)/*.c))
UNITS    := $(patsubst tests/unit/%.c,%,$(sort $(shell find tests/unit -name 'test_*.c')))
PACKAGES := libsodium libseccomp libcap inih jansson

OUT := build
ifeq ($(SANITIZE),1)
OUT := build/sanitize
endif
ifneq ($(findstring clang,$(CC)),)
OUT := $(OUT)/clang
endif

# ---- flags: probed, never assumed -------------------------------------------------------------------------------------
cc-option = $(shell $(CC) -Werror $(1) -x c -c /dev/null -o /dev/null 2>/dev/null && echo $(1))

WARN := -Werror -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wformat=2 -Wvla -Walloca -Wundef \
        -Wpointer-arith -Wcast-qual -Wwrite-strings -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
        -Wnull-dereference -Wimplicit-fallthrough -Wframe-larger-than=16384
GCC_WARN := -Wduplicated-cond -Wduplicated-branches -Wlogical-op -Wjump-misses-init -Warray-bounds=2
HARD := -fstack-protector-strong -fstack-clash-protection -fno-strict-overflow -fno-delete-null-pointer-checks -fPIE
HARD_PROBED := -fcf-protection=full -mbranch-protection=standard -ftrivial-auto-var-init=zero -fzero-call-used-regs=used-gpr

PROBED := $(foreach flag,$(GCC_WARN) $(HARD_PROBED),$(call cc-option,$(flag)))
ifeq ($(SANITIZE),1)
MODE := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -DTACET_SANITIZE=1
else
MODE := -O2 -g -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
endif
CPPFLAGS += -I. -I$(OUT)/gen -D_GNU_SOURCE -DTACET_VERSION='"$(VERSION)"'
ALL_CFLAGS = -std=gnu17 $(MODE) $(WARN) $(HARD) $(PROBED) $(shell $(PKG_CONFIG) --cflags $(PACKAGES)) $(CFLAGS)
LINK = -pie -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code,--as-needed
LIBS = $(shell $(PKG_CONFIG) --libs $(PACKAGES))

ifeq ($(V),1)
say = @:
else
say = @printf '  %-7s %s\n'
.SILENT:
endif

OBJECTS   := $(SOURCES:%.c=$(OUT)/obj/%.o)
PROGRAM   := $(OUT)/obj/cli/main.o
LIBRARY   := $(filter-out $(PROGRAM),$(OBJECTS))

.PHONY: all static check check-real servers demo bench lint fuzz install uninstall clean dependencies unit unit-programs valgrind tools equipped \
        print-objects
all: $(OUT)/tacet

# Said once and first, not as the missing header of the first file.
equipped:
	command -v $(firstword $(CC)) >/dev/null && $(PKG_CONFIG) --exists --print-errors $(PACKAGES) || \
	{ echo "make: something that building needs is missing: 'make dependencies' (as root) installs it" >&2; exit 1; }

$(OBJECTS) build/static/include/.done: | equipped

$(OUT)/tacet: $(OBJECTS)
	$(say) LINK $@
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) $(LINK) -o $@ $(OBJECTS) $(LIBS)

$(OUT)/obj/%.o: %.c
	$(say) CC $<
	mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# The seccomp filters are written at build time by programs that use libseccomp: the loader's, and the one that reports bind.
FILTER := $(OUT)/gen/secrets/filter.h
ADOPT_FILTER := $(OUT)/gen/shim/adopt_filter.h
$(FILTER): secrets/filter/make_filter.c
$(ADOPT_FILTER): shim/filter/make_adopt.c
$(FILTER) $(ADOPT_FILTER):
	$(say) GEN $@
	mkdir -p $(@D)
	$(CC) -std=gnu17 -O1 -Werror -Wall -D_GNU_SOURCE $(if $(SANITIZE),-DTACET_SANITIZE=1) -o $(@:.h=) $< -lseccomp
	$(@:.h=) >$@.new && mv $@.new $@

$(OUT)/obj/secrets/confine.o build/static/obj/secrets/confine.o build/fuzz/obj/secrets/confine.o: $(FILTER)
build/lint/analyzer/secrets/confine.o build/lint/tidy/secrets/confine.done: $(FILTER)
$(OUT)/obj/shim/adopt.o build/static/obj/shim/adopt.o build/fuzz/obj/shim/adopt.o: $(ADOPT_FILTER)
build/lint/analyzer/shim/adopt.o build/lint/tidy/shim/adopt.done: $(ADOPT_FILTER)

# ---- static: musl, position independent, with Debian's archives of the libraries ------------------------------------------
STATIC  := build/static
include packaging/static.mk

# ---- tests ------------------------------------------------------------------------------------------------------------
# A test in tests/unit/ROOM is linked with that folder's objects and with those of the folders that it sees, and with nothing else:
# a room that works like this knows nobody above it, not even through a pointer. A test in tests/unit itself has everything.
folders_seen = $(shell awk -v own=$(1) '/^[0-9]/ { floor[$$2] = $$1; folders[++count] = $$2; \
	if ($$2 == own) { sees_all = NF == 2; for (i = 4; i <= NF; i++) sees[$$i] } } \
	END { for (i = 1; i <= count; i++) { name = folders[i]; \
	if (name == own || own in floor && floor[name] < floor[own] && (sees_all || name in sees)) print name } }' floors)
objects_seen = $(filter-out $(PROGRAM),$(foreach folder,$(call folders_seen,$(1)),$(patsubst %.c,$(OUT)/obj/%.o,$(wildcard $(folder)/*.c))))
ROOMS := $(sort $(patsubst %/,%,$(filter-out ./,$(dir $(UNITS)))))
ifneq ($(filter-out $(FOLDERS),$(ROOMS)),)
$(error tests/unit has a folder that the file floors does not name: $(filter-out $(FOLDERS),$(ROOMS)))
endif

LINK_TEST = $(CC) $(CPPFLAGS) $(ALL_CFLAGS) -Wno-missing-prototypes -UNDEBUG -MMD -MP $(LDFLAGS) $(LINK) -o $@ $< \
	$(filter %.o,$^) $(LIBS) -lcmocka
define test_rule
$(1:%=$(OUT)/tests/%): $(OUT)/tests/%: tests/unit/%.c $(2) floors
	$$(say) CC $$<
	mkdir -p $$(@D)
	$$(LINK_TEST)
endef
FLAT_UNITS := $(filter-out $(ROOMS:%=%/test_%),$(UNITS))
$(if $(FLAT_UNITS),$(eval $(call test_rule,$(FLAT_UNITS),$(LIBRARY))))
$(foreach room,$(ROOMS),$(eval $(call test_rule,$(filter $(room)/test_%,$(UNITS)),$(call objects_seen,$(room)))))

# What a test of ROOM is linked with, for tests/unit/mutants.
print-objects:
	@echo $(if $(ROOM),$(call objects_seen,$(ROOM)),$(LIBRARY))

unit-programs: $(UNITS:%=$(OUT)/tests/%)

unit: unit-programs
	for test in $(UNITS); do $(OUT)/tests/$$test || exit 1; done

# The unit tests under valgrind (dynamic build). It knows neither landlock nor seccomp, and the loader and the child that probes refuse to
# work unconfined; it is not executed anew as /proc/self/exe, which the apps of the launch tests are, and ends too late for the tests that
# time processes. Those programs are left to the
# sanitizers. An end-to-end test does the same for a supervisor's life.
VALGRIND := valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite
UNCONFINED := $(foreach name,test_confine test_load test_load_identities test_load_keys test_load_process test_trial test_generations test_health test_adopt test_adopt_answers test_adopt_unlink test_launch_ahead test_launch_spawn test_launch_stop test_children test_tree test_tree_cgroup,$(name) %/$(name))
valgrind: unit-programs
	failed=; for test in $(filter-out $(UNCONFINED),$(UNITS)); do $(VALGRIND) $(OUT)/tests/$$test || failed="$$failed $$test"; done; \
		[ -z "$$failed" ] || { echo "valgrind: failed:$$failed" >&2; exit 1; }

# Small probe programs that tests run under the supervisor: static, so that they also run in an empty root file system.
TOOLS := $(patsubst tests/tools/%.c,build/tests/tools/%,$(wildcard tests/tools/*.c))
build/tests/tools/%: tests/tools/%.c
	$(say) TOOL $<
	mkdir -p $(@D)
	$(MUSL_CC) -std=gnu17 -O2 -Wall -Wextra -Werror -D_GNU_SOURCE -static -s -o $@ $(filter %.c,$^)
build/tests/tools/load: $(wildcard tests/tools/load/*.[ch])

include tests/simulation/simulation.mk

tools: $(TOOLS)

dependencies:
	packaging/install-dependencies --build

check:
	packaging/install-dependencies --check
	-tests/vectors/fetch
	$(MAKE) all static tools
	tests/run

# What takes too long for every check, or needs more of the machine: the peers' own suites.
check-real:
	packaging/install-dependencies --real
	$(MAKE) all static tools
	tests/peers/run

# Every server of docs/SERVERS.md under load, in a root of its own (build/servers); writes the table there.
servers:
	packaging/install-dependencies --check
	$(MAKE) static tools
	tests/servers/tree
	tests/servers/run --write

include tests/fuzz/fuzz.mk

include tests/lint/lint.mk

bench:
	packaging/install-dependencies --bench
	$(MAKE) all static tools
	bench/run

demo:
	packaging/install-dependencies --demo
	$(MAKE) all build/tests/tools/load
	packaging/demo

# ---- installing -------------------------------------------------------------------------------------------------------
MANUALS := $(wildcard man/*.1 man/*.5)

# The program may be executed but not read by others: the kernel makes it undumpable at execve(2) then, before its first instruction
# (docs/SECURITY.md). It belongs to who installs, that is to root. Nothing of tacet reads it.
install: all
	install -D -m 0711 $(OUT)/tacet $(DESTDIR)$(PREFIX)/bin/tacet
	for page in $(MANUALS); do install -D -m 0644 $$page $(DESTDIR)$(MANDIR)/man$${page##*.}/$${page##*/} || exit 1; done
	for file in conf/examples/*.ini; do install -D -m 0644 $$file $(DESTDIR)$(PREFIX)/share/doc/tacet/examples/$${file##*/} || exit 1; done
	for file in systemd/examples/*; do install -D -m 0644 $$file $(DESTDIR)$(PREFIX)/share/doc/tacet/examples/systemd/$${file##*/} || exit 1; done
	install -D -m 0644 systemd/tacet@.service $(DESTDIR)$(PREFIX)/lib/systemd/system/tacet@.service
	install -D -m 0644 systemd/tacet.sysusers.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/tacet.conf
	install -D -m 0644 systemd/tacet.tmpfiles.conf $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/tacet.conf

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/lib/systemd/system/tacet@.service
	rm -f $(DESTDIR)$(PREFIX)/lib/sysusers.d/tacet.conf $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/tacet.conf
	rm -f $(DESTDIR)$(PREFIX)/bin/tacet
	for page in $(MANUALS); do rm -f $(DESTDIR)$(MANDIR)/man$${page##*.}/$${page##*/}; done
	rm -rf $(DESTDIR)$(PREFIX)/share/doc/tacet

clean:
	rm -rf build

-include $(OBJECTS:.o=.d) $(UNITS:%=$(OUT)/tests/%.d)
