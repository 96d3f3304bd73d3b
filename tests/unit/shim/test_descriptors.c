/* The app's descriptors: numbers, places, collisions, and the variables that tell of them. Each case runs in
 * a forked child, whose table of descriptors it may ruin. */

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/socket_address.h"
#include "shim/descriptors.h"
#include "shim/handover.h"

#define CHECK(claim)                                                                                         \
        do {                                                                                                 \
                if (!(claim)) {                                                                              \
                        dprintf(STDERR_FILENO, "line %d: %s\n", __LINE__, #claim);                           \
                        _exit(1);                                                                            \
                }                                                                                            \
        } while (0)

static void in_child(void (*body)(void)) {
        int status = 0;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                body();
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

/* A file of its own at exactly this number, close-on-exec; its inode tells it from others. */
static ino_t file_at(int number) {
        char name[] = "/tmp/tacet-descriptor-XXXXXX";
        struct stat about;
        int fd = mkostemp(name, O_CLOEXEC);

        CHECK(fd >= 0);
        (void)unlink(name);
        if (fd != number) {
                CHECK(dup3(fd, number, O_CLOEXEC) == number);
                (void)close(fd);
        }
        CHECK(fstat(number, &about) == 0);
        return about.st_ino;
}

static ino_t inode_of(int fd) {
        struct stat about;

        return fstat(fd, &about) == 0 ? about.st_ino : 0;
}

static void close_all(void) {
        for (int fd = 3; fd < 300; fd++)
                (void)close(fd);
}

static void swapped(void) {
        struct launch_descriptor wanted[] = {
                {.fd = 4, .name = "a"}, {.fd = 5, .name = "b"}, {.fd = 3, .name = "c"}};
        int own = 6;
        int *const kept[] = {&own};
        ino_t inodes[4];
        struct error error;

        close_all();
        for (int i = 0; i < 4; i++)
                inodes[i] = file_at(3 + i);
        CHECK(descriptors_place(wanted, 3, kept, 1, &error) == 0);
        CHECK(inode_of(3) == inodes[1] && inode_of(4) == inodes[2] && inode_of(5) == inodes[0]);
        CHECK(own == 6 && inode_of(6) == inodes[3]);
        CHECK(fcntl(3, F_GETFD) == 0 && fcntl(5, F_GETFD) == 0 && fcntl(6, F_GETFD) == FD_CLOEXEC);
}

static void in_the_way(void) {
        struct launch_descriptor wanted[] = {
                {.fd = 100, .name = "a"}, {.fd = 101, .name = "b"}, {.fd = 4, .number = 9}};
        int own = 3, other = 9;
        int *const kept[] = {&own, &other};
        ino_t a, b, exact, pipe_inode, other_inode;
        struct error error;

        close_all();
        a = file_at(100);
        b = file_at(101);
        exact = file_at(4);
        pipe_inode = file_at(3);
        other_inode = file_at(9);
        CHECK(descriptors_place(wanted, 3, kept, 2, &error) == 0);
        CHECK(inode_of(3) == a && inode_of(4) == b && inode_of(9) == exact);
        CHECK(own != 3 && inode_of(own) == pipe_inode && fcntl(own, F_GETFD) == FD_CLOEXEC);
        CHECK(other != 9 && inode_of(other) == other_inode && fcntl(other, F_GETFD) == FD_CLOEXEC);
}

static void nothing_else_is_open_to_exec(void) {
        struct launch_descriptor wanted[] = {{.fd = 50, .name = "a"}};
        struct error error;

        close_all();
        (void)file_at(50);
        (void)file_at(60);
        CHECK(fcntl(60, F_SETFD, 0) == 0);
        CHECK(fcntl(50, F_SETFL, O_NONBLOCK) == 0);
        CHECK(descriptors_place(wanted, 1, NULL, 0, &error) == 0);
        for (int fd = 3; fd < 300; fd++)
                CHECK(fcntl(fd, F_GETFD) < 0 || (fcntl(fd, F_GETFD) == 0) == (fd == 3));
        CHECK(fcntl(3, F_GETFL) & O_NONBLOCK);
}

static void same_source_twice_and_few_files(void) {
        struct launch_descriptor wanted[] = {
                {.fd = 3, .name = "a"}, {.fd = 3, .name = "b"}, {.fd = 3, .number = 6}};
        struct rlimit limit = {.rlim_cur = 7, .rlim_max = 7};
        struct error error;
        ino_t inode;

        close_all();
        inode = file_at(3);
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
                return; /* valgrind(1) keeps numbers for itself */
        CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
        CHECK(descriptors_place(wanted, 3, NULL, 0, &error) == 0);
        CHECK(inode_of(3) == inode && inode_of(4) == inode && inode_of(6) == inode);
        wanted[2].number = 7;
        CHECK(descriptors_place(wanted, 3, NULL, 0, &error) < 0 && strstr(error.text, "as number 7"));
}

static void test_sources_and_places_may_be_the_same_numbers_in_any_order(void **state) {
        (void)state;
        in_child(swapped);
}

static void test_what_stands_in_the_way_is_moved_and_stays_private(void **state) {
        (void)state;
        in_child(in_the_way);
}

static void test_only_what_was_asked_for_passes_and_no_flag_of_it_changes(void **state) {
        (void)state;
        in_child(nothing_else_is_open_to_exec);
}

static void test_one_source_may_be_given_twice_where_few_files_may_be_open(void **state) {
        (void)state;
        in_child(same_source_twice_and_few_files);
}

static void test_numbers_count_from_3_past_exact_ones(void **state) {
        struct launch_descriptor wanted[] = {{.number = 0}, {.number = 10}, {.number = 0}, {.number = 1}};
        int numbers[LAUNCH_DESCRIPTORS_MAX];
        struct error error;

        (void)state;
        assert_int_equal(descriptors_number(wanted, 4, numbers, &error), 0);
        assert_int_equal(numbers[0], 3);
        assert_int_equal(numbers[1], 10);
        assert_int_equal(numbers[2], 4);
        assert_int_equal(numbers[3], 1);
        wanted[1].number = 4;
        assert_int_equal(descriptors_number(wanted, 4, numbers, &error), -1);
        assert_non_null(strstr(error.text, "the number 4"));
        assert_int_equal(descriptors_number(wanted, LAUNCH_DESCRIPTORS_MAX + 1, numbers, &error), -1);
}

static int socket_at(int number, const char *text, int v6_only) {
        struct socket_address address;
        struct error error;
        int fd;

        CHECK(socket_address_parse(text, &address, &error) == 0);
        fd = socket(address.generic.sa_family, address.type | SOCK_CLOEXEC, 0);
        CHECK(fd >= 0);
        if (address.generic.sa_family == AF_INET6) {
                CHECK(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof v6_only) == 0);
                address.in6.sin6_port = 0;
        } else if (address.generic.sa_family == AF_INET) {
                address.in4.sin_port = 0;
        }
        CHECK(bind(fd, &address.generic, address.length) == 0);
        if (fd != number) {
                CHECK(dup2(fd, number) == number);
                (void)close(fd);
        }
        CHECK(socket_address_of(number, &address));
        return socket_address_port(&address);
}

static const char *value_of(const struct environment *environment, const char *name) {
        const char *string = environment_find(environment->strings, name, strlen(name));

        return string ? string + strlen(name) + 1 : NULL;
}

static void three_protocols(void) {
        struct launch_descriptor wanted[] = {{.name = "http"}, {.name = NULL}, {.name = "log"},
                {.name = "exact", .number = 9}, {.name = "v6"}};
        char inherited[] = "LISTEN_PIDFDID=7", secret[] = "LISTEN_FDS=99";
        char *strings[] = {inherited, secret, NULL};
        struct launch_spec spec = {.environment = {.inherited = strings, .spare = HANDOVER_VARIABLES_MAX},
                .descriptors = wanted,
                .descriptor_count = 5,
                .protocols = LAUNCH_SYSTEMD};
        struct environment environment;
        char text[256];
        struct error error;
        int v4, dual, v6;

        close_all();
        v4 = socket_at(3, "127.0.0.1:1", 0);
        dual = socket_at(4, "[::]:1", 0);
        (void)socket_at(5, "unix-dgram:@tacet-test-handover", 0);
        v6 = socket_at(6, "[::1]:1", 1);
        CHECK(environment_build(&spec.environment, NULL, &environment, &error) == 0);
        CHECK(handover_variables(&spec, &environment, &error) == 0);
        CHECK(environment.count == 3 && !value_of(&environment, "LISTEN_PIDFDID"));
        CHECK(strcmp(value_of(&environment, "LISTEN_FDS"), "4") == 0);
        CHECK(atoi(value_of(&environment, "LISTEN_PID")) == getpid());
        CHECK(strcmp(value_of(&environment, "LISTEN_FDNAMES"), "http:unknown:log:v6") == 0);

        spec.protocols = LAUNCH_SERVER_STARTER | LAUNCH_EINHORN;
        CHECK(handover_variables(&spec, &environment, &error) == 0);
        snprintf(text, sizeof text, "127.0.0.1:%d=3;%d=4;@tacet-test-handover=5;[::1]:%d=6", v4, dual, v6);
        CHECK(strcmp(value_of(&environment, "SERVER_STARTER_PORT"), text) == 0);
        CHECK(strcmp(value_of(&environment, "EINHORN_FDS"), "3 4 5 6") == 0);
        CHECK(strcmp(value_of(&environment, "EINHORN_FD_COUNT"), "4") == 0);
        CHECK(strcmp(value_of(&environment, "EINHORN_FD_3"), "6") == 0);
        CHECK(!value_of(&environment, "EINHORN_FD_4"));
}

static void test_each_protocol_tells_of_the_counted_ones(void **state) {
        (void)state;
        in_child(three_protocols);
}

static void only_exact_ones(void) {
        struct launch_descriptor wanted[] = {{.number = 9}};
        struct launch_spec spec = {.descriptors = wanted, .descriptor_count = 1, .protocols = LAUNCH_SYSTEMD};
        struct environment environment;
        struct error error;

        CHECK(environment_build(&spec.environment, NULL, &environment, &error) == 0);
        CHECK(handover_variables(&spec, &environment, &error) == 0 && environment.count == 0);
}

static void test_without_counted_ones_there_is_nothing_to_tell(void **state) {
        (void)state;
        in_child(only_exact_ones);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_sources_and_places_may_be_the_same_numbers_in_any_order),
                cmocka_unit_test(test_what_stands_in_the_way_is_moved_and_stays_private),
                cmocka_unit_test(test_only_what_was_asked_for_passes_and_no_flag_of_it_changes),
                cmocka_unit_test(test_one_source_may_be_given_twice_where_few_files_may_be_open),
                cmocka_unit_test(test_numbers_count_from_3_past_exact_ones),
                cmocka_unit_test(test_each_protocol_tells_of_the_counted_ones),
                cmocka_unit_test(test_without_counted_ones_there_is_nothing_to_tell),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
