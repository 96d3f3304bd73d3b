/* Binds that go on although they are of the app's servers: see adopt.h. Runs in the supervisor, for processes
 * that it need not trust; what is said of them is in the log alone, and once.
 *
 * A second port (metrics, an administrator's) or another address than that of `adopt` is bound by the app
 * itself: the next generation finds it in use and fails, or nobody ever listens where tacet looks. The
 * call that would explain it has been seen, so it is told. */

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/log.h"
#include "supervisor/adopt/call.h"

/* A stream at a port of its own choice: what a server binds. A path, where a path is adopted. */
static bool is_server(const struct socket_rules *rules, const struct socket_address *address) {
        if (!socket_address_is_unix(address))
                return socket_address_port(address) != 0;
        for (size_t i = 0; i < rules->adopt_count && socket_address_path(address); i++)
                if (socket_address_path(&rules->adopts[i]))
                        return true;
        return false;
}

static bool is_noted(const struct adopt_tree *tree, const struct socket_address *address) {
        for (size_t i = 0; i < tree->unnamed_count; i++)
                if (socket_address_equal(&tree->unnamed[i], address))
                        return true;
        return false;
}

/* What to write in the configuration: the port alone where every address is bound. */
static void rule_format(const struct socket_address *address, char out[static SOCKET_ADDRESS_TEXT_BYTES]) {
        static const struct in6_addr any = IN6ADDR_ANY_INIT;
        const bool is_every =
                (address->generic.sa_family == AF_INET && address->in4.sin_addr.s_addr == INADDR_ANY) ||
                (address->generic.sa_family == AF_INET6 &&
                        memcmp(&address->in6.sin6_addr, &any, sizeof any) == 0);

        if (is_every)
                snprintf(out, SOCKET_ADDRESS_TEXT_BYTES, "%u", socket_address_port(address));
        else
                socket_address_format(address, out);
}

static void unnamed_say(const struct adopt_tree *tree, const struct socket_address *address,
        enum log_level level, const char *verb) {
        const bool is_single = rules_are_single(tree->adopt->rooms.rules);
        char text[SOCKET_ADDRESS_TEXT_BYTES], rule[SOCKET_ADDRESS_TEXT_BYTES];

        socket_address_format(address, text);
        rule_format(address, rule);
        log_write(level, "the app of generation %llu %s %s, which adopt does not name%s: add it (--adopt %s)",
                (unsigned long long)tree->seat.generation, verb, text,
                is_single ? "" : ", so two generations cannot have it at a time", rule);
}

void adopt_note_unnamed(
        struct adopt_tree *tree, const struct adopt_sight *sight, const struct socket_address *address) {
        const struct caller_socket *socket = &sight->socket;

        if (sight->socket_code != 0 || socket->type != SOCK_STREAM || socket->is_elsewhere ||
                tree->unnamed_count == ADOPT_UNNAMED_MAX || is_noted(tree, address) ||
                !is_server(tree->adopt->rooms.rules, address))
                return;
        tree->unnamed[tree->unnamed_count++] = *address;
        if (tree->adopt->told_generation == tree->seat.generation && tree->adopt->has_told)
                return;
        tree->adopt->told_generation = tree->seat.generation;
        tree->adopt->has_told = true;
        unnamed_say(tree, address, LOG_NOTICE, "binds");
}

/* Beside an instance that serves, a server that looks there first gives up before it binds. */
static bool may_have_looked(const struct adopt_tree *tree) {
        const struct socket_rules *rules = tree->adopt->rooms.rules;

        return tree->socket_count == 0 && tree->unnamed_count == 0 && !rules->refuses_connects &&
               !rules_are_single(rules) && listeners_count(tree->adopt->rooms.listeners) > 0;
}

void adopt_explain(const struct adopt *adopt, uint64_t instance) {
        for (size_t i = 0; i < adopt->tree_places; i++) {
                const struct adopt_tree *tree = &adopt->trees[i];

                if (tree->instance != instance)
                        continue;
                for (size_t k = 0; k < tree->unnamed_count; k++)
                        unnamed_say(tree, &tree->unnamed[k], LOG_WARNING, "had bound");
                if (may_have_looked(tree))
                        log_write(LOG_NOTICE,
                                "the app of generation %llu had bound nothing that adopt names: a server "
                                "that "
                                "first looks whether somebody answers there needs adopt_connect = refuse "
                                "(--adopt-connect refuse)",
                                (unsigned long long)tree->seat.generation);
        }
}

static bool has_listened(const struct adopt_tree *tree, const struct adopt_socket *entry) {
        const int rule = rules_match(tree->adopt->rooms.rules, &entry->address);

        return rule < 0 || (tree->listened & UINT32_C(1) << rule);
}

static void missing_say(const struct adopt_tree *tree) {
        char text[SOCKET_ADDRESS_TEXT_BYTES];

        if (tree->socket_count == 0)
                log_write(LOG_NOTICE, "the app of generation %llu has bound nothing that adopt names",
                        (unsigned long long)tree->seat.generation);
        for (size_t i = 0; i < tree->socket_count; i++) {
                if (has_listened(tree, &tree->sockets[i]))
                        continue;
                socket_address_format(&tree->sockets[i].address, text);
                log_write(LOG_NOTICE,
                        "the app of generation %llu has bound %s and has not called listen(2) there: if it "
                        "serves nevertheless, let a health check say so (--ready probe --health ...)",
                        (unsigned long long)tree->seat.generation, text);
        }
}

void adopt_say_missing(const struct adopt *adopt, uint64_t instance) {
        if (!adopt->rooms.rules || !adopt->rooms.rules->is_adopting)
                return;
        for (size_t i = 0; i < adopt->tree_places; i++)
                if (adopt->trees[i].is_used && adopt->trees[i].instance == instance)
                        missing_say(&adopt->trees[i]);
        adopt_explain(adopt, instance);
}
