/* The limits of a rotation as numbers.
 *
 * Pure; used by config_check() and by whoever makes the fleet's settings of a configuration. A share of the
 * replicas is rounded as Kubernetes rounds it: surge up, unavailable down, so that rounding never makes an
 * outage larger than what was written. Both may come to 0 that way, with which nothing could ever be
 * replaced: config_check() refuses it. */

#include "conf/config.h"

#define PERCENT_ALL 100

static uint32_t portion_of(const struct config_portion *portion, uint32_t whole, bool is_rounded_up) {
        if (!portion->is_percent)
                return portion->value;
        return (portion->value * whole + (is_rounded_up ? PERCENT_ALL - 1 : 0)) / PERCENT_ALL;
}

uint32_t config_surge_max(const struct config *config) {
        const struct config_rollout *rollout = &config->rollout;

        if (!rollout->max_surge.is_set)
                return rollout->strategy == CONFIG_STRATEGY_HANDOFF ? 1 : 0;
        return portion_of(&rollout->max_surge, (uint32_t)config->service.replicas, true);
}

uint32_t config_unavailable_max(const struct config *config) {
        const struct config_rollout *rollout = &config->rollout;

        if (!rollout->max_unavailable.is_set)
                return rollout->strategy == CONFIG_STRATEGY_HANDOFF ? 0 : 1;
        return portion_of(&rollout->max_unavailable, (uint32_t)config->service.replicas, false);
}
