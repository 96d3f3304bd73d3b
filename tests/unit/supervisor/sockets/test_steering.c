/* The program that steers connections, run by an interpreter of classic BPF over made packets. The
 * interpreter is as strict as the kernel (net/core/filter.c): what it does not know, a jump out of the
 * program or a division by nothing fails the test, and a load beyond the packet ends with 0.
 * tests/unit/supervisor/sockets/test_listeners.c asks the kernel itself. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "supervisor/sockets/steering.h"

#define RESERVED 61001
#define OTHER    61002

/* ---- packets: the network header and what follows it --------------------------------------------------- */

struct packet {
        uint8_t bytes[160];
        size_t length;
};

static void put16(uint8_t *at, unsigned value) {
        at[0] = (uint8_t)(value >> 8);
        at[1] = (uint8_t)value;
}

static void tcp_put(struct packet *packet, size_t at, unsigned source_port) {
        put16(&packet->bytes[at], source_port);
        put16(&packet->bytes[at + 2], 8080);
        packet->bytes[at + 12] = 5 << 4;
        packet->length = at + 20;
}

static const uint8_t loopback4[4] = {127, 0, 0, 1};
static const uint8_t loopback6[16] = {[15] = 1};

/* `words`: length of the header in units of four bytes, 5 without options. */
static struct packet packet4(const uint8_t source[4], unsigned words, unsigned source_port) {
        struct packet packet = {0};

        memset(packet.bytes, 0x5a, sizeof packet.bytes);
        packet.bytes[0] = (uint8_t)(0x40 | words);
        packet.bytes[9] = 6;
        memcpy(&packet.bytes[12], source, 4);
        tcp_put(&packet, (size_t)words * 4, source_port);
        return packet;
}

static struct packet packet6(const uint8_t source[16], uint8_t next, unsigned source_port) {
        struct packet packet = {0};

        memset(packet.bytes, 0x5a, sizeof packet.bytes);
        packet.bytes[0] = 0x60;
        packet.bytes[6] = next;
        memcpy(&packet.bytes[8], source, 16);
        tcp_put(&packet, 40, source_port);
        return packet;
}

/* ---- the interpreter ----------------------------------------------------------------------------------- */

struct machine {
        const struct packet *packet;
        uint32_t random;
        uint32_t a, x;
        bool is_beyond; /* a load went beyond the packet: the program is over */
};

static uint32_t packet_load(struct machine *machine, int64_t offset, size_t size) {
        uint32_t value = 0;

        assert_true(offset >= SKF_NET_OFF && offset < SKF_AD_OFF); /* we only look at the network header */
        offset -= SKF_NET_OFF;
        if ((uint64_t)offset + size > machine->packet->length) {
                machine->is_beyond = true;
                return 0;
        }
        for (size_t i = 0; i < size; i++)
                value = value << 8 | machine->packet->bytes[(size_t)offset + i];
        return value;
}

static void load_run(struct machine *machine, const struct sock_filter *at) {
        int64_t offset = (int32_t)at->k;

        switch (at->code) {
        case BPF_LD | BPF_W | BPF_ABS:
                machine->a = offset == SKF_AD_OFF + SKF_AD_RANDOM ? machine->random
                                                                  : packet_load(machine, offset, 4);
                return;
        case BPF_LD | BPF_H | BPF_ABS:
                machine->a = packet_load(machine, offset, 2);
                return;
        case BPF_LD | BPF_B | BPF_ABS:
                machine->a = packet_load(machine, offset, 1);
                return;
        case BPF_LD | BPF_H | BPF_IND:
                machine->a = packet_load(machine, offset + machine->x, 2);
                return;
        case BPF_LDX | BPF_B | BPF_MSH:
                machine->x = 4 * (packet_load(machine, offset, 1) & 15);
                return;
        default:
                fail_msg("instruction %#x", at->code);
        }
}

static bool comparison(uint16_t code, uint32_t a, uint32_t k) {
        if (code == (BPF_JMP | BPF_JEQ | BPF_K))
                return a == k;
        assert_int_equal(code, BPF_JMP | BPF_JGE | BPF_K);
        return a >= k;
}

static uint32_t program_run(
        const struct sock_filter *program, size_t count, const struct packet *packet, uint32_t random) {
        struct machine machine = {.packet = packet, .random = random};
        size_t next = 0;

        for (;;) {
                const struct sock_filter *at = &program[next++];

                assert_true(next <= count);
                if (at->code == (BPF_RET | BPF_K))
                        return at->k;
                if (at->code == (BPF_ALU | BPF_RSH | BPF_K)) {
                        machine.a >>= at->k;
                } else if (at->code == (BPF_ALU | BPF_MOD | BPF_K)) {
                        assert_int_not_equal(at->k, 0);
                        machine.a %= at->k;
                } else if (at->code == (BPF_JMP | BPF_JA)) {
                        next += at->k;
                } else if (BPF_CLASS(at->code) == BPF_JMP) {
                        next += comparison(at->code, machine.a, at->k) ? at->jt : at->jf;
                } else {
                        load_run(&machine, at);
                        if (machine.is_beyond)
                                return 0;
                }
        }
}

static uint32_t steered(const struct steering *steering, struct packet packet, uint32_t random) {
        struct sock_filter program[STEERING_INSTRUCTIONS_MAX];
        size_t count = steering_build(steering, program);

        assert_in_range(count, 1, STEERING_INSTRUCTIONS_MAX);
        return program_run(program, count, &packet, random);
}

static struct packet client4(void) {
        return packet4((const uint8_t[4]){192, 0, 2, 7}, 5, 40000);
}

/* Clients to 0, the probe from RESERVED to 1. */
static struct steering probed(void) {
        struct steering steering = {.member_count = 2,
                .share_count = 1,
                .shares = {{.index = 0, .weight = 1}},
                .route_count = 1,
                .routes = {{.index = 1, .port = RESERVED}},
                .has_ipv4 = true,
                .has_ipv6 = true};

        memcpy(steering.ipv4_source, loopback4, 4);
        memcpy(steering.ipv6_source, loopback6, 16);
        return steering;
}

/* ---- tests --------------------------------------------------------------------------------------------- */

static void test_one_share_is_a_plain_answer(void **state) {
        struct steering steering = {
                .member_count = 3, .share_count = 1, .shares = {{.index = 2, .weight = 7}}};
        struct sock_filter program[STEERING_INSTRUCTIONS_MAX];

        (void)state;
        assert_int_equal(steering_build(&steering, program), 1);
        assert_int_equal(program[0].code, BPF_RET | BPF_K);
        assert_int_equal(program[0].k, 2);
}

static void test_a_probe_over_ipv4_reaches_its_member_with_any_options(void **state) {
        struct steering steering = probed();

        (void)state;
        for (unsigned words = 5; words <= 15; words++) {
                assert_int_equal(steered(&steering, packet4(loopback4, words, RESERVED), 0), 1);
                assert_int_equal(steered(&steering, packet4(loopback4, words, RESERVED + 1), 0), 0);
                assert_int_equal(steered(&steering, packet4(loopback4, words, RESERVED - 1), 0), 0);
        }
}

static void test_a_probe_over_ipv6_reaches_its_member(void **state) {
        struct steering steering = probed();

        (void)state;
        assert_int_equal(steered(&steering, packet6(loopback6, 6, RESERVED), 0), 1);
        assert_int_equal(steered(&steering, packet6(loopback6, 6, RESERVED + 1), 0), 0);
}

static void test_behind_an_extension_header_nobody_is_a_probe(void **state) {
        static const uint8_t headers[] = {0, 43, 44, 60, 51, 17, 5, 7};
        struct steering steering = probed();

        (void)state;
        for (size_t i = 0; i < sizeof headers; i++)
                assert_int_equal(steered(&steering, packet6(loopback6, headers[i], RESERVED), 0), 0);
}

static void test_a_stranger_on_the_port_of_the_probe_goes_where_clients_go(void **state) {
        struct steering steering = probed();

        (void)state;
        for (size_t i = 0; i < 4; i++) {
                uint8_t source[4];

                memcpy(source, loopback4, 4);
                source[i] ^= 1;
                assert_int_equal(steered(&steering, packet4(source, 5, RESERVED), 0), 0);
        }
        for (size_t i = 0; i < 16; i++) {
                uint8_t source[16];

                memcpy(source, loopback6, 16);
                source[i] ^= 1;
                assert_int_equal(steered(&steering, packet6(source, 6, RESERVED), 0), 0);
        }
}

static void test_a_version_that_is_neither_goes_where_clients_go(void **state) {
        struct steering steering = probed();

        (void)state;
        for (unsigned version = 0; version < 16; version++) {
                struct packet packet = packet4(loopback4, 5, RESERVED);

                packet.bytes[0] = (uint8_t)(version << 4 | 5);
                packet.length = 80;
                assert_int_equal(steered(&steering, packet, 0), version == 4);
                packet = packet6(loopback6, 6, RESERVED);
                packet.bytes[0] = (uint8_t)(version << 4);
                assert_int_equal(steered(&steering, packet, 0), version == 6);
        }
}

static void test_a_family_without_probes_has_none(void **state) {
        struct steering steering = probed();

        (void)state;
        steering.has_ipv4 = false;
        assert_int_equal(steered(&steering, packet4(loopback4, 5, RESERVED), 0), 0);
        assert_int_equal(steered(&steering, packet6(loopback6, 6, RESERVED), 0), 1);
        steering = probed();
        steering.has_ipv6 = false;
        assert_int_equal(steered(&steering, packet4(loopback4, 5, RESERVED), 0), 1);
        assert_int_equal(steered(&steering, packet6(loopback6, 6, RESERVED), 0), 0);
        steering.routes[0].port = 6; /* is not what the version is compared with */
        assert_int_equal(steered(&steering, packet6(loopback6, 6, RESERVED), 0), 0);
        steering.has_ipv4 = false;
        assert_int_equal(steered(&steering, packet4(loopback4, 5, 6), 0), 0);
}

static void test_every_route_has_its_own_member(void **state) {
        struct steering steering = probed();

        (void)state;
        steering.member_count = STEERING_MEMBERS_MAX;
        steering.route_count = STEERING_MEMBERS_MAX;
        for (uint32_t i = 0; i < STEERING_MEMBERS_MAX; i++)
                steering.routes[i] =
                        (struct steering_route){.index = i, .port = (uint16_t)(RESERVED + 3 * i)};
        for (uint32_t i = 0; i < STEERING_MEMBERS_MAX; i++) {
                assert_int_equal(steered(&steering, packet4(loopback4, 6, RESERVED + 3 * i), 0), i);
                assert_int_equal(steered(&steering, packet6(loopback6, 6, RESERVED + 3 * i), 0), i);
                assert_int_equal(steered(&steering, packet6(loopback6, 6, RESERVED + 3 * i + 1), 0), 0);
        }
}

static void test_weights_are_met_exactly(void **state) {
        struct steering steering = {.member_count = 4,
                .share_count = 4,
                .shares = {{.index = 3, .weight = 1}, {.index = 1, .weight = 90}, {.index = 2, .weight = 0},
                        {.index = 0, .weight = 9}}};
        unsigned counts[4] = {0};

        (void)state;
        for (uint32_t random = 0; random < 10000; random++)
                counts[steered(&steering, client4(), random)]++;
        assert_int_equal(counts[3], 100);
        assert_int_equal(counts[1], 9000);
        assert_int_equal(counts[2], 0);
        assert_int_equal(counts[0], 900);
}

static void test_the_largest_weights_and_numbers_stay_in_range(void **state) {
        struct steering steering = {
                .member_count = STEERING_MEMBERS_MAX, .share_count = STEERING_MEMBERS_MAX};
        bool was_seen[STEERING_MEMBERS_MAX] = {false};

        (void)state;
        for (uint32_t i = 0; i < STEERING_MEMBERS_MAX; i++)
                steering.shares[i] = (struct steering_share){.index = i, .weight = i == 5 ? 1 : UINT32_MAX};
        for (uint64_t random = 0; random <= UINT32_MAX; random += 4001) {
                uint32_t index = steered(&steering, client4(), (uint32_t)random);

                assert_in_range(index, 0, STEERING_MEMBERS_MAX - 1);
                was_seen[index] = true;
        }
        assert_in_range(steered(&steering, client4(), UINT32_MAX), 0, STEERING_MEMBERS_MAX - 1);
        for (uint32_t i = 0; i < STEERING_MEMBERS_MAX; i++)
                assert_true(was_seen[i]); /* even 1 of 64 thousand millions is not rounded to nothing */
}

static void test_large_weights_keep_their_ratio(void **state) {
        struct steering steering = {.member_count = 2,
                .share_count = 2,
                .shares = {{.index = 0, .weight = 3000000000}, {.index = 1, .weight = 1000000000}}};
        unsigned ones = 0, all = 0;

        (void)state;
        for (uint64_t random = 0; random <= UINT32_MAX; random += 65521, all++)
                ones += steered(&steering, client4(), (uint32_t)random) == 1;
        assert_in_range(ones, all / 4 - all / 100, all / 4 + all / 100);
}

static void test_what_is_not_in_the_group_is_never_answered(void **state) {
        struct steering steering = probed();

        (void)state;
        steering.member_count = 1;
        steering.share_count = 3;
        steering.shares[0] = (struct steering_share){.index = 1, .weight = 5};
        steering.shares[1] = (struct steering_share){.index = UINT32_MAX, .weight = 5};
        steering.shares[2] = (struct steering_share){.index = 0, .weight = 1};
        steering.routes[0].index = 1;
        for (uint32_t random = 0; random < 20; random++) {
                assert_int_equal(steered(&steering, client4(), random), 0);
                assert_int_equal(steered(&steering, packet4(loopback4, 5, RESERVED), random), 0);
        }
}

static void test_without_any_share_everybody_goes_to_the_first(void **state) {
        struct steering steering = {.member_count = 2};

        (void)state;
        assert_int_equal(steered(&steering, client4(), 1), 0);
        steering.share_count = 2;
        steering.shares[0].index = 1; /* weights of 0 */
        assert_int_equal(steered(&steering, client4(), 1), 0);
}

static void test_a_route_without_a_port_is_none(void **state) {
        struct steering steering = probed();

        (void)state;
        steering.routes[0].port = 0;
        assert_int_equal(steered(&steering, packet4(loopback4, 5, 0), 0), 0);
        assert_int_equal(steered(&steering, packet6(loopback6, 6, 0), 0), 0);
}

static void test_probes_and_clients_share_a_program(void **state) {
        struct steering steering = probed();
        unsigned ones = 0;

        (void)state;
        steering.share_count = 2;
        steering.shares[0].weight = 90;
        steering.shares[1] = (struct steering_share){.index = 1, .weight = 10};
        steering.routes[1] = (struct steering_route){.index = 0, .port = OTHER};
        steering.route_count = 2;
        for (uint32_t random = 0; random < 100; random++) {
                ones += steered(&steering, client4(), random);
                assert_int_equal(steered(&steering, packet4(loopback4, 5, RESERVED), random), 1);
                assert_int_equal(steered(&steering, packet4(loopback4, 5, OTHER), random), 0);
        }
        assert_int_equal(ones, 10);
}

/* Whatever the packet and the tables: an index of the group, and never a run beyond the program. */
static void test_random_tables_and_packets_stay_in_the_group(void **state) {
        uint64_t seed = 88172645463325252U;

        (void)state;
        for (unsigned round = 0; round < 20000; round++) {
                struct steering steering;
                struct packet packet;
                uint8_t *bytes = (uint8_t *)&steering;

                for (size_t i = 0; i < sizeof steering + sizeof packet.bytes; i++) {
                        seed ^= seed << 13;
                        seed ^= seed >> 7;
                        seed ^= seed << 17;
                        if (i < sizeof steering)
                                bytes[i] = (uint8_t)(seed >> 11);
                        else
                                packet.bytes[i - sizeof steering] = (uint8_t)(seed >> 11);
                }
                steering.member_count = 1 + steering.member_count % STEERING_MEMBERS_MAX;
                steering.share_count %= STEERING_MEMBERS_MAX + 1;
                steering.route_count %= STEERING_MEMBERS_MAX + 1;
                for (size_t i = 0; i < STEERING_MEMBERS_MAX; i++) {
                        steering.shares[i].index %= steering.member_count + 2;
                        steering.routes[i].index %= steering.member_count + 2;
                }
                memset(&steering.has_ipv4, (int)(seed >> 60 & 1), 1);
                memset(&steering.has_ipv6, (int)(seed >> 61 & 1), 1);
                packet.bytes[0] = (uint8_t)((round & 1 ? 0x40 : 0x60) | (packet.bytes[0] & 15));
                packet.length = round % (sizeof packet.bytes + 1);
                assert_in_range(steered(&steering, packet, (uint32_t)seed), 0, steering.member_count - 1);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_one_share_is_a_plain_answer),
                cmocka_unit_test(test_a_probe_over_ipv4_reaches_its_member_with_any_options),
                cmocka_unit_test(test_a_probe_over_ipv6_reaches_its_member),
                cmocka_unit_test(test_behind_an_extension_header_nobody_is_a_probe),
                cmocka_unit_test(test_a_stranger_on_the_port_of_the_probe_goes_where_clients_go),
                cmocka_unit_test(test_a_version_that_is_neither_goes_where_clients_go),
                cmocka_unit_test(test_a_family_without_probes_has_none),
                cmocka_unit_test(test_every_route_has_its_own_member),
                cmocka_unit_test(test_weights_are_met_exactly),
                cmocka_unit_test(test_the_largest_weights_and_numbers_stay_in_range),
                cmocka_unit_test(test_large_weights_keep_their_ratio),
                cmocka_unit_test(test_what_is_not_in_the_group_is_never_answered),
                cmocka_unit_test(test_without_any_share_everybody_goes_to_the_first),
                cmocka_unit_test(test_a_route_without_a_port_is_none),
                cmocka_unit_test(test_probes_and_clients_share_a_program),
                cmocka_unit_test(test_random_tables_and_packets_stay_in_the_group),
        };

        return cmocka_run_group_tests_name("steering", tests, NULL, NULL);
}
