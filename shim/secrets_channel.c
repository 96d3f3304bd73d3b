/* A sealed generation on its way to a shim that waits for it: see secrets_channel.h.
 *
 * secrets_send() runs in the supervisor and waits for nothing, secrets_receive() in the shim. The one message
 * is the description of a bundle, with its descriptor beside it; both ends of the channel are ours, so what
 * is read is what was written. */

#include "shim/secrets_channel.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/secret_memory.h"
#include "secrets/seal.h"

/* What a bundle is, beside its descriptor. */
struct secrets_message {
        bool has_secrets, is_encrypted;
        uint8_t key[SEAL_KEY_BYTES];
        uint32_t count;
        uint64_t bytes;
};

union secrets_control {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
};

static void descriptor_attach(struct msghdr *header, union secrets_control *control, int fd) {
        *control = (union secrets_control){
                .header = {
                        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd)}};
        memcpy(CMSG_DATA(&control->header), &fd, sizeof fd);
        header->msg_control = control;
        header->msg_controllen = sizeof *control;
}

int secrets_send(int channel, const struct bundle *secrets) {
        struct secrets_message message = {.has_secrets = secrets && secrets->fd >= 0};
        struct iovec part = {.iov_base = &message, .iov_len = sizeof message};
        struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
        union secrets_control control;
        ssize_t sent;

        if (message.has_secrets) {
                message.is_encrypted = secrets->is_encrypted;
                message.count = secrets->count;
                message.bytes = secrets->bytes;
                if (secrets->key)
                        memcpy(message.key, secrets->key, sizeof message.key);
                descriptor_attach(&header, &control, secrets->fd);
        }
        sent = sendmsg(channel, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
        secret_wipe(&message, sizeof message);
        return sent == (ssize_t)sizeof message ? 0 : -1;
}

static int message_receive(int channel, struct secrets_message *message, int *out_fd) {
        struct iovec part = {.iov_base = message, .iov_len = sizeof *message};
        union secrets_control control;
        struct msghdr header = {
                .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
        const struct cmsghdr *first;
        ssize_t got;

        do
                got = recvmsg(channel, &header, MSG_CMSG_CLOEXEC);
        while (got < 0 && errno == EINTR);
        if (got != (ssize_t)sizeof *message)
                return -1;
        first = CMSG_FIRSTHDR(&header);
        if (message->has_secrets != (first && first->cmsg_type == SCM_RIGHTS))
                return -1;
        if (first && message->has_secrets)
                memcpy(out_fd, CMSG_DATA(first), sizeof *out_fd);
        return 0;
}

int secrets_receive(int channel, struct bundle *out) {
        static struct secrets_message message; /* the key's place until the app's image replaces this one */

        bundle_init(out);
        if (message_receive(channel, &message, &out->fd) < 0)
                return -1;
        out->is_encrypted = message.is_encrypted;
        out->key = message.is_encrypted ? message.key : NULL;
        out->count = message.count;
        out->bytes = message.bytes;
        return 0;
}
