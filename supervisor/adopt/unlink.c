/* Keeping the names of adopted unix sockets: see call.h. Runs in the supervisor.
 *
 * Many servers remove the file of their socket before they bind it, and when they end. But the socket belongs
 * to every generation, and without its file no client can connect to it: so the removal is answered as if
 * done, and the file stays as long as the supervisor runs. Such calls are reported only with a path in
 * `adopt`. */

#include <fcntl.h>
#include <stddef.h>
#include <string.h>

#include "supervisor/adopt/call.h"
#include "supervisor/adopt/caller.h"
#include "supervisor/sockets/listeners.h"

static const char *path_last_part(const char *path) {
        const char *slash = strrchr(path, '/');

        return slash ? slash + 1 : path;
}

/* May the path be that of a rule? Most removals are of other files: the last part of the name tells, without
 * reading more of the caller. */
static bool path_may_match(const struct socket_rules *rules, const char *path) {
        for (size_t i = 0; i < rules->adopt_count; i++) {
                const char *rule = socket_address_path(&rules->adopts[i]);

                if (rule && strcmp(path_last_part(rule), path_last_part(path)) == 0)
                        return true;
        }
        return false;
}

static bool address_is_listened(const struct listeners *listeners, const struct socket_address *address) {
        char text[SOCKET_ADDRESS_TEXT_BYTES];
        struct listener_view view;

        socket_address_format(address, text);
        for (size_t i = 0; listeners_look(listeners, i, &view); i++)
                if (strcmp(view.address, text) == 0)
                        return true;
        return listeners_has_kept(listeners, address);
}

int adopt_answer_unlink(const struct adopt_request *call, const struct adopt_sight *sight) {
        const char *path = sight->memory.path;
        struct socket_address address;

        if (call->kind == ADOPT_CALL_UNLINKAT && (call->length & AT_REMOVEDIR))
                return ADOPT_GOES_ON;
        if (sight->memory_code != 0 || !adopt_is_waiting(call) ||
                !path_may_match(call->tree->adopt->rooms.rules, path))
                return ADOPT_GOES_ON;
        /* A path relative to an open directory is not followed. */
        if (path[0] != '/' && call->number != AT_FDCWD)
                return ADOPT_GOES_ON;
        if (!adopt_path_address(call, path, &address) ||
                rules_match(call->tree->adopt->rooms.rules, &address) < 0)
                return ADOPT_GOES_ON;
        return address_is_listened(call->tree->adopt->rooms.listeners, &address) ? 0 : ADOPT_GOES_ON;
}
