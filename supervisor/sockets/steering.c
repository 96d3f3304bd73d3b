/* Builds the program that steers new connections: see steering.h. Called by supervisor/sockets/listeners.c
 * whenever a member joins or leaves a group, or the shares change.
 *
 * What the program sees (net/core/sock_reuseport.c): the data begins behind the tcp header; the header of the
 * network layer is at SKF_NET_OFF. A dual-stack socket gets packets of both versions, so the version is asked
 * first. The source port follows the IPv4 header, whose length varies with its options, or the fixed IPv6
 * header; IPv6 extension headers are not followed, since our probes have none. The source address is compared
 * before the port: another machine that happens to use the port of a probe is not sent where the probe goes.
 *
 *              A = version
 *              4?  source == ipv4_source?                 A = port
 *              6?  tcp next?  source == ipv6_source?      A = port
 *      routes: A == port? return index                    two instructions for each
 *      shares: A = random mod sum
 *              A < bound? return index                    two for each but the last, whose index is returned
 *
 * Every failed test on the way to the routes goes to the shares. */

#include "supervisor/sockets/steering.h"

#include <assert.h>

#define AT_NETWORK(offset) ((uint32_t)(SKF_NET_OFF + (offset)))

#define IPV4_SOURCE 12
#define IPV6_NEXT   6
#define IPV6_SOURCE 8
#define IPV6_HEADER 40
#define NEXT_TCP    6

/* The random number has 32 bits: with a sum of at most 2^20 the remainder favours no member by more than 1 in
 * 4,096. */
#define SUM_MAX (1U << 20)

/* What comes before the routes, rounded up. */
#define HEADER_INSTRUCTIONS_MAX 32

/* Jumps whose distance is not known yet. The first has eight bits: it leads over the routes at most. */
#define TO_SHARES 255
#define TO_ROUTES UINT32_MAX

static_assert(
        HEADER_INSTRUCTIONS_MAX + 2 * STEERING_MEMBERS_MAX < TO_SHARES, "no distance looks like the mark");
static_assert(STEERING_INSTRUCTIONS_MAX <= BPF_MAXINSNS, "the kernel takes it");
static_assert(STEERING_MEMBERS_MAX < SUM_MAX / 2, "a share is never rounded away");

struct program {
        struct sock_filter *at;
        size_t count;
};

static void emit(struct program *program, uint16_t code, uint32_t k) {
        assert(program->count < STEERING_INSTRUCTIONS_MAX);
        program->at[program->count++] = (struct sock_filter){.code = code, .k = k};
}

/* Compare A with `k`: equal (JEQ), or not less (JGE). If so, skip `yes` instructions, else `no`. */
static void emit_test(struct program *program, uint16_t comparison, uint32_t k, uint8_t yes, uint8_t no) {
        emit(program, (uint16_t)(BPF_JMP | BPF_K | comparison), k);
        program->at[program->count - 1].jt = yes;
        program->at[program->count - 1].jf = no;
}

static uint32_t word_at(const uint8_t *bytes) {
        return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

#define IPV4_INSTRUCTIONS 5

static void emit_ipv4(struct program *program, const struct steering *steering) {
        emit(program, BPF_LD | BPF_W | BPF_ABS, AT_NETWORK(IPV4_SOURCE));
        emit_test(program, BPF_JEQ, word_at(steering->ipv4_source), 0, TO_SHARES);
        emit(program, BPF_LDX | BPF_B | BPF_MSH, AT_NETWORK(0));
        emit(program, BPF_LD | BPF_H | BPF_IND, AT_NETWORK(0));
        emit(program, BPF_JMP | BPF_JA, TO_ROUTES);
}

static void emit_ipv6(struct program *program, const struct steering *steering) {
        emit(program, BPF_LD | BPF_B | BPF_ABS, AT_NETWORK(IPV6_NEXT));
        emit_test(program, BPF_JEQ, NEXT_TCP, 0, TO_SHARES);
        for (uint32_t i = 0; i < sizeof steering->ipv6_source; i += 4) {
                emit(program, BPF_LD | BPF_W | BPF_ABS, AT_NETWORK(IPV6_SOURCE + (int)i));
                emit_test(program, BPF_JEQ, word_at(&steering->ipv6_source[i]), 0, TO_SHARES);
        }
        emit(program, BPF_LD | BPF_H | BPF_ABS, AT_NETWORK(IPV6_HEADER));
        emit(program, BPF_JMP | BPF_JA, TO_ROUTES);
}

/* Leave the source port of a packet that may be a probe in A, and go to the routes. */
static void emit_port(struct program *program, const struct steering *steering) {
        emit(program, BPF_LD | BPF_B | BPF_ABS, AT_NETWORK(0));
        emit(program, BPF_ALU | BPF_RSH | BPF_K, 4);
        if (steering->has_ipv4) {
                emit_test(program, BPF_JEQ, 4, 0, steering->has_ipv6 ? IPV4_INSTRUCTIONS : TO_SHARES);
                emit_ipv4(program, steering);
        }
        if (steering->has_ipv6) {
                emit_test(program, BPF_JEQ, 6, 0, TO_SHARES);
                emit_ipv6(program, steering);
        }
}

static bool route_is_usable(const struct steering *steering, const struct steering_route *route) {
        return route->port != 0 && route->index < steering->member_count;
}

static bool steering_has_routes(const struct steering *steering) {
        for (size_t i = 0; i < steering->route_count; i++)
                if (route_is_usable(steering, &steering->routes[i]))
                        return steering->has_ipv4 || steering->has_ipv6;
        return false;
}

static void emit_routes(struct program *program, const struct steering *steering) {
        size_t routes;

        emit_port(program, steering);
        routes = program->count;
        for (size_t i = 0; i < steering->route_count; i++) {
                if (!route_is_usable(steering, &steering->routes[i]))
                        continue;
                emit_test(program, BPF_JEQ, steering->routes[i].port, 0, 1);
                emit(program, BPF_RET | BPF_K, steering->routes[i].index);
        }
        for (size_t i = 0; i < routes; i++) {
                struct sock_filter *at = &program->at[i];

                if (at->k == TO_ROUTES && at->code == (BPF_JMP | BPF_JA))
                        at->k = (uint32_t)(routes - i - 1);
                if (at->jt == TO_SHARES)
                        at->jt = (uint8_t)(program->count - i - 1);
                if (at->jf == TO_SHARES)
                        at->jf = (uint8_t)(program->count - i - 1);
        }
}

/* Scale the weights above 0 so that their sum is at most SUM_MAX, none of them to 0. Returns how many. */
static size_t shares_scale(
        const struct steering *steering, struct steering_share out[static STEERING_MEMBERS_MAX]) {
        uint64_t sum = 0;
        size_t count = 0;

        for (size_t i = 0; i < steering->share_count; i++)
                if (steering->shares[i].weight > 0 && steering->shares[i].index < steering->member_count) {
                        out[count++] = steering->shares[i];
                        sum += steering->shares[i].weight;
                }
        for (size_t i = 0; i < count && sum > SUM_MAX; i++) {
                uint64_t weight = out[i].weight * (uint64_t)(SUM_MAX - STEERING_MEMBERS_MAX) / sum;

                out[i].weight = weight > 0 ? (uint32_t)weight : 1;
        }
        return count;
}

static void emit_shares(struct program *program, const struct steering *steering) {
        struct steering_share shares[STEERING_MEMBERS_MAX];
        size_t count = shares_scale(steering, shares);
        uint32_t sum = 0, bound = 0;

        for (size_t i = 0; i < count; i++)
                sum += shares[i].weight;
        if (count > 1) {
                emit(program, BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM));
                emit(program, BPF_ALU | BPF_MOD | BPF_K, sum);
        }
        for (size_t i = 0; i + 1 < count; i++) {
                bound += shares[i].weight;
                emit_test(program, BPF_JGE, bound, 1, 0);
                emit(program, BPF_RET | BPF_K, shares[i].index);
        }
        emit(program, BPF_RET | BPF_K, count > 0 ? shares[count - 1].index : 0);
}

size_t steering_build(
        const struct steering *steering, struct sock_filter out[static STEERING_INSTRUCTIONS_MAX]) {
        struct program program = {.at = out};

        assert(steering->share_count <= STEERING_MEMBERS_MAX);
        assert(steering->route_count <= STEERING_MEMBERS_MAX);
        if (steering_has_routes(steering))
                emit_routes(&program, steering);
        emit_shares(&program, steering);
        return program.count;
}
