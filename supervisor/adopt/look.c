/* Reading a reported call: see call.h. call_look() runs in a child of the supervisor, for one call.
 *
 * The address of a bind is in the caller's memory, which may be a mapped file whose file system never
 * answers, and its socket may be the last copy of a connection that lingers when it is closed. So the
 * supervisor itself reads and holds nothing of the caller's: it gets a struct of numbers and bytes, and
 * decides by those. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "supervisor/adopt/call.h"

/* socketcall(2): the arguments are in memory, as 32-bit words. */
static bool call_unpack(pid_t thread, struct adopt_sight *sight) {
        static const enum adopt_call calls[] = {[2] = ADOPT_CALL_BIND,
                [3] = ADOPT_CALL_CONNECT,
                [4] = ADOPT_CALL_LISTEN}; /* SYS_BIND, ... of <linux/net.h> */
        const size_t call = (size_t)(unsigned)sight->number;
        const enum adopt_call kind = call < sizeof calls / sizeof *calls ? calls[call] : ADOPT_CALL_NONE;
        const size_t count = kind == ADOPT_CALL_LISTEN ? 2 : 3;
        uint32_t words[3];

        if (kind == ADOPT_CALL_NONE)
                return false;
        if (caller_read_memory(thread, sight->address, words, count * sizeof *words) != 0)
                return false;
        sight->kind = kind;
        sight->number = (int)words[0];
        sight->address = words[1];
        sight->length = count == 3 ? words[2] : 0;
        return true;
}

static void address_look(pid_t thread, struct adopt_sight *sight) {
        size_t bytes = sight->length;

        sight->memory_code = bytes < sizeof(sa_family_t) || bytes > sizeof sight->memory.socket_address
                                     ? EINVAL
                                     : caller_read_memory(thread, sight->address, &sight->memory, bytes);
        if (sight->memory_code == 0 && sight->kind == ADOPT_CALL_BIND)
                sight->socket_code = caller_look(thread, sight->number, &sight->socket);
}

/* In the child. */
static size_t call_look(const void *request, int fd, void *out, size_t room) {
        const struct adopt_request *call = request;
        struct adopt_sight *sight = out;

        (void)fd;
        assert(room >= sizeof *sight);
        memset(sight, 0, sizeof *sight);
        sight->socket = CALLER_SOCKET_NONE;
        sight->kind = call->kind;
        sight->number = call->number;
        sight->address = call->address;
        sight->length = call->length;
        if (sight->kind == ADOPT_CALL_SOCKETCALL && !call_unpack(call->thread, sight))
                sight->kind = ADOPT_CALL_NONE;
        if (sight->kind == ADOPT_CALL_BIND || sight->kind == ADOPT_CALL_CONNECT)
                address_look(call->thread, sight);
        else if (sight->kind == ADOPT_CALL_UNLINK || sight->kind == ADOPT_CALL_UNLINKAT)
                sight->memory_code = caller_read_string(
                        call->thread, sight->address, sight->memory.path, sizeof sight->memory.path);
        return sizeof *sight;
}

int adopt_look(const struct adopt_request *call, errand_handler *on_seen, struct error *error) {
        const struct errand_order order = {.work = call_look,
                .request = call,
                .request_bytes = sizeof *call,
                .fd = -1,
                .on_done = on_seen,
                .owner = call->tree};

        return errand_start(call->tree->adopt->rooms.errands, &order, error);
}
