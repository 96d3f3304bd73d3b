#pragma once

/* An instance's own calls and their answers: real children under the filter, and a supervisor's loop that is
 * turned here. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "shim/adopt.h"
#include "supervisor/adopt/adopt.h"
#include "supervisor/adopt/call.h"
#include "supervisor/sockets/listener.h"

#define TURN_NS  (10 * NS_PER_MS)
#define LIMIT_NS (10 * NS_PER_S)

static struct loop loop;
static struct facts facts;
static struct children children;
static struct errands errands;
static struct instances instances;
static struct fleet_settings fleet_settings;
static struct fleet fleet;
static struct socket_address addresses[2];
static struct socket_rules rules;
static struct socket_settings sockets;
static struct listeners listeners;
static struct adopt adopt;
static struct sockaddr_in wanted, other;

static enum adopt_reports reports;

/* What the child does; its exit status is the answer. */
typedef int child_part(void);

/* Two ports that nobody has; `hold` keeps them from others until they are wanted. */
static inline void ports_choose(void) {
        struct sockaddr_in *const places[] = {&wanted, &other};
        int holds[2];

        for (size_t i = 0; i < 2; i++) {
                socklen_t length = sizeof *places[i];

                *places[i] = (struct sockaddr_in){
                        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
                holds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
                assert_int_equal(bind(holds[i], (struct sockaddr *)places[i], sizeof *places[i]), 0);
                assert_int_equal(getsockname(holds[i], (struct sockaddr *)places[i], &length), 0);
        }
        close(holds[0]);
        close(holds[1]);
}

static inline void begin(void) {
        const struct listeners_rooms for_listeners = {
                .loop = &loop, .facts = &facts, .instances = &instances, .fleet = &fleet, .rules = &rules};
        const struct adopt_rooms for_adopt = {.loop = &loop,
                .errands = &errands,
                .instances = &instances,
                .listeners = &listeners,
                .rules = &rules};
        struct error error = {0};

        memset(&errands, 0, sizeof errands);
        memset(&instances, 0, sizeof instances);
        memset(&listeners, 0, sizeof listeners);
        memset(&adopt, 0, sizeof adopt);
        ports_choose();
        assert_true(
                socket_address_set(&addresses[0], SOCK_STREAM, (struct sockaddr *)&wanted, sizeof wanted));
        fleet_settings = (struct fleet_settings){.replicas = 1, .surge_max = 1, .is_steered = true};
        rules = (struct socket_rules){
                .fleet = &fleet_settings, .adopts = addresses, .adopt_count = 1, .is_adopting = true};
        assert_int_equal(loop_init(&loop, &error), 0);
        errands_open(&errands, &loop, &children);
        fleet_init(&fleet, &fleet_settings);
        assert_int_equal(listeners_open(&listeners, &for_listeners, &sockets, &error), 0);
        adopt_open(&adopt, &for_adopt);
        *instance_unused(&instances) = (struct instance){.is_used = true,
                .instances = &instances,
                .number = 5,
                .signs = {.wanted = sign_bit(READINESS_LISTEN), .is_running = true}};
}

/* The children that looked at calls stay for a while, and are in the list until they are reaped. */
static inline void end(void) {
        int64_t limit_ns = time_now_ns() + LIMIT_NS;

        for (size_t i = 0; i < adopt.tree_places; i++)
                if (adopt.trees[i].is_used)
                        adopt_tree_close(&adopt.trees[i]);
        while (children.first && time_now_ns() < limit_ns) {
                loop_wait(&loop, time_now_ns() + TURN_NS);
                children_reap(&children);
        }
        assert_null(children.first);
        listeners_close(&listeners);
        loop_deinit(&loop);
}

static inline void part_on_ended(struct child *child, int wait_status) {
        *(int *)child->owner = wait_status;
}

static inline int child_run_as(child_part *part, uint64_t generation) {
        int channel, status = -1;
        struct child child = {.on_ended = part_on_ended, .owner = &status};
        int64_t limit_ns = time_now_ns() + LIMIT_NS;
        const struct instance instance = {.number = 5, .generation = generation};
        struct error error = {0};
        pid_t pid;

        assert_int_equal(adopt_prepare(&adopt, &instance, &channel, &error), 0);
        pid = fork();
        if (pid == 0) {
                int fd = adopt_filter_install(reports);

                if (fd < 0 || adopt_descriptor_send(channel, fd) < 0)
                        _exit(99);
                close(fd);
                _exit(part());
        }
        close(channel);
        children_add(&children, &child, pid);
        while (status < 0) {
                if (time_now_ns() > limit_ns)
                        kill(pid, SIGKILL);
                loop_wait(&loop, time_now_ns() + TURN_NS);
                children_reap(&children);
        }
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static inline int child_run(child_part *part) {
        return child_run_as(part, 1);
}
