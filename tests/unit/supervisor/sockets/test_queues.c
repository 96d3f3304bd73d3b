/* Accept queues: nobody who waits in one is lost, and that it has been empty for long enough is said. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "tests/unit/supervisor/sockets/wire.h"

/* Ends with this program, also when a claim of it fails: these children never end by themselves. */
static pid_t child_fork(void) {
        pid_t parent = getpid(), pid = fork();

        if (pid == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent))
                _exit(1);
        return pid;
}

static volatile sig_atomic_t is_asked_to_end;

static void on_terminate(int number) {
        (void)number;
        is_asked_to_end = 1;
}

/* Accepts and says who it is, until SIGTERM; what it has accepted it answers. */
static pid_t server_start(int fd, char name) {
        pid_t pid = child_fork();
        struct pollfd listening = {.fd = fd, .events = POLLIN};

        if (pid != 0)
                return pid;
        signal(SIGTERM, on_terminate);
        while (!is_asked_to_end) {
                int connection = poll(&listening, 1, 10) > 0 ? accept(fd, NULL, NULL) : -1;

                if (connection >= 0) {
                        (void)!write(connection, &name, 1);
                        close(connection);
                }
        }
        _exit(0);
}

struct counts {
        unsigned done, failed;
};

static pid_t clients_start(struct counts *counts) {
        uint16_t port = socket_address_port(&web()->address);
        pid_t pid = child_fork();

        if (pid != 0)
                return pid;
        for (;;) {
                struct sockaddr_in in4 = {.sin_family = AF_INET,
                        .sin_port = htons(port),
                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
                int fd = socket(AF_INET, SOCK_STREAM, 0);
                char byte;

                if (connect(fd, (struct sockaddr *)&in4, sizeof in4) == 0 && read(fd, &byte, 1) == 1)
                        counts->done++;
                else
                        counts->failed++;
                close(fd);
        }
}

static void child_end(pid_t pid, int number) {
        kill(pid, number);
        waitpid(pid, NULL, 0);
}

static struct listener_handshakes handshakes;

static void handshake_note(void *owner, const struct inquiry_record *record) {
        (void)owner;
        listener_handshake_note(&handshakes, record->sample.cookie);
}

static void handshake_mark(void *owner, const struct inquiry_record *record) {
        (void)owner;
        listener_handshake_mark(&handshakes, record->sample.cookie);
}

static void handshakes_over(void *owner, bool is_complete, int64_t spent_ns) {
        (void)owner;
        assert_true(is_complete);
        assert_true(spent_ns >= 0);
}

/* Here and at once, without a child. */
static void handshakes_ask(inquiry_record_handler *on_record) {
        struct inquiry inquiry = {.on_record = on_record, .on_end = handshakes_over};
        struct inquiry_order order = {0};

        listener_handshakes_ask(web(), &order);
        inquiry_begin(&inquiry, &loop, NULL, &order);
        assert_false(inquiry.is_running);
}

/* Empty for 20 ms, and no handshake left that began before the switch, as the supervisor waits for it; ten
 * seconds at most, for a machine that is busy. */
static void queue_await_empty(uint64_t generation) {
        handshakes.count = handshakes.seen = 0;
        handshakes_ask(handshake_note);
        for (int looks = 0, empty = 0; looks < 5000 && empty < 10; looks++) {
                handshakes_ask(handshake_mark);
                empty = listener_handshakes_left(&handshakes) == 0 &&
                                        listeners_waiting(&listeners, SEAT(generation)) == 0
                                ? empty + 1
                                : 0;
                usleep(2000);
        }
}

/* Generation after generation: its server starts, it is steered to, the one before empties its queue and
 * goes. */
static void test_no_connection_is_lost_while_generations_come_and_go(void **state) {
        struct counts *counts =
                mmap(NULL, 4 * sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        pid_t clients[4], servers[2];
        unsigned done = 0, failed = 0;

        (void)state;
        assert_true(counts != MAP_FAILED);
        registry_start("*");
        servers[0] = server_start(descriptor_of(1), 'a');
        for (int i = 0; i < 4; i++)
                clients[i] = clients_start(&counts[i]);
        for (uint64_t generation = 2; generation < 22; generation++) {
                servers[1] = server_start(descriptor_of(generation), 'b');
                for (int i = 0; i < 4; i++) {
                        steer(generation, 1, generation - 1, 3);
                        steer(generation - 1, 1, 0, 0);
                        steer(generation, 1, 0, 0);
                        usleep(2000);
                }
                queue_await_empty(generation - 1);
                assert_int_equal(listeners_waiting(&listeners, SEAT(generation - 1)), 0);
                child_end(servers[0], SIGTERM);
                listeners_drop(&listeners, generation - 1);
                servers[0] = servers[1];
        }
        for (int i = 0; i < 4; i++) {
                child_end(clients[i], SIGKILL);
                done += counts[i].done;
                failed += counts[i].failed;
        }
        child_end(servers[0], SIGTERM);
        assert_int_equal(failed, 0);
        assert_true(done > 200);
        munmap(counts, 4 * sizeof *counts);
        registry_end();
}

static void test_a_probe_that_nobody_took_is_no_client_to_keep_a_socket_for(void **state) {
        struct error error;
        int probe;

        (void)state;
        registry_start("127.0.0.1");
        descriptor_of(1);
        steer(1, 1, 0, 0);
        descriptor_of(2);
        assert_int_equal(listeners_probe(&listeners, SEAT(2), NULL, &probe, &error), 0);
        for (int tries = 0; listeners_waiting(&listeners, SEAT(2)) < 1 && tries < 2000; tries++)
                usleep(1000);
        assert_int_equal(listeners_waiting(&listeners, SEAT(2)), 1);
        close(probe);
        listeners_drop(&listeners, 2);
        assert_int_equal(web()->member_count, 1);
        registry_end();
}

static void test_a_queue_is_counted_and_survives_its_generation(void **state) {
        int clients[3], old;

        (void)state;
        registry_start("127.0.0.1");
        old = descriptor_of(1);
        steer(1, 1, 0, 0);
        for (int i = 0; i < 3; i++)
                clients[i] = client_connect("127.0.0.1");
        assert_int_equal(listeners_waiting(&listeners, SEAT(1)), 3);
        descriptor_of(2);
        steer(2, 1, 0, 0);
        listeners_drop(&listeners, 1);
        assert_int_equal(web()->member_count, 2);
        assert_true(web()->members[0].is_spare);
        /* The next one gets them, and nobody else does. */
        assert_int_equal(descriptor_of(3), old);
        assert_int_equal(listeners_waiting(&listeners, SEAT(3)), 3);
        for (int i = 0; i < 3; i++) {
                assert_int_equal(accept_one(), 3);
                close(clients[i]);
        }
        steer(3, 1, 0, 0);
        listeners_drop(&listeners, 2);
        assert_all_land("127.0.0.1", 5, 3);
        assert_int_equal(web()->member_count, 1);
        registry_end();
}

/* Returns false where the kernel does not know it, or the network is not ours. */
static bool migration_set(const char *value) {
        int fd = has_own_network ? open("/proc/sys/net/ipv4/tcp_migrate_req", O_WRONLY | O_CLOEXEC) : -1;
        bool is_set = fd >= 0 && write(fd, value, 1) == 1;

        if (fd >= 0)
                close(fd);
        return is_set;
}

static void test_a_kernel_that_moves_queues_is_let_do_it(void **state) {
        int client;

        (void)state;
        if (!migration_set("1"))
                skip();
        registry_start("127.0.0.1");
        descriptor_of(1);
        descriptor_of(2);
        steer(1, 1, 0, 0);
        client = client_connect("127.0.0.1");
        steer(2, 1, 0, 0);
        listeners_drop(&listeners, 1);
        assert_int_equal(web()->member_count, 1);
        assert_int_equal(listeners_waiting(&listeners, SEAT(2)), 1);
        assert_int_equal(accept_one(), 2);
        close(client);
        assert_all_land("127.0.0.1", 5, 2);
        descriptor_of(3);
        steer(3, 1, 0, 0);
        listeners_drop(&listeners, 2);
        assert_all_land("127.0.0.1", 5, 3);
        registry_end();
        assert_true(migration_set("0"));
}

/* As the supervisor's loop does in every turn: is the one instance emptying? */
static void follow(bool is_emptying) {
        instances.list[0].is_emptying = is_emptying;
        if (is_emptying)
                listeners_empty(&listeners, &instances.list[0]);
        listeners_settle(&listeners);
}

/* Turn the loop until something is said, at most for `limit_ns`. Returns how long it took. */
static int64_t turn_until_said(int64_t limit_ns) {
        int64_t start_ns = time_now_ns();

        while (!facts.count && time_now_ns() - start_ns < limit_ns)
                loop_wait(&loop, start_ns + limit_ns);
        return time_now_ns() - start_ns;
}

static void test_an_empty_queue_is_said_when_it_was_quiet_long_enough(void **state) {
        int client;

        (void)state;
        registry_start("127.0.0.1");
        descriptor_of(1);
        steer(1, 1, 0, 0);
        client = client_connect("127.0.0.1");
        instance_put(0, 1);
        follow(false);
        assert_false(listeners.watch.is_set); /* nothing drains: no wake-up */
        steer(2, 1, 0, 0);
        follow(true);
        turn_until_said(100 * NS_PER_MS);
        assert_int_equal(facts.count, 0); /* one waits */
        assert_int_equal(accept_one(), 1);
        close(client);
        assert_true(turn_until_said(5 * NS_PER_S) >= settings.queue_quiet_ns);
        assert_int_equal(facts.count, 1);
        assert_int_equal(facts.list[0].kind, FLEET_EMPTY);
        assert_int_equal(facts.list[0].instance, 1);
        listeners_settle(&listeners);
        assert_false(listeners.watch.is_set);
        follow(false);
        follow(true);
        assert_true(listeners.watch.is_set);
        registry_end();
}

/* Its siblings go on, and who waits there is nothing to it. */
static void test_one_of_three_empties_for_itself(void **state) {
        int client;

        (void)state;
        registry_start("127.0.0.1");
        for (uint32_t slot = 0; slot < 3; slot++) {
                descriptor_at(1, slot);
                instance_put_at(slot, 1, slot);
        }
        steer_to(1, (const struct seat[]){{1, 1}});
        client = client_connect("127.0.0.1");
        assert_int_equal(listeners_waiting(&listeners, SEAT_AT(1, 1)), 1);
        assert_int_equal(listeners_waiting(&listeners, SEAT_AT(1, 0)), 0);
        follow(true);
        turn_until_said(5 * NS_PER_S);
        assert_int_equal(facts.count, 1);
        assert_int_equal(facts.list[0].instance, 1);
        instances.list[1].is_emptying = true;
        listeners_empty(&listeners, &instances.list[1]);
        facts_forget(&facts);
        turn_until_said(100 * NS_PER_MS);
        assert_int_equal(facts.count, 0);
        accept_one();
        turn_until_said(5 * NS_PER_S);
        assert_int_equal(facts.count, 1);
        assert_int_equal(facts.list[0].instance, 2);
        close(client);
        registry_end();
}

/* Between two lives nobody else gets it, and no new connection comes to it. */
static void test_the_queue_of_one_that_crashed_waits_for_its_successor(void **state) {
        int client, own;

        (void)state;
        registry_start("127.0.0.1");
        fleet.generations[0] = (struct fleet_generation){.is_used = true, .number = 1};
        fleet.target = fleet.stable = 0;
        descriptor_at(1, 0);
        own = descriptor_at(1, 1);
        descriptor_at(1, 2);
        steer_to(1, (const struct seat[]){{1, 1}});
        client = client_connect("127.0.0.1");
        steer_to(2, (const struct seat[]){{1, 0}, {1, 2}});
        instance_put_at(0, 1, 0);
        instance_put_at(2, 1, 2);
        listeners_settle(&listeners);
        assert_int_equal(web()->member_count, 3);
        for (unsigned i = 0; i < 20; i++)
                close(client_connect("127.0.0.1"));
        assert_int_equal(listeners_waiting(&listeners, SEAT_AT(1, 1)), 1);
        assert_int_equal(descriptor_at(1, 1), own);
        steer_to(3, (const struct seat[]){{1, 0}, {1, 1}, {1, 2}});
        assert_int_equal(listeners_waiting(&listeners, SEAT_AT(1, 1)), 1);
        close(client);
        registry_end();
}

/* Another generation begins in that slot first: it is as good. */
static void test_who_waits_in_a_slot_is_served_by_whoever_comes_to_it_next(void **state) {
        int client, own;

        (void)state;
        registry_start("127.0.0.1");
        own = descriptor_at(1, 1);
        instance_put_at(0, 1, 0);
        steer_to(1, (const struct seat[]){{1, 1}});
        client = client_connect("127.0.0.1");
        descriptor_at(1, 0);
        steer_to(1, (const struct seat[]){{1, 0}});
        assert_int_not_equal(descriptor_at(2, 0), own);
        assert_int_equal(descriptor_at(2, 1), own);
        assert_int_equal(listeners_waiting(&listeners, SEAT_AT(2, 1)), 1);
        close(client);
        registry_end();
}

/* While its own instance lives, that one accepts what waits. */
static void test_a_queue_is_not_taken_from_one_that_lives(void **state) {
        int client, own;

        (void)state;
        registry_start("127.0.0.1");
        own = descriptor_at(1, 1);
        instance_put_at(1, 1, 1);
        steer_to(1, (const struct seat[]){{1, 1}});
        client = client_connect("127.0.0.1");
        descriptor_at(1, 0);
        steer_to(1, (const struct seat[]){{1, 0}});
        assert_int_not_equal(descriptor_at(2, 1), own);
        assert_int_equal(listeners_waiting(&listeners, SEAT_AT(1, 1)), 1);
        close(client);
        registry_end();
}

static void test_a_handshake_that_began_before_the_switch_is_waited_for(void **state) {
        int wire = wire_open();
        uint32_t acknowledged;

        (void)state;
        if (wire < 0)
                skip();
        registry_start("*");
        descriptor_of(1);
        steer(1, 1, 0, 0);
        instance_put(0, 1);
        segment_send(wire, 5, 40001, FLAG_SYN, 0);
        acknowledged = answer_await(wire, 40001);
        steer(2, 1, 0, 0);
        follow(true);
        turn_until_said(200 * NS_PER_MS); /* ten times queue_quiet */
        assert_int_equal(facts.count, 0);
        segment_send(wire, 5, 40001, FLAG_ACK, acknowledged);
        turn_until_said(10 * NS_PER_MS);
        assert_int_equal(facts.count, 0);
        assert_int_equal(accept_one(), 1);
        turn_until_said(5 * NS_PER_S);
        assert_int_equal(facts.count, 1);
        assert_int_equal(facts.list[0].kind, FLEET_EMPTY);
        registry_end();
        close(wire);
}

/* Its SYN is answered a second time after a second: then it does not count any more. */
static void test_a_client_that_does_not_answer_is_not_waited_for(void **state) {
        int wire = wire_open();

        (void)state;
        if (wire < 0)
                skip();
        registry_start("0.0.0.0");
        descriptor_of(1);
        steer(1, 1, 0, 0);
        instance_put(0, 1);
        segment_send(wire, 5, 40002, FLAG_SYN, 0);
        answer_await(wire, 40002);
        steer(2, 1, 0, 0);
        follow(true);
        assert_true(turn_until_said(20 * NS_PER_S) > 500 * NS_PER_MS);
        assert_int_equal(facts.count, 1);
        registry_end();
        close(wire);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_no_connection_is_lost_while_generations_come_and_go),
                cmocka_unit_test(test_a_probe_that_nobody_took_is_no_client_to_keep_a_socket_for),
                cmocka_unit_test(test_a_queue_is_counted_and_survives_its_generation),
                cmocka_unit_test(test_a_kernel_that_moves_queues_is_let_do_it),
                cmocka_unit_test(test_an_empty_queue_is_said_when_it_was_quiet_long_enough),
                cmocka_unit_test(test_one_of_three_empties_for_itself),
                cmocka_unit_test(test_the_queue_of_one_that_crashed_waits_for_its_successor),
                cmocka_unit_test(test_who_waits_in_a_slot_is_served_by_whoever_comes_to_it_next),
                cmocka_unit_test(test_a_queue_is_not_taken_from_one_that_lives),
                cmocka_unit_test(test_a_handshake_that_began_before_the_switch_is_waited_for),
                cmocka_unit_test(test_a_client_that_does_not_answer_is_not_waited_for),
        };

        log_setup(LOG_FORMAT_PLAIN, LOG_ERROR, "test");
        network_make();
        return cmocka_run_group_tests_name("queues", tests, NULL, NULL);
}
