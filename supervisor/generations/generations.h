#pragma once

/* Loads and generations: the loader's parent side.
 *
 * A generation is a descriptor of one sealed set of secrets, which is never mapped here. One load runs at a
 * time; what comes of it is told to the core. */

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
        bool is_early;   /* a loader runs that no FLEET_DO_LOAD has asked for yet */
        bool has_loaded; /* a load has succeeded: what only the first one may see has been wiped */
        uint64_t last;   /* number of the newest generation; 0: there was none yet */
        char load_error[GENERATIONS_ERROR_BYTES]; /* why the last load failed, once it has */
        struct generation list[FLEET_GENERATIONS_MAX];
};

/* Begin. `generations` is all zero; all is borrowed. `request` is changed by loads (captured_environment). */
void generations_open(struct generations *generations, struct loop *loop, struct facts *facts,
        struct children *children, struct load_request *request);

/* Start the loader of the first load before the core asks for it, so that it works while the supervisor sets
 * itself up. Not where a source is watched: no change may fall between what it has read and the beginning of
 * the watch. When it cannot be started nothing is said: generations_load() tries again. */
void generations_load_early(struct generations *generations);

/* FLEET_DO_LOAD: start the loader, or take the one that was started early; the answer is FLEET_LOADED or
 * FLEET_LOAD_FAILED with this number. */
void generations_load(struct generations *generations, uint32_t load);

/* FLEET_DO_CANCEL_LOAD: end the one that runs. Idempotent. */
void generations_cancel(struct generations *generations);

/* FLEET_DO_DROP: close it, whereupon the kernel clears its pages. */
void generations_drop(struct generations *generations, uint64_t number);

/* When that generation was asked for; now, when it is not the newest one (who goes back to another asks
 * now). */
int64_t generations_asked_ns(const struct generations *generations, uint64_t number);

/* The descriptors of all generations, for a process that shall hold none. Returns how many. */
size_t generations_descriptors(const struct generations *generations, int out[static FLEET_GENERATIONS_MAX]);

/* Its secrets, for the shim; NULL when there is none of that number. */
const struct bundle *generations_bundle(const struct generations *generations, uint64_t number);
