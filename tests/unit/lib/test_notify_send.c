/* The sending side of sd_notify(3), against sockets of the test's own. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/notify_send.h"

static int receiver_open(const struct notify_address *at) {
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        assert_true(fd >= 0);
        assert_int_equal(bind(fd, (const struct sockaddr *)&at->socket, at->length), 0);
        return fd;
}

static void address_make(struct notify_address *out) {
        char text[64];
        struct error error;

        snprintf(text, sizeof text, "@tacet-test-%d", (int)getpid());
        assert_int_equal(notify_address_parse(text, out, &error), 0);
}

static void test_a_path_keeps_its_end_and_an_abstract_name_its_length(void **state) {
        struct notify_address address;
        struct error error;

        (void)state;
        assert_int_equal(notify_address_parse("/run/notify", &address, &error), 0);
        assert_string_equal(address.socket.sun_path, "/run/notify");
        assert_int_equal(address.length, offsetof(struct sockaddr_un, sun_path) + sizeof "/run/notify");
        assert_int_equal(notify_address_parse("@name", &address, &error), 0);
        assert_memory_equal(address.socket.sun_path, "\0name", 5);
        assert_int_equal(address.length, offsetof(struct sockaddr_un, sun_path) + 5);
}

static void test_the_longest_names_fit_and_longer_ones_are_refused(void **state) {
        struct notify_address address;
        char text[110];
        struct error error;

        (void)state;
        memset(text, 'x', sizeof text);
        text[0] = '@';
        text[108] = '\0';
        assert_int_equal(notify_address_parse(text, &address, &error), 0);
        text[0] = '/';
        assert_int_equal(notify_address_parse(text, &address, &error), -1);
        text[107] = '\0';
        assert_int_equal(notify_address_parse(text, &address, &error), 0);
        text[107] = text[108] = 'x';
        text[109] = '\0';
        text[0] = '@';
        assert_int_equal(notify_address_parse(text, &address, &error), -1);
}

static void test_other_forms_are_refused(void **state) {
        const char *const texts[] = {"", "/", "@", "relative", "vsock:2:1234", "vsock-stream:2:1234"};
        struct notify_address address;
        struct error error;

        (void)state;
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
                assert_int_equal(notify_address_parse(texts[i], &address, &error), -1);
}

static void test_a_message_and_a_descriptor_arrive(void **state) {
        union {
                char bytes[CMSG_SPACE(sizeof(int))];
                struct cmsghdr header;
        } control;
        char text[32];
        struct iovec part = {text, sizeof text};
        struct msghdr message = {.msg_iov = &part,
                .msg_iovlen = 1,
                .msg_control = control.bytes,
                .msg_controllen = sizeof control};
        struct notify_address address;
        struct error error;
        int passed;

        (void)state;
        address_make(&address);
        CLEANUP_FD int receiver = receiver_open(&address), sender = notify_open();
        CLEANUP_FD int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);

        assert_int_equal(fcntl(sender, F_GETFD), FD_CLOEXEC);
        assert_int_equal(notify_send(sender, &address, "FDSTORE=1", 9, zero, &error), 0);
        assert_int_equal(recvmsg(receiver, &message, MSG_CMSG_CLOEXEC), 9);
        assert_memory_equal(text, "FDSTORE=1", 9);
        memcpy(&passed, CMSG_DATA(&control.header), sizeof passed);
        assert_int_equal(read(passed, text, 1), 1);
        close(passed);
        assert_int_equal(notify_send(sender, &address, "X=1", 3, -1, &error), 0);
        message.msg_controllen = sizeof control;
        assert_int_equal(recvmsg(receiver, &message, 0), 3);
        assert_int_equal(message.msg_controllen, 0);
}

static void test_a_full_queue_is_a_condition_and_nobody_there_an_error(void **state) {
        struct notify_address address;
        struct error error;
        int result = 0;

        (void)state;
        address_make(&address);
        CLEANUP_FD int receiver = receiver_open(&address), sender = notify_open();

        for (int i = 0; i < 100000 && result == 0; i++)
                result = notify_send(sender, &address, "X=1", 3, -1, &error);
        assert_int_equal(result, NOTIFY_SEND_FULL);
        close(fd_take(&receiver));
        assert_int_equal(notify_send(sender, &address, "X=1", 3, -1, &error), -1);
        assert_non_null(strstr(error.text, "notify the service manager"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_path_keeps_its_end_and_an_abstract_name_its_length),
                cmocka_unit_test(test_the_longest_names_fit_and_longer_ones_are_refused),
                cmocka_unit_test(test_other_forms_are_refused),
                cmocka_unit_test(test_a_message_and_a_descriptor_arrive),
                cmocka_unit_test(test_a_full_queue_is_a_condition_and_nobody_there_an_error),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
