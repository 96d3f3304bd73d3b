#pragma once

/* The settings that decide which sockets there are and which generations share one: the addresses that
 * instances may bind, and whether their binds are answered. Filled in before the first start, then only
 * read. */

#include <stdbool.h>
#include <stddef.h>

#include "lib/socket_address.h"
#include "supervisor/core/fleet.h"

struct socket_rules {
        const struct fleet_settings *fleet;  /* borrowed */
        const struct socket_address *adopts; /* addresses that instances bind themselves; borrowed */
        size_t adopt_count;
        bool refuses_connects; /* until an app has bound an address it finds nobody there */
        bool is_adopting;      /* their binds are answered; false also where the kernel does not let us */
};

/* True when there is never more than one instance: then every connection reaches it, whatever the socket. */
bool rules_are_single(const struct socket_rules *rules);

/* Why one socket at that address has to do for all generations; NULL: it can have a group. `is_shared`: the
 * configuration says so. The text is static. */
const char *rules_why_shared(
        const struct socket_rules *rules, const struct socket_address *address, bool is_shared);

/* True when sockets that apps bind may be one for each generation. */
bool rules_may_steer_adopted(const struct socket_rules *rules);

/* Index of the rule that asks for this address, or -1; whether binds are answered or not. */
int rules_match(const struct socket_rules *rules, const struct socket_address *address);
