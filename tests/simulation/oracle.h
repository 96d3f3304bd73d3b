#pragma once

/* What the files of the judge share: its books, and the way it objects. */

#include "tests/simulation/world.h"

#define KILL_REPEAT_NS (10 * NS_PER_S)

#define REQUIRE(condition, ...)                                                                              \
        do {                                                                                                 \
                if (!(condition))                                                                            \
                        return oracle_object(world, __VA_ARGS__);                                            \
        } while (0)

typedef unsigned long long number;

/* ---- books.c ---- */
uint32_t open_slots(const struct world *world);
bool is_serving(const struct sim_instance *instance);
uint32_t count_live(const struct world *world);

/* Instances that have ended, but not what they left behind. */
/* Live, or clearing; killed ones count when told so. */
bool is_older_left(const struct world *world, uint64_t generation, bool counts_killed);
uint32_t count_clearing(const struct world *world);
uint32_t count_serving(const struct world *world, uint64_t generation, bool is_any);
bool is_rejected(const struct world *world, uint32_t content);
void forgive(struct world *world, uint32_t content);
void reject(struct world *world, uint32_t content);
/* The fleet said that it is on its way to this generation now. */
void aim(struct world *world, uint64_t generation);

/* ---- orders.c ---- */
/* Ready, and neither told to stop in this step nor waiting for its queue to be empty. */
bool takes_connections(const struct world *world, const struct sim_instance *one);

/* Who takes connections there and is of that generation; NULL: nobody. */
const struct sim_instance *seat_taker(
        const struct world *world, uint64_t generation, uint32_t slot, bool *out_is_alone);
bool is_anybody_there(const struct world *world);
/* One of the actions of this step, and it goes into the books. */
bool judge_action(struct world *world, const struct fleet_event *event, const struct fleet_actions *actions,
        const struct fleet_action *action);

/* ---- reports.c ---- */
/* Every slot that is still open has the generation, proved; of others nothing is left but what was killed. */
bool judge_everywhere(struct world *world, uint64_t generation);
bool judge_report(struct world *world, const struct fleet_event *event, const struct fleet_action *action);
