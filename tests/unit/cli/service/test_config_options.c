/* The options of run and exec are the keys of the file: one table, options over the file, lists together. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/service/config_options.h"
#include "lib/duration.h"

static char path[] = "/tmp/tacet-options-XXXXXX";

static struct config_options options;
static struct option_table table = {.command = "tacet run", .specs = options.specs, .stops_at_operand = true};

enum { OWN_VERBOSE = CONFIG_OPTION_OWN };

static int count_verbose(void *context, const struct option_reader *reader, struct error *error) {
        (void)error;
        assert_int_equal(reader->spec->id, OWN_VERBOSE);
        ++*(int *)context;
        return 0;
}

static int read_words(struct config *config, const char *const *words, char ***out_rest, int *verbose,
        struct error *error) {
        static char copies[32][128];
        static char *argv[33];
        size_t count = 0;

        for (; words[count]; count++) {
                snprintf(copies[count], sizeof copies[count], "%s", words[count]);
                argv[count] = copies[count];
        }
        argv[count] = NULL;
        config_init(config);
        return config_options_read(config, &table, argv, NULL, count_verbose, verbose, out_rest, error);
}
#define READ(...)                                                                                            \
        read_words(&config, (const char *const[]){"run", __VA_ARGS__, NULL}, &rest, &verbose, &error)

static void test_options_set_keys_and_the_command_is_left(void **state) {
        struct config CLEANUP_CONFIG config;
        struct error error;
        int verbose = 0;
        char **rest;

        (void)state;
        assert_int_equal(
                READ("--stop-timeout", "3s", "-s", "age:a", "--source=dir:b", "-i", "fd:3", "--clear-env",
                        "--env", "A=b c", "--env", "D=", "-v", "-v", "--", "app", "-x"),
                0);
        assert_int_equal(config.service.stop_timeout_ns, 3 * NS_PER_S);
        assert_int_equal(config.source_count, 2);
        assert_string_equal(config.sources[1].from, "dir:b");
        assert_string_equal(config.identities[0].from, "fd:3");
        assert_true(config.service.clear_env);
        assert_int_equal(config.service.environment.count, 2);
        assert_string_equal(config.service.environment.at[0], "A=b c");
        assert_int_equal(verbose, 2);
        assert_string_equal(rest[0], "app");
        assert_string_equal(rest[1], "-x");
}

static void test_options_win_over_the_file_whatever_the_order(void **state) {
        struct config CLEANUP_CONFIG config;
        struct error error;
        int verbose = 0;
        char **rest;
        FILE *file = fopen(path, "we");

        (void)state;
        fputs("[service]\ncommand = from file\nstop_timeout = 1s\nenvironment = A=1\n[source f]\nfrom = "
              "age:f\n",
                file);
        fclose(file);
        assert_int_equal(READ("--stop-timeout", "2s", "-s", "age:g", "--env", "B=2", "-c", path), 0);
        assert_int_equal(config.service.stop_timeout_ns, 2 * NS_PER_S);
        assert_int_equal(config.source_count, 2);
        assert_string_equal(config.sources[0].name, "f");
        assert_string_equal(config.sources[1].name, "age:g");
        assert_int_equal(config.service.environment.count, 2);
        assert_string_equal(config.service.command.at[1], "file");
        assert_null(rest[0]);
}

static void test_a_wrong_option_is_told_before_a_wrong_file(void **state) {
        struct config CLEANUP_CONFIG config;
        struct error error;
        int verbose = 0;
        char **rest;

        (void)state;
        assert_int_equal(READ("-c", "/nonexistent/x", "--stop-timout", "2s"), -1);
        assert_string_equal(error.text, "unknown option '--stop-timout'");
        assert_int_equal(error.status, EXIT_STATUS_USAGE);
        config_deinit(&config);
        assert_int_equal(READ("-c", "/nonexistent/x", "--stop-timeout", "2x"), -1);
        assert_string_equal(error.text, "open configuration '/nonexistent/x': No such file or directory");
        config_deinit(&config);
        assert_int_equal(READ("--stop-timeout", "2x"), -1);
        assert_string_equal(error.text, "--stop-timeout: stop_timeout = 2x is not a duration such as 500ms, "
                                        "30s, 5m, 1h30m, or infinity");
        assert_int_equal(error.status, EXIT_STATUS_USAGE);
        config_deinit(&config);
        assert_int_equal(READ("-c", "/nonexistent/x", "--help"), CONFIG_OPTIONS_HELP);
}

static void test_every_row_with_an_option_is_in_the_table_once(void **state) {
        (void)state;
        for (size_t row = 0; row < schema_row_count; row++) {
                size_t count = 0;

                for (size_t i = 0; schema_rows[row].option && i < options.count; i++)
                        count += options.specs[i].name &&
                                 strcmp(options.specs[i].name, schema_rows[row].option) == 0;
                assert_int_equal(
                        count, schema_rows[row].option && (schema_rows[row].places & SCHEMA_ON_RUN) ? 1 : 0);
        }
}

static void test_explained_options_have_words_and_defaults(void **state) {
        (void)state;
        config_options_explain(&options);
        for (size_t i = 0; i < options.count; i++) {
                if (strcmp(options.specs[i].name, "stop-timeout") == 0) {
                        assert_string_equal(options.specs[i].value, "DURATION");
                        assert_string_equal(
                                options.specs[i].help, "time from stop_signal to KILL (default: 30s)");
                } else if (strcmp(options.specs[i].name, "restart") == 0) {
                        assert_string_equal(options.specs[i].value, "no|on-failure|always");
                } else if (strcmp(options.specs[i].name, "clear-env") == 0) {
                        assert_null(options.specs[i].value);
                }
        }
}

static int set_up(void **state) {
        int fd = mkstemp(path);

        (void)state;
        config_options_init(&options);
        config_options_add(&options, (struct option_spec){.id = OWN_VERBOSE,
                                             .letter = 'v',
                                             .name = "verbose",
                                             .is_repeatable = true,
                                             .help = "more"});
        config_options_add_rows(&options, SCHEMA_ON_RUN);
        config_options_add(&options, (struct option_spec)OPTION_SPEC_HELP);
        table.count = options.count;
        return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state) {
        (void)state;
        return unlink(path);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_options_set_keys_and_the_command_is_left),
                cmocka_unit_test(test_options_win_over_the_file_whatever_the_order),
                cmocka_unit_test(test_a_wrong_option_is_told_before_a_wrong_file),
                cmocka_unit_test(test_every_row_with_an_option_is_in_the_table_once),
                cmocka_unit_test(test_explained_options_have_words_and_defaults),
        };

        return cmocka_run_group_tests(tests, set_up, remove_path);
}
