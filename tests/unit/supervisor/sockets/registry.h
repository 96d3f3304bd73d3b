#pragma once

/* The registry of listening sockets on the loopback of a network of its own, where that can be had: what its
 * tests share. They turn the loop. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "supervisor/sockets/listener.h"

#define ANSWER_MS 5000

/* Where the first instance of a generation sits. */
#define SEAT(number)           SEAT_AT(number, 0)
#define SEAT_AT(number, place) (&(struct seat){.generation = (number), .slot = (place)})

static struct loop loop;
static struct facts facts;
static struct instances instances;
static struct fleet_settings fleet_settings;
static struct fleet fleet;
static struct socket_rules rules;
static struct socket_settings settings;
static struct listener_settings declared[4];
static struct listeners listeners;
static const struct listeners_rooms rooms = {
        .loop = &loop, .facts = &facts, .instances = &instances, .fleet = &fleet, .rules = &rules};
static bool has_own_network;

static inline void registry_begin(void) {
        struct error error = {0};

        memset(&listeners, 0, sizeof listeners);
        memset(&instances, 0, sizeof instances);
        facts_forget(&facts);
        settings = (struct socket_settings){.declared = declared, .queue_quiet_ns = 20 * NS_PER_MS};
        fleet_settings = (struct fleet_settings){.replicas = 1, .surge_max = 1};
        rules = (struct socket_rules){.fleet = &fleet_settings, .is_adopting = true};
        assert_int_equal(loop_init(&loop, &error), 0);
        fleet_init(&fleet, &fleet_settings);
        fleet.settings.is_steered = true;
}

static inline struct listener_settings *declare(const char *name, const char *address) {
        struct listener_settings *listener = &declared[settings.declared_count++];
        struct error error = {0};

        *listener = (struct listener_settings){
                .name = name, .user = (uid_t)-1, .group = (gid_t)-1, .ipv6_only = -1, .inherited_fd = -1};
        if (socket_address_parse(address, &listener->address, &error) < 0)
                fail_msg("%s", error.text);
        return listener;
}

static inline void registry_open(void) {
        struct error error = {0};

        if (listeners_open(&listeners, &rooms, &settings, &error) < 0)
                fail_msg("%s", error.text);
}

/* One tcp listener on a free port of `host`; the parser refuses port 0, the registry does not. */
static inline struct listener_settings *declare_free(const char *host) {
        char address[64];
        struct listener_settings *listener;

        snprintf(address, sizeof address, "%s:1", host);
        listener = declare("web", address);
        if (listener->address.generic.sa_family == AF_INET6)
                listener->address.in6.sin6_port = 0;
        else
                listener->address.in4.sin_port = 0;
        return listener;
}

static inline void registry_start(const char *host) {
        registry_begin();
        declare_free(host);
        registry_open();
}

static inline void registry_end(void) {
        listeners_close(&listeners);
        loop_deinit(&loop);
}

static inline struct listener *web(void) {
        return &listeners.list[0];
}

/* The first declared socket of an instance there. */
static inline int descriptor_at(uint64_t generation, uint32_t slot) {
        struct launch_descriptor descriptors[LISTENERS_MAX];
        struct error error = {0};
        size_t count;

        if (listeners_descriptors(&listeners, SEAT_AT(generation, slot), descriptors, &count, &error) < 0)
                fail_msg("%s", error.text);
        assert_int_equal(count, settings.declared_count);
        return descriptors[0].fd;
}

static inline int descriptor_of(uint64_t generation) {
        return descriptor_at(generation, 0);
}

/* A process of that generation, in that slot. */
static inline void instance_put_at(size_t place, uint64_t generation, uint32_t slot) {
        instances.list[place] = (struct instance){.is_used = true,
                .instances = &instances,
                .number = place + 1,
                .generation = generation,
                .slot = slot};
        if (instances.places <= place)
                instances.places = place + 1;
}

static inline void instance_put(size_t place, uint64_t generation) {
        instance_put_at(place, generation, 0);
}

static inline void steer(uint64_t first, uint32_t first_weight, uint64_t second, uint32_t second_weight) {
        const struct fleet_share shares[] = {{.generation = first, .weight = first_weight},
                {.generation = second, .weight = second_weight}};

        listeners_steer(&listeners, shares, second_weight > 0 ? 2 : 1);
}

/* All of them get the same. */
static inline void steer_to(size_t count, const struct seat *seats) {
        struct fleet_share shares[FLEET_SHARES_MAX];

        for (size_t i = 0; i < count; i++)
                shares[i] = (struct fleet_share){seats[i].generation, seats[i].slot, 1};
        listeners_steer(&listeners, shares, count);
}

static inline int client_connect(const char *host) {
        uint16_t port = socket_address_port(&web()->address);
        struct socket_address address = {0};
        struct error error = {0};
        char text[64];
        int fd;

        snprintf(text, sizeof text, "%s:%u", host, port);
        assert_int_equal(socket_address_parse(text, &address, &error), 0);
        fd = socket(address.generic.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
        if (connect(fd, &address.generic, address.length) < 0)
                fail_msg("connect to %s: %s", text, strerror(errno));
        return fd;
}

/* Whose queue got the one connection that waits? It is accepted and closed. */
static inline uint64_t accept_one(void) {
        for (size_t i = 0; i < web()->member_count; i++) {
                struct pollfd poll_fd = {.fd = web()->members[i].fd, .events = POLLIN};

                if (poll(&poll_fd, 1, 0) == 1) {
                        close(accept(poll_fd.fd, NULL, NULL));
                        return web()->members[i].seat.generation;
                }
        }
        fail_msg("nobody got the connection");
        return 0;
}

static inline uint64_t client_lands(const char *host) {
        const struct linger reset = {.l_onoff = 1};
        int fd = client_connect(host);
        uint64_t generation = accept_one();

        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(fd);
        return generation;
}

static inline void assert_all_land(const char *host, unsigned clients, uint64_t generation) {
        for (unsigned i = 0; i < clients; i++)
                assert_int_equal(client_lands(host), generation);
}

static inline uint64_t probe_lands(uint64_t generation) {
        struct pollfd poll_fd = {.events = POLLOUT};
        struct error error = {0};
        int result, code = 0;
        socklen_t length = sizeof code;

        result = listeners_probe(&listeners, SEAT(generation), NULL, &poll_fd.fd, &error);
        if (result != 0)
                fail_msg("probe: %d %s", result, error.text);
        assert_int_equal(poll(&poll_fd, 1, ANSWER_MS), 1);
        assert_int_equal(getsockopt(poll_fd.fd, SOL_SOCKET, SO_ERROR, &code, &length), 0);
        assert_int_equal(code, 0);
        close(poll_fd.fd);
        return accept_one();
}

static inline int inherited_open(bool is_reused) {
        struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const int on = is_reused;

        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on), 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&in4, sizeof in4), 0);
        assert_int_equal(listen(fd, 64), 0);
        return fd;
}

/* Ports are nobody else's there. Without the right to make one the tests share the machine's loopback. */
static inline void network_make(void) {
        struct ifreq request = {.ifr_name = "lo"};
        int fd;

        if (unshare(CLONE_NEWNET) < 0)
                return;
        has_own_network = true;
        fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        request.ifr_flags = IFF_UP | IFF_RUNNING;
        (void)ioctl(fd, SIOCSIFFLAGS, &request);
        close(fd);
}
