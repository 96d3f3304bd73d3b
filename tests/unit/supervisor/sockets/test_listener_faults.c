/* What the registry of sockets does when the kernel refuses: setsockopt(2) and getsockopt(2) fail here when
 * they are told to. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/syscall.h>

#include "tests/unit/supervisor/sockets/registry.h"

static int refused_option = -1;
static unsigned refused_times;

static bool is_refused(int option) {
        if (option != refused_option || refused_times == 0)
                return false;
        refused_times--;
        errno = ENOMEM;
        return true;
}

/* In the place of the C library's. */
int setsockopt(int fd, int level, int option, const void *value, socklen_t length) {
        return is_refused(option) ? -1 : (int)syscall(SYS_setsockopt, fd, level, option, value, length);
}

int getsockopt(int fd, int level, int option, void *restrict value, socklen_t *restrict length) {
        return is_refused(option) ? -1 : (int)syscall(SYS_getsockopt, fd, level, option, value, length);
}

/* The generation's socket, or -1 with error. */
static int descriptor_try(uint64_t generation, struct error *error) {
        struct launch_descriptor descriptors[LISTENERS_MAX];
        size_t count;

        return listeners_descriptors(&listeners, SEAT(generation), descriptors, &count, error) == 0
                       ? descriptors[0].fd
                       : -1;
}

static void two_generations(void) {
        registry_start("127.0.0.1");
        settings.queue_quiet_ns = 0;
        descriptor_of(1);
        steer(1, 1, 0, 0);
        descriptor_of(2);
        for (size_t i = 0; i < 2; i++)
                instance_put(i, i + 1);
        assert_int_equal(client_lands("127.0.0.1"), 1);
}

static void end(void) {
        refused_times = 0;
        registry_end();
}

static void test_a_switch_that_the_kernel_refused_is_made_as_soon_as_it_can_be(void **state) {
        (void)state;
        two_generations();
        refused_option = SO_ATTACH_REUSEPORT_CBPF;
        refused_times = 2;
        steer(2, 1, 0, 0);
        assert_true(web()->is_stale);
        assert_int_equal(client_lands("127.0.0.1"), 1);
        listeners_settle(&listeners); /* in vain once more */
        assert_true(web()->is_stale);
        assert_true(listeners.again.is_set); /* it does not wait for something else to happen */
        assert_true(listeners.again.deadline_ns <= time_now_ns() + NS_PER_S);
        listeners_settle(&listeners);
        assert_false(web()->is_stale);
        for (int i = 0; i < 20; i++)
                assert_int_equal(client_lands("127.0.0.1"), 2);
        loop_wait(&loop, listeners.again.deadline_ns);
        listeners_settle(&listeners);
        assert_false(listeners.again.is_set);
        end();
}

static void test_a_member_that_cannot_be_asked_is_not_taken_for_gone(void **state) {
        struct error error = {0};
        int first, second;

        (void)state;
        two_generations();
        first = descriptor_try(1, &error);
        second = descriptor_try(2, &error);
        refused_option = SO_ACCEPTCONN;
        refused_times = 100;
        assert_int_equal(descriptor_try(1, &error), first);
        assert_int_equal(descriptor_try(2, &error), second);
        refused_times = 0;
        assert_int_equal(web()->member_count, 2);
        end();
}

static void test_a_generation_without_a_socket_leaves_the_others_as_they_are(void **state) {
        struct error error = {0};

        (void)state;
        two_generations();
        refused_option = SO_REUSEPORT;
        refused_times = 1;
        assert_int_equal(descriptor_try(3, &error), -1);
        assert_int_equal(error.code, ENOMEM);
        assert_non_null(strstr(error.text, "SO_REUSEPORT"));
        assert_int_equal(web()->member_count, 2);
        assert_int_equal(client_lands("127.0.0.1"), 1);
        assert_true(descriptor_try(3, &error) >= 0);
        end();
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_switch_that_the_kernel_refused_is_made_as_soon_as_it_can_be),
                cmocka_unit_test(test_a_member_that_cannot_be_asked_is_not_taken_for_gone),
                cmocka_unit_test(test_a_generation_without_a_socket_leaves_the_others_as_they_are),
        };

        log_setup(LOG_FORMAT_PLAIN, LOG_ERROR, "test");
        network_make();
        return cmocka_run_group_tests_name("listener_faults", tests, NULL, NULL);
}
