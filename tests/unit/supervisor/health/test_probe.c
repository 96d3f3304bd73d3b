/* One health check at a time through the generation's own socket. */

#include "tests/unit/supervisor/sockets/registry.h"

#include "supervisor/health/health.h"

static struct children children;
static struct health_settings health_settings;
static struct health health;

static void health_begin_for(size_t count, uint64_t generation) {
        const struct health_rooms for_health = {.loop = &loop,
                .facts = &facts,
                .children = &children,
                .instances = &instances,
                .listeners = &listeners,
                .rules = &rules};

        memset(&health, 0, sizeof health);
        health_open(&health, &for_health, &health_settings, 0);
        for (size_t i = 0; i < count; i++) {
                instance_put(i, generation);
                health.watches[i].health = &health;
                health.watches[i].instance = &instances.list[i];
        }
}

/* The program leads one port of a generation; a SYN that is sent again must find it. */
static void test_a_probe_waits_until_that_of_another_replica_stands(void **state) {
        const struct probe_settings probe = {.kind = PROBE_TCP, .timeout_ns = NS_FOREVER};
        struct error error = {0};
        int clients[2], fd;
        bool counts;

        (void)state;
        registry_begin();
        declare_free("127.0.0.1")->backlog = 1;
        registry_open();
        health_begin_for(2, 1);
        descriptor_of(1);
        steer(1, 1, 0, 0);
        for (size_t i = 0; i < 2; i++) /* the queue is full: who comes now gets no answer */
                clients[i] = client_connect("127.0.0.1");
        assert_int_equal(probe_start(&health.watches[0], &probe, NULL, &error), 0);
        assert_int_equal(probe_connection_state(health.watches[0].probe.connection), 0);
        assert_int_equal(probe_reach(&health.watches[1], &probe, &fd, &counts, &error), PROBE_LATER);
        probe_end(&health.watches[0]);
        assert_int_equal(probe_reach(&health.watches[1], &probe, &fd, &counts, &error), 0);
        close(fd);
        for (size_t i = 0; i < 2; i++)
                close(clients[i]);
        registry_end();
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_probe_waits_until_that_of_another_replica_stands),
        };

        log_setup(LOG_FORMAT_PLAIN, LOG_ERROR, "test");
        network_make();
        return cmocka_run_group_tests_name("probe", tests, NULL, NULL);
}
