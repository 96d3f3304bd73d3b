/* The filter that reports bind and listen, in real children. */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/socket_address.h"
#include "shim/adopt.h"

/* What the child does under the filter; its exit status is the answer. */
typedef int child_part(void);

static enum adopt_reports reports;

static pid_t child_start(child_part *part, int *out_notify) {
        int ends[2];
        pid_t pid;
        int fd;

        assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), errno);
        pid = fork();
        if (pid == 0) {
                fd = adopt_filter_install(reports);
                if (fd < 0 || adopt_descriptor_send(ends[1], fd) < 0)
                        _exit(99);
                close(fd);
                _exit(part());
        }
        close(ends[1]);
        assert_int_equal(poll(&(struct pollfd){.fd = ends[0], .events = POLLIN}, 1, 5000), 1);
        *out_notify = adopt_descriptor_receive(ends[0]);
        assert_true(*out_notify >= 0);
        assert_int_equal(fcntl(*out_notify, F_GETFD), FD_CLOEXEC);
        close(ends[0]);
        return pid;
}

static int child_end(pid_t pid) {
        int status;

        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

/* Wait for one reported call, say which it is and answer it with `error`. */
static enum adopt_call answer(int notify, int error) {
        struct seccomp_notif request = {0};
        struct seccomp_notif_resp response = {0};

        assert_int_equal(poll(&(struct pollfd){.fd = notify, .events = POLLIN}, 1, 5000), 1);
        assert_return_code(ioctl(notify, SECCOMP_IOCTL_NOTIF_RECV, &request), errno);
        response.id = request.id;
        response.error = -error;
        assert_return_code(ioctl(notify, SECCOMP_IOCTL_NOTIF_SEND, &response), errno);
        return adopt_call_of(request.data.arch, request.data.nr);
}

static int connect_somewhere(void) {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(9)};
        int fd = socket(AF_INET, SOCK_STREAM, 0);

        return connect(fd, (struct sockaddr *)&address, sizeof address) == 0 || errno != EDOM;
}

static void test_a_connect_is_reported_where_that_is_wanted(void **state) {
        int notify;
        pid_t pid;

        (void)state;
        reports = ADOPT_REPORTS_ALL;
        pid = child_start(connect_somewhere, &notify);
        assert_int_equal(answer(notify, EDOM), ADOPT_CALL_CONNECT);
        assert_int_equal(child_end(pid), 0);
        close(notify);
        reports = ADOPT_REPORTS_PATHS; /* the kernel says ECONNREFUSED then */
        pid = child_start(connect_somewhere, &notify);
        assert_int_equal(child_end(pid), 1);
        close(notify);
        reports = ADOPT_REPORTS_SOCKETS;
}

static int bind_and_listen(void) {
        struct sockaddr_in address = {.sin_family = AF_INET};
        int fd = socket(AF_INET, SOCK_STREAM, 0);

        if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0 || errno != EDOM)
                return 1;
        return listen(fd, 1) == 0 || errno != ERANGE ? 2 : 0;
}

static void test_bind_and_listen_are_reported_and_answered(void **state) {
        int notify;
        pid_t pid = child_start(bind_and_listen, &notify);

        (void)state;
        assert_int_equal(answer(notify, EDOM), ADOPT_CALL_BIND);
        assert_int_equal(answer(notify, ERANGE), ADOPT_CALL_LISTEN);
        assert_int_equal(child_end(pid), 0);
        close(notify);
}

/* Only this question: every other one goes to the kernel, also that of the same number at another level. */
static_assert(TCP_FASTOPEN_CONNECT == SO_ACCEPTCONN, "the same number");
static int ask_whether_it_listens(void) {
        int fd = socket(AF_INET, SOCK_STREAM, 0), value = -1;
        socklen_t length = sizeof value;

        if (getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, &length) < 0 || value != 0 ||
                getsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &value, &length) < 0)
                return 1;
        return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &length) == 0 || errno != EDOM ? 2 : 0;
}

static void test_the_question_whether_a_socket_listens_is_reported(void **state) {
        int notify;
        pid_t pid = child_start(ask_whether_it_listens, &notify);

        (void)state;
        assert_int_equal(answer(notify, EDOM), ADOPT_CALL_ASK_LISTENING);
        assert_int_equal(child_end(pid), 0);
        close(notify);
}

static int bind_by_grandchild(void) {
        pid_t pid = fork();
        int status;

        if (pid == 0)
                _exit(bind_and_listen());
        waitpid(pid, &status, 0);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

static void test_descendants_are_reported_too_and_the_descriptor_hangs_up_after_the_last(void **state) {
        int notify;
        pid_t pid = child_start(bind_by_grandchild, &notify);
        struct pollfd poll_fd = {.fd = notify, .events = POLLIN};

        (void)state;
        assert_int_equal(answer(notify, EDOM), ADOPT_CALL_BIND);
        assert_int_equal(answer(notify, ERANGE), ADOPT_CALL_LISTEN);
        assert_int_equal(child_end(pid), 0);
        assert_int_equal(poll(&poll_fd, 1, 5000), 1);
        assert_true(poll_fd.revents & POLLHUP);
        close(notify);
}

static int other_calls(void) {
        int fd = socket(AF_INET, SOCK_STREAM, 0), pair[2];
        char byte = 1;

        if (fd < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0 || write(pair[0], &byte, 1) != 1)
                return 1;
        return read(pair[1], &byte, 1) == 1 && getpid() > 0 ? 0 : 2;
}

static void test_every_other_call_runs_unseen(void **state) {
        int notify;
        pid_t pid = child_start(other_calls, &notify);
        struct pollfd poll_fd = {.fd = notify, .events = POLLIN};

        (void)state;
        assert_int_equal(child_end(pid), 0);
        (void)poll(&poll_fd, 1, 0);
        assert_false(poll_fd.revents & POLLIN);
        close(notify);
}

#ifdef __x86_64__
/* socketcall(2) of 32-bit programs, as such a program enters the kernel. Its pointers have 32 bits; none is
 * needed here. */
static long call_32(long number, long first, long second) {
        long result;

        __asm__ volatile("int $0x80"
                         : "=a"(result)
                         : "a"(number), "b"(first), "c"(second)
                         : "memory", "r8", "r9", "r10", "r11");
        return result;
}

/* A kernel without 32-bit emulation kills who asks. */
static bool has_32_bits(void) {
        pid_t pid = fork();
        int status;

        if (pid == 0) {
                (void)signal(SIGSEGV, SIG_DFL);
                _exit(call_32(20, 0, 0) > 0 ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int calls_of_32_bits(void) {
        if (call_32(361, -1, 0) != -EDOM || call_32(363, -1, 0) != -EDOM)
                return 1;
        if (call_32(102, 2, 0) != -EDOM || call_32(102, 4, 0) != -EDOM)
                return 2;
        return call_32(102, 1, 0) == -EFAULT ? 0 : 3; /* socket, by the same call: not reported */
}

static void test_the_ways_of_32_bit_programs_are_reported(void **state) {
        int notify;
        pid_t pid;

        (void)state;
        if (!has_32_bits())
                skip();
        pid = child_start(calls_of_32_bits, &notify);
        assert_int_equal(answer(notify, EDOM), ADOPT_CALL_BIND);
        assert_int_equal(answer(notify, EDOM), ADOPT_CALL_LISTEN);
        assert_int_equal(answer(notify, EDOM), ADOPT_CALL_SOCKETCALL);
        assert_int_equal(answer(notify, EDOM), ADOPT_CALL_SOCKETCALL);
        assert_int_equal(child_end(pid), 0);
        close(notify);
}
#endif

static void test_calls_are_told_by_architecture_and_number(void **state) {
        (void)state;
        assert_int_equal(adopt_call_of(0, SYS_bind), ADOPT_CALL_NONE);
#ifdef __x86_64__
        assert_int_equal(adopt_call_of(AUDIT_ARCH_X86_64, SYS_bind), ADOPT_CALL_BIND);
        assert_int_equal(adopt_call_of(AUDIT_ARCH_X86_64, SYS_listen), ADOPT_CALL_LISTEN);
        assert_int_equal(adopt_call_of(AUDIT_ARCH_X86_64, SYS_socket), ADOPT_CALL_NONE);
        assert_int_equal(adopt_call_of(AUDIT_ARCH_I386, SYS_bind), ADOPT_CALL_NONE);
#endif
}

static int install_again(void) {
        return adopt_filter_install(ADOPT_REPORTS_PATHS) < 0 && errno == EBUSY ? 0 : 1;
}

static void test_a_second_filter_is_refused_as_busy(void **state) {
        int notify;
        pid_t pid = child_start(install_again, &notify);

        (void)state;
        assert_int_equal(child_end(pid), 0);
        close(notify);
}

static int probe_under_a_filter(void) {
        struct error error;

        return adopt_probe(&error) < 0 && error.code == EBUSY && strstr(error.hint, "declare") ? 0 : 1;
}

static void test_the_probe_tells_whether_adopting_works_and_changes_nothing(void **state) {
        struct error error = {0};
        int notify;
        pid_t pid;

        (void)state;
        assert_int_equal(adopt_probe(&error), 0);
        assert_int_equal(prctl(PR_GET_SECCOMP, 0, 0, 0, 0), 0);
        pid = child_start(probe_under_a_filter, &notify);
        assert_int_equal(child_end(pid), 0);
        close(notify);
}

static void test_a_channel_that_ends_without_a_descriptor_is_told(void **state) {
        int ends[2];

        (void)state;
        assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), errno);
        assert_int_equal(adopt_descriptor_receive(ends[0]), -1);
        assert_int_equal(errno, EAGAIN);
        assert_int_equal(write(ends[1], "x", 1), 1);
        assert_int_equal(adopt_descriptor_receive(ends[0]), -1);
        assert_int_equal(errno, EMFILE);
        close(ends[1]);
        assert_int_equal(adopt_descriptor_receive(ends[0]), -1);
        assert_int_equal(errno, EPIPE);
        close(ends[0]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_bind_and_listen_are_reported_and_answered),
                cmocka_unit_test(test_a_connect_is_reported_where_that_is_wanted),
                cmocka_unit_test(test_the_question_whether_a_socket_listens_is_reported),
                cmocka_unit_test(
                        test_descendants_are_reported_too_and_the_descriptor_hangs_up_after_the_last),
                cmocka_unit_test(test_every_other_call_runs_unseen),
#ifdef __x86_64__
                cmocka_unit_test(test_the_ways_of_32_bit_programs_are_reported),
#endif
                cmocka_unit_test(test_calls_are_told_by_architecture_and_number),
                cmocka_unit_test(test_a_second_filter_is_refused_as_busy),
                cmocka_unit_test(test_the_probe_tells_whether_adopting_works_and_changes_nothing),
                cmocka_unit_test(test_a_channel_that_ends_without_a_descriptor_is_told),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
