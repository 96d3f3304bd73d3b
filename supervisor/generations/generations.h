#pragma once

/* Loads and generations: the supervisor's side of the loader.
 *
 * A generation is a descriptor of one sealed set of secrets, which is never mapped here. One load runs at a
 * time; its result is a fact for the core. */

#include <stdbool.h>
#include <stdint.h>

#include "lib/loop.h"
#include "secrets/load.h"
#include "supervisor/core/facts.h"
#include "supervisor/process/children.h"

#define GENERATIONS_ERROR_BYTES 256

/* One sealed set of secrets. */
struct generation {
        bool is_used;
        uint64_t number;
        int64_t asked_ns; /* when its load began */
        struct bundle bundle;
};

struct generations {
        struct loop *loop;
        struct facts *facts;
        struct children *children;
        struct load_request *request; /* NULL: there are no secrets */
        struct load_process load;
        struct child loader;
        struct loop_source channel; /* fd -1: no loader runs */
        uint32_t load_number;
        int64_t load_began_ns;
        bool is_early;   /* a loader runs for which no FLEET_DO_LOAD has come yet */
        bool has_loaded; /* a load has succeeded, and secrets in the environment were wiped */
        uint64_t last;   /* number of the newest generation; 0: there was none yet */
        char load_error[GENERATIONS_ERROR_BYTES]; /* why the last load failed; empty: it did not */
        struct generation list[FLEET_GENERATIONS_MAX];
};

/* Call this first. `generations` is all zero; the rest is borrowed. Loads change `request`
 * (captured_environment). */
void generations_open(struct generations *generations, struct loop *loop, struct facts *facts,
        struct children *children, struct load_request *request);

/* Start the loader of the first load before the core asks for it, so that it works while the supervisor sets
 * itself up. Not where a source is watched: a change between its reading and the beginning of the watch would
 * be missed. A failure is not logged: generations_load() tries again. */
void generations_load_early(struct generations *generations);

/* FLEET_DO_LOAD: start the loader, or take the one that was started early; the answer is FLEET_LOADED or
 * FLEET_LOAD_FAILED with this number. */
void generations_load(struct generations *generations, uint32_t load);

/* FLEET_DO_CANCEL_LOAD: kill the loader that runs, if one does. */
void generations_cancel(struct generations *generations);

/* FLEET_DO_DROP: close the generation's secrets, whose pages the kernel clears then. */
void generations_drop(struct generations *generations, uint64_t number);

/* When the load of that generation began, monotonic. Now, when it is not the newest one: that is a way back,
 * which was asked for now. */
int64_t generations_asked_ns(const struct generations *generations, uint64_t number);

/* Write the descriptors of all generations to `out`, for a process that must close them. Returns how many. */
size_t generations_descriptors(const struct generations *generations, int out[static FLEET_GENERATIONS_MAX]);

/* The generation's secrets, for the shim; borrowed. NULL when there is none of that number. */
const struct bundle *generations_bundle(const struct generations *generations, uint64_t number);
