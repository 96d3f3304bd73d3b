/* Rules of the sockets: see rules.h. Runs in the supervisor and decides by what it is given alone. */

#include "supervisor/sockets/rules.h"

#include <sys/socket.h>

bool rules_are_single(const struct socket_rules *rules) {
        return rules->fleet->surge_max == 0 && rules->fleet->replicas <= 1;
}

const char *rules_why_shared(
        const struct socket_rules *rules, const struct socket_address *address, bool is_shared) {
        if (socket_address_is_unix(address))
                return "it is a unix socket";
        if (address->type != SOCK_STREAM)
                return "it is no stream";
        if (is_shared)
                return "the configuration says so";
        if (rules->fleet->is_signalled)
                return "instances live on with other secrets";
        return NULL;
}

bool rules_may_steer_adopted(const struct socket_rules *rules) {
        return rules->adopt_count > 0 && rules->is_adopting && !rules->fleet->is_signalled;
}

int rules_match(const struct socket_rules *rules, const struct socket_address *address) {
        bool is_internet = address->generic.sa_family == AF_INET || address->generic.sa_family == AF_INET6;

        for (size_t i = 0; i < rules->adopt_count; i++) {
                const struct socket_address *rule = &rules->adopts[i];

                if (rule->is_any && is_internet && address->type == SOCK_STREAM &&
                        socket_address_port(rule) == socket_address_port(address))
                        return (int)i;
                if (!rule->is_any && socket_address_equal(rule, address))
                        return (int)i;
        }
        return -1;
}
