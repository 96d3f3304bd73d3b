/* Reading a file: what inih would cut or reinterpret is refused or kept whole, and every message has its
 * line. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/config.h"
#include "lib/duration.h"

static char path[] = "/tmp/tacet-config-XXXXXX";

static void write_file(const void *bytes, size_t length) {
        FILE *file = fopen(path, "we");

        assert_non_null(file);
        assert_int_equal(fwrite(bytes, 1, length, file), length);
        assert_int_equal(fclose(file), 0);
}

static int read_text(struct config *config, const char *text, struct error *error) {
        write_file(text, strlen(text));
        config_init(config);
        return config_read_file(config, path, NULL, NULL, error);
}

/* Expect "PATH:LINE: text", or "PATH: text" for line 0. */
static void expect_error(const struct error *error, unsigned line, const char *text) {
        char expected[ERROR_TEXT_BYTES];

        snprintf(expected, sizeof expected, "%s:%u: %s", path, line, text);
        assert_string_equal(error->text, expected);
        assert_int_equal(error->status, EXIT_STATUS_CONFIG);
}

static void expect_refusal(const char *file, unsigned line, const char *text, const char *hint) {
        struct config CLEANUP_CONFIG config;
        struct error error;

        assert_int_equal(read_text(&config, file, &error), -1);
        expect_error(&error, line, text);
        if (hint)
                assert_string_equal(error.hint, hint);
}

static void expect_user(const char *file, const char *user) {
        struct config CLEANUP_CONFIG config;
        struct error error;

        assert_int_equal(read_text(&config, file, &error), 0);
        assert_string_equal(config.service.user, user);
}

static void test_a_whole_file_is_read(void **state) {
        struct config CLEANUP_CONFIG config;
        struct error error;

        (void)state;
        assert_int_equal(
                read_text(&config,
                        "# api\n\n[service]\ncommand = /usr/bin/api --port 8080\nstop_timeout = 10s\n\n"
                        "; two sources\n[source common]\nfrom = age:common.age\n"
                        "[source own]\n  from=env-file:/etc/x\n  dialect = docker\n"
                        "[identity machine]\nfrom = credential:key\n[log]\nlevel = debug\n",
                        &error),
                0);
        assert_int_equal(config.service.command.count, 3);
        assert_string_equal(config.service.command.at[2], "8080");
        assert_int_equal(config.service.stop_timeout_ns, 10 * NS_PER_S);
        assert_int_equal(config.source_count, 2);
        assert_string_equal(config.sources[0].name, "common");
        assert_string_equal(config.sources[1].from, "env-file:/etc/x");
        assert_string_equal(config.identities[0].from, "credential:key");
        assert_string_equal(config.path, path);
}

static void test_an_empty_file_is_a_configuration(void **state) {
        struct config CLEANUP_CONFIG config;
        struct error error;

        (void)state;
        assert_int_equal(read_text(&config, "", &error), 0);
}

static void test_byte_order_mark_crlf_and_a_missing_last_newline_are_no_matter(void **state) {
        (void)state;
        expect_user("\xef\xbb\xbf[service]\nuser = app\n", "app");
        expect_user("[service]\r\nuser = app\r\n", "app");
        expect_user("[service]\nuser = app", "app");
        expect_user("[service]\nuser = app\r", "app");
        expect_user("\n\n  [service]  \n\t user\t=\tapp\t\n", "app");
}

static void test_values_are_whole(void **state) {
        (void)state;
        expect_user("[service]\nuser = a ; b # c\n", "a ; b # c");
        expect_user("[service]\nuser = a=b:c\n", "a=b:c");
        expect_user("[service]\nuser = [x]\n", "[x]");
        expect_user("[service]\nuser = app\n   umask = 022\n", "app");
}

static void test_lines_of_every_length_around_inihs_own_limit_are_whole(void **state) {
        static const size_t lengths[] = {49, 50, 51, 196, 197, 198, 199, 200, 201, 202, 203, 255, 256, 1000,
                4096, 16384, 65520, 65533, 65534, 65535, 65536};

        (void)state;
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
                static const char head[] = "[service]\n", key[] = "user=";
                size_t value_length = lengths[i] - strlen(key);
                char *text = malloc(lengths[i] + 100), *value;

                assert_non_null(text);
                value = text + sprintf(text, "%s%s", head, key);
                memset(value, 'x', value_length);
                value[value_length] = '\0';
                for (int tail = 0; tail < 3; tail++) {
                        struct config CLEANUP_CONFIG config;
                        struct error error;

                        strcpy(value + value_length, tail == 0 ? "\n" : tail == 1 ? "\r\n" : "");
                        assert_int_equal(read_text(&config, text, &error), 0);
                        assert_int_equal(strlen(config.service.user), value_length);
                }
                free(text);
        }
}

static void test_longer_lines_are_refused_and_never_cut(void **state) {
        static const size_t lengths[] = {65537, 65538, 65539, 65540, 100000, 500000};

        (void)state;
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
                struct config CLEANUP_CONFIG config;
                struct error error;
                char *text = malloc(lengths[i] + 100);
                int head = sprintf(text, "[service]\nuser=");

                memset(text + head, 'x', lengths[i] - 5);
                strcpy(text + head + lengths[i] - 5, "\numask = 022\n");
                assert_int_equal(read_text(&config, text, &error), -1);
                expect_error(&error, 2, "the line is longer than 65536 bytes");
                assert_null(config.service.user);
                free(text);
        }
}

static void test_a_line_may_go_on_in_the_next(void **state) {
        struct config CLEANUP_CONFIG config;
        struct error error;

        (void)state;
        assert_int_equal(
                read_text(&config, "[service]\ncommand = /bin/app \\\n   --one \\\r\n   --two\numask = 9\n",
                        &error),
                -1);
        expect_error(&error, 5, "umask = 9 is not an octal number such as 022 or 0660");
        assert_int_equal(config.service.command.count, 3);
        assert_string_equal(config.service.command.at[2], "--two");
        config_deinit(&config);
        assert_int_equal(read_text(&config, "[service]\n# \\\nuser = a\n", &error), 0);
        assert_string_equal(config.service.user, "a");
        config_deinit(&config);
        assert_int_equal(read_text(&config, "[service]\ncommand = a b\\\\\ngroup = c\n", &error), 0);
        assert_string_equal(config.service.command.at[1], "b\\");
        assert_string_equal(config.service.group, "c");
        config_deinit(&config);
        assert_int_equal(read_text(&config, "[service]\ncommand = a \\", &error), -1);
        expect_error(&error, 2, "command: a backslash with nothing behind it at character 3 of the value");
}

static void test_a_broken_line_is_named(void **state) {
        (void)state;
        expect_refusal("[service]\nuser\n", 2, "this is neither [SECTION] nor KEY = VALUE", NULL);
        expect_refusal("[service]\nuser: app\n", 2, "this is neither [SECTION] nor KEY = VALUE",
                "use '=' between key and value");
        expect_refusal("[service]\n= app\n", 2, "there is no key before the '='", NULL);
        expect_refusal("user = app\n", 1, "a key before the first section", "begin with [service]");
        expect_refusal("\n[service\n", 2, "a section without its ']'", NULL);
        expect_refusal("[service] # the app\n", 1, "there is something behind the ']' of a section",
                "a comment stands on a line of its own");
        expect_refusal("[service]\nuser =\n", 2, "user is empty", NULL);
        expect_refusal("[service]\n"
                       "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk = 1\n",
                2, "the key is longer than 48 bytes", NULL);
}

static void test_a_section_name_is_never_cut(void **state) {
        (void)state;
        expect_refusal("[servicexxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx]\n", 1,
                "the name of a section is longer than 48 bytes", NULL);
        expect_refusal("[source aaaaaaaaaabbbbbbbbbbccccccccccdddddddddde]\n", 1,
                "the name in [source NAME] is longer than 40 bytes", NULL);
        expect_refusal("[]\n", 1, "unknown section []", NULL);
        expect_refusal("[service api]\n", 1, "[service] takes no name", NULL);
        expect_refusal(
                "[source]\n", 1, "[source] needs a name", "write [source NAME]; messages use the name");
}

static void test_unknown_sections_are_errors_even_when_they_are_empty(void **state) {
        (void)state;
        expect_refusal("[service]\n[sandbux]\n", 2, "unknown section [sandbux]", "did you mean [sandbox]?");
        expect_refusal("[wealth]\nx = 1\n", 1, "unknown section [wealth]", NULL);
}

static void test_an_unknown_key_names_the_nearest(void **state) {
        (void)state;
        expect_refusal("[service]\nStop_Timeout = 1s\n", 2, "unknown key 'Stop_Timeout' in [service]",
                "did you mean 'stop_timeout'?");
}

static void test_a_second_value_names_both_lines(void **state) {
        (void)state;
        expect_refusal("[service]\nuser = a\n\nuser = b\n", 4,
                "user is given a second time; the first is in line 2", NULL);
        expect_refusal("[service]\nuser = a\n[log]\n[service]\nuser = a\n", 5,
                "user is given a second time; the first is in line 2", NULL);
        expect_refusal("[service]\ncommand = a\ncommand = b\n", 3,
                "command is given a second time; the first is in line 2", NULL);
}

static void test_a_second_named_section_names_both_places(void **state) {
        char expected[200];

        (void)state;
        snprintf(expected, sizeof expected, "[source a] stands a second time; the first is %s:1", path);
        expect_refusal("[source a]\nfrom = age:x\n[source a]\nformat = json\n", 3, expected, NULL);
}

static void test_a_nul_byte_is_refused(void **state) {
        static const char text[] = "[service]\nuser = a\0b\n";
        struct config CLEANUP_CONFIG config;
        struct error error;

        (void)state;
        write_file(text, sizeof text - 1);
        config_init(&config);
        assert_int_equal(config_read_file(&config, path, NULL, NULL, &error), -1);
        expect_error(&error, 2, "a NUL byte");
        assert_null(config.service.user);
}

static void test_a_former_key_is_refused_with_the_one_of_today(void **state) {
        (void)state;
        expect_refusal("[rollout]\nhold = 1s\ndrain_quiet = 100ms\n", 3,
                "'drain_quiet' in [rollout] is called 'queue_quiet' now", "write queue_quiet instead");
        expect_refusal("[service]\ndrain_quiet = 100ms\n", 2, "unknown key 'drain_quiet' in [service]", NULL);
}

static void test_what_is_no_readable_file_is_refused(void **state) {
        struct config CLEANUP_CONFIG config;
        struct error error;

        (void)state;
        config_init(&config);
        assert_int_equal(config_read_file(&config, "/nonexistent/x.ini", NULL, NULL, &error), -1);
        assert_string_equal(error.text, "open configuration '/nonexistent/x.ini': No such file or directory");
        assert_int_equal(error.status, EXIT_STATUS_CONFIG);
        assert_int_equal(config_read_file(&config, "/tmp", NULL, NULL, &error), -1);
        assert_string_equal(error.text, "configuration '/tmp' is not a regular file");
        assert_int_equal(config_read_file(&config, "/dev/zero", NULL, NULL, &error), -1);
        assert_string_equal(error.text, "configuration '/dev/zero' is not a regular file");
}

static void test_a_huge_file_is_refused(void **state) {
        struct config CLEANUP_CONFIG config;
        struct error error;
        char expected[200];

        (void)state;
        write_file("", 0);
        assert_int_equal(truncate(path, 1024 * 1024), 0);
        config_init(&config);
        assert_int_equal(config_read_file(&config, path, NULL, NULL, &error), -1);
        expect_error(&error, 1, "a NUL byte");
        assert_int_equal(truncate(path, 1024 * 1024 + 1), 0);
        assert_int_equal(config_read_file(&config, path, NULL, NULL, &error), -1);
        snprintf(
                expected, sizeof expected, "configuration '%s' has 1048577 bytes; the most is 1048576", path);
        assert_string_equal(error.text, expected);
}

static void count_report(void *context, const struct error *error) {
        assert_int_equal(error->status, EXIT_STATUS_CONFIG);
        ++*(int *)context;
}

static void test_a_report_gets_every_error_and_the_caller_the_first(void **state) {
        static const char text[] = "[service]\nuser = a\nuser = b\nfoo = 1\n[nothing]\nx = 1\ny = "
                                   "2\n[log]\nlevel = loud\nformat = json\n";
        struct config CLEANUP_CONFIG config;
        struct error error;
        int count = 0;

        (void)state;
        write_file(text, sizeof text - 1);
        config_init(&config);
        assert_int_equal(config_read_file(&config, path, count_report, &count, &error), -1);
        expect_error(&error, 3, "user is given a second time; the first is in line 2");
        assert_int_equal(count, 4); /* the keys of an unknown section are not errors of their own */
        assert_int_equal(config.log.format, 3);
}

static int make_path(void **state) {
        int fd = mkstemp(path);

        (void)state;
        return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state) {
        (void)state;
        return unlink(path);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_whole_file_is_read),
                cmocka_unit_test(test_an_empty_file_is_a_configuration),
                cmocka_unit_test(test_byte_order_mark_crlf_and_a_missing_last_newline_are_no_matter),
                cmocka_unit_test(test_values_are_whole),
                cmocka_unit_test(test_lines_of_every_length_around_inihs_own_limit_are_whole),
                cmocka_unit_test(test_longer_lines_are_refused_and_never_cut),
                cmocka_unit_test(test_a_line_may_go_on_in_the_next),
                cmocka_unit_test(test_a_broken_line_is_named),
                cmocka_unit_test(test_a_section_name_is_never_cut),
                cmocka_unit_test(test_unknown_sections_are_errors_even_when_they_are_empty),
                cmocka_unit_test(test_an_unknown_key_names_the_nearest),
                cmocka_unit_test(test_a_second_value_names_both_lines),
                cmocka_unit_test(test_a_second_named_section_names_both_places),
                cmocka_unit_test(test_a_nul_byte_is_refused),
                cmocka_unit_test(test_a_former_key_is_refused_with_the_one_of_today),
                cmocka_unit_test(test_what_is_no_readable_file_is_refused),
                cmocka_unit_test(test_a_huge_file_is_refused),
                cmocka_unit_test(test_a_report_gets_every_error_and_the_caller_the_first),
        };

        return cmocka_run_group_tests(tests, make_path, remove_path);
}
