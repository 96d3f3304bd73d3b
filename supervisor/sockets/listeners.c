/* The registry of listening sockets: see listeners.h. Called in the supervisor where the core's actions are
 * performed (perform.c), an instance is started (instance/equip.c) or binds (adopt/bind.c), and by the health
 * checks.
 *
 * A socket is opened before there is an instance (so that an address in use is said at the start): it is
 * spare until the first one comes. An error after the start is said, and leaves things as they are: the old
 * generation goes on. */

#include "supervisor/sockets/listeners.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/bytes.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "supervisor/sockets/listener.h"

static struct listener *listener_new(struct listeners *listeners, const struct socket_address *address,
        const char *name, struct error *error) {
        struct listener *listener = &listeners->list[listeners->count];
        char text[SOCKET_ADDRESS_TEXT_BYTES];

        socket_address_format(address, text);
        if (listeners->count == LISTENERS_MAX) {
                error_set(error, 0, "more than %d listening sockets: %s is not opened", LISTENERS_MAX, text);
                return NULL;
        }
        *listener = (struct listener){.address = *address};
        snprintf(listener->name, sizeof listener->name, "%s", name ? name : text);
        return listener;
}

/* As a member of no seat yet. Registered only now: what failed before has left nothing. */
static int listener_register(struct listeners *listeners, struct listener *listener, int take_fd,
        bool is_inherited, struct error *error) {
        struct listener_member *member = listener_member_add(listener, take_fd, &(struct seat){0});
        char text[SOCKET_ADDRESS_TEXT_BYTES];

        member->is_spare = true;
        member->is_permanent = is_inherited;
        if (!listener->why_shared && listener_program_set(listener, error) < 0) {
                fd_cleanup(&member->fd);
                return -1;
        }
        listeners->count++;
        socket_address_format(&listener->address, text);
        log_write(LOG_INFO, "listening on %s: %s%s", text,
                listener->why_shared ? "one socket for all instances, because "
                                     : "a socket for each instance",
                listener->why_shared ? listener->why_shared : "");
        return 0;
}

static int inherited_prepare(struct listener *listener, int fd, struct error *error) {
        if (!listener->why_shared)
                listener->why_shared = listener_inherited_check(listener, fd);
        if (listener->address.type == SOCK_STREAM && !listener_is_listening(fd) &&
                listen(fd, listener->backlog > 0 ? listener->backlog : SOMAXCONN) < 0)
                return error_set(
                        error, errno, "listen on the socket '%s' of the service manager", listener->name);
        return 0;
}

static int listener_socket(struct listener *listener, const struct listener_file *file, int inherited_fd,
        int *out_fd, struct error *error) {
        if (inherited_fd >= 0) {
                *out_fd = inherited_fd;
                return inherited_prepare(listener, inherited_fd, error);
        }
        if (socket_address_is_unix(&listener->address))
                return listener_local_open(listener, file, out_fd, error);
        return listener_socket_open(listener, true, out_fd, error);
}

/* A kept socket, else a new one. A bind that fails because of a kept socket is tried again without that. */
static int listener_find(struct listeners *listeners, struct listener *listener,
        const struct listener_file *file, int inherited_fd, int *out_fd, struct error *error) {
        if (!listener->is_declared && (*out_fd = listener_kept_take(listeners, listener)) >= 0)
                return 0;
        if (listener_socket(listener, file, inherited_fd, out_fd, error) == 0)
                return 0;
        if (error->code != EADDRINUSE || !listener_kept_clear(listeners, &listener->address))
                return -1;
        return listener_socket(listener, file, inherited_fd, out_fd, error);
}

/* Warn of a backlog above net.core.somaxconn: the kernel reduces it without an error (listen(2)). */
static void backlog_check(const struct listener *listener) {
        CLEANUP_FD int fd = open("/proc/sys/net/core/somaxconn", O_RDONLY | O_CLOEXEC);
        char text[16] = "";
        ssize_t length = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
        uint64_t limit;

        if (length <= 1)
                return;
        text[length - 1] = '\0';
        if (text_to_u64(text, &limit) && (uint64_t)listener->backlog > limit)
                log_write(LOG_WARNING, "'%s': net.core.somaxconn limits its backlog of %d to %llu",
                        listener->name, listener->backlog, (unsigned long long)limit);
}

static int listener_declare(
        struct listeners *listeners, const struct listener_settings *settings, struct error *error) {
        struct listener *listener = listener_new(listeners, &settings->address, settings->name, error);
        const struct listener_file file = {.has_mode = settings->has_mode,
                .mode = settings->mode,
                .user = settings->user,
                .group = settings->group};
        int fd;

        if (!listener)
                return -1;
        listener->is_declared = true;
        listener->backlog = settings->backlog;
        listener->ipv6_only = settings->ipv6_only;
        listener->is_free = settings->is_free;
        listener->why_shared =
                rules_why_shared(listeners->rooms.rules, &settings->address, settings->is_shared);
        listener->file = file;
        backlog_check(listener);
        if (listener_find(listeners, listener, &file, settings->inherited_fd, &fd, error) < 0)
                return error_wrap(error, "socket '%s'", settings->name);
        return listener_register(listeners, listener, fd, settings->inherited_fd >= 0, error);
}

int listeners_open(struct listeners *listeners, const struct listeners_rooms *rooms,
        const struct socket_settings *settings, struct error *error) {
        listeners->settings = settings;
        listeners->rooms = *rooms;
        listener_kept_read(listeners);
        for (size_t i = 0; i < settings->declared_count; i++)
                if (listener_declare(listeners, &settings->declared[i], error) < 0)
                        return -1;
        return 0;
}

bool listeners_are_steered(const struct listeners *listeners) {
        for (size_t i = 0; i < listeners->count; i++)
                if (!listeners->list[i].why_shared)
                        return true;
        return rules_may_steer_adopted(listeners->rooms.rules);
}

/* Who waits in a slot whose instance has gone is served by whoever comes to it next, of whatever
 * generation. */
static bool member_is_left(
        const struct listeners *listeners, const struct listener_member *member, const struct seat *seat) {
        return !member->is_spare && member->had_clients && member->weight == 0 &&
               member->seat.slot == seat->slot &&
               !instances_have_seat(listeners->rooms.instances, &member->seat) &&
               listener_waiting(member->fd) > 0;
}

/* One that waits for the app at this seat, although it was not made for it. */
static bool member_is_for(
        const struct listeners *listeners, const struct listener_member *member, const struct seat *seat) {
        return (member->is_awaited && member->seat.generation == seat->generation) ||
               member_is_left(listeners, member, seat);
}

/* The member of an instance that is about to use it. NULL with error. */
static struct listener_member *member_take(const struct listeners *listeners, struct listener *listener,
        const struct seat *seat, struct error *error) {
        struct listener_member *member = listener_member_of(listener, seat);

        for (size_t i = 0; !member && i < listener->member_count; i++)
                if (member_is_for(listeners, &listener->members[i], seat)) {
                        member = &listener->members[i];
                        member->seat = *seat;
                }
        member = listener_member_need(listener, seat, error);
        if (member)
                member->is_awaited = false;
        return member;
}

static int listener_descriptor(const struct listeners *listeners, struct listener *listener,
        const struct seat *seat, int *out_fd, struct error *error) {
        const struct listener_member *member;

        if (!listener->why_shared)
                listener_members_check(listener);
        member = listener->why_shared ? &listener->members[0] : member_take(listeners, listener, seat, error);
        if (!member || (listener->why_shared && listener_renew(listener, error) < 0))
                return -1;
        *out_fd = member->fd;
        return 0;
}

int listeners_descriptors(struct listeners *listeners, const struct seat *seat, struct launch_descriptor *out,
        size_t *count, struct error *error) {
        *count = 0;
        for (size_t i = 0; i < listeners->count; i++) {
                struct listener *listener = &listeners->list[i];
                int fd;

                if (!listener->is_declared)
                        continue;
                if (listener_descriptor(listeners, listener, seat, &fd, error) < 0)
                        return -1;
                out[(*count)++] = (struct launch_descriptor){.fd = fd, .name = listener->name};
        }
        return 0;
}

static struct listener *listener_at(struct listeners *listeners, const struct socket_address *address) {
        for (size_t i = 0; i < listeners->count; i++)
                if (socket_address_equal(&listeners->list[i].address, address))
                        return &listeners->list[i];
        return NULL;
}

static struct listener *listener_make(struct listeners *listeners, const struct socket_address *address,
        const struct listener_options *options, struct error *error) {
        struct listener *listener = listener_new(listeners, address, options->name, error);
        const struct listener_file file = {
                .has_mode = options->has_mode, .mode = options->mode, .user = (uid_t)-1, .group = (gid_t)-1};
        int fd;

        if (!listener)
                return NULL;
        listener->backlog = options->backlog;
        listener->ipv6_only = options->ipv6_only;
        listener->why_shared = rules_why_shared(listeners->rooms.rules, address, options->is_shared);
        listener->file = file;
        if (listener_find(listeners, listener, &file, -1, &fd, error) < 0 ||
                listener_register(listeners, listener, fd, false, error) < 0)
                return NULL;
        return listener;
}

static struct seat share_seat(const struct fleet_share *share) {
        return (struct seat){.generation = share->generation, .slot = share->slot};
}

static void member_weigh(struct listener_member *member, uint32_t weight) {
        member->weight = weight;
        member->had_clients |= weight > 0;
}

/* What was steered before there was this socket holds for it too. */
static int member_catch_up(const struct listeners *listeners, struct listener *listener,
        const struct seat *seat, struct error *error) {
        struct listener_member *member = listener_member_of(listener, seat);

        for (size_t i = 0; member && member->weight == 0 && i < listeners->share_count; i++) {
                const struct seat shared = share_seat(&listeners->shares[i]);

                if (seat_is(&shared, seat)) {
                        member_weigh(member, listeners->shares[i].weight);
                        return listener_program_set(listener, error);
                }
        }
        return 0;
}

int listeners_adopt(struct listeners *listeners, const struct seat *seat,
        const struct socket_address *address, const struct listener_options *options, int *out_fd,
        struct error *error) {
        struct listener *listener = listener_at(listeners, address);

        if (!listener)
                listener = listener_make(listeners, address, options, error);
        if (!listener || listener_descriptor(listeners, listener, seat, out_fd, error) < 0)
                return -1;
        return listener->why_shared ? 0 : member_catch_up(listeners, listener, seat, error);
}

/* True when clients were steered to the member, and its generation has no process that could accept them. */
static bool member_is_orphan(const struct listeners *listeners, const struct listener_member *member) {
        return !member->is_spare && member->had_clients &&
               !instances_have(listeners->rooms.instances, member->seat.generation);
}

bool listeners_have_orphans(const struct listeners *listeners) {
        for (size_t i = 0; i < listeners->count; i++)
                for (size_t k = 0; !listeners->list[i].why_shared && k < listeners->list[i].member_count; k++)
                        if (member_is_orphan(listeners, &listeners->list[i].members[k]))
                                return true;
        return false;
}

/* Give the generation the socket of one without any process, with the clients that wait in its accept queue.
 * A generation that has a process keeps its socket: it may still accept. Returns false when there is none. */
static bool member_inherit(
        const struct listeners *listeners, struct listener *listener, const struct seat *seat) {
        struct listener_member *best = NULL;

        for (size_t i = 0; i < listener->member_count; i++) {
                struct listener_member *member = &listener->members[i];

                if (member_is_orphan(listeners, member) && member->seat.generation != seat->generation &&
                        (!best || listener_waiting(member->fd) > listener_waiting(best->fd)))
                        best = member;
        }
        if (!best)
                return false;
        log_write(LOG_INFO, "'%s': nobody of generation %llu is left: generation %llu gets its socket",
                listener->name, (unsigned long long)best->seat.generation,
                (unsigned long long)seat->generation);
        best->seat = *seat;
        return true;
}

/* A seat that has no socket here yet gets one: who comes waits in its queue. */
static bool member_provide(
        const struct listeners *listeners, struct listener *listener, const struct seat *seat) {
        struct listener_member *member;
        struct error error = {0};

        if (listener_member_of(listener, seat))
                return true;
        if (!member_inherit(listeners, listener, seat) && !listener_member_need(listener, seat, &error)) {
                log_error(LOG_ERROR, &error);
                return false;
        }
        member = listener_member_of(listener, seat);
        member->is_awaited = true;
        return true;
}

/* Has one of those who get connections a socket here that its app has come for? */
static bool is_any_taken(struct listener *listener, const struct fleet_share *shares, size_t count) {
        for (size_t i = 0; i < count; i++) {
                const struct seat seat = share_seat(&shares[i]);
                const struct listener_member *member = listener_member_of(listener, &seat);

                if (member && !member->is_awaited)
                        return true;
        }
        return false;
}

/* Does a socket get connections whose app has gone, and may come again: the only one of its generation that
 * has bound this address? */
static bool is_any_expected(const struct listener *listener, const struct fleet_share *shares, size_t count) {
        for (size_t i = 0; i < count; i++)
                for (size_t k = 0; k < listener->member_count; k++)
                        if (!listener->members[k].is_spare && listener->members[k].weight > 0 &&
                                listener->members[k].seat.generation == shares[i].generation)
                                return true;
        return false;
}

/* Sockets for those who get connections, where none of them has one. A declared one each of them will get;
 * who binds an address itself is only known when it does, so there is one for the first who comes. Returns
 * false when things are best left as they are. */
static bool members_provide(const struct listeners *listeners, struct listener *listener,
        const struct fleet_share *shares, size_t count) {
        bool is_any = false;

        if (is_any_taken(listener, shares, count))
                return true;
        if (!listener->is_declared && is_any_expected(listener, shares, count))
                return false;
        for (size_t i = 0; i < count && (listener->is_declared || !is_any); i++) {
                const struct seat seat = share_seat(&shares[i]);

                is_any |= member_provide(listeners, listener, &seat);
        }
        return is_any;
}

static void members_weigh(struct listener *listener, const struct fleet_share *shares, size_t count) {
        const bool is_taken = is_any_taken(listener, shares, count);

        for (size_t i = 0; i < listener->member_count; i++)
                listener->members[i].weight = 0;
        for (size_t i = 0; i < count; i++) {
                const struct seat seat = share_seat(&shares[i]);
                struct listener_member *member = listener_member_of(listener, &seat);

                if (member && (listener->is_declared || !is_taken || !member->is_awaited))
                        member_weigh(member, shares[i].weight);
        }
}

static void listener_steer(const struct listeners *listeners, struct listener *listener,
        const struct fleet_share *shares, size_t count) {
        struct error error = {0};

        listener_members_check(listener);
        if (!members_provide(listeners, listener, shares, count))
                return;
        members_weigh(listener, shares, count);
        if (listener_program_set(listener, &error) < 0)
                log_error(LOG_ERROR, &error);
        listener_strangers_look(listener);
}

void listeners_steer(struct listeners *listeners, const struct fleet_share *shares, size_t count) {

        memcpy(listeners->shares, shares, count * sizeof *shares);
        listeners->share_count = count;
        for (size_t i = 0; i < listeners->count; i++)
                if (!listeners->list[i].why_shared)
                        listener_steer(listeners, &listeners->list[i], shares, count);
}

void listeners_drop(struct listeners *listeners, uint64_t generation) {
        for (size_t i = 0; i < listeners->count; i++) {
                struct listener *listener = &listeners->list[i];

                for (size_t k = listener->member_count; !listener->why_shared && k-- > 0;) {
                        const struct seat seat = listener->members[k].seat;

                        if (k < listener->member_count && seat.generation == generation)
                                listener_member_drop(listener, &seat);
                }
        }
}

long listeners_waiting(const struct listeners *listeners, const struct seat *seat) {
        long sum = 0;

        for (size_t i = 0; i < listeners->count; i++) {
                const struct listener *listener = &listeners->list[i];

                for (size_t k = 0; !listener->why_shared && k < listener->member_count; k++) {
                        const struct listener_member *member = &listener->members[k];
                        long waiting = member->is_spare || !seat_is(&member->seat, seat)
                                               ? 0
                                               : listener_waiting(member->fd);

                        sum += waiting > 0 ? waiting : 0;
                }
        }
        return sum;
}

bool listeners_look(const struct listeners *listeners, size_t index, struct listener_view *out) {
        const struct listener *listener = &listeners->list[index];

        if (index >= listeners->count)
                return false;
        *out = (struct listener_view){.name = listener->name,
                .why_shared = listener->why_shared,
                .is_declared = listener->is_declared,
                .kept_cookie = listener->kept_cookie,
                .member_count = listener->member_count};
        socket_address_format(&listener->address, out->address);
        for (size_t i = 0; i < listener->member_count; i++) {
                const struct listener_member *member = &listener->members[i];

                out->members[i].seat = member->seat;
                out->members[i].is_spare = member->is_spare;
                out->members[i].fd = member->fd;
                out->members[i].waiting = listener_waiting(member->fd);
                out->members[i].weight = member->weight;
        }
        return true;
}

void listeners_leave_file(struct listeners *listeners, size_t index) {
        listeners->list[index].leaves_file = true;
}

size_t listeners_count(const struct listeners *listeners) {
        return listeners->count;
}

void listeners_close(struct listeners *listeners) {
        listener_cuts_close(listeners);

        for (size_t i = 0; i < listeners->count; i++) {
                struct listener *listener = &listeners->list[i];

                listener_spare_remove(listener);
                if (!listener->leaves_file)
                        listener_local_remove(listener);
                for (size_t k = 0; k < listener->member_count; k++) {
                        fd_cleanup(&listener->members[k].fd);
                        fd_cleanup(&listener->members[k].probe_hold);
                }
        }
        for (size_t i = 0; i < listeners->kept_count; i++)
                fd_cleanup(&listeners->kept[i].fd);
        listeners->count = listeners->kept_count = 0;
        loop_timer_clear(listeners->rooms.loop, &listeners->watch);
        loop_timer_clear(listeners->rooms.loop, &listeners->again);
}
