# Fuzzing with libFuzzer: one program per parser of foreign bytes, tests/fuzz/fuzz_NAME.c with LLVMFuzzerTestOneInput.
#
#   make fuzz         every target in turn, for ever, until one fails (ctrl-C ends it)
#   make fuzz-short   all targets together in about TACET_FUZZ_SECONDS (35) of wall clock, TAP lines, for `make check`
#
# A new target is a new file; seeds go into tests/fuzz/corpus/NAME/, a dictionary into tests/fuzz/NAME.dict. What a
# run learns is kept in build/fuzz/corpus/NAME. A crash is written to build/fuzz/crash/ and named on the output.

FUZZ_CC      ?= clang
FUZZ_NAMES   := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_SOURCES := $(filter lib/%.c conf/%.c secrets/%.c supervisor/core/%.c supervisor/control/request.c supervisor/health/http_status.c \
                  supervisor/notify/message.c,$(SOURCES))
FUZZ_OBJECTS := $(FUZZ_SOURCES:%.c=build/fuzz/obj/%.o)
FUZZ_CFLAGS  := -std=gnu17 -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all $(WARN)

.PHONY: fuzz fuzz-short fuzz-programs

build/fuzz/obj/%.o: %.c
	$(say) FUZZ $<
	mkdir -p $(@D)
	$(FUZZ_CC) $(CPPFLAGS) $(FUZZ_CFLAGS) -fsanitize=fuzzer-no-link -MMD -MP -c -o $@ $<

build/fuzz/fuzz_%: tests/fuzz/fuzz_%.c $(FUZZ_OBJECTS)
	$(say) FUZZ $@
	mkdir -p $(@D)
	$(FUZZ_CC) $(CPPFLAGS) $(FUZZ_CFLAGS) -fsanitize=fuzzer -Wno-missing-prototypes -MMD -MP -o $@ $< $(FUZZ_OBJECTS) $(LIBS)

fuzz-programs: $(FUZZ_NAMES:%=build/fuzz/fuzz_%)

fuzz: fuzz-programs
	tests/fuzz/run --endless $(FUZZ_NAMES)

fuzz-short: fuzz-programs
	tests/fuzz/run --seconds $${TACET_FUZZ_SECONDS:-35} $(FUZZ_NAMES)

-include $(FUZZ_OBJECTS:.o=.d) $(FUZZ_NAMES:%=build/fuzz/fuzz_%.d)
