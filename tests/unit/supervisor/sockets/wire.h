#pragma once

/* A client at the other end of a wire, who takes his time: one tcp segment after the other, by hand. */

#include <fcntl.h>
#include <linux/if_tun.h>

#include "tests/unit/supervisor/sockets/registry.h"

#define CLIENT_SEQUENCE 1000

/* A network of one other machine, 10.9.0.2, that these tests play. -1 where that cannot be had. */
static inline int wire_open(void) {
        struct ifreq request = {.ifr_name = "tacet0", .ifr_flags = IFF_TUN | IFF_NO_PI};
        struct sockaddr_in *address = (struct sockaddr_in *)&request.ifr_addr;
        int fd = has_own_network ? open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK) : -1, control;

        if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0)
                return -1;
        control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a090001)};
        assert_int_equal(ioctl(control, SIOCSIFADDR, &request), 0);
        address->sin_addr.s_addr = htonl(0xffffff00);
        assert_int_equal(ioctl(control, SIOCSIFNETMASK, &request), 0);
        request.ifr_flags = IFF_UP | IFF_RUNNING;
        assert_int_equal(ioctl(control, SIOCSIFFLAGS, &request), 0);
        close(control);
        return fd;
}

static inline uint32_t sum_of(const uint8_t *bytes, size_t length) {
        uint32_t sum = 0;

        for (size_t i = 0; i < length; i++)
                sum += (uint32_t)bytes[i] << (i % 2 ? 0 : 8);
        return sum;
}

static inline void put_sum(uint8_t *at, uint32_t sum) {
        while (sum >> 16)
                sum = (sum & 0xffff) + (sum >> 16);
        at[0] = (uint8_t)(~sum >> 8);
        at[1] = (uint8_t)~sum;
}

static inline void put32(uint8_t *at, uint32_t value) {
        for (int i = 0; i < 4; i++)
                at[i] = (uint8_t)(value >> (24 - 8 * i));
}

enum { FLAG_SYN = 2, FLAG_ACK = 16 };
static uint32_t client_address = 0x0a090002;

/* One tcp segment without data; `words` of an IPv4 header, more than 5 with options that do nothing. */
static inline void segment_send(
        int wire, size_t words, uint16_t source_port, uint8_t flags, uint32_t acknowledged) {
        uint8_t packet[80] = {0}, *tcp = packet + 4 * words;
        uint16_t port = socket_address_port(&web()->address);

        packet[0] = (uint8_t)(0x40 | words);
        packet[3] = (uint8_t)(4 * words + 20);
        packet[8] = 64;
        packet[9] = IPPROTO_TCP;
        put32(packet + 12, client_address);
        put32(packet + 16, 0x0a090001);
        memset(packet + 20, 1, 4 * words - 20);
        put_sum(packet + 10, sum_of(packet, 4 * words));
        put32(tcp, (uint32_t)source_port << 16 | port);
        put32(tcp + 4, CLIENT_SEQUENCE + (flags & FLAG_ACK ? 1 : 0));
        put32(tcp + 8, acknowledged);
        put32(tcp + 12, 5U << 28 | (uint32_t)flags << 16 | 65535);
        put_sum(tcp + 16, sum_of(packet + 12, 8) + IPPROTO_TCP + 20 + sum_of(tcp, 20));
        assert_int_equal(write(wire, packet, 4 * words + 20), 4 * words + 20);
}

/* The number to be acknowledged, out of the answer to a SYN. */
static inline uint32_t answer_await(int wire, uint16_t source_port) {
        struct pollfd poll_fd = {.fd = wire, .events = POLLIN};
        uint8_t packet[1500];

        while (poll(&poll_fd, 1, ANSWER_MS) == 1) {
                ssize_t length = read(wire, packet, sizeof packet);
                const uint8_t *tcp = packet + (packet[0] & 15) * 4;

                if (length >= 40 && packet[0] >> 4 == 4 && packet[9] == IPPROTO_TCP &&
                        (tcp[2] << 8 | tcp[3]) == source_port && tcp[13] == (FLAG_SYN | FLAG_ACK))
                        return ((uint32_t)tcp[4] << 24 | (uint32_t)tcp[5] << 16 | (uint32_t)tcp[6] << 8 |
                                       tcp[7]) +
                               1;
        }
        fail_msg("no answer to a SYN");
        return 0;
}
