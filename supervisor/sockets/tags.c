/* Whose a connection is: a number in options of the listening socket that its connections inherit and that
 * sock_diag(7) tells to everybody. See listener.h.
 *
 * An accepted connection has some IPPROTO_IP options of its listener, from its handshake on and for good,
 * also when it is passed on, or forked with. None of these five means anything to a tcp server: two are about
 * multicast, one about errors of datagrams, two about a bind(2) that is over. So no right and no look into
 * the app are needed to tell which instance's it is. The kernel tells them since Linux 5.10
 * (INET_DIAG_SOCKOPT). */

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/log.h"
#include "supervisor/sockets/listener.h"

#define TAG_BITS 5
#define TAG_MAX  ((1 << TAG_BITS) - 1)

#ifndef IP_RECVERR_RFC4884
#define IP_RECVERR_RFC4884 26 /* linux/in.h, Linux 5.9 */
#endif

/* is_inverted: the option is 1 by default. */
static const struct {
        int option;
        bool is_inverted;
} bits[TAG_BITS] = {
        {IP_MULTICAST_LOOP, true},
        {IP_MULTICAST_ALL, true},
        {IP_BIND_ADDRESS_NO_PORT, false},
        {IP_RECVERR_RFC4884, false},
        {IP_FREEBIND, false},
};

static bool is_taken(const struct listener *listener, uint8_t tag) {
        for (size_t i = 0; i < listener->member_count; i++)
                if (listener->members[i].tag == tag)
                        return true;
        return false;
}

/* The one that was given the longest time ago: connections of a member that is closed may live on. */
static uint8_t tag_choose(struct listener *listener) {
        for (int i = 0; i < TAG_MAX; i++) {
                listener->tag_last = (uint8_t)(listener->tag_last % TAG_MAX + 1);
                if (!is_taken(listener, listener->tag_last))
                        return listener->tag_last;
        }
        return 0;
}

void listener_tag_set(struct listener *listener, struct listener_member *member) {
        const uint8_t tag = tag_choose(listener);

        for (size_t i = 0; i < TAG_BITS; i++) {
                const int value = (tag >> i & 1) ^ bits[i].is_inverted;

                if (setsockopt(member->fd, IPPROTO_IP, bits[i].option, &value, sizeof value) == 0)
                        continue;
                log_write(LOG_DEBUG, "'%s': the requests of one socket cannot be told from others'",
                        listener->name);
                return;
        }
        member->tag = tag;
}

const uint8_t *listener_attribute_find(
        const uint8_t *attributes, size_t length, uint16_t kind, size_t *out_length) {
        struct nlattr header;

        for (size_t at = 0; at + sizeof header <= length; at += ((size_t)header.nla_len + 3) / 4 * 4) {
                memcpy(&header, attributes + at, sizeof header);
                if (header.nla_len < sizeof header || header.nla_len > length - at)
                        return NULL;
                if ((header.nla_type & NLA_TYPE_MASK) != kind)
                        continue;
                *out_length = header.nla_len - sizeof header;
                return attributes + at + sizeof header;
        }
        return NULL;
}

int listener_tag_read(const uint8_t *attributes, size_t length) {
        struct inet_diag_sockopt told;
        size_t told_bytes = 0;
        const uint8_t *at = listener_attribute_find(attributes, length, INET_DIAG_SOCKOPT, &told_bytes);

        if (!at || told_bytes < sizeof told)
                return -1;
        memcpy(&told, at, sizeof told);
        return (told.mc_loop ? 0 : 1) + (told.mc_all ? 0 : 2) + (told.bind_address_no_port ? 4 : 0) +
               (told.recverr_rfc4884 ? 8 : 0) + (told.freebind ? 16 : 0);
}
