/* Which texts are expanded at each start: those of a file, and with --expand those of the command line. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "conf/expand.h"
#include "tests/unit/conf/setting.h"

static const char hint[] = "%g is the generation, %r the replica; write %% for a % itself";

static void test_a_percent_of_a_file_must_mean_something(void **state) {
        (void)state;
        expect_refusal("service", "command", "date +%d",
                "api.ini:3: word 2 of command has a % that is neither %g, %r nor %%", hint);
        expect_refusal("service", "command", "app 100%",
                "api.ini:3: word 2 of command has a % that is neither %g, %r nor %%", hint);
        expect_refusal("service", "command", "app %%%x",
                "api.ini:3: word 2 of command has a % that is neither %g, %r nor %%", hint);
        expect_refusal("service", "environment", "A=1 B=%h",
                "api.ini:3: word 2 of environment has a % that is neither %g, %r nor %%", hint);
        expect_refusal("service", "directory", "/run/%d",
                "api.ini:3: directory has a % that is neither %g, %r nor %%", hint);
}

static void test_other_keys_take_a_percent_as_it_is(void **state) {
        struct config CLEANUP_CONFIG config;
        struct error error;

        (void)state;
        config_init(&config);
        assert_int_equal(set_in(&config, "control", "path", "/run/%d", &error), 0);
        assert_int_equal(set_in(&config, "service", "pass_env", "A*", &error), 0);
        assert_int_equal(config.service.pass_env.expanded, 0);
}

static void option_set(struct config *config, const char *key, const char *value) {
        struct error error;

        assert_int_equal(config_set(config, "service", NULL, key, value, "--option", 0, &error), 0);
}

static int command_set(struct config *config, char *word) {
        struct error error;

        return config_set_command(config, (char *[]){(char[]){"app"}, word, NULL}, &error);
}

static void test_the_words_of_a_file_are_expanded_and_those_of_options_are_not(void **state) {
        struct config CLEANUP_CONFIG config;
        struct error error;

        (void)state;
        config_init(&config);
        assert_int_equal(set_in(&config, "service", "command", "app %g", &error), 0);
        assert_int_equal(set_in(&config, "service", "environment", "A=%g B=%r", &error), 0);
        assert_int_equal(set_in(&config, "service", "directory", "/run/%g", &error), 0);
        assert_int_equal(config.service.command.expanded, 2);
        assert_true(config_directory_is_expanded(&config));
        option_set(&config, "environment", "C=%d");
        assert_int_equal(config.service.environment.count, 3);
        assert_int_equal(config.service.environment.expanded, 2);
        assert_int_equal(set_in(&config, "service", "environment", "", &error), 0);
        option_set(&config, "environment", "C=%d");
        assert_int_equal(config.service.environment.expanded, 0);
        option_set(&config, "directory", "/run/%d");
        assert_false(config_directory_is_expanded(&config));
        assert_int_equal(command_set(&config, (char[]){"%d"}), 0);
        assert_int_equal(config.service.command.expanded, 0);
}

static void test_expand_is_for_the_command_line(void **state) {
        struct config CLEANUP_CONFIG config;
        struct error error;

        (void)state;
        config_init(&config);
        option_set(&config, "environment", "A=%r");
        option_set(&config, "directory", "/run/%g");
        assert_int_equal(command_set(&config, (char[]){"%g"}), 0);
        assert_int_equal(config_expand_options(&config, &error), 0);
        assert_int_equal(config.service.command.expanded, 2);
        assert_int_equal(config.service.environment.expanded, 1);
        assert_true(config_directory_is_expanded(&config));
        assert_int_equal(command_set(&config, (char[]){"%d"}), 0);
        assert_int_equal(config_expand_options(&config, &error), -1);
        assert_string_equal(
                error.text, "--expand: word 2 of the command has a % that is neither %g, %r nor %%");
        assert_string_equal(error.hint, hint);
        assert_int_equal(error.status, EXIT_STATUS_USAGE);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_percent_of_a_file_must_mean_something),
                cmocka_unit_test(test_other_keys_take_a_percent_as_it_is),
                cmocka_unit_test(test_the_words_of_a_file_are_expanded_and_those_of_options_are_not),
                cmocka_unit_test(test_expand_is_for_the_command_line),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
