/* Every key and every type of value: defaults, what is taken, what is refused and in which words. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "conf/config.h"
#include "conf/schema.h"
#include "lib/duration.h"
#include "lib/log.h"
#include "tests/unit/conf/setting.h"

static void test_defaults_are_those_of_the_table(void **state) {
        struct config CLEANUP_CONFIG config;

        (void)state;
        config_init(&config);
        assert_null(config.service.command.at);
        assert_null(config.service.user);
        assert_int_equal(config.service.umask, CONFIG_UNSET);
        assert_false(config.service.clear_env);
        assert_int_equal(config.service.on_conflict, CONFIG_CONFLICT_REPLACE);
        assert_int_equal(config.service.restart, CONFIG_RESTART_NO);
        assert_int_equal(config.service.restart_delay_ns, 100 * NS_PER_MS);
        assert_int_equal(config.service.restart_delay_max_ns, 30 * NS_PER_S);
        assert_int_equal(config.service.restart_reset_ns, 10 * NS_PER_S);
        assert_int_equal(config.service.restart_limit, 10);
        assert_int_equal(config.service.stop_signal, 15);
        assert_int_equal(config.service.stop_timeout_ns, 30 * NS_PER_S);
        assert_int_equal(config.service.remaining_timeout_ns, 5 * NS_PER_S);
        assert_int_equal(config.service.parent_death_signal, 9);
        assert_int_equal(config.service.replicas, 1);
        assert_int_equal(config.service.adopt.count, 0);
        assert_int_equal(config.rollout.strategy, CONFIG_STRATEGY_RESTART);
        assert_int_equal(config.rollout.ready, CONFIG_READY_AUTO);
        assert_int_equal(config.rollout.ready_delay_ns, NS_PER_S);
        assert_int_equal(config.rollout.ready_fd, CONFIG_UNSET);
        assert_int_equal(config.service.notify_access, CONFIG_NOTIFY_AUTO);
        assert_int_equal(config.service.notify_forward, CONFIG_NOTIFY_FORWARD_STATUS);
        assert_int_equal(config.health.watchdog_ns, 0);
        assert_int_equal(config.rollout.min_healthy_ns, NS_PER_S);
        assert_int_equal(config.rollout.ready_timeout_ns, 60 * NS_PER_S);
        assert_int_equal(config.rollout.failures, 0);
        assert_int_equal(config.rollout.watch_delay_ns, 500 * NS_PER_MS);
        assert_int_equal(config.rollout.queue_quiet_ns, 50 * NS_PER_MS);
        assert_int_equal(config.rollout.queue_timeout_ns, 5 * NS_PER_S);
        assert_int_equal(config.load.timeout_ns, 30 * NS_PER_S);
        assert_int_equal(config.load.source_bytes_max, 8 * 1024 * 1024);
        assert_int_equal(config.load.scrypt_work_factor_max, 22);
        assert_false(config.sandbox.limits[RLIMIT_NOFILE].is_set);
        assert_int_equal(config.log.level, LOG_NOTICE);
        assert_int_equal(config.log.format, LOG_FORMAT_AUTO);
}

static void test_every_row_is_sound(void **state) {
        char text[256];

        (void)state;
        for (size_t i = 0; i < schema_row_count; i++) {
                const struct schema_row *row = &schema_rows[i];

                assert_non_null(schema_find_section(row->section));
                assert_ptr_equal(schema_find(row->section, row->key), row);
                assert_true(strlen(row->key) <= 48 && strlen(row->help) <= 90);
                assert_true(row->help[strlen(row->help) - 1] != '.');
                assert_true((row->places & SCHEMA_IN_FILE) != 0);
                assert_true((row->option != NULL) == ((row->places & ~SCHEMA_IN_FILE) != 0));
                assert_true((row->type == SCHEMA_ENUM || row->type == SCHEMA_WORD ||
                                    row->type == SCHEMA_SET) == (row->words != NULL));
                assert_true(*schema_accepts(row, text) != '\0');
                assert_true((schema_argument(row, text) == NULL) == (row->type == SCHEMA_BOOLEAN));
                if (row->option)
                        assert_ptr_equal(schema_find_option(row->option), row);
        }
}

static void test_durations(void **state) {
        struct config CLEANUP_CONFIG config;
        struct error error;

        (void)state;
        config_init(&config);
        assert_int_equal(set_in(&config, "service", "stop_timeout", "1m30s", &error), 0);
        assert_int_equal(config.service.stop_timeout_ns, 90 * NS_PER_S);
        expect_refusal("service", "stop_timeout", "10x",
                "api.ini:3: stop_timeout = 10x is not a duration such as 500ms, 30s, 5m, 1h30m, or infinity",
                "the units are us, ms, s, m (or min), h, d and w; a number alone is seconds");
        expect_refusal("service", "stop_timeout", "",
                "api.ini:3: stop_timeout =  is not a duration such as 500ms, 30s, 5m, 1h30m, or infinity",
                NULL);
        expect_refusal("service", "restart_delay", "infinity",
                "api.ini:3: restart_delay = infinity is out of range: it may be 1ms to 60m0s", NULL);
        config_deinit(&config);
        config_init(&config);
        assert_int_equal(set_in(&config, "service", "stop_timeout", "infinity", &error), 0);
        assert_int_equal(config.service.stop_timeout_ns, NS_FOREVER);
}

static void test_sizes(void **state) {
        struct config CLEANUP_CONFIG config;
        struct error error;

        (void)state;
        config_init(&config);
        assert_int_equal(set_in(&config, "load", "source_bytes_max", "64K", &error), 0);
        assert_int_equal(config.load.source_bytes_max, 65536);
        expect_refusal("load", "source_bytes_max", "8MB",
                "api.ini:3: source_bytes_max = 8MB is not a size in bytes such as 65536, 64K, 8M or 1G",
                "the units are K, M and G (powers of 1024); a number alone is bytes");
        expect_refusal("load", "source_bytes_max", "infinity",
                "api.ini:3: source_bytes_max = infinity is out of range: it may be 1024 to 1073741824 bytes",
                NULL);
}

static void test_booleans_take_the_habits_of_systemd(void **state) {
        static const char *const yes[] = {"yes", "true", "on", "1"}, *const no[] = {
                                                                             "no", "false", "off", "0"};
        struct error error;

        (void)state;
        for (size_t i = 0; i < 4; i++) {
                struct config CLEANUP_CONFIG config;

                config_init(&config);
                assert_int_equal(set_in(&config, "service", "clear_env", yes[i], &error), 0);
                assert_true(config.service.clear_env);
                assert_int_equal(
                        config_set(&config, "service", NULL, "clear_env", no[i], "--clear-env", 0, &error),
                        0);
                assert_false(config.service.clear_env);
        }
        expect_refusal("service", "clear_env", "yep", "api.ini:3: clear_env = yep is not yes or no", NULL);
}

static void test_numbers_have_a_range(void **state) {
        struct config CLEANUP_CONFIG config;
        struct error error;

        (void)state;
        config_init(&config);
        assert_int_equal(set_in(&config, "service", "restart_limit", "1000000", &error), 0);
        assert_int_equal(config.service.restart_limit, 1000000);
        expect_refusal("service", "restart_limit", "1000001",
                "api.ini:3: restart_limit = 1000001 is not a number from 0 to 1000000", NULL);
        expect_refusal("service", "restart_limit", "99999999999999999999",
                "api.ini:3: restart_limit = 99999999999999999999 is not a number from 0 to 1000000", NULL);
        expect_refusal("service", "restart_limit", "-1",
                "api.ini:3: restart_limit = -1 is not a number from 0 to 1000000", NULL);
        expect_refusal("load", "scrypt_work_factor_max", "0",
                "api.ini:3: scrypt_work_factor_max = 0 is not a number from 1 to 30", NULL);
}

static void test_words_of_an_enum_are_suggested(void **state) {
        struct config CLEANUP_CONFIG config;
        struct error error;

        (void)state;
        config_init(&config);
        assert_int_equal(set_in(&config, "service", "restart", "on-failure", &error), 0);
        assert_int_equal(config.service.restart, CONFIG_RESTART_ON_FAILURE);
        expect_refusal("service", "restart", "on_failure",
                "api.ini:3: restart = on_failure is not no, on-failure or always",
                "did you mean 'on-failure'?");
        expect_refusal("service", "restart", "unless-stopped",
                "api.ini:3: restart = unless-stopped is not no, on-failure or always", "");
        expect_refusal("rollout", "strategy", "hand-off",
                "api.ini:3: strategy = hand-off is not restart, handoff or signal",
                "did you mean 'handoff'?");
}

static void test_a_portion_is_a_number_or_a_share(void **state) {
        struct config CLEANUP_CONFIG config;
        struct error error;

        (void)state;
        config_init(&config);
        assert_false(config.rollout.max_surge.is_set);
        assert_int_equal(set_in(&config, "rollout", "max_surge", "3", &error), 0);
        assert_true(config.rollout.max_surge.is_set && !config.rollout.max_surge.is_percent);
        assert_int_equal(config.rollout.max_surge.value, 3);
        assert_int_equal(set_in(&config, "rollout", "max_unavailable", "100%", &error), 0);
        assert_true(config.rollout.max_unavailable.is_percent);
        assert_int_equal(config.rollout.max_unavailable.value, 100);
        expect_refusal("rollout", "max_surge", "33",
                "api.ini:3: max_surge = 33 is not a number from 0 to 32, or a share from 0% to 100%", NULL);
        expect_refusal("rollout", "max_surge", "101%",
                "api.ini:3: max_surge = 101% is not a number from 0 to 32, or a share from 0% to 100%", NULL);
        expect_refusal("rollout", "max_surge", "%",
                "api.ini:3: max_surge = % is not a number from 0 to 32, or a share from 0% to 100%", NULL);
        expect_refusal("rollout", "max_surge", "1 %",
                "api.ini:3: max_surge = 1 % is not a number from 0 to 32, or a share from 0% to 100%", NULL);
}

static void test_a_canary_is_a_share(void **state) {
        struct config CLEANUP_CONFIG config;
        struct error error;

        (void)state;
        config_init(&config);
        assert_int_equal(config.rollout.canary.value, 0);
        assert_int_equal(set_in(&config, "rollout", "canary", "10%", &error), 0);
        assert_int_equal(config.rollout.canary.value, 10);
        expect_refusal("rollout", "canary", "10",
                "api.ini:3: canary = 10 is not a share such as 10%, from 0% to 100%", NULL);
        expect_refusal("rollout", "canary", "0",
                "api.ini:3: canary = 0 is not a share such as 10%, from 0% to 100%", NULL);
}

/* As Kubernetes rounds: surge up, unavailable down. */
static void test_the_limits_of_a_rotation_come_from_strategy_and_shares(void **state) {
        static const struct {
                const char *strategy, *replicas, *surge, *unavailable;
                uint32_t surge_max, unavailable_max;
        } cases[] = {{"restart", "1", NULL, NULL, 0, 1}, {"handoff", "1", NULL, NULL, 1, 0},
                {"handoff", "32", NULL, NULL, 1, 0}, {"handoff", "4", "25%", "25%", 1, 1},
                {"handoff", "5", "25%", "25%", 2, 1}, {"handoff", "3", "1%", "33%", 1, 0},
                {"handoff", "3", "1%", "34%", 1, 1}, {"restart", "7", "100%", "100%", 7, 7},
                {"restart", "7", "2", NULL, 2, 1}, {"handoff", "7", NULL, "3", 1, 3},
                {"handoff", "2", "0", "1", 0, 1}, {"handoff", "2", "0%", "49%", 0, 0}};

        (void)state;
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
                struct config CLEANUP_CONFIG config;
                struct error error;

                config_init(&config);
                assert_int_equal(set_in(&config, "rollout", "strategy", cases[i].strategy, &error), 0);
                assert_int_equal(set_in(&config, "service", "replicas", cases[i].replicas, &error), 0);
                if (cases[i].surge)
                        assert_int_equal(set_in(&config, "rollout", "max_surge", cases[i].surge, &error), 0);
                if (cases[i].unavailable)
                        assert_int_equal(
                                set_in(&config, "rollout", "max_unavailable", cases[i].unavailable, &error),
                                0);
                assert_int_equal(config_surge_max(&config), cases[i].surge_max);
                assert_int_equal(config_unavailable_max(&config), cases[i].unavailable_max);
        }
}

static void test_signals_have_names_and_numbers(void **state) {
        static const struct {
                const char *text;
                int number;
        } cases[] = {{"INT", 2}, {"SIGINT", 2}, {"quit", 3}, {"15", 15}, {"RTMIN+3", 37}, {"RTMAX", 64}};
        struct error error;

        (void)state;
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
                struct config CLEANUP_CONFIG config;

                config_init(&config);
                assert_int_equal(set_in(&config, "service", "stop_signal", cases[i].text, &error), 0);
                assert_int_equal(config.service.stop_signal, cases[i].number);
                assert_int_equal(set_in(&config, "service", "parent_death_signal", "none", &error), 0);
                assert_int_equal(config.service.parent_death_signal, 0);
        }
        expect_refusal("service", "stop_signal", "none",
                "api.ini:3: stop_signal = none is not a signal such as TERM, INT, RTMIN+3 or 15", NULL);
        expect_refusal("service", "parent_death_signal", "65",
                "api.ini:3: parent_death_signal = 65 is not a signal such as TERM, INT, RTMIN+3 or 15, or "
                "none",
                NULL);
}

static void test_modes_are_octal(void **state) {
        struct config CLEANUP_CONFIG config;
        struct error error;

        (void)state;
        config_init(&config);
        assert_int_equal(set_in(&config, "service", "umask", "0027", &error), 0);
        assert_int_equal(config.service.umask, 027);
        expect_refusal("service", "umask", "28",
                "api.ini:3: umask = 28 is not an octal number such as 022 or 0660", NULL);
        expect_refusal("service", "umask", "1777",
                "api.ini:3: umask = 1777 is out of range: it may be 000 to 777", NULL);
        expect_refusal("service", "umask", "u=rwx",
                "api.ini:3: umask = u=rwx is not an octal number such as 022 or 0660", NULL);
}

static void test_limits_are_soft_and_hard(void **state) {
        struct config CLEANUP_CONFIG config;
        struct error error;

        (void)state;
        config_init(&config);
        assert_int_equal(set_in(&config, "sandbox", "limit_nofile", "1024:65536", &error), 0);
        assert_int_equal(set_in(&config, "sandbox", "limit_core", "0", &error), 0);
        assert_int_equal(set_in(&config, "sandbox", "limit_stack", "8M:infinity", &error), 0);
        assert_true(config.sandbox.limits[RLIMIT_NOFILE].is_set);
        assert_int_equal(config.sandbox.limits[RLIMIT_NOFILE].soft, 1024);
        assert_int_equal(config.sandbox.limits[RLIMIT_NOFILE].hard, 65536);
        assert_int_equal(config.sandbox.limits[RLIMIT_CORE].soft, 0);
        assert_int_equal(config.sandbox.limits[RLIMIT_CORE].hard, 0);
        assert_int_equal(config.sandbox.limits[RLIMIT_STACK].soft, 8 * 1024 * 1024);
        assert_true(config.sandbox.limits[RLIMIT_STACK].hard == UINT64_MAX);
        assert_false(config.sandbox.limits[RLIMIT_AS].is_set);
        expect_refusal("sandbox", "limit_nofile", "10:5",
                "api.ini:3: limit_nofile = 10:5 has a soft limit above the hard one", NULL);
        expect_refusal("sandbox", "limit_nofile", "10:",
                "api.ini:3: limit_nofile = 10: is not SOFT or SOFT:HARD, each a number, a size such as 64M, "
                "or infinity",
                NULL);
        expect_refusal("sandbox", "limit_nofile", ":10",
                "api.ini:3: limit_nofile = :10 is not SOFT or SOFT:HARD, each a number, a size such as 64M, "
                "or infinity",
                NULL);
}

static void test_a_long_wrong_value_is_quoted_in_part(void **state) {
        (void)state;
        expect_refusal("service", "clear_env", "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeee",
                "api.ini:3: clear_env = aaaaaaaaaabbbbbbbbbbccccccccccdddddddddd... is not yes or no", NULL);
}

static void test_texts_must_not_be_empty(void **state) {
        struct config CLEANUP_CONFIG config;
        struct error error;

        (void)state;
        config_init(&config);
        assert_int_equal(set_in(&config, "service", "user", "www-data", &error), 0);
        assert_string_equal(config.service.user, "www-data");
        expect_refusal("service", "directory", "", "api.ini:3: directory is empty", NULL);
}

static void test_lists_append_and_an_empty_value_empties(void **state) {
        struct config CLEANUP_CONFIG config;
        struct error error;

        (void)state;
        config_init(&config);
        assert_int_equal(set_in(&config, "service", "pass_env", "PATH LC_*", &error), 0);
        assert_int_equal(set_in(&config, "service", "pass_env", "HOME", &error), 0);
        assert_int_equal(config.service.pass_env.count, 3);
        assert_string_equal(config.service.pass_env.at[1], "LC_*");
        assert_string_equal(config.service.pass_env.at[2], "HOME");
        assert_null(config.service.pass_env.at[3]);
        assert_int_equal(set_in(&config, "service", "pass_env", "LANG", &error), 0);
        assert_int_equal(set_in(&config, "service", "pass_env", "A-B", &error), -1);
        assert_int_equal(config.service.pass_env.count, 4);
        assert_int_equal(set_in(&config, "service", "pass_env", "", &error), 0);
        assert_int_equal(config.service.pass_env.count, 0);
        expect_refusal("service", "pass_env", "PATH *", "api.ini:3: word 2 of pass_env is not what it takes",
                "it takes variable names with blanks between them, each NAME or PREFIX*");
}

static void test_settings_are_quoted_in_a_file_and_plain_as_an_option(void **state) {
        struct config CLEANUP_CONFIG config;
        struct error error;

        (void)state;
        config_init(&config);
        assert_int_equal(set_in(&config, "service", "environment", "A=1 \"B=two words\" C='x y'", &error), 0);
        assert_int_equal(
                config_set(&config, "service", NULL, "environment", "D=it's \"so\" \\", "--env", 0, &error),
                0);
        assert_int_equal(config.service.environment.count, 4);
        assert_string_equal(config.service.environment.at[1], "B=two words");
        assert_string_equal(config.service.environment.at[2], "C=x y");
        assert_string_equal(config.service.environment.at[3], "D=it's \"so\" \\");
        expect_refusal("service", "environment", "A=1 hunter2",
                "api.ini:3: word 2 of environment is not what it takes",
                "it takes NAME=VALUE, quoted when it holds blanks");
        assert_int_equal(config_set(&config, "service", NULL, "environment", "1A=x", "--env", 0, &error), -1);
        assert_string_equal(error.text, "--env: word 1 of environment is not what it takes");
        assert_int_equal(error.status, EXIT_STATUS_USAGE);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_defaults_are_those_of_the_table),
                cmocka_unit_test(test_every_row_is_sound),
                cmocka_unit_test(test_durations),
                cmocka_unit_test(test_sizes),
                cmocka_unit_test(test_booleans_take_the_habits_of_systemd),
                cmocka_unit_test(test_numbers_have_a_range),
                cmocka_unit_test(test_words_of_an_enum_are_suggested),
                cmocka_unit_test(test_a_canary_is_a_share),
                cmocka_unit_test(test_a_portion_is_a_number_or_a_share),
                cmocka_unit_test(test_the_limits_of_a_rotation_come_from_strategy_and_shares),
                cmocka_unit_test(test_signals_have_names_and_numbers),
                cmocka_unit_test(test_modes_are_octal),
                cmocka_unit_test(test_limits_are_soft_and_hard),
                cmocka_unit_test(test_a_long_wrong_value_is_quoted_in_part),
                cmocka_unit_test(test_texts_must_not_be_empty),
                cmocka_unit_test(test_lists_append_and_an_empty_value_empties),
                cmocka_unit_test(test_settings_are_quoted_in_a_file_and_plain_as_an_option),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
