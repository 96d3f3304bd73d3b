/* Addresses for servers that connect before they bind: see call.h. Runs in the supervisor.
 *
 * php-fpm, puma, lighttpd and others look whether somebody answers at their address, and give up or go
 * elsewhere when somebody does. Between two lives of one instance that is nobody but us: the socket stays
 * open, so that clients wait instead of being refused. When a start has ended without having bound any
 * address of the rules, while one of them answered, the next one in that slot finds them closed, and so do
 * all after it: a client is refused then for as long as nobody serves, as it would be without us. Instances
 * that overlap cannot be helped like that: the old one has to answer. */

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
