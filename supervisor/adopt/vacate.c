/* Addresses for servers that connect before they bind: see call.h. Runs in the supervisor.
 *
 * php-fpm, puma, lighttpd and others look whether somebody answers at their address, and give up or go
 * elsewhere when somebody does. Between two lives of one instance that is nobody but us: the socket stays
 * open, so that clients wait instead of being refused. When a start has ended without having bound any
 * address of the rules, while one of them answered, the next one in that slot finds them closed, and so do
 * all after it: a client is refused then for as long as nobody serves, as it would be without us.
 *
 * Instances that overlap cannot be helped like that: the old one has to answer. With adopt_connect = refuse
 * the app's own connect(2) to such an address is answered with ECONNREFUSED until it has bound it. It is
 * believed what its memory says at one moment: one that changes it meanwhile reaches the old instance, as
 * anybody else would. */

#include <netinet/in.h>
#include <string.h>

#include "lib/log.h"
#include "supervisor/adopt/call.h"
#include "supervisor/sockets/listeners.h"

void adopt_vacate(struct adopt *adopt, uint32_t slot) {
        const struct socket_rules *rules = adopt->rooms.rules;
        const bool gave_up = adopt->starts[slot] == ADOPT_START_RUNS;
        const char *name;

        adopt->starts[slot] = ADOPT_START_RUNS;
        if (!rules_are_single(rules) || (!adopt->vacates && !gave_up) ||
                listeners_vacate(adopt->rooms.listeners, &name) == 0 || adopt->vacates)
                return;
        adopt->vacates = true;
        log_write(LOG_WARNING,
                "the app ended or went elsewhere before it bound %s, where our socket answers: from now on "
                "the "
                "address is closed between two instances, and clients are refused meanwhile and do not wait "
                "(a server that looks there first; one that can take its socket over: --listen)",
                name);
}

bool adopt_has_bound_all(const struct adopt_tree *tree) {
        return tree->socket_count >= tree->adopt->rooms.rules->adopt_count;
}

/* This machine by its own short names: where a server looks for another one of itself. */
static bool is_here(const struct socket_address *address) {
        const struct in6_addr *in6 = &address->in6.sin6_addr;

        if (address->generic.sa_family == AF_INET)
                return address->in4.sin_addr.s_addr == INADDR_ANY ||
                       ntohl(address->in4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
        return address->generic.sa_family == AF_INET6 &&
               (IN6_IS_ADDR_UNSPECIFIED(in6) || IN6_IS_ADDR_LOOPBACK(in6));
}

/* Does whoever connects there mean the address of the rule? */
static bool rule_is_meant(const struct socket_address *rule, const struct socket_address *address) {
        if (socket_address_is_unix(rule) || socket_address_is_unix(address))
                return socket_address_equal(rule, address);
        return socket_address_port(rule) == socket_address_port(address) &&
               (is_here(address) || socket_address_equal(rule, address));
}

static bool rule_is_bound(const struct adopt_tree *tree, size_t rule) {
        for (size_t i = 0; i < tree->socket_count; i++)
                if (rules_match(tree->adopt->rooms.rules, &tree->sockets[i].address) == (int)rule)
                        return true;
        return false;
}

int adopt_answer_connect(const struct adopt_request *call, const struct adopt_sight *sight) {
        const struct socket_rules *rules = call->tree->adopt->rooms.rules;
        char text[SOCKET_ADDRESS_TEXT_BYTES];
        struct socket_address address;

        if (!adopt_address_take(call, sight, &address))
                return ADOPT_GOES_ON;
        for (size_t i = 0; i < rules->adopt_count; i++) {
                if (!rule_is_meant(&rules->adopts[i], &address) || rule_is_bound(call->tree, i))
                        continue;
                socket_address_format(&address, text);
                log_write(LOG_INFO,
                        "process %d looks whether somebody answers at %s: refused (adopt_connect)",
                        (int)call->thread, text);
                return -ECONNREFUSED;
        }
        return ADOPT_GOES_ON;
}
