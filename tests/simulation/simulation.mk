# The simulator of supervisor/core, and the sabotage that it has to notice.
#
#   make simulate SEEDS=n FROM=seed      make mutants

SEEDS      ?= 20000
FROM       ?= 1
SIMULATION := $(wildcard tests/simulation/*.c)
CORE       := $(patsubst %.c,$(OUT)/obj/%.o,$(wildcard supervisor/core/*.c) lib/bytes.c)

.PHONY: simulate simulation mutants
simulation: $(OUT)/tests/simulation/fleet

$(OUT)/tests/simulation/fleet: $(SIMULATION) $(wildcard tests/simulation/*.h) $(CORE)
	$(say) CC $@
	mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -UNDEBUG $(LDFLAGS) $(LINK) -o $@ $(SIMULATION) $(CORE)

simulate: simulation
	$(OUT)/tests/simulation/fleet $(SEEDS) $(FROM)

mutants:
	tests/simulation/mutants
	tests/unit/mutants
