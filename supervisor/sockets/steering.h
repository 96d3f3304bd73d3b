#pragma once

/* The switch between instances: a classic BPF program for one SO_REUSEPORT group (socket(7),
 * SO_ATTACH_REUSEPORT_CBPF).
 *
 * The kernel runs it once for each new connection and takes the number that it returns as the index, in the
 * order of listen(2), of the member of the group that gets the connection. A number that is too large makes
 * the kernel choose by itself, and a load beyond the packet ends the program with 0: the program avoids both.
 *
 * Pure: the supervisor attaches what is built here. */

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The instances that may have a socket at a time, and some whose queue is not empty yet. */
#define STEERING_MEMBERS_MAX 80

/* Clients go to the member `index` by its share of the sum of all weights. */
struct steering_share {
        uint32_t index;
        uint32_t weight;
};

/* A probe: comes from the source address of its family below and from this port. */
struct steering_route {
        uint32_t index;
        uint16_t port; /* host order; not 0 */
};

struct steering {
        /* of the group; an index that is not below it is left out, wherever it stands */
        uint32_t member_count;
        size_t share_count;
        struct steering_share shares[STEERING_MEMBERS_MAX];
        size_t route_count;
        struct steering_route routes[STEERING_MEMBERS_MAX];
        bool has_ipv4, has_ipv6; /* probes may come over it; also for IPv4 on a dual-stack socket */
        uint8_t ipv4_source[4];  /* in the order of the wire */
        uint8_t ipv6_source[16];
};

/* 4 to tell the version, 5 for IPv4, 13 for IPv6; 2 per route; 2 for the random number and 2 per share;
 * rounded up. */
#define STEERING_INSTRUCTIONS_MAX (32 + 4 * STEERING_MEMBERS_MAX)

/* Write the program; returns how many instructions it has. Never fails: without any share of a weight above 0
 * all connections go to the first member. */
size_t steering_build(
        const struct steering *steering, struct sock_filter out[static STEERING_INSTRUCTIONS_MAX]);
