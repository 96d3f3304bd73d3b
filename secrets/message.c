/* The message from the loader to its parent: see message.h.
 *
 * The receiving half runs in PID 1 and treats the loader as hostile, since it has parsed foreign bytes:
 * lengths are exact, flags are flags, descriptors are what they should be, texts end and can be printed. It
 * reads names and sizes from a sealed file and maps nothing. */

#include "secrets/message.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/secret_memory.h"
#include "secrets/source/key_page.h"
#include "secrets/seal.h"

#define ITEM_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

union control {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(MESSAGE_DESCRIPTORS * sizeof(int))];
};

/* CMSG_SPACE rounds up, and the kernel fills all of it: one descriptor more than are wanted may come. */
#define DESCRIPTORS_ROOM ((sizeof(union control) - CMSG_LEN(0)) / sizeof(int))

int message_send(int channel, const struct load_message *message, const int fds[static MESSAGE_DESCRIPTORS]) {
        struct iovec part = {.iov_base = (void *)(uintptr_t)message, .iov_len = sizeof *message};
        union control control = {0};
        struct msghdr packet = {.msg_iov = &part, .msg_iovlen = 1};
        int present[MESSAGE_DESCRIPTORS];
        size_t count = 0;

        for (int i = 0; i < MESSAGE_DESCRIPTORS; i++)
                if (fds[i] >= 0)
                        present[count++] = fds[i];
        if (count) {
                packet.msg_control = &control;
                /* Both lengths are size_t in glibc and socklen_t in musl. */
                packet.msg_controllen = (__typeof__(packet.msg_controllen))CMSG_SPACE(count * sizeof(int));
                control.head.cmsg_len = (__typeof__(control.head.cmsg_len))CMSG_LEN(count * sizeof(int));
                control.head.cmsg_level = SOL_SOCKET;
                control.head.cmsg_type = SCM_RIGHTS;
                memcpy(CMSG_DATA(&control.head), present, count * sizeof(int));
        }
        return sendmsg(channel, &packet, MSG_NOSIGNAL) == (ssize_t)sizeof *message ? 0 : -1;
}

/* The descriptors of the packet. The kernel makes one block of them however many the sender used, and closes
 * those for which the buffer has no room. Returns how many. */
static size_t descriptors_take(struct msghdr *packet, int out[static DESCRIPTORS_ROOM]) {
        struct cmsghdr *head = CMSG_FIRSTHDR(packet);
        size_t count;

        if (!head || head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
                return 0;
        count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(out, CMSG_DATA(head), count * sizeof(int));
        return count;
}

/* Put the descriptors where the flags say. False when their number is wrong. */
static bool descriptors_place(const struct load_message *message, const int *came, size_t count,
        int fds[static MESSAGE_DESCRIPTORS]) {
        size_t next = 0;

        if (count != (message->is_error ? 0U : 1U + message->has_inventory + message->has_capture))
                return false;
        if (message->is_error)
                return true;
        fds[MESSAGE_BUNDLE] = came[next++];
        if (message->has_inventory)
                fds[MESSAGE_INVENTORY] = came[next++];
        if (message->has_capture)
                fds[MESSAGE_CAPTURE] = came[next++];
        return true;
}

static bool flags_are_flags(const struct load_message *message) {
        return message->is_error <= 1 && message->is_encrypted <= 1 && message->is_unlocked <= 1 &&
               message->has_inventory <= 1 && message->has_capture <= 1;
}

/* Make sure that it ends, and that printing it moves no cursor. */
static void text_end(char *text, size_t room) {
        text[room - 1] = 0;
        text_tame(text);
}

int message_receive(
        int channel, struct load_message *out, int fds[static MESSAGE_DESCRIPTORS], struct error *error) {
        struct iovec part = {.iov_base = out, .iov_len = sizeof *out};
        union control control = {0};
        struct msghdr packet = {
                .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
        int came[DESCRIPTORS_ROOM] = {0};
        size_t count;
        ssize_t got;

        for (int i = 0; i < MESSAGE_DESCRIPTORS; i++)
                fds[i] = -1;
        do
                got = recvmsg(channel, &packet, MSG_CMSG_CLOEXEC);
        while (got < 0 && errno == EINTR);
        if (got < 0)
                return error_set(error, errno, "hear from the loader");
        if (got == 0)
                return error_set(error, 0, "the loader ended without an answer");
        count = descriptors_take(&packet, came);
        if (got == (ssize_t)sizeof *out && out->size == sizeof *out &&
                !(packet.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) && flags_are_flags(out) &&
                descriptors_place(out, came, count, fds)) {
                text_end(out->warning, sizeof out->warning);
                text_end(out->note, sizeof out->note);
                text_end(out->error.text, sizeof out->error.text);
                text_end(out->error.hint, sizeof out->error.hint);
                if (out->error.status < 0 || out->error.status > 255)
                        out->error.status = 0;
                return 0;
        }
        for (size_t i = 0; i < count; i++)
                fd_close(came[i]);
        return error_set(error, EPROTO, "the loader said something that is no message");
}

static bool item_is_sound(const struct load_item *item) {
        size_t length = strnlen(item->name, sizeof item->name);

        return length < sizeof item->name && secret_name_is_valid(item->name, length) &&
               item->value_bytes <= SECRET_STRING_BYTES_MAX && item->source < LOAD_SOURCES_MAX &&
               item->fingerprint[sizeof item->fingerprint - 1] == 0 &&
               strspn(item->fingerprint, "0123456789abcdef") == sizeof item->fingerprint - 1;
}

static int items_read(int fd, uint32_t count, struct load_result *out, struct error *error) {
        size_t bytes = count * sizeof *out->items;
        int seals = fcntl(fd, F_GET_SEALS);
        struct stat status;

        if (seals < 0 || (seals & ITEM_SEALS) != ITEM_SEALS || fstat(fd, &status) < 0 ||
                status.st_size != (off_t)bytes)
                return error_set(error, EPROTO, "the loader's inventory is not sealed or has the wrong size");
        out->items = malloc(bytes);
        if (!out->items)
                return error_set(error, ENOMEM, "read the names of %u variables", count);
        if (fd_pread_full(fd, out->items, bytes, 0) != (ssize_t)bytes)
                return error_set(error, EPROTO, "the loader's inventory cannot be read");
        for (uint32_t i = 0; i < count; i++)
                if (!item_is_sound(&out->items[i]))
                        return error_set(error, EPROTO, "the loader's inventory is malformed");
        out->item_count = count;
        return 0;
}

int message_accept(const struct load_message *message, int fds[static MESSAGE_DESCRIPTORS],
        struct load_result *out, struct error *error) {
        bool is_encrypted, is_locked = true;
        uint64_t length;

        if (seal_inspect(fds[MESSAGE_BUNDLE], &is_encrypted, &length, error) < 0)
                return -1;
        if (is_encrypted != message->is_encrypted || length != message->bytes || message->count == 0 ||
                message->count > SECRETS_MAX)
                return error_set(error, EPROTO, "the loader's message does not fit what it sealed");
        if (message->has_inventory && items_read(fds[MESSAGE_INVENTORY], message->count, out, error) < 0)
                return -1;
        if (message->has_capture && seal_inspect(fds[MESSAGE_CAPTURE], &is_encrypted, &length, error) < 0)
                return -1;
        if (message->is_encrypted) {
                out->bundle.key = key_page_new(message->key, &is_locked);
                if (!out->bundle.key)
                        return error_set(error, errno, "keep the key of a generation");
        }
        out->bundle.fd = fd_take(&fds[MESSAGE_BUNDLE]);
        out->bundle.is_encrypted = message->is_encrypted;
        out->bundle.count = message->count;
        out->bundle.bytes = message->bytes;
        memcpy(out->bundle.digest, message->digest, sizeof out->bundle.digest);
        out->captured_environment = fd_take(&fds[MESSAGE_CAPTURE]);
        out->is_unlocked = message->is_unlocked || !is_locked;
        memcpy(out->warning, message->warning, sizeof out->warning);
        memcpy(out->note, message->note, sizeof out->note);
        return 0;
}
