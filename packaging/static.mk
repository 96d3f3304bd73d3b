# build/tacet-static: one file without a single library, for `FROM scratch` images and fast starts.
# musl-gcc's own -static-pie silently makes a dynamic program, so the start files and link flags are given by hand.
# Headers of the four libraries are reached through a folder of links: /usr/include itself would mix in glibc's.

ARCH      := $(shell $(CC) -dumpmachine 2>/dev/null)
MUSL_CRT  := $(firstword $(wildcard /usr/lib/$(subst -linux-gnu,-linux-musl,$(ARCH)) /usr/lib/musl/lib))
GLIBC_LIB := /usr/lib/$(ARCH)
HEADERS   := sodium sodium.h seccomp.h seccomp-syscalls.h ini.h jansson.h jansson_config.h linux asm-generic
STATIC_ARCHIVES := $(foreach name,sodium seccomp cap inih jansson,$(GLIBC_LIB)/lib$(name).a)
STATIC_SOURCES  := $(SOURCES) $(wildcard lib/musl/*.c)
STATIC_OBJECTS  := $(STATIC_SOURCES:%.c=$(STATIC)/obj/%.o)
STATIC_CFLAGS   := -std=gnu17 -O2 -g $(filter-out -Wpedantic,$(WARN)) $(HARD) $(foreach flag,$(GCC_WARN) $(HARD_PROBED),$(call cc-option,$(flag))) \
                   -ffunction-sections -fdata-sections -idirafter $(STATIC)/include

static: build/tacet-static

$(STATIC)/include/.done:
	mkdir -p $(STATIC)/include/sys
	for name in $(HEADERS); do ln -sfn /usr/include/$$name $(STATIC)/include/$$name; done
	ln -sfn /usr/include/sys/capability.h $(STATIC)/include/sys/capability.h
	ln -sfn /usr/include/$(ARCH)/asm $(STATIC)/include/asm
	touch $@

$(STATIC)/obj/%.o: %.c $(STATIC)/include/.done
	$(say) MUSL $<
	mkdir -p $(@D)
	$(MUSL_CC) $(CPPFLAGS) $(STATIC_CFLAGS) -MMD -MP -c -o $@ $<

build/tacet-static: $(STATIC_OBJECTS)
	$(say) LINK $@
	$(MUSL_CC) -nostartfiles -o $@.debug -Wl,-static,-pie,--no-dynamic-linker,-z,text,-z,relro,-z,now,-z,noexecstack,--gc-sections \
		$(MUSL_CRT)/rcrt1.o $(MUSL_CRT)/crti.o $(STATIC_OBJECTS) $(STATIC_ARCHIVES) $(MUSL_CRT)/crtn.o
	strip -o $@ $@.debug

-include $(STATIC_OBJECTS:.o=.d)
