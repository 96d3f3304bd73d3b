/* What a loader that was taken over by what it parsed may tell its parent. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"
#include "secrets/message.h"
#include "secrets/seal.h"

#define FDS_MOST 16

static size_t open_descriptors(void) {
        size_t count = 0;

        for (int fd = 0; fd < 256; fd++)
                count += fcntl(fd, F_GETFD) >= 0;
        return count;
}

/* Send `size` bytes of a message with `fd` several times over. */
static void send_with(int channel, const struct load_message *message, size_t size, int fd, size_t times) {
        union {
                struct cmsghdr head;
                char bytes[CMSG_SPACE(FDS_MOST * sizeof(int))];
        } control = {0};
        struct iovec part = {.iov_base = (void *)(uintptr_t)message, .iov_len = size};
        struct msghdr packet = {.msg_iov = &part, .msg_iovlen = 1};

        if (times) {
                packet.msg_control = &control;
                packet.msg_controllen = CMSG_SPACE(times * sizeof(int));
                control.head.cmsg_len = CMSG_LEN(times * sizeof(int));
                control.head.cmsg_level = SOL_SOCKET;
                control.head.cmsg_type = SCM_RIGHTS;
                for (size_t i = 0; i < times; i++)
                        memcpy(CMSG_DATA(&control.head) + i * sizeof fd, &fd, sizeof fd);
        }
        assert_int_equal(sendmsg(channel, &packet, 0), size);
}

/* What the parent makes of a message: load_finish()'s answer. Nothing may stay open. */
static int answer_to(const struct load_message *message, size_t size, int fd, size_t times) {
        size_t before = open_descriptors();
        struct load_result result;
        struct error error;
        int ends[2], answer;

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
        send_with(ends[1], message, size, fd, times);
        close(ends[1]);
        answer = load_finish(&(struct load_process){.channel = ends[0]}, &result, &error);
        load_result_deinit(&result);
        assert_int_equal(open_descriptors(), before);
        return answer;
}

static struct load_message message_of(const struct seal *seal) {
        struct load_message message = {
                .size = sizeof message, .count = 1, .bytes = 4, .is_encrypted = seal->is_encrypted};

        memcpy(message.key, seal->key, sizeof message.key);
        return message;
}

static void test_no_number_of_descriptors_leaves_one_open(void **state) {
        struct seal seal;
        struct load_message message;

        (void)state;
        assert_int_equal(seal_make(BYTES_OF("A=1\0"), NULL, SEAL_SECRET_IF_THERE, &seal, NULL), 0);
        message = message_of(&seal);
        for (size_t times = 0; times <= FDS_MOST; times++)
                for (uint8_t flags = 0; flags < 4; flags++) {
                        message.has_inventory = flags & 1;
                        message.has_capture = flags >> 1;
                        assert_int_equal(answer_to(&message, sizeof message, seal.fd, times),
                                flags == 0 && times == 1   ? 0
                                : flags == 2 && times == 2 ? 0
                                                           : -1);
                }
        close(seal.fd);
}

static void test_a_message_that_is_cut_or_lies_is_refused(void **state) {
        struct seal seal;
        struct load_message good, bad;
        int plain = memfd_create("plain", MFD_CLOEXEC);

        (void)state;
        assert_int_equal(seal_make(BYTES_OF("A=1\0"), NULL, SEAL_SECRET_IF_THERE, &seal, NULL), 0);
        good = message_of(&seal);
        assert_int_equal(answer_to(&good, sizeof good, seal.fd, 1), 0);
        for (size_t size = 1; size < sizeof good; size += 7)
                assert_int_equal(answer_to(&good, size, seal.fd, 1), -1);
        bad = good;
        bad.count = 0;
        assert_int_equal(answer_to(&bad, sizeof bad, seal.fd, 1), -1);
        bad.count = UINT32_MAX;
        assert_int_equal(answer_to(&bad, sizeof bad, seal.fd, 1), -1);
        bad = good;
        bad.bytes = UINT64_MAX;
        assert_int_equal(answer_to(&bad, sizeof bad, seal.fd, 1), -1);
        bad = good;
        bad.is_encrypted = !good.is_encrypted;
        assert_int_equal(answer_to(&bad, sizeof bad, seal.fd, 1), -1);
        bad = good;
        bad.is_error = 1;
        assert_int_equal(answer_to(&bad, sizeof bad, seal.fd, 1), -1);
        assert_int_equal(answer_to(&good, sizeof good, plain, 1), -1);
        assert_int_equal(ftruncate(plain, 4096), 0);
        assert_int_equal(answer_to(&good, sizeof good, plain, 1), -1);
        close(plain);
        close(seal.fd);
}

static void test_a_text_cannot_move_the_cursor(void **state) {
        struct load_message message = {.size = sizeof message, .is_error = 1};
        struct load_result result;
        struct error error;
        int ends[2];

        (void)state;
        memset(&message.error, 0x1b, sizeof message.error);
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
        send_with(ends[1], &message, sizeof message, -1, 0);
        close(ends[1]);
        assert_int_equal(load_finish(&(struct load_process){.channel = ends[0]}, &result, &error), -1);
        assert_int_equal(strspn(error.text, "?"), sizeof error.text - 1);
        assert_int_equal(strspn(error.hint, "?"), sizeof error.hint - 1);
        assert_in_range(error.status, 0, 255);
}

static void test_a_loader_that_has_answered_does_not_go_on(void **state) {
        struct load_process process = {0};
        struct load_result result;
        struct error error;
        struct seal seal;
        int ends[2], status;

        (void)state;
        assert_int_equal(seal_make(BYTES_OF("A=1\0"), NULL, SEAL_SECRET_IF_THERE, &seal, NULL), 0);
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
        process.channel = ends[0];
        process.pid = fork();
        if (process.pid == 0) {
                struct load_message message = message_of(&seal);

                (void)message_send(ends[1], &message, (const int[]){seal.fd, -1, -1});
                for (;;)
                        pause();
        }
        assert_int_equal(load_finish(&process, &result, &error), 0);
        assert_int_equal(waitpid(process.pid, &status, 0), process.pid);
        assert_true(WIFSIGNALED(status));
        load_result_deinit(&result);
        close(ends[1]);
        close(seal.fd);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_no_number_of_descriptors_leaves_one_open),
                cmocka_unit_test(test_a_message_that_is_cut_or_lies_is_refused),
                cmocka_unit_test(test_a_text_cannot_move_the_cursor),
                cmocka_unit_test(test_a_loader_that_has_answered_does_not_go_on),
        };

        return cmocka_run_group_tests_name("message", tests, NULL, NULL);
}
