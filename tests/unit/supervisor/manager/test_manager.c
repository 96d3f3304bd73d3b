/* What a service manager is told, and in which order, for a fleet that is driven step by step. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/log.h"
#include "supervisor/manager/manager.h"
#include "supervisor/sockets/listener.h"

static struct loop loop;
static struct fleet_settings fleet_settings;
static struct fleet fleet;
static struct fleet_actions actions;
static struct instances instances;
static struct socket_settings sockets;
static struct listeners listeners;
static struct notify notify;
static struct manager_settings settings;
static struct manager manager;
static char address[64], message[2048];
static int manager_fd = -1;

static void manager_listen(void) {
        struct sockaddr_un local = {.sun_family = AF_UNIX};
        socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(address));

        memcpy(local.sun_path, address, strlen(address) + 1);
        local.sun_path[0] = '\0';
        manager_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_int_equal(bind(manager_fd, (struct sockaddr *)&local, length), 0);
}

static void open_again(void) {
        const struct manager_rooms rooms = {.loop = &loop,
                .fleet = &fleet,
                .instances = &instances,
                .listeners = &listeners,
                .notify = &notify};
        const struct manager_service service = {.sockets = &sockets, .has_generations = true};

        manager_open(&manager, &rooms, &settings, &service);
}

static void begin(void) {
        struct error error = {0};

        memset(&manager, 0, sizeof manager);
        snprintf(address, sizeof address, "@tacet-unit-manager-%d", (int)getpid());
        manager_listen();
        settings = (struct manager_settings){.socket = address, .stores = true};
        fleet_settings = (struct fleet_settings){.replicas = 1,
                .ready_timeout_ns = 60 * NS_PER_S,
                .stop_timeout_ns = 30 * NS_PER_S,
                .restart_delay_ns = NS_PER_S};
        assert_int_equal(loop_init(&loop, &error), 0);
        fleet_init(&fleet, &fleet_settings);
        open_again();
        assert_true(manager.fd >= 0);
}

static void end(void) {
        manager_close(&manager);
        loop_deinit(&loop);
        close(manager_fd);
}

static void tell(struct fleet_event event) {
        event.now_ns = time_now_ns();
        fleet_step(&fleet, &event, &actions);
}

/* The next message, or "" when there is none. */
static const char *heard(void) {
        ssize_t length = recv(manager_fd, message, sizeof message - 1, 0);

        assert_true(length >= 0 || errno == EAGAIN);
        message[length > 0 ? length : 0] = '\0';
        return message;
}

static void hears(const char *text) {
        assert_string_equal(heard(), text);
}

/* The same without what depends on the time. */
static void hears_at_first(const char *text) {
        assert_memory_equal(heard(), text, strlen(text));
}

/* As if its time had come. */
static void retry_now(void) {
        loop_timer_set(&loop, &manager.retry, time_now_ns());
        loop_wait(&loop, time_now_ns());
}

static void come_up(void) {
        tell((struct fleet_event){.kind = FLEET_START});
        tell((struct fleet_event){.kind = FLEET_LOADED, .load = 1, .generation = 1});
        tell((struct fleet_event){.kind = FLEET_SPAWNED, .instance = 1});
        tell((struct fleet_event){.kind = FLEET_READY, .instance = 1});
        tell((struct fleet_event){.kind = FLEET_TICK});
}

static void be_up(void) {
        begin();
        come_up();
        manager_update(&manager);
        while (*heard())
                ;
}

static void test_ready_is_said_once_and_not_before_the_first_generation_is(void **state) {
        (void)state;
        begin();
        tell((struct fleet_event){.kind = FLEET_START});
        manager_update(&manager);
        hears("EXTEND_TIMEOUT_USEC=20000000\nSTATUS=loading secrets");
        hears("");
        come_up();
        manager_update(&manager);
        hears("READY=1\nSTATUS=generation 1 is up");
        manager_update(&manager);
        hears("");
        assert_false(manager.extend.is_set);
        end();
}

static void test_a_reload_is_framed_whatever_becomes_of_it(void **state) {
        int64_t before_ns = time_now_ns();
        long long usec;

        (void)state;
        be_up();
        manager_reload_asked(&manager);
        tell((struct fleet_event){.kind = FLEET_RELOAD});
        manager_update(&manager);
        hears_at_first("RELOADING=1\nMONOTONIC_USEC=");
        assert_int_equal(sscanf(message, "RELOADING=1\nMONOTONIC_USEC=%lld\n", &usec), 1);
        assert_true(usec >= before_ns / NS_PER_US && usec <= time_now_ns() / NS_PER_US);
        assert_null(strstr(message, "READY=1\n"));
        assert_non_null(strstr(message, "\nEXTEND_TIMEOUT_USEC=20000000\n"));
        tell((struct fleet_event){.kind = FLEET_LOAD_FAILED, .load = 2, .status = 66});
        manager_update(&manager);
        hears_at_first("READY=1\n");
        assert_null(strstr(message, "EXTEND_TIMEOUT_USEC"));
        hears("");
        end();
}

static void test_a_reload_that_was_over_at_once_is_answered_all_the_same(void **state) {
        (void)state;
        be_up();
        manager_reload_asked(&manager);
        manager_update(&manager);
        hears_at_first("RELOADING=1\n");
        hears_at_first("READY=1\n");
        hears("");
        manager_update(&manager);
        hears("");
        end();
}

static void test_why_a_load_failed_is_in_the_status_until_one_succeeds(void **state) {
        struct fleet_action action = {.kind = FLEET_DO_REPORT, .report = FLEET_REPORT_LOAD_FAILED};

        (void)state;
        be_up();
        manager_report(&manager, &action, "secrets not loaded", "no such key");
        manager.status_earliest_ns = 0;
        manager_update(&manager);
        hears("STATUS=generation 1 is up; secrets not loaded: no such key");
        action.report = FLEET_REPORT_AVAILABLE;
        manager_report(&manager, &action, "a step", "");
        manager_update(&manager);
        hears("");
        action.report = FLEET_REPORT_COMMITTED;
        manager_report(&manager, &action, "done", "");
        manager.status_earliest_ns = 0;
        manager_update(&manager);
        hears("STATUS=generation 1 is up");
        end();
}

static void test_a_mere_status_waits_for_its_pause(void **state) {
        struct fleet_action action = {.kind = FLEET_DO_REPORT, .report = FLEET_REPORT_UNCHANGED};

        (void)state;
        be_up();
        manager.status_earliest_ns = time_now_ns() + 60 * NS_PER_S;
        manager_report(&manager, &action, "unchanged", "");
        manager_update(&manager);
        hears("");
        assert_true(manager.retry.is_set);
        manager.status_earliest_ns = 0;
        manager_update(&manager);
        hears("STATUS=generation 1 is up; unchanged");
        assert_false(manager.retry.is_set);
        end();
}

static void test_stopping_is_said_once_and_takes_back_what_was_owed(void **state) {
        (void)state;
        be_up();
        manager_reload_asked(&manager);
        tell((struct fleet_event){.kind = FLEET_RELOAD});
        tell((struct fleet_event){.kind = FLEET_STOP});
        manager_update(&manager);
        hears_at_first("STOPPING=1\nEXTEND_TIMEOUT_USEC=20000000\n");
        hears("");
        manager_ending(&manager, 0);
        assert_null(strstr(heard(), "STOPPING=1"));
        assert_null(strstr(message, "READY=1"));
        end();
}

static void test_a_reload_that_could_not_be_said_is_not_said_after_the_end(void **state) {
        (void)state;
        be_up();
        close(manager_fd);
        manager_reload_asked(&manager);
        tell((struct fleet_event){.kind = FLEET_RELOAD});
        manager_update(&manager);
        tell((struct fleet_event){.kind = FLEET_STOP});
        manager_listen();
        manager_update(&manager);
        retry_now();
        hears_at_first("STOPPING=1\n");
        hears("");
        end();
}

static void test_without_a_limit_of_its_own_tacet_asks_for_no_more_time(void **state) {
        (void)state;
        begin();
        fleet.settings.ready_timeout_ns = 0;
        tell((struct fleet_event){.kind = FLEET_START});
        manager_update(&manager);
        hears("STATUS=loading secrets");
        assert_false(manager.extend.is_set);
        end();
}

/* The manager is away for a while: what it hears then is the newest state, each thing once. */
static void test_what_could_not_be_said_is_said_later_and_only_the_newest(void **state) {
        (void)state;
        begin();
        close(manager_fd);
        tell((struct fleet_event){.kind = FLEET_START});
        manager_update(&manager);
        assert_int_equal(manager.tries, 1);
        assert_true(manager.retry.is_set);
        come_up();
        manager_update(&manager);
        assert_int_equal(manager.tries, 1); /* its time has not come */
        manager_listen();
        retry_now();
        hears("READY=1\nSTATUS=generation 1 is up");
        hears("");
        assert_int_equal(manager.tries, 0);
        assert_false(manager.retry.is_set);
        end();
}

static void test_a_manager_that_is_gone_for_good_is_given_up(void **state) {
        int64_t pause_ns, last_ns = 0;

        (void)state;
        begin();
        close(manager_fd);
        tell((struct fleet_event){.kind = FLEET_START});
        manager_update(&manager);
        for (int i = 0; i < 64 && manager.owed; i++) {
                pause_ns = manager.retry.deadline_ns - time_now_ns();
                assert_true(pause_ns <= 5 * NS_PER_S);
                last_ns = pause_ns > last_ns ? pause_ns : last_ns;
                retry_now();
        }
        assert_int_equal(manager.owed, 0);
        assert_true(last_ns > 2 * NS_PER_S); /* it had become patient */
        manager_listen();
        come_up();
        manager_update(&manager);
        hears("READY=1\nSTATUS=generation 1 is up"); /* something new is tried again */
        end();
}

static void test_a_slow_manager_is_never_given_up(void **state) {
        (void)state;
        begin();
        while (send(manager.fd, "", 0, 0) == 0 || errno != EAGAIN)
                if (sendto(manager.fd, "x", 1, 0, (struct sockaddr *)&manager.address.socket,
                            manager.address.length) < 0)
                        break;
        tell((struct fleet_event){.kind = FLEET_START});
        come_up();
        manager_update(&manager);
        for (int i = 0; i < 40; i++)
                retry_now();
        assert_true(manager.owed != 0);
        while (strcmp(heard(), "x") == 0)
                ;
        retry_now();
        hears("READY=1\nSTATUS=generation 1 is up");
        end();
}

static void test_the_watchdog_is_fed_at_half_its_time(void **state) {
        int64_t before_ns;

        (void)state;
        begin();
        manager_close(&manager);
        settings.watchdog_ns = 40 * NS_PER_S;
        before_ns = time_now_ns();
        open_again();
        hears("WATCHDOG=1");
        assert_true(manager.beat.deadline_ns >= before_ns + 20 * NS_PER_S);
        assert_true(manager.beat.deadline_ns <= time_now_ns() + 20 * NS_PER_S);
        loop_timer_set(&loop, &manager.beat, time_now_ns());
        loop_wait(&loop, time_now_ns());
        hears("WATCHDOG=1");
        assert_true(manager.beat.is_set);
        end();
}

static struct manager_settings settings_with(const char *name, const char *value) {
        struct manager_settings read;
        static const char *const names[] = {
                "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "FDSTORE", "LISTEN_PID", "LISTEN_FDNAMES"};

        if (name)
                setenv(name, value, 1);
        manager_settings_read(&read);
        for (size_t i = 0; !name && i < sizeof names / sizeof *names; i++)
                unsetenv(names[i]);
        return read;
}

static void test_what_the_environment_says_counts_for_this_process_alone(void **state) {
        char own[16];

        (void)state;
        snprintf(own, sizeof own, "%d", (int)getpid());
        (void)settings_with(NULL, NULL);
        assert_null(settings_with(NULL, NULL).socket);
        assert_true(settings_with(NULL, NULL).stores);
        assert_null(settings_with("NOTIFY_SOCKET", "").socket);
        assert_string_equal(settings_with("NOTIFY_SOCKET", "/run/notify").socket, "/run/notify");
        assert_int_equal(settings_with("WATCHDOG_USEC", "3000000").watchdog_ns, 3 * NS_PER_S);
        assert_int_equal(settings_with("WATCHDOG_PID", "1").watchdog_ns, 0);
        assert_int_equal(settings_with("WATCHDOG_PID", own).watchdog_ns, 3 * NS_PER_S);
        assert_int_equal(settings_with("WATCHDOG_USEC", "18446744073709551615").watchdog_ns, 0);
        assert_int_equal(settings_with("WATCHDOG_USEC", "soon").watchdog_ns, 0);
        assert_true(settings_with("FDSTORE", "16").stores);
        assert_false(settings_with("FDSTORE", "0").stores);
        setenv("LISTEN_FDNAMES", "a:b", 1);
        assert_null(settings_with("LISTEN_PID", "1").names);
        assert_string_equal(settings_with("LISTEN_PID", own).names, "a:b");
        (void)settings_with(NULL, NULL);
}

static void test_without_a_manager_nothing_is_done(void **state) {
        (void)state;
        begin();
        manager_close(&manager);
        settings.socket = NULL;
        open_again();
        assert_int_equal(manager.fd, -1);
        come_up();
        manager_update(&manager);
        manager_ending(&manager, 0);
        hears("");
        settings.socket = "vsock:2:1";
        open_again();
        assert_int_equal(manager.fd, -1);
        end();
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_ready_is_said_once_and_not_before_the_first_generation_is),
                cmocka_unit_test(test_a_reload_is_framed_whatever_becomes_of_it),
                cmocka_unit_test(test_a_reload_that_was_over_at_once_is_answered_all_the_same),
                cmocka_unit_test(test_why_a_load_failed_is_in_the_status_until_one_succeeds),
                cmocka_unit_test(test_a_mere_status_waits_for_its_pause),
                cmocka_unit_test(test_stopping_is_said_once_and_takes_back_what_was_owed),
                cmocka_unit_test(test_a_reload_that_could_not_be_said_is_not_said_after_the_end),
                cmocka_unit_test(test_without_a_limit_of_its_own_tacet_asks_for_no_more_time),
                cmocka_unit_test(test_what_could_not_be_said_is_said_later_and_only_the_newest),
                cmocka_unit_test(test_a_manager_that_is_gone_for_good_is_given_up),
                cmocka_unit_test(test_a_slow_manager_is_never_given_up),
                cmocka_unit_test(test_the_watchdog_is_fed_at_half_its_time),
                cmocka_unit_test(test_what_the_environment_says_counts_for_this_process_alone),
                cmocka_unit_test(test_without_a_manager_nothing_is_done),
        };

        log_setup(LOG_FORMAT_PLAIN, LOG_ERROR, "test");
        return cmocka_run_group_tests_name("manager", tests, NULL, NULL);
}
