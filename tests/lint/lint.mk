# Lints. `make lint-quick` takes seconds and is part of `make check`: every executable of tests/lint. `make lint` adds the
# analysers; each must have nothing to say. What they found clean is remembered per file, so a second run is fast.

LINT         := build/lint
LINT_QUICK   := tests/lint/sources tests/lint/purity tests/lint/circles tests/lint/manual
LINT_CODE    := $(SOURCES) $(wildcard lib/musl/*.c)
LINT_TESTS   := $(UNITS:%=tests/unit/%.c) $(wildcard tests/lint/*.c tests/fuzz/*.c tests/simulation/*.c tests/tools/*.c tests/tools/*/*.c bench/*.c)
LINT_TEXT    := $(LINT_CODE) $(LINT_TESTS) $(wildcard $(FOLDERS:%=%/*.h)) $(shell find tests -name '*.h')
LINT_CFLAGS   = -std=gnu17 $(CPPFLAGS) $(shell $(PKG_CONFIG) --cflags $(PACKAGES))
LINT_SCRIPTS  = $(shell grep -rlE '^\#!/bin/(ba)?sh' --include='*' packaging tests bench .ci 2>/dev/null)

.PHONY: lint-quick lint-analyzer lint-tidy lint-cppcheck lint-format lint-shell

lint-quick:
	for lint in $(LINT_QUICK); do $$lint || exit 1; done

lint:
	packaging/install-dependencies --lint
	$(MAKE) lint-quick lint-format lint-shell lint-cppcheck
	$(MAKE) $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc)) lint-analyzer lint-tidy
	@echo 'lint: nothing to say'

# The table of the configuration, for tests/lint/manual.
$(LINT)/schema_dump: tests/lint/schema_dump.c $(LIBRARY)
	$(say) CC $<
	mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -o $@ $< $(OUT)/obj/conf/schema.o $(OUT)/obj/lib/bytes.o

# gcc's analyzer, on its own objects: it is too slow for every build, and blind with -O0.
$(LINT)/analyzer/%.o: %.c
	$(say) ANALYZE $<
	mkdir -p $(@D)
	gcc $(LINT_CFLAGS) -O1 -Werror -fanalyzer -MMD -MP -c -o $@ $<
lint-analyzer: $(LINT_CODE:%.c=$(LINT)/analyzer/%.o)

$(LINT)/tidy/%.done: %.c .clang-tidy
	$(say) TIDY $<
	mkdir -p $(@D)
	clang-tidy --quiet --warnings-as-errors='*' $< -- $(LINT_CFLAGS) 2>/dev/null
	gcc $(LINT_CFLAGS) -MM -MP -MT $@ -MF $(@:.done=.d) $<
	touch $@
lint-tidy: $(SOURCES:%.c=$(LINT)/tidy/%.done)

lint-cppcheck:
	$(say) CPPCHECK 'all sources'
	mkdir -p $(LINT)/cppcheck
	cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
		--suppressions-list=tests/lint/cppcheck.txt --cppcheck-build-dir=$(LINT)/cppcheck \
		-I. -D_GNU_SOURCE -DTACET_VERSION='"0"' $(SOURCES)

lint-format:
	$(say) FORMAT 'all sources'
	clang-format --dry-run --Werror $(LINT_TEXT)

lint-shell:
	$(say) SHELL '$(LINT_SCRIPTS)'
	shellcheck $(LINT_SCRIPTS)

-include $(LINT_CODE:%.c=$(LINT)/analyzer/%.d) $(SOURCES:%.c=$(LINT)/tidy/%.d)
