/* The registry of listening sockets: see listeners.h. Called in the supervisor where the core's actions are
 * performed (perform.c), an instance is started (instance/equip.c) or binds (adopt/bind.c), and by the health
 * checks.
 *
 * A socket is opened before there is a generation, so that an address in use is an error of the start: it is
 * spare until the first generation comes. An error after the start is logged and changes nothing: the old
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

/* Add the socket as a spare member, and count the listener. Until here a failure leaves nothing behind. */
static int listener_register(struct listeners *listeners, struct listener *listener, int take_fd,
        bool is_inherited, struct error *error) {
        struct listener_member *member = listener_member_add(listener, take_fd, 0);
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
                listener->why_shared ? "one socket for all generations, because "
                                     : "a socket for each generation",
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

static int listener_descriptor(
        struct listener *listener, uint64_t generation, int *out_fd, struct error *error) {
        const struct listener_member *member = listener->why_shared
                                                       ? &listener->members[0]
                                                       : listener_member_need(listener, generation, error);

        if (!member)
                return -1;
        *out_fd = member->fd;
        return 0;
}

int listeners_descriptors(struct listeners *listeners, uint64_t generation, struct launch_descriptor *out,
        size_t *count, struct error *error) {
        *count = 0;
        for (size_t i = 0; i < listeners->count; i++) {
                struct listener *listener = &listeners->list[i];
                int fd;

                if (!listener->is_declared)
                        continue;
                if (listener_descriptor(listener, generation, &fd, error) < 0)
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
        if (listener_find(listeners, listener, &file, -1, &fd, error) < 0 ||
                listener_register(listeners, listener, fd, false, error) < 0)
                return NULL;
        return listener;
}

static void member_set_weight(struct listener_member *member, uint32_t weight) {
        member->weight = weight;
        member->had_clients |= weight > 0;
}

/* Give a socket that is newer than the last STEER the weight that its generation got there. */
static int member_catch_up(const struct listeners *listeners, struct listener *listener, uint64_t generation,
        struct error *error) {
        struct listener_member *member = listener_member_of(listener, generation);

        for (size_t i = 0; member && member->weight == 0 && i < listeners->share_count; i++)
                if (listeners->shares[i].generation == generation) {
                        member_set_weight(member, listeners->shares[i].weight);
                        return listener_program_set(listener, error);
                }
        return 0;
}

int listeners_adopt(struct listeners *listeners, uint64_t generation, const struct socket_address *address,
        const struct listener_options *options, int *out_fd, struct error *error) {
        struct listener *listener = listener_at(listeners, address);

        if (!listener)
                listener = listener_make(listeners, address, options, error);
        if (!listener || listener_descriptor(listener, generation, out_fd, error) < 0)
                return -1;
        return listener->why_shared ? 0 : member_catch_up(listeners, listener, generation, error);
}

/* True when clients were steered to the member, and its generation has no process that could accept them. */
static bool member_is_orphan(const struct listeners *listeners, const struct listener_member *member) {
        return !member->is_spare && member->had_clients &&
               !instances_have(listeners->rooms.instances, member->generation);
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
        const struct listeners *listeners, struct listener *listener, uint64_t generation) {
        struct listener_member *best = NULL;

        for (size_t i = 0; i < listener->member_count; i++) {
                struct listener_member *member = &listener->members[i];

                if (member_is_orphan(listeners, member) &&
                        (!best || listener_waiting(member->fd) > listener_waiting(best->fd)))
                        best = member;
        }
        if (!best)
                return false;
        log_write(LOG_INFO, "'%s': nobody of generation %llu is left: generation %llu gets its socket",
                listener->name, (unsigned long long)best->generation, (unsigned long long)generation);
        best->generation = generation;
        return true;
}

/* Make sure that the generation has a socket: where no instance serves yet, connections wait in its queue. */
static bool member_provide(
        const struct listeners *listeners, struct listener *listener, uint64_t generation) {
        struct error error = {0};

        if (listener_member_of(listener, generation) || member_inherit(listeners, listener, generation) ||
                listener_member_need(listener, generation, &error))
                return true;
        log_error(LOG_ERROR, &error);
        return false;
}

static void listener_steer(const struct listeners *listeners, struct listener *listener,
        const struct fleet_share *shares, size_t count) {
        struct listener_member *member;
        struct error error = {0};
        bool is_any = false;

        listener_members_check(listener);
        for (size_t i = 0; i < count; i++)
                is_any |= member_provide(listeners, listener, shares[i].generation);
        if (!is_any)
                return;
        for (size_t i = 0; i < listener->member_count; i++)
                listener->members[i].weight = 0;
        for (size_t i = 0; i < count; i++)
                if ((member = listener_member_of(listener, shares[i].generation)))
                        member_set_weight(member, shares[i].weight);
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

        for (size_t i = 0; i < listeners->count; i++)
                if (!listeners->list[i].why_shared)
                        listener_member_drop(&listeners->list[i], generation);
}

long listeners_waiting(const struct listeners *listeners, uint64_t generation) {
        long sum = 0;

        for (size_t i = 0; i < listeners->count; i++) {
                const struct listener *listener = &listeners->list[i];

                for (size_t k = 0; !listener->why_shared && k < listener->member_count; k++) {
                        const struct listener_member *member = &listener->members[k];
                        long waiting = member->is_spare || member->generation != generation
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

                out->members[i].generation = member->generation;
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

        for (size_t i = 0; i < listeners->count; i++) {
                struct listener *listener = &listeners->list[i];

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
