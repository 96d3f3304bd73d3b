/* Health checks of an app that these tests play: when it is ready, when it is unhealthy, when it is not
 * asked. */

#include "tests/unit/supervisor/sockets/registry.h"

#include <sys/wait.h>

#include "supervisor/health/health.h"

#define LIMIT_NS (20 * NS_PER_S)

static struct children children;
static struct health_settings health_settings;
static struct health health;
static struct instance *instance;
static unsigned asked; /* requests that the app has answered */

/* One instance of generation 1, which waits for its probe, behind one listener; the checks come quickly. */
static void begin(enum probe_kind kind) {
        const struct health_rooms for_health = {.loop = &loop,
                .facts = &facts,
                .children = &children,
                .instances = &instances,
                .listeners = &listeners,
                .rules = &rules};

        registry_start("127.0.0.1");
        descriptor_of(1);
        steer(1, 1, 0, 0);
        memset(&health, 0, sizeof health);
        health_settings = (struct health_settings){.probe = {.kind = kind,
                                                           .timeout_ns = 60 * NS_PER_S,
                                                           .request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                                                           .statuses = {{200, 299}},
                                                           .status_count = 1},
                .interval_ns = 5 * NS_PER_MS,
                .successes = 1,
                .failures = 2};
        health_open(&health, &for_health, &health_settings, 0);
        instance_put(0, 1);
        instance = &instances.list[0];
        instance->signs = (struct signs){.wanted = sign_bit(READINESS_PROBE), .is_running = true};
        asked = 0;
}

static void end(void) {
        health_ended(&health, instance);
        health_ended(&health, instance);
        for (size_t i = 0; i < LEAVING_MAX; i++)
                if (health.leaving.list[i].source.owner) {
                        loop_timer_clear(&loop, &health.leaving.list[i].timer);
                        fd_close(health.leaving.list[i].source.fd);
                }
        assert_null(loop.timers); /* nothing wakes up for it any more */
        registry_end();
        while (waitpid(-1, NULL, 0) > 0)
                ;
}

static void turn(void) {
        loop_wait(&loop, time_now_ns() + 2 * NS_PER_MS);
        children_reap(&children);
}

/* The app: takes a connection if there is one, and answers it with that status; 0: not a word. */
static void app_turn(unsigned status) {
        struct pollfd waiting = {.fd = web()->members[0].fd, .events = POLLIN};
        char text[64], request[256];
        int fd;

        turn();
        if (poll(&waiting, 1, 0) != 1)
                return;
        fd = accept(waiting.fd, NULL, NULL);
        assert_true(fd >= 0);
        if (status) {
                assert_true(recv(fd, request, sizeof request, 0) > 0);
                snprintf(text, sizeof text, "HTTP/1.1 %u X\r\nContent-Length: 0\r\n\r\n", status);
                assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
        }
        close(fd);
        asked++;
}

/* Until the app has been asked so often, and the check has heard its answer. */
static void answer(unsigned status, unsigned times) {
        int64_t limit_ns = time_now_ns() + LIMIT_NS;
        unsigned until = asked + times;

        while (asked < until && time_now_ns() < limit_ns)
                app_turn(status);
        assert_int_equal(asked, until);
        while (health.watches[0].probe.is_running && time_now_ns() < limit_ns && !facts.count)
                turn();
}

static void assert_unhealthy_once(void) {
        struct fleet_event event;

        assert_true(facts_take(&facts, &event));
        assert_int_equal(event.kind, FLEET_UNHEALTHY);
        assert_int_equal(event.instance, instance->number);
        for (int i = 0; i < 20; i++)
                app_turn(0);
        assert_int_equal(facts.count, 0);
}

static void test_who_takes_a_connection_is_ready_and_not_before(void **state) {
        int64_t limit_ns;

        (void)state;
        begin(PROBE_TCP);
        health_begin(&health, instance, false);
        limit_ns = time_now_ns() + LIMIT_NS;
        while (listeners_waiting(&listeners, &(struct seat){.generation = 1}) == 0 &&
                time_now_ns() < limit_ns)
                turn();
        for (int i = 0; i < 20; i++)
                turn();
        assert_false(instance->signs.is_complete); /* it waits in the queue */
        answer(0, 1);
        assert_true(instance->signs.is_complete);
        assert_string_equal(health_reason(&health, instance), "");
        end();
}

/* [health] off, ready = listen: only that is asked, once. */
static void test_that_it_listens_is_asked_once_without_health_checks(void **state) {
        (void)state;
        begin(PROBE_NONE);
        instance->signs.wanted = sign_bit(READINESS_LISTEN);
        health_begin(&health, instance, true);
        answer(0, 1);
        assert_true(instance->signs.is_complete);
        health_ready(&health, instance);
        for (int i = 0; i < 20; i++)
                app_turn(0);
        assert_int_equal(asked, 1);
        end();
}

static void test_without_health_checks_nothing_ever_wakes_up(void **state) {
        (void)state;
        begin(PROBE_NONE);
        health_begin(&health, instance, false);
        health_ready(&health, instance);
        assert_null(loop.timers);
        end();
}

static void test_an_answer_with_a_wanted_status_makes_it_ready(void **state) {
        (void)state;
        begin(PROBE_HTTP);
        health_begin(&health, instance, false);
        answer(503, 3); /* not yet: nothing counts before it is ready */
        assert_false(instance->signs.is_complete);
        assert_int_equal(facts.count, 0);
        assert_string_equal(health_reason(&health, instance), "HTTP status 503");
        answer(204, 1);
        assert_true(instance->signs.is_complete);
        assert_string_equal(health_reason(&health, instance), "");
        end();
}

static void test_so_many_good_checks_in_a_row_make_it_ready(void **state) {
        (void)state;
        begin(PROBE_HTTP);
        health_settings.successes = 2;
        health_begin(&health, instance, false);
        answer(200, 1);
        answer(500, 1);
        answer(200, 1);
        assert_false(instance->signs.is_complete);
        answer(200, 1);
        assert_true(instance->signs.is_complete);
        end();
}

static void test_so_many_failures_in_a_row_of_one_that_was_ready_are_a_fact(void **state) {
        (void)state;
        begin(PROBE_HTTP);
        health_begin(&health, instance, false);
        answer(200, 1);
        assert_true(instance->signs.is_complete);
        health_ready(&health, instance);
        answer(503, 1);
        answer(200, 1);
        answer(404, 1);
        assert_int_equal(facts.count, 0); /* two, and not in a row */
        answer(503, 1);
        assert_string_equal(health_reason(&health, instance), "HTTP status 503");
        assert_unhealthy_once();
        end();
}

static void test_after_its_start_period_failures_count_before_it_is_ready(void **state) {
        (void)state;
        begin(PROBE_HTTP);
        health_settings.start_period_ns = 1;
        health_begin(&health, instance, false);
        answer(503, 2);
        assert_false(instance->signs.is_complete);
        assert_unhealthy_once();
        end();
}

static void test_no_answer_in_time_is_a_failure(void **state) {
        int64_t limit_ns = time_now_ns() + LIMIT_NS;

        (void)state;
        begin(PROBE_TCP);
        health_settings.probe.timeout_ns = 20 * NS_PER_MS;
        instance->signs.is_complete = true;
        health_begin(&health, instance, false);
        while (!facts.count && time_now_ns() < limit_ns)
                turn(); /* and nobody accepts */
        assert_unhealthy_once();
        assert_string_equal(health_reason(&health, instance), "no answer within 20ms");
        end();
}

/* Its next check is due now; nothing is begun. */
static void assert_not_asked(bool is_asked_later) {
        struct health_watch *watch = &health.watches[0];

        loop_timer_set(&loop, &watch->next, time_now_ns());
        turn();
        assert_false(watch->probe.is_running);
        assert_int_equal(watch->next.is_set, is_asked_later);
}

static void test_who_empties_is_stopped_or_was_told_to_end_is_not_asked(void **state) {
        (void)state;
        begin(PROBE_TCP);
        health_settings.interval_ns = 60 * NS_PER_S;
        health_begin(&health, instance, false);
        instance->is_stopped = true;
        assert_not_asked(true);
        instance->is_stopped = false;
        instance->is_emptying = true;
        assert_not_asked(true);
        instance->is_emptying = false;
        instance->is_ending = true;
        assert_not_asked(false);
        end();
}

static void test_what_it_answered_while_it_was_stopped_counts_against_nobody(void **state) {
        (void)state;
        begin(PROBE_HTTP);
        health_settings.failures = 1;
        instance->signs.is_complete = true;
        health_begin(&health, instance, false);
        while (!health.watches[0].probe.is_running)
                turn();
        instance->is_stopped = true;
        answer(503, 1);
        assert_int_equal(facts.count, 0);
        assert_int_equal(health.watches[0].failures, 0);
        end();
}

static void test_a_socket_of_its_own_is_where_it_is_asked(void **state) {
        int64_t limit_ns = time_now_ns() + LIMIT_NS;
        struct gear gear = {0};
        struct error error = {0};
        int fd;

        (void)state;
        begin(PROBE_TCP);
        health_settings.has_socket = true;
        assert_int_equal(health_equip(&health, instance, &gear, &error), 0);
        assert_int_equal(gear.descriptor_count, 1);
        assert_string_equal(gear.descriptors[0].name, "health");
        health_begin(&health, instance, false);
        while (!instance->signs.is_complete && time_now_ns() < limit_ns)
                turn();
        assert_true(instance->signs.is_complete);
        fd = accept(gear.descriptors[0].fd, NULL, NULL);
        assert_true(fd >= 0);
        close(fd);
        assert_int_equal(listeners_waiting(&listeners, &(struct seat){.generation = 1}), 0);
        gear_release(&gear);
        end();
}

static void test_the_end_of_an_instance_ends_its_check(void **state) {
        (void)state;
        begin(PROBE_HTTP);
        health_begin(&health, instance, false);
        while (!health.watches[0].probe.is_running)
                turn();
        assert_non_null(children.first);
        health_ended(&health, instance);
        assert_null(children.first);
        assert_int_equal(facts.count, 0);
        end();
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_who_takes_a_connection_is_ready_and_not_before),
                cmocka_unit_test(test_that_it_listens_is_asked_once_without_health_checks),
                cmocka_unit_test(test_without_health_checks_nothing_ever_wakes_up),
                cmocka_unit_test(test_an_answer_with_a_wanted_status_makes_it_ready),
                cmocka_unit_test(test_so_many_good_checks_in_a_row_make_it_ready),
                cmocka_unit_test(test_so_many_failures_in_a_row_of_one_that_was_ready_are_a_fact),
                cmocka_unit_test(test_after_its_start_period_failures_count_before_it_is_ready),
                cmocka_unit_test(test_no_answer_in_time_is_a_failure),
                cmocka_unit_test(test_who_empties_is_stopped_or_was_told_to_end_is_not_asked),
                cmocka_unit_test(test_what_it_answered_while_it_was_stopped_counts_against_nobody),
                cmocka_unit_test(test_a_socket_of_its_own_is_where_it_is_asked),
                cmocka_unit_test(test_the_end_of_an_instance_ends_its_check),
        };

        log_setup(LOG_FORMAT_PLAIN, LOG_ERROR, "test");
        network_make();
        return cmocka_run_group_tests_name("health", tests, NULL, NULL);
}
