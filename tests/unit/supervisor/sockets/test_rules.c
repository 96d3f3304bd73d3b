/* The rules by which sockets are shared, steered or adopted. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/socket.h>

#include "supervisor/sockets/rules.h"

static struct socket_address address_of(const char *text) {
        struct socket_address address = {0};
        struct error error = {0};

        if (socket_address_parse(text, &address, &error) < 0)
                fail_msg("%s: %s", text, error.text);
        return address;
}

static void test_rules_match_what_they_name(void **state) {
        static const struct {
                const char *rule, *bound;
                int is_match;
        } cases[] = {
                {"8080", "127.0.0.1:8080", 1},
                {"8080", "0.0.0.0:8080", 1},
                {"8080", "[::]:8080", 1},
                {"8080", "[::1]:8080", 1},
                {"8080", "127.0.0.1:8081", 0},
                {"8080", "/run/8080", 0},
                {"*:8080", "[::1]:8080", 1},
                {"127.0.0.1:8080", "127.0.0.1:8080", 1},
                {"127.0.0.1:8080", "127.0.0.2:8080", 0},
                {"127.0.0.1:8080", "0.0.0.0:8080", 0},
                {"0.0.0.0:8080", "127.0.0.1:8080", 0},
                {"0.0.0.0:8080", "0.0.0.0:8080", 1},
                {"0.0.0.0:8080", "[::]:8080", 0},
                {"[::]:8080", "[::]:8080", 1},
                {"[::]:8080", "0.0.0.0:8080", 0},
                {"[::1]:8080", "[::]:8080", 0},
                {"/run/app.sock", "/run/app.sock", 1},
                {"/run/app.sock", "/run/app.sock2", 0},
                {"/run/app.sock", "@/run/app.sock", 0},
                {"@app", "@app", 1},
                {"@app", "@apps", 0},
        };

        (void)state;
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
                const struct socket_address addresses[] = {address_of("9999"), address_of(cases[i].rule)};
                const struct socket_rules both = {.adopts = addresses, .adopt_count = 2},
                                          first = {.adopts = addresses, .adopt_count = 1};
                struct socket_address bound = address_of(cases[i].bound);

                assert_int_equal(rules_match(&both, &bound), cases[i].is_match ? 1 : -1);
                assert_int_equal(rules_match(&first, &bound), -1);
                bound.type = SOCK_DGRAM;
                assert_int_equal(rules_match(&both, &bound), -1);
        }
}

static const struct fleet_settings one_at_a_time = {.replicas = 1},
                                   overlapping = {.replicas = 1, .surge_max = 1}, replicas = {.replicas = 2},
                                   signalled = {.replicas = 1, .surge_max = 1, .is_signalled = true};

static void test_only_one_replica_without_surge_is_ever_single(void **state) {
        (void)state;
        assert_true(rules_are_single(&(struct socket_rules){.fleet = &one_at_a_time}));
        assert_false(rules_are_single(&(struct socket_rules){.fleet = &overlapping}));
        assert_false(rules_are_single(&(struct socket_rules){.fleet = &replicas}));
}

static const char *why(const struct fleet_settings *fleet, const char *text, bool is_shared) {
        const struct socket_address address = address_of(text);
        const char *reason = rules_why_shared(&(struct socket_rules){.fleet = fleet}, &address, is_shared);

        return reason ? reason : "";
}

static void test_why_a_socket_is_shared_names_what_cannot_be_changed_first(void **state) {
        (void)state;
        assert_string_equal(why(&overlapping, "127.0.0.1:80", false), "");
        assert_string_equal(why(&replicas, "127.0.0.1:80", false), "");
        assert_non_null(strstr(why(&one_at_a_time, "/run/app.sock", true), "unix"));
        assert_non_null(strstr(why(&one_at_a_time, "udp:127.0.0.1:80", true), "stream"));
        assert_non_null(strstr(why(&signalled, "127.0.0.1:80", true), "configuration"));
        assert_non_null(strstr(why(&signalled, "127.0.0.1:80", false), "live on"));
        assert_string_equal(why(&one_at_a_time, "127.0.0.1:80", false), "");
}

static void test_what_an_app_binds_is_steered_when_it_is_answered(void **state) {
        const struct socket_address any = address_of("8080");
        struct socket_rules rules = {
                .fleet = &overlapping, .adopts = &any, .adopt_count = 1, .is_adopting = true};

        (void)state;
        assert_true(rules_may_steer_adopted(&rules));
        rules.fleet = &one_at_a_time;
        assert_true(rules_may_steer_adopted(&rules));
        rules.fleet = &signalled;
        assert_false(rules_may_steer_adopted(&rules));
        rules.fleet = &replicas;
        assert_true(rules_may_steer_adopted(&rules));
        rules.is_adopting = false;
        assert_false(rules_may_steer_adopted(&rules));
        rules.is_adopting = true;
        rules.adopt_count = 0;
        assert_false(rules_may_steer_adopted(&rules));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_rules_match_what_they_name),
                cmocka_unit_test(test_only_one_replica_without_surge_is_ever_single),
                cmocka_unit_test(test_why_a_socket_is_shared_names_what_cannot_be_changed_first),
                cmocka_unit_test(test_what_an_app_binds_is_steered_when_it_is_answered),
        };

        return cmocka_run_group_tests_name("rules", tests, NULL, NULL);
}
