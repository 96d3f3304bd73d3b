/* What the registry of sockets does when the kernel refuses: setsockopt(2) and getsockopt(2) fail here when
 * they are told to. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/log.h"
#include "supervisor/state.h"

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

static struct supervisor supervisor;
static struct supervisor_settings settings;
static struct listener_settings declared;

static void begin(void) {
        struct error error = {0};

        memset(&supervisor, 0, sizeof supervisor);
        settings = (struct supervisor_settings){
                .listeners = &declared, .listener_count = 1, .drain_quiet_ns = 0};
        settings.fleet = (struct fleet_settings){.replicas = 1, .surge_max = 1, .is_steered = true};
        declared = (struct listener_settings){
                .name = "web", .user = (uid_t)-1, .group = (gid_t)-1, .ipv6_only = -1, .inherited_fd = -1};
        assert_int_equal(socket_address_parse("127.0.0.1:1", &declared.address, &error), 0);
        declared.address.in4.sin_port = 0;
        supervisor.settings = &settings;
        assert_int_equal(loop_init(&supervisor.loop, &error), 0);
        fleet_init(&supervisor.fleet, &settings.fleet);
        supervisor.fleet.settings.is_steered = true;
        assert_int_equal(listeners_open(&supervisor, &error), 0);
        refused_times = 0;
}

static void end(void) {
        refused_times = 0;
        listeners_close(&supervisor);
        loop_deinit(&supervisor.loop);
}

static struct listener *web(void) {
        return &supervisor.listeners.list[0];
}

static int descriptor_of(uint64_t generation, struct error *error) {
        struct launch_descriptor descriptors[LISTENERS_MAX];
        size_t count;

        return listeners_descriptors(&supervisor, generation, descriptors, &count, error) == 0
                       ? descriptors[0].fd
                       : -1;
}

static void steer_to(uint64_t generation) {
        const struct fleet_share share = {.generation = generation, .weight = 1};

        listeners_steer(&supervisor, &share, 1);
}

/* Whose queue gets a client that connects now? */
static uint64_t client_lands(void) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        uint64_t generation = 0;

        assert_int_equal(connect(fd, &web()->address.generic, web()->address.length), 0);
        for (size_t i = 0; i < web()->member_count; i++) {
                struct pollfd waiting = {.fd = web()->members[i].fd, .events = POLLIN};

                if (poll(&waiting, 1, 0) != 1)
                        continue;
                close(accept(waiting.fd, NULL, NULL));
                generation = web()->members[i].generation;
        }
        close(fd);
        return generation;
}

static void two_generations(void) {
        struct error error = {0};

        begin();
        assert_true(descriptor_of(1, &error) >= 0);
        steer_to(1);
        assert_true(descriptor_of(2, &error) >= 0);
        supervisor.instances.places = 2;
        for (size_t i = 0; i < 2; i++)
                supervisor.instances.list[i] = (struct instance){.is_used = true, .number = i + 1, .generation = i + 1};
        assert_int_equal(client_lands(), 1);
}

static void test_a_switch_that_the_kernel_refused_is_made_as_soon_as_it_can_be(void **state) {
        (void)state;
        two_generations();
        refused_option = SO_ATTACH_REUSEPORT_CBPF;
        refused_times = 2;
        steer_to(2);
        assert_true(web()->is_stale);
        assert_int_equal(client_lands(), 1);
        listeners_settle(&supervisor); /* in vain once more */
        assert_true(web()->is_stale);
        assert_true(supervisor.listeners.again.is_set); /* it does not wait for something else to happen */
        assert_true(supervisor.listeners.again.deadline_ns <= time_now_ns() + NS_PER_S);
        listeners_settle(&supervisor);
        assert_false(web()->is_stale);
        for (int i = 0; i < 20; i++)
                assert_int_equal(client_lands(), 2);
        loop_wait(&supervisor.loop, supervisor.listeners.again.deadline_ns);
        listeners_settle(&supervisor);
        assert_false(supervisor.listeners.again.is_set);
        end();
}

static void test_a_member_that_cannot_be_asked_is_not_taken_for_gone(void **state) {
        struct error error = {0};
        int first, second;

        (void)state;
        two_generations();
        first = descriptor_of(1, &error);
        second = descriptor_of(2, &error);
        refused_option = SO_ACCEPTCONN;
        refused_times = 100;
        assert_int_equal(descriptor_of(1, &error), first);
        assert_int_equal(descriptor_of(2, &error), second);
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
        assert_int_equal(descriptor_of(3, &error), -1);
        assert_int_equal(error.code, ENOMEM);
        assert_non_null(strstr(error.text, "SO_REUSEPORT"));
        assert_int_equal(web()->member_count, 2);
        assert_int_equal(client_lands(), 1);
        assert_true(descriptor_of(3, &error) >= 0);
        end();
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_switch_that_the_kernel_refused_is_made_as_soon_as_it_can_be),
                cmocka_unit_test(test_a_member_that_cannot_be_asked_is_not_taken_for_gone),
                cmocka_unit_test(test_a_generation_without_a_socket_leaves_the_others_as_they_are),
        };

        log_setup(LOG_FORMAT_PLAIN, LOG_ERROR, "test");
        return cmocka_run_group_tests_name("listener_faults", tests, NULL, NULL);
}
