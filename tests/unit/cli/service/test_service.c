/* A configuration as settings: every word that a key takes means something of its own to who acts on it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/service/service.h"
#include "conf/health.h"
#include "conf/schema.h"

#define WORDS_MAX 16

static struct service service; /* large */

/* The settings of a service whose configuration has one key with one value. */
static void service_make(const char *section, const char *key, const char *value) {
        CLEANUP_CONFIG struct config config = {0};
        struct error error = {0};

        config_probe_deinit(&service.health.probe); /* a program keeps it until its end */
        memset(&service, 0, sizeof service);
        config_init(&config);
        assert_int_equal(config_set(&config, section, NULL, key, value, "test", 0, &error), 0);
        assert_int_equal(service_init(&service, &config, NULL, &error), 0);
}

/* Make a service with every word of a key; `*setting` must differ each time. */
static void assert_words_differ(const char *section, const char *key, const unsigned *setting) {
        const struct schema_row *row = schema_find(section, key);
        unsigned seen[WORDS_MAX];
        size_t count = 0;

        assert_non_null(row);
        for (const struct schema_word *word = row->words; word->word; word++) {
                if (word->refusal)
                        continue;
                assert_true(count < WORDS_MAX);
                service_make(section, key, word->word);
                for (size_t i = 0; i < count; i++)
                        if (seen[i] == *setting)
                                fail_msg("%s = %s means what an earlier word means", key, word->word);
                seen[count++] = *setting;
        }
        assert_true(count > 1);
}

static void every_word_has_a_meaning_of_its_own(void **state) {
        struct supervisor_settings *settings = &service.settings;

        (void)state;
        assert_words_differ("service", "restart", &settings->fleet.restart);
        assert_words_differ("service", "session", &settings->launch.session);
        assert_words_differ("service", "on_conflict", &settings->launch.environment.on_conflict);
        assert_words_differ("rollout", "ready", &settings->readiness.ready);
}

static void every_kind_of_probe_is_one_to_the_supervisor(void **state) {
        static const struct {
                const char *text;
                enum probe_kind kind;
        } probes[] = {{"tcp:", PROBE_TCP}, {"http:/health", PROBE_HTTP}, {"exec:/bin/true", PROBE_EXEC}};

        (void)state;
        for (size_t i = 0; i < sizeof probes / sizeof *probes; i++) {
                service_make("health", "probe", probes[i].text);
                assert_int_equal(service.settings.health.probe.kind, probes[i].kind);
        }
}

static void without_a_probe_there_is_none(void **state) {
        (void)state;
        service_make("service", "restart", "no");
        assert_int_equal(service.settings.health.probe.kind, PROBE_NONE);
}

/* Of several instances none can have the terminal; see service.c. */
static void the_terminal_is_for_one_instance_alone(void **state) {
        (void)state;
        service_make("service", "replicas", "1");
        assert_true(service.settings.launch.wants_terminal);
        service_make("service", "replicas", "2");
        assert_false(service.settings.launch.wants_terminal);
}

/* vfork lets the child run in the parent's memory: not where another user's process would. */
static void the_parent_is_suspended_only_for_a_single_start(void **state) {
        (void)state;
        service_make("service", "restart", "no");
        assert_true(service.settings.launch.suspends_parent);
        service_make("service", "restart", "always");
        assert_false(service.settings.launch.suspends_parent);
}

static int service_end(void **state) {
        (void)state;
        config_probe_deinit(&service.health.probe);
        return 0;
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_word_has_a_meaning_of_its_own),
                cmocka_unit_test(every_kind_of_probe_is_one_to_the_supervisor),
                cmocka_unit_test(without_a_probe_there_is_none),
                cmocka_unit_test(the_terminal_is_for_one_instance_alone),
                cmocka_unit_test(the_parent_is_suspended_only_for_a_single_start),
        };

        return cmocka_run_group_tests(tests, NULL, service_end);
}
