/* Keys, sections and options together: which wins, which do not fit, what is refused as a whole. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "conf/config.h"
#include "conf/schema.h"
#include "lib/duration.h"
#include "tests/unit/conf/setting.h"

static void test_unknown_keys_and_sections_name_the_nearest(void **state) {
        (void)state;
        expect_refusal("service", "stop_timout", "1s", "api.ini:3: unknown key 'stop_timout' in [service]",
                "did you mean 'stop_timeout'?");
        expect_refusal("service", "min_healthy", "1s", "api.ini:3: unknown key 'min_healthy' in [service]",
                "did you mean 'min_healthy' of section [rollout]?");
        expect_refusal("service", "qqqqqq", "1s", "api.ini:3: unknown key 'qqqqqq' in [service]", "");
        expect_refusal(
                "sevrice", "user", "x", "api.ini:3: unknown section [sevrice]", "did you mean [service]?");
        expect_refusal("plumbing", "listen", "x", "api.ini:3: unknown section [plumbing]", NULL);
}

static void test_named_sections_are_made_in_order(void **state) {
        struct config CLEANUP_CONFIG config;
        struct error error;

        (void)state;
        config_init(&config);
        assert_int_equal(config_set(&config, "source", "db", "from", "age:a", "api.ini:1", 1, &error), 0);
        assert_int_equal(config_set(&config, "source", "web", "from", "age:b", "api.ini:2", 2, &error), 0);
        assert_int_equal(config_set(&config, "source", "db", "dialect", "docker", "api.ini:3", 3, &error), 0);
        assert_int_equal(config_add_source(&config, "dir:/run/secrets", &error), 0);
        assert_int_equal(config_add_identity(&config, "fd:3", &error), 0);
        assert_int_equal(config.source_count, 3);
        assert_string_equal(config.sources[0].name, "db");
        assert_string_equal(config.sources[0].from, "age:a");
        assert_string_equal(config.sources[0].dialect, "docker");
        assert_string_equal(config.sources[1].from, "age:b");
        assert_null(config.sources[1].dialect);
        assert_string_equal(config.sources[2].name, "dir:/run/secrets");
        assert_string_equal(config.sources[2].where, "command line");
        assert_string_equal(config.identities[0].from, "fd:3");
        assert_int_equal(config_add_source(&config, "", &error), -1);
        assert_string_equal(error.text, "-s: the argument is empty");
        expect_refusal("source", "from", "age:x", "api.ini:3: [source] needs a name",
                "write [source NAME]; messages use the name");
        assert_int_equal(config_set(&config, "source", "a b", "from", "age:b", "api.ini:4", 4, &error), -1);
        assert_string_equal(error.text,
                "api.ini:4: the name in [source NAME] may hold letters, digits, '.', '_' and '-' only");
}

static void test_sources_have_a_limit(void **state) {
        struct config CLEANUP_CONFIG config;
        struct error error;

        (void)state;
        config_init(&config);
        for (int i = 0; i < CONFIG_SECTIONS_MAX; i++)
                assert_int_equal(config_add_source(&config, "age:x", &error), 0);
        assert_int_equal(config_add_source(&config, "age:x", &error), -1);
        assert_string_equal(error.text, "-s: more than 64 of [source NAME]");
}

static void test_a_command_line_overrides_the_file(void **state) {
        char program[] = "new", argument[] = "a b", *words[] = {program, argument, NULL};
        struct config CLEANUP_CONFIG config;
        struct error error;

        (void)state;
        config_init(&config);
        assert_int_equal(set_in(&config, "service", "stop_timeout", "1s", &error), 0);
        assert_int_equal(
                config_set(&config, "service", NULL, "stop_timeout", "2s", "--stop-timeout", 0, &error), 0);
        assert_int_equal(
                config_set(&config, "service", NULL, "stop_timeout", "3s", "--stop-timeout", 0, &error), 0);
        assert_int_equal(config.service.stop_timeout_ns, 3 * NS_PER_S);
        assert_int_equal(set_in(&config, "service", "command", "old one", &error), 0);
        assert_int_equal(config_set_command(&config, words, &error), 0);
        assert_int_equal(config.service.command.count, 2);
        assert_string_equal(config.service.command.at[1], "a b");
}

/* Check a configuration that is given in lines "section key value". */
static void expect_check_failure(const char *const (*given)[3], const char *text, const char *hint) {
        struct config CLEANUP_CONFIG config;
        struct error error;

        config_init(&config);
        for (; (*given)[0]; given++)
                assert_int_equal(set_in(&config, (*given)[0], (*given)[1], (*given)[2], &error), 0);
        assert_int_equal(config_check(&config, false, &error), -1);
        assert_string_equal(error.text, text);
        if (hint)
                assert_string_equal(error.hint, hint);
        assert_int_equal(error.status, EXIT_STATUS_CONFIG);
}

static void test_keys_that_do_not_fit_together_are_refused(void **state) {
        static const char *const pass[][3] = {{"service", "pass_env", "PATH"}, {0}};
        static const char *const delay[][3] = {{"service", "restart_delay", "1m"}, {0}};
        static const char *const group[][3] = {
                {"service", "kill_mode", "group"}, {"service", "session", "none"}, {0}};
        static const char *const tree[][3] = {
                {"service", "kill_mode", "tree"}, {"service", "exit_when", "all"}, {0}};
        static const char *const whole[][3] = {
                {"rollout", "canary", "100%"}, {"rollout", "strategy", "handoff"}, {0}};
        static const char *const alone[][3] = {{"rollout", "canary", "1%"}, {0}};
        static const char *const signalled[][3] = {
                {"rollout", "canary", "1%"}, {"rollout", "strategy", "signal"}, {0}};
        static const char *const surging[][3] = {
                {"rollout", "strategy", "signal"}, {"rollout", "max_surge", "1"}, {0}};
        static const char *const neither[][3] = {
                {"rollout", "max_surge", "0"}, {"rollout", "max_unavailable", "30%"}, {0}};
        static const char *const unnumbered[][3] = {{"rollout", "ready", "fd"}, {0}};
        static const char *const unasked[][3] = {{"rollout", "ready_fd", "9"}, {0}};
        static const char *const unheard[][3] = {
                {"rollout", "ready", "notify"}, {"service", "notify_access", "none"}, {0}};
        static const char *const unfed[][3] = {
                {"health", "watchdog", "9s"}, {"service", "notify_access", "none"}, {0}};
        struct config CLEANUP_CONFIG config;
        struct error error;

        (void)state;
        expect_check_failure(pass,
                "configuration:3: pass_env without clear_env = yes has no meaning: every variable is passed",
                NULL);
        expect_check_failure(delay, "configuration:3: restart_delay is longer than restart_delay_max", NULL);
        expect_check_failure(group, "configuration:3: kill_mode = group needs a group of the app's own",
                "use session = group or session = session");
        expect_check_failure(tree,
                "configuration:3: kill_mode = tree ends what exit_when = all would wait for",
                "use exit_when = main, or kill_mode = group");
        expect_check_failure(whole,
                "configuration:3: canary = 100% leaves nothing to the instances that are known to work",
                "use strategy = handoff with a share such as 10%, or leave canary out");
        expect_check_failure(alone,
                "configuration:3: a canary needs an instance beside it that is known to work",
                "use strategy = handoff with a share such as 10%, or leave canary out");
        expect_check_failure(signalled,
                "configuration:3: a canary needs new instances; strategy = signal starts none",
                "use strategy = handoff with a share such as 10%, or leave canary out");
        expect_check_failure(surging,
                "configuration:3: strategy = signal starts nothing beside an instance and takes it away "
                "while it reads "
                "its secrets",
                "leave max_surge out, and max_unavailable at 1 or more");
        expect_check_failure(neither,
                "configuration:3: with 1 replica max_surge and max_unavailable both come to 0: no instance "
                "could be "
                "replaced",
                "max_surge = 1 starts the new one beside the old, max_unavailable = 1 stops the old one "
                "first (a "
                "share of max_unavailable is rounded down)");
        expect_check_failure(unnumbered, "configuration:3: ready = fd needs the number of the descriptor",
                "set ready_fd, for example 9; the app finds it in TACET_READY_FD as well");
        expect_check_failure(unasked, "configuration:3: ready_fd without ready = fd has no meaning", NULL);
        expect_check_failure(unheard,
                "configuration:3: ready = notify needs a notify socket, and notify_access = none gives none",
                "use notify_access = main, or all when a child of the app sends READY=1");
        expect_check_failure(unfed,
                "configuration:3: watchdog needs a notify socket, and notify_access = none gives none",
                "use notify_access = main, or all when a child of the app sends WATCHDOG=1");
        config_init(&config);
        assert_int_equal(config_check(&config, false, &error), 0);
        assert_int_equal(config_check(&config, true, &error), -1);
        assert_string_equal(error.text, "there is no command to run");
        assert_int_equal(error.status, EXIT_STATUS_USAGE);
}

static void test_sources_are_checked_as_a_whole(void **state) {
        struct config CLEANUP_CONFIG config;
        struct error error;

        (void)state;
        config_init(&config);
        assert_int_equal(config_set(&config, "source", "db", "format", "json", "api.ini:7", 7, &error), 0);
        assert_int_equal(config_check(&config, false, &error), -1);
        assert_string_equal(error.text, "api.ini:7: [source db] has no 'from'");
        assert_int_equal(config_set(&config, "source", "db", "from", "age:x", "api.ini:8", 8, &error), 0);
        assert_int_equal(config_check(&config, false, &error), 0);
        assert_int_equal(config_set(&config, "source", "db", "dialect", "tacet", "api.ini:9", 9, &error), 0);
        assert_int_equal(config_check(&config, false, &error), -1);
        assert_string_equal(error.text, "api.ini:7: [source db] has both 'format = json' and 'dialect'");
}

static void test_only_files_can_be_watched(void **state) {
        static const char *const others[] = {"unix:/run/socket", "env:SECRET_"};
        struct error error;

        (void)state;
        for (size_t i = 0; i < 2; i++) {
                struct config CLEANUP_CONFIG config;

                config_init(&config);
                assert_int_equal(
                        config_set(&config, "source", "db", "from", others[i], "api.ini:7", 7, &error), 0);
                assert_int_equal(config_watch_command_line(&config, &error), -1);
                assert_int_equal(error.status, EXIT_STATUS_USAGE);
                assert_int_equal(config_check(&config, false, &error), 0);
                assert_int_equal(
                        config_set(&config, "source", "db", "watch", "yes", "api.ini:8", 8, &error), 0);
                assert_int_equal(config_check(&config, false, &error), -1);
                assert_int_equal(error.status, EXIT_STATUS_CONFIG);
                assert_non_null(strstr(error.text, "api.ini:7: [source db] has 'watch = yes', but '"));
                assert_int_equal(config_add_source(&config, others[i], &error), 0);
                assert_int_equal(config_watch_command_line(&config, &error), -1);
                assert_int_equal(config_add_source(&config, "dir:/run/secrets", &error), 0);
                assert_int_equal(config_watch_command_line(&config, &error), 0);
                assert_false(config.sources[1].watch);
                assert_true(config.sources[2].watch);
                assert_false(config.sources[2].age_identities);
        }
}

static void test_the_signal_that_ends_the_app_has_no_other_meaning(void **state) {
        static const char hint[] = "give the one that the app ends by, such as TERM or QUIT";
        struct config CLEANUP_CONFIG config;
        struct error error;

        (void)state;
        config_init(&config);
        assert_int_equal(set_in(&config, "service", "stop_signal", "HUP", &error), 0);
        assert_int_equal(config_check(&config, false, &error), 0);
        assert_int_equal(config_set(&config, "source", "db", "from", "age:a", "api.ini:4", 4, &error), 0);
        assert_int_equal(config_check(&config, false, &error), -1);
        assert_string_equal(error.text,
                "configuration:3: stop_signal and rotate_signal are the same: it asks for a rotation");
        assert_string_equal(error.hint, hint);
        expect_check_failure(
                (const char *const[][3]){{"rollout", "strategy", "signal"},
                        {"rollout", "reload_signal", "USR2"}, {"service", "stop_signal", "USR2"}, {NULL}},
                "configuration:3: stop_signal and reload_signal are the same: the app would end at a "
                "rotation",
                hint);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_unknown_keys_and_sections_name_the_nearest),
                cmocka_unit_test(test_named_sections_are_made_in_order),
                cmocka_unit_test(test_sources_have_a_limit),
                cmocka_unit_test(test_a_command_line_overrides_the_file),
                cmocka_unit_test(test_keys_that_do_not_fit_together_are_refused),
                cmocka_unit_test(test_sources_are_checked_as_a_whole),
                cmocka_unit_test(test_only_files_can_be_watched),
                cmocka_unit_test(test_the_signal_that_ends_the_app_has_no_other_meaning),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
