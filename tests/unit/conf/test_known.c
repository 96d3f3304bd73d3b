/* What is advised for a server that is known by name, for each row of the table, and when nothing is. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf/known.h"
#include "tests/unit/conf/setting.h"

/* Each piece of advice is a line. */
static char said[4096];

static void say(void *context, const char *text) {
        size_t used = strlen(said);

        (void)context;
        snprintf(said + used, sizeof said - used, "%s\n", text);
}

static void config_make(struct config *config, const char *command) {
        struct error error;

        config_init(config);
        assert_int_equal(set_in(config, "service", "command", command, &error), 0);
}

static void key_set(struct config *config, const char *section, const char *key, const char *value) {
        struct error error;

        assert_int_equal(set_in(config, section, key, value, &error), 0);
}

static const char *advice_of(const struct config *config) {
        said[0] = '\0';
        known_advise(config, say, NULL);
        return said;
}

static void expect_advice(const char *command, const char *text) {
        struct config CLEANUP_CONFIG config;

        config_make(&config, command);
        if (strcmp(advice_of(&config), text) != 0)
                fail_msg("%s: '%s', not '%s'", command, said, text);
}

/* ---- stop signals ---- */

static void test_servers_whose_signal_is_not_term(void **state) {
        static const struct {
                const char *command, *signal;
        } cases[] = {
                {"/usr/sbin/nginx -g 'daemon off;'", "QUIT"},
                {"openresty -g 'daemon off;'", "QUIT"},
                {"apache2 -DFOREGROUND", "WINCH"},
                {"httpd -D FOREGROUND", "WINCH"},
                {"apache2ctl -D FOREGROUND", "WINCH"},
                {"apachectl -D FOREGROUND", "WINCH"},
                {"apache2-foreground", "WINCH"},
                {"httpd-foreground", "WINCH"},
                {"haproxy -W -f haproxy.cfg", "USR1"},
                {"lighttpd -D -f lighttpd.conf", "INT"},
                {"php-fpm -F", "QUIT"},
                {"/usr/sbin/php-fpm8.2 --nodaemonize", "QUIT"},
                {"unicorn -c unicorn.rb", "QUIT"},
                {"unicorn_rails", "QUIT"},
                {"starman app.psgi", "QUIT"},
        };

        (void)state;
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
                struct config CLEANUP_CONFIG config;
                char text[256];

                config_make(&config, cases[i].command);
                snprintf(text, sizeof text, "SIGTERM: write stop_signal = %s\n", cases[i].signal);
                if (!strstr(advice_of(&config), text) || strchr(said, '\n')[1])
                        fail_msg("%s: '%s'", cases[i].command, said);
                key_set(&config, "service", "stop_signal", cases[i].signal);
                assert_string_equal(advice_of(&config), "");
        }
}

static void test_uwsgi_wants_an_option_in_place_of_a_signal(void **state) {
        static const char text[] =
                "uwsgi starts anew when it gets SIGTERM, and does not end: write --hook-master-start "
                "'unix_signal:15 gracefully_kill_them_all' in its command, unless its own configuration has "
                "that\n";
        struct config CLEANUP_CONFIG config;

        (void)state;
        expect_advice("uwsgi --http :8080", text);
        expect_advice("uwsgi --http :8080 --die-on-term", "");
        expect_advice("uwsgi --hook-master-start 'unix_signal:15 gracefully_kill_them_all'", "");
        config_make(&config, "uwsgi-core --http :8080");
        assert_non_null(strstr(advice_of(&config), "uwsgi-core starts anew"));
        key_set(&config, "service", "stop_signal", "QUIT");
        assert_string_equal(advice_of(&config), "");
}

/* ---- the foreground ---- */

static void test_servers_that_go_into_the_background_by_themselves(void **state) {
        static const struct {
                const char *command, *signal, *option;
        } cases[] = {
                {"nginx", "QUIT", "-g 'daemon off;'"},
                {"openresty -p /srv", "QUIT", "-g 'daemon off;'"},
                {"apache2", "WINCH", "-DFOREGROUND"},
                {"httpd", "WINCH", "-DFOREGROUND"},
                {"apache2ctl -k start", "WINCH", "-DFOREGROUND"},
                {"apachectl", "WINCH", "-DFOREGROUND"},
                {"lighttpd -f lighttpd.conf", "INT", "-D"},
                {"php-fpm8.2", "QUIT", "-F"},
                {"slapd -h ldap://", "TERM", "-d 0"},
        };

        (void)state;
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
                struct config CLEANUP_CONFIG config;
                char text[256];

                config_make(&config, cases[i].command);
                key_set(&config, "service", "stop_signal", cases[i].signal);
                snprintf(text, sizeof text,
                        "goes into the background by itself: write %s in its command, unless its own "
                        "configuration keeps it in the foreground\n",
                        cases[i].option);
                if (!strstr(advice_of(&config), text) || strchr(said, '\n')[1])
                        fail_msg("%s: '%s'", cases[i].command, said);
                assert_string_equal(known_foreground(&config), cases[i].option);
                key_set(&config, "service", "exit_when", "all");
                assert_string_equal(advice_of(&config), "");
        }
}

static void test_options_that_send_a_server_into_the_background(void **state) {
        static const struct {
                const char *command, *text;
        } cases[] = {
                {"gunicorn -D app:app", "this command of gunicorn goes into the background: leave -D out\n"},
                {"gunicorn --daemon app:app",
                        "this command of gunicorn goes into the background: leave -D out\n"},
                {"redis-server --daemonize yes",
                        "this command of redis-server goes into the background: leave --daemonize out\n"},
                {"redis-server --daemonize no", ""},
                {"valkey-server --daemonize yes", "this command of valkey-server goes into the background: "
                                                  "leave --daemonize out\n"},
                {"keydb-server --daemonize yes",
                        "this command of keydb-server goes into the background: leave --daemonize out\n"},
                {"memcached -d", "this command of memcached goes into the background: leave -d out\n"},
                {"mysqld --daemonize",
                        "this command of mysqld goes into the background: leave --daemonize out\n"},
                {"mongod --fork --syslog",
                        "this command of mongod goes into the background: leave --fork out\n"},
                {"cockroach start --background",
                        "this command of cockroach goes into the background: leave --background out\n"},
                {"clickhouse-server --daemon",
                        "this command of clickhouse-server goes into the background: leave --daemon out\n"},
                {"uwsgi --die-on-term --daemonize=/var/log/uwsgi.log",
                        "this command of uwsgi goes into the background: leave --daemonize out\n"},
        };

        (void)state;
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
                expect_advice(cases[i].command, cases[i].text);
        expect_advice("haproxy -D",
                "haproxy cuts off the requests that it works at when it gets SIGTERM: write stop_signal = "
                "USR1\nthis command of haproxy goes into the background: leave -D out\n");
}

/* ---- data ---- */

static void test_owners_of_data_are_not_handed_over(void **state) {
        static const char *const names[] = {"redis-server", "valkey-server", "keydb-server", "postgres",
                "postmaster", "mysqld", "mysqld_safe", "mariadbd", "mariadbd-safe", "mongod", "etcd",
                "cockroach", "clickhouse-server", "influxd", "prometheus", "slapd -d 0"};

        (void)state;
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
                struct config CLEANUP_CONFIG handed;
                struct config CLEANUP_CONFIG adopted;

                expect_advice(names[i], "");
                config_make(&handed, names[i]);
                key_set(&handed, "rollout", "strategy", "handoff");
                assert_non_null(strstr(advice_of(&handed), " owns data, and its port is the lock of that"));
                config_make(&adopted, names[i]);
                key_set(&adopted, "service", "adopt", "6379");
                said[0] = '\0';
                known_advise_data(&adopted, say, NULL);
                assert_non_null(strstr(said, "use strategy = restart, without adopt\n"));
        }
}

static void test_a_cache_may_be_handed_over(void **state) {
        struct config CLEANUP_CONFIG config;

        (void)state;
        config_make(&config, "memcached -l 127.0.0.1");
        key_set(&config, "rollout", "strategy", "handoff");
        assert_string_equal(advice_of(&config), "");
}

/* ---- the rest ---- */

static void test_programs_that_hand_no_signal_on(void **state) {
        struct config CLEANUP_CONFIG config;

        (void)state;
        config_make(&config, "npm start");
        assert_non_null(strstr(advice_of(&config), "npm hands no signal on: the server below it"));
        key_set(&config, "service", "kill_mode", "group");
        assert_string_equal(advice_of(&config), "");
        config_deinit(&config);
        config_make(&config, "npx serve");
        assert_non_null(strstr(advice_of(&config), "npx hands no signal on"));
}

static void test_other_programs_are_not_advised(void **state) {
        struct config CLEANUP_CONFIG config;

        (void)state;
        expect_advice("./server --port 8080", "");
        expect_advice("nginx-exporter", "");
        expect_advice("gunicorn app:app", "");
        expect_advice("/opt/nginx/", "");
        config_init(&config);
        assert_string_equal(advice_of(&config), "");
        assert_null(known_foreground(&config));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_servers_whose_signal_is_not_term),
                cmocka_unit_test(test_uwsgi_wants_an_option_in_place_of_a_signal),
                cmocka_unit_test(test_servers_that_go_into_the_background_by_themselves),
                cmocka_unit_test(test_options_that_send_a_server_into_the_background),
                cmocka_unit_test(test_owners_of_data_are_not_handed_over),
                cmocka_unit_test(test_a_cache_may_be_handed_over),
                cmocka_unit_test(test_programs_that_hand_no_signal_on),
                cmocka_unit_test(test_other_programs_are_not_advised),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
