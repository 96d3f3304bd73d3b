/* The group of sockets at one address while generations come and go: its order, what is kept, strangers. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/supervisor/sockets/registry.h"

static void test_who_closes_moves_nobody_else(void **state) {
        (void)state;
        registry_start("127.0.0.1");
        for (uint64_t generation = 1; generation <= 5; generation++)
                descriptor_of(generation);
        steer(5, 1, 0, 0);
        assert_int_equal(probe_lands(4), 4);
        listeners_drop(&listeners, 2); /* 5 takes its place */
        assert_all_land("127.0.0.1", 20, 5);
        assert_int_equal(probe_lands(4), 4);
        listeners_drop(&listeners, 4); /* the last one */
        assert_all_land("127.0.0.1", 20, 5);
        listeners_drop(&listeners, 1);
        assert_all_land("127.0.0.1", 20, 5);
        assert_int_equal(probe_lands(3), 3);
        steer(3, 1, 0, 0);
        assert_all_land("127.0.0.1", 20, 3);
        listeners_drop(&listeners, 5);
        descriptor_of(6);
        assert_int_equal(probe_lands(6), 6);
        assert_all_land("127.0.0.1", 20, 3);
        steer(6, 1, 0, 0);
        assert_all_land("127.0.0.1", 20, 6);
        assert_int_equal(web()->member_count, 2);
        registry_end();
}

/* A thousand rotations: the same number of sockets and descriptors at the end. */
static void test_rotations_leave_nothing_behind(void **state) {
        int before;

        (void)state;
        registry_start("127.0.0.1");
        descriptor_of(1);
        before = dup(0);
        for (uint64_t generation = 2; generation < 1000; generation++) {
                descriptor_of(generation);
                assert_int_equal(probe_lands(generation), generation);
                steer(generation, 1, 0, 0);
                listeners_drop(&listeners, generation - 1);
                assert_int_equal(web()->member_count, 1);
        }
        assert_int_equal(client_lands("127.0.0.1"), 999);
        close(before);
        assert_in_range(dup(0), 0, before + 2);
        registry_end();
}

static void test_a_generation_without_a_socket_gets_one_when_it_is_steered_to(void **state) {
        int fd;

        (void)state;
        registry_start("127.0.0.1");
        descriptor_of(1);
        steer(2, 1, 0, 0);
        fd = client_connect("127.0.0.1");
        assert_int_equal(listeners_waiting(&listeners, SEAT(2)), 1);
        assert_int_equal(listeners_waiting(&listeners, SEAT(1)), 0);
        assert_int_equal(accept_one(), 2);
        close(fd);
        registry_end();
}

/* Unless a process of it lives, which may still accept. */
static void test_the_next_generation_gets_the_queue_of_one_that_died(void **state) {
        int first, client;

        (void)state;
        registry_start("127.0.0.1");
        first = descriptor_of(1);
        steer(1, 1, 0, 0);
        client = client_connect("127.0.0.1");
        instance_put(0, 1);
        steer(2, 1, 0, 0);
        assert_int_not_equal(descriptor_of(2), first);
        assert_int_equal(listeners_waiting(&listeners, SEAT(1)), 1);
        instances.list[0] = (struct instance){0};
        steer(3, 1, 0, 0);
        assert_int_equal(descriptor_of(3), first);
        assert_int_equal(listeners_waiting(&listeners, SEAT(3)), 1);
        close(client);
        registry_end();
}

/* Clients were steered there, and nobody is left who could accept them. */
static void test_who_waits_at_a_generation_that_died_is_an_orphan_until_another_has_the_socket(void **state) {
        (void)state;
        registry_start("127.0.0.1");
        descriptor_of(1);
        assert_false(listeners_have_orphans(&listeners)); /* nobody was ever sent there */
        instance_put(0, 1);
        steer(1, 1, 0, 0);
        assert_false(listeners_have_orphans(&listeners));
        instances.list[0].is_used = false;
        assert_true(listeners_have_orphans(&listeners));
        instances.list[0].is_prepared = true; /* one that is to accept them yet */
        assert_false(listeners_have_orphans(&listeners));
        instances.list[0].is_prepared = false;
        instance_put(1, 2);
        steer(2, 1, 0, 0);
        assert_false(listeners_have_orphans(&listeners));
        registry_end();
}

static void test_what_is_kept_for_the_next_generation_is_no_orphan(void **state) {
        int client;

        (void)state;
        registry_start("127.0.0.1");
        descriptor_of(1);
        steer(1, 1, 0, 0);
        client = client_connect("127.0.0.1");
        assert_true(listeners_have_orphans(&listeners));
        listeners_drop(&listeners, 1);
        assert_int_equal(web()->member_count, 1);
        assert_false(listeners_have_orphans(&listeners));
        close(client);
        registry_end();
}

static void test_what_is_kept_for_later_is_bounded(void **state) {
        int clients[LISTENER_SPARES_MAX + 2];

        (void)state;
        registry_start("127.0.0.1");
        /* All sockets are there before one of them is spare. */
        for (uint64_t generation = 1; generation <= LISTENER_SPARES_MAX + 2; generation++)
                descriptor_of(generation);
        for (uint64_t generation = 1; generation <= LISTENER_SPARES_MAX + 2; generation++) {
                steer(generation, 1, 0, 0);
                clients[generation - 1] = client_connect("127.0.0.1");
        }
        descriptor_of(99);
        steer(99, 1, 0, 0);
        for (uint64_t generation = 1; generation <= LISTENER_SPARES_MAX + 2; generation++)
                listeners_drop(&listeners, generation);
        assert_int_equal(web()->member_count, LISTENER_SPARES_MAX + 1);
        for (size_t i = 0; i < sizeof clients / sizeof clients[0]; i++)
                close(clients[i]);
        registry_end();
}

static void test_a_socket_that_the_app_shut_down_leaves_its_place(void **state) {
        (void)state;
        registry_start("127.0.0.1");
        descriptor_of(1);
        descriptor_of(2);
        descriptor_of(3);
        steer(3, 1, 0, 0);
        shutdown(web()->members[0].fd, SHUT_RDWR);
        assert_int_equal(probe_lands(2), 2);
        assert_int_equal(web()->member_count, 2);
        assert_all_land("127.0.0.1", 10, 3);
        assert_int_equal(listeners_waiting(&listeners, SEAT(1)), 0);
        registry_end();
}

static void test_the_socket_of_a_generation_that_nobody_runs_is_closed(void **state) {
        (void)state;
        registry_start("127.0.0.1");
        descriptor_of(1);
        descriptor_at(2, 1);
        descriptor_of(3);
        steer(3, 1, 0, 0);
        fleet.generations[0] = (struct fleet_generation){.is_used = true, .number = 3};
        fleet.target = 0;
        fleet.generations[1] = (struct fleet_generation){.is_used = true, .number = 2};
        fleet.stable = 1;
        instance_put(0, 1);
        listeners_settle(&listeners);
        assert_int_equal(web()->member_count, 3); /* it runs; the stable one and the target may come again */
        instances.list[0].is_used = false;
        listeners_settle(&listeners);
        assert_int_equal(web()->member_count, 2);
        fleet.stable = 0;
        listeners_settle(&listeners);
        assert_int_equal(web()->member_count, 1);
        assert_all_land("127.0.0.1", 5, 3);
        registry_end();
}

/* The stable one's instances come back where its slot is still theirs. */
static void test_a_seat_whose_slot_has_moved_on_is_closed_when_its_process_has_gone(void **state) {
        (void)state;
        registry_start("127.0.0.1");
        descriptor_at(1, 0);
        descriptor_at(1, 1);
        descriptor_at(2, 0);
        fleet.generations[0] = (struct fleet_generation){.is_used = true, .number = 2};
        fleet.target = 0;
        fleet.generations[1] = (struct fleet_generation){.is_used = true, .number = 1};
        fleet.stable = 1;
        instance_put_at(0, 1, 0);
        steer_to(2, (const struct seat[]){{2, 0}, {1, 1}});
        listeners_settle(&listeners);
        assert_int_equal(web()->member_count, 3);
        steer_to(1, (const struct seat[]){{2, 0}}); /* 1 has crashed in slot 1 */
        instances.list[0].is_used = false;
        listeners_settle(&listeners);
        assert_int_equal(web()->member_count, 2);
        assert_non_null(listener_member_of(web(), SEAT_AT(1, 1)));
        assert_all_land("127.0.0.1", 5, 2);
        registry_end();
}

/* As many as a fleet can have: each gets what is meant for it, also when some have left. */
static void test_a_large_fleet_has_a_socket_for_each_instance(void **state) {
        struct seat seats[FLEET_SHARES_MAX];

        (void)state;
        registry_start("127.0.0.1");
        for (uint64_t number = 1; number <= FLEET_INSTANCES_MAX + 6; number++)
                descriptor_of(number);
        for (uint64_t number = 1; number <= FLEET_INSTANCES_MAX + 6; number += 7)
                assert_int_equal(probe_lands(number), number);
        for (size_t i = 0; i < FLEET_SHARES_MAX; i++)
                seats[i] = (struct seat){.generation = 2 * i + 1};
        steer_to(FLEET_SHARES_MAX, seats);
        for (unsigned i = 0; i < 200; i++)
                assert_int_equal(client_lands("127.0.0.1") % 2, 1);
        for (uint64_t number = 2; number <= FLEET_INSTANCES_MAX; number += 2)
                listeners_drop(&listeners, number);
        for (unsigned i = 0; i < 200; i++)
                assert_int_equal(client_lands("127.0.0.1") % 2, 1);
        assert_int_equal(probe_lands(FLEET_INSTANCES_MAX + 6), FLEET_INSTANCES_MAX + 6);
        registry_end();
}

/* Somebody of our user, on our address. */
static int stranger_open(const char *text) {
        struct socket_address address = {0};
        struct error error = {0};
        const int on = 1;
        int fd;

        assert_int_equal(socket_address_parse(text, &address, &error), 0);
        fd = socket(address.generic.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on), 0);
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
        if (bind(fd, &address.generic, address.length) < 0)
                fail_msg("bind %s: %s", text, strerror(errno));
        assert_int_equal(listen(fd, 1), 0);
        return fd;
}

static void check_stranger(const char *host) {
        char text[64];
        int fd;

        registry_start(host);
        snprintf(text, sizeof text, "%s:%u", strcmp(host, "*") == 0 ? "[::]" : host,
                socket_address_port(&web()->address));
        descriptor_of(1);
        steer(1, 1, 0, 0);
        descriptor_of(2);
        assert_int_equal(web()->stranger_count, 0);
        listeners_drop(&listeners, 2);
        fd = stranger_open(text);
        steer(1, 1, 0, 0);
        assert_int_equal(web()->stranger_count, 0); /* harmless: the program never names it */
        descriptor_of(3);
        assert_int_equal(web()->stranger_count, 1);
        close(fd);
        steer(3, 1, 0, 0);
        assert_int_equal(web()->stranger_count, 0);
        registry_end();
}

static void test_a_stranger_in_the_group_is_noticed(void **state) {
        (void)state;
        check_stranger("127.0.0.1");
        check_stranger("[::1]");
        check_stranger("*");
}

/* Another address with the same port is another group. */
static void test_who_listens_beside_the_group_is_no_stranger(void **state) {
        char text[64];
        int fd;

        (void)state;
        registry_start("127.0.0.1");
        snprintf(text, sizeof text, "127.0.0.2:%u", socket_address_port(&web()->address));
        fd = stranger_open(text);
        descriptor_of(1);
        descriptor_of(2);
        steer(2, 1, 0, 0);
        assert_int_equal(web()->stranger_count, 0);
        close(fd);
        registry_end();
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_who_closes_moves_nobody_else),
                cmocka_unit_test(test_rotations_leave_nothing_behind),
                cmocka_unit_test(test_a_generation_without_a_socket_gets_one_when_it_is_steered_to),
                cmocka_unit_test(test_the_next_generation_gets_the_queue_of_one_that_died),
                cmocka_unit_test(
                        test_who_waits_at_a_generation_that_died_is_an_orphan_until_another_has_the_socket),
                cmocka_unit_test(test_what_is_kept_for_the_next_generation_is_no_orphan),
                cmocka_unit_test(test_what_is_kept_for_later_is_bounded),
                cmocka_unit_test(test_a_socket_that_the_app_shut_down_leaves_its_place),
                cmocka_unit_test(test_the_socket_of_a_generation_that_nobody_runs_is_closed),
                cmocka_unit_test(test_a_seat_whose_slot_has_moved_on_is_closed_when_its_process_has_gone),
                cmocka_unit_test(test_a_large_fleet_has_a_socket_for_each_instance),
                cmocka_unit_test(test_a_stranger_in_the_group_is_noticed),
                cmocka_unit_test(test_who_listens_beside_the_group_is_no_stranger),
        };

        log_setup(LOG_FORMAT_PLAIN, LOG_ERROR, "test");
        network_make();
        return cmocka_run_group_tests_name("group", tests, NULL, NULL);
}
