/* One reuse-port group: its members, their order, and the program that chooses among them. See listener.h.
 *
 * The kernel counts members in the order of listen(2), and puts the last one in the place of one that leaves
 * (__reuseport_detach_sock()). It does not tell the order, so the list here does the same, and members are
 * added and closed only in this file. A member is shut down before it is closed: a copy of the descriptor, in
 * a process that an app left behind or in the service manager, would keep it in the group, and all indexes
 * would be wrong.
 *
 * Between the end of a member and the next program the last one's index is beyond the group, and the kernel
 * chooses by a hash among those that are left. Sockets that nobody will come for are closed at once
 * (listeners_settle), so that where one instance runs it is one socket that is left, and the choice the right
 * one; where several do, the last one gets nothing for that moment. */

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "supervisor/sockets/listener.h"

bool listener_is_listening(int fd) {
        int is_listening = 0;
        socklen_t length = sizeof is_listening;

        return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &length) == 0 && is_listening;
}

/* False when getsockopt(2) fails: a member that is forgotten by mistake stays in the kernel's group,
 * uncounted. */
static bool socket_has_shut_down(int fd) {
        int is_listening = 0;
        socklen_t length = sizeof is_listening;

        return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &length) == 0 && !is_listening;
}

long listener_waiting(int fd) {
        struct tcp_info info;
        socklen_t length = sizeof info;

        /* Of a listening socket tcpi_unacked is the length of its accept queue (tcp_get_info()). */
        if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0 || info.tcpi_state != TCP_LISTEN)
                return -1;
        return (long)info.tcpi_unacked;
}

struct listener_member *listener_member_of(struct listener *listener, const struct seat *seat) {
        for (size_t i = 0; i < listener->member_count; i++)
                if (!listener->members[i].is_spare && seat_is(&listener->members[i].seat, seat))
                        return &listener->members[i];
        return NULL;
}

void listener_probe_sources(const struct listener *listener, struct steering *out) {
        const struct in6_addr *ipv6 = &listener->address.in6.sin6_addr;
        struct in_addr ipv4 = listener->address.in4.sin_addr;

        out->has_ipv4 = out->has_ipv6 = false;
        if (listener->address.generic.sa_family == AF_INET6) {
                out->has_ipv4 = IN6_IS_ADDR_UNSPECIFIED(ipv6) || IN6_IS_ADDR_V4MAPPED(ipv6);
                out->has_ipv6 = !IN6_IS_ADDR_V4MAPPED(ipv6);
                ipv4.s_addr = htonl(INADDR_ANY);
                if (IN6_IS_ADDR_V4MAPPED(ipv6))
                        memcpy(&ipv4, &ipv6->s6_addr[12], sizeof ipv4);
                memcpy(out->ipv6_source,
                        IN6_IS_ADDR_UNSPECIFIED(ipv6) ? in6addr_loopback.s6_addr : ipv6->s6_addr,
                        sizeof out->ipv6_source);
        } else {
                out->has_ipv4 = listener->address.generic.sa_family == AF_INET;
        }
        if (ipv4.s_addr == htonl(INADDR_ANY))
                ipv4.s_addr = htonl(INADDR_LOOPBACK);
        memcpy(out->ipv4_source, &ipv4, sizeof out->ipv4_source);
}

static void steering_fill(const struct listener *listener, struct steering *out) {
        *out = (struct steering){.member_count = (uint32_t)listener->member_count};
        listener_probe_sources(listener, out);
        for (uint32_t i = 0; i < listener->member_count; i++) {
                const struct listener_member *member = &listener->members[i];

                if (member->weight > 0 && !member->is_spare)
                        out->shares[out->share_count++] =
                                (struct steering_share){.index = i, .weight = member->weight};
                if (member->probe_port != 0 && !member->is_spare)
                        out->routes[out->route_count++] =
                                (struct steering_route){.index = i, .port = member->probe_port};
        }
}

int listener_program_set(struct listener *listener, struct error *error) {
        struct sock_filter instructions[STEERING_INSTRUCTIONS_MAX];
        struct steering steering;
        struct sock_fprog program = {.filter = instructions};

        listener->is_stale = false;
        if (listener->member_count == 0)
                return 0;
        steering_fill(listener, &steering);
        program.len = (unsigned short)steering_build(&steering, instructions);
        /* The program belongs to the group: any member will do. */
        if (setsockopt(listener->members[0].fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program,
                    sizeof program) < 0) {
                listener->is_stale = true;
                return error_set(error, errno, "steer the connections of '%s' (SO_ATTACH_REUSEPORT_CBPF)",
                        listener->name);
        }
        return 0;
}

static void program_set_or_log(struct listener *listener) {
        struct error error = {0};

        if (listener_program_set(listener, &error) < 0)
                log_error(LOG_ERROR, &error);
}

/* Close the member, and put the last one in its place, as the kernel does. */
static void member_forget(struct listener *listener, size_t index) {
        struct listener_member *member = &listener->members[index];

        fd_cleanup(&member->fd);
        fd_cleanup(&member->probe_hold);
        *member = listener->members[--listener->member_count];
}

void listener_members_check(struct listener *listener) {
        bool has_changed = false;

        for (size_t i = listener->member_count; i-- > 0;) {
                struct listener_member *member = &listener->members[i];

                if (!socket_has_shut_down(member->fd))
                        continue;
                log_write(LOG_DEBUG, "'%s': generation %llu has shut its socket down", listener->name,
                        (unsigned long long)member->seat.generation);
                member_forget(listener, i);
                has_changed = true;
        }
        if (has_changed)
                program_set_or_log(listener);
}

struct listener_member *listener_member_add(struct listener *listener, int take_fd, const struct seat *seat) {
        struct listener_member *member = &listener->members[listener->member_count++];

        *member = (struct listener_member){.fd = take_fd, .seat = *seat, .probe_hold = -1};
        if (!listener->why_shared)
                listener_tag_set(listener, member);
        return member;
}

/* The one where most wait. */
static struct listener_member *spare_take(struct listener *listener, const struct seat *seat) {
        struct listener_member *best = NULL;

        for (size_t i = 0; i < listener->member_count; i++) {
                struct listener_member *member = &listener->members[i];

                if (member->is_spare && (!best || listener_waiting(member->fd) > listener_waiting(best->fd)))
                        best = member;
        }
        if (best) {
                best->is_spare = false;
                best->seat = *seat;
        }
        return best;
}

/* The first member gets a program before a second one joins: without one the kernel divides connections by a
 * hash. */
struct listener_member *listener_member_need(
        struct listener *listener, const struct seat *seat, struct error *error) {
        struct listener_member *member;
        int fd;

        listener_members_check(listener);
        member = listener_member_of(listener, seat);
        if (!member)
                member = spare_take(listener, seat);
        if (member)
                return member;
        if (listener->member_count == LISTENER_MEMBERS_MAX) {
                error_set(error, 0, "more than %d sockets for '%s' at once", LISTENER_MEMBERS_MAX,
                        listener->name);
                return NULL;
        }
        if (listener_socket_open(listener, listener->member_count == 0, &fd, error) < 0)
                return NULL;
        member = listener_member_add(listener, fd, seat);
        if (listener->member_count == 1 && listener_program_set(listener, error) < 0) {
                member_forget(listener, 0);
                return NULL;
        }
        listener_strangers_look(listener);
        return member;
}

static size_t spare_count(const struct listener *listener) {
        size_t count = 0;

        for (size_t i = 0; i < listener->member_count; i++)
                count += listener->members[i].is_spare && !listener->members[i].is_permanent;
        return count;
}

static void member_make_spare(struct listener_member *member) {
        member->is_spare = true;
        member->is_awaited = false;
        member->weight = 0;
        member->probe_port = 0;
        fd_cleanup(&member->probe_hold);
}

/* Does the kernel move the accept queue of a closed socket to the right one of its group (ip-sysctl,
 * tcp_migrate_req)? It chooses by a hash, so only when a single one is left. */
static bool queue_is_migrated(const struct listener *listener) {
        CLEANUP_FD int fd = open("/proc/sys/net/ipv4/tcp_migrate_req", O_RDONLY | O_CLOEXEC);
        char digit = '0';

        return listener->member_count == 2 && fd >= 0 && read(fd, &digit, 1) == 1 && digit == '1';
}

/* Closing the socket would reset the connections in its accept queue. */
static bool member_should_stay(const struct listener *listener, const struct listener_member *member) {
        long waiting = listener_waiting(member->fd);

        if (member->is_permanent)
                return true;
        if (waiting <= 0 || !member->had_clients || queue_is_migrated(listener))
                return false;
        if (spare_count(listener) == LISTENER_SPARES_MAX) {
                log_write(LOG_WARNING, "'%s': %ld connection%s of generation %llu lost: nobody accepted them",
                        listener->name, waiting, waiting == 1 ? "" : "s",
                        (unsigned long long)member->seat.generation);
                return false;
        }
        log_write(LOG_WARNING,
                "'%s': generation %llu is gone and left %ld connection%s unaccepted: the next instance that "
                "is started gets %s",
                listener->name, (unsigned long long)member->seat.generation, waiting, waiting == 1 ? "" : "s",
                waiting == 1 ? "it" : "them");
        return true;
}

/* When a member leaves the last one moves, and until the next program is there what is meant for it goes to
 * whom a hash chooses: also to one that has not begun to accept, or is to go. So for that moment the others
 * share what it gets, if there are any. With two members it is the right one that is left. */
static void last_spare(struct listener *listener, const struct listener_member *leaving) {
        struct listener_member *last = &listener->members[listener->member_count - 1];
        const uint32_t weight = last->weight;
        bool has_others = false;

        for (size_t i = 0; i + 1 < listener->member_count; i++)
                has_others |= &listener->members[i] != leaving && listener->members[i].weight > 0;
        if (listener->member_count < 3 || last == leaving || weight == 0 || !has_others)
                return;
        last->weight = 0;
        program_set_or_log(listener);
        last->weight = weight;
}

void listener_member_drop(struct listener *listener, const struct seat *seat) {
        struct listener_member *member;

        listener_members_check(listener);
        member = listener_member_of(listener, seat);
        if (!member)
                return;
        if (member_should_stay(listener, member)) {
                member_make_spare(member);
        } else {
                member->weight = 0;
                last_spare(listener, member);
                (void)shutdown(member->fd, SHUT_RDWR);
                member_forget(listener, (size_t)(member - listener->members));
        }
        program_set_or_log(listener);
}
