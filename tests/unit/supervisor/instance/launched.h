#pragma once

/* A launcher in rooms of its own, and an app to launch: this very program, which tells every signal that it
 * gets through a pipe. Nothing here outlives the test: the app dies with its parent. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/log.h"
#include "supervisor/instance/launcher.h"
#include "supervisor/sockets/listener.h"

#define NUMBER     5
#define GENERATION 1
#define READY_BYTE 'r'
#define STATUS_APP 3 /* what the app ends with when it is told to */

static struct loop loop;
static struct facts facts;
static struct children children;
static struct errands errands;
static struct instances instances;
static struct terminal terminal;
static struct trees trees;
static struct fleet_settings fleet_settings;
static struct fleet fleet;
static struct socket_rules rules;
static struct socket_settings sockets;
static struct listeners listeners;
static struct adopt adopt;
static struct notify_settings notify_settings;
static struct notify notify;
static struct health_settings health_settings;
static struct health health;
static struct readiness_settings readiness_settings;
static struct readiness_gate gate;
static struct load_request request;
static struct generations generations;
static struct identity identity;
static struct launch_spec launch;
static struct launcher launcher;
static int said_fd = -1, told_fd = -1; /* what the app says, and its own end */
static char told_number[16];
static char *app_arguments[] = {(char[]){"/proc/self/exe"}, (char[]){"app"}, told_number, NULL};

/* The app: every signal that can be caught is a byte, and TERM is the end. A stop interrupts the wait. */
static inline int app_run(const char *told) {
        const int fd = (int)strtol(told, NULL, 10);
        int number = READY_BYTE;
        sigset_t all;

        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
        while (write(fd, &(char){(char)number}, 1) == 1 && number != SIGTERM) {
                do
                        number = sigwaitinfo(&all, NULL);
                while (number < 0 || number == SIGCONT);
        }
        return STATUS_APP;
}

static inline void rooms_open(void) {
        const struct notify_rooms for_notify = {
                .loop = &loop, .facts = &facts, .instances = &instances, .errands = &errands};
        const struct health_rooms for_health = {.loop = &loop,
                .facts = &facts,
                .children = &children,
                .instances = &instances,
                .listeners = &listeners,
                .rules = &rules};
        const struct readiness_rooms for_gate = {.loop = &loop,
                .facts = &facts,
                .instances = &instances,
                .notify = &notify,
                .health = &health};
        const struct listeners_rooms for_listeners = {
                .loop = &loop, .facts = &facts, .instances = &instances, .fleet = &fleet, .rules = &rules};
        const struct adopt_rooms for_adopt = {.loop = &loop,
                .errands = &errands,
                .instances = &instances,
                .listeners = &listeners,
                .rules = &rules};
        const struct tree_rooms for_trees = {.loop = &loop,
                .facts = &facts,
                .children = &children,
                .instances = &instances,
                .fleet = &fleet};
        struct error error = {0};

        fleet_settings = (struct fleet_settings){.replicas = 1};
        rules = (struct socket_rules){.fleet = &fleet_settings};
        terminal.fd = -1;
        assert_int_equal(loop_init(&loop, &error), 0);
        errands_open(&errands, &loop, &children);
        trees_open(&trees, &for_trees, &(struct tree_settings){.has_groups = true});
        generations_open(&generations, &loop, &facts, &children, &request);
        adopt_open(&adopt, &for_adopt);
        assert_int_equal(notify_listen(&notify, &for_notify, &notify_settings, &error), 0);
        assert_int_equal(listeners_open(&listeners, &for_listeners, &sockets, &error), 0);
        health_open(&health, &for_health, &health_settings, 0);
        readiness_settings = (struct readiness_settings){.ready = READINESS_EXEC};
        readiness_open(&gate, &for_gate, &readiness_settings, false, 0);
}

/* A launcher that starts `arguments`, or with NULL the app. `launch` may be changed until the first start. */
static inline void begin(char **arguments) {
        static char *no_strings[] = {NULL};
        const struct launcher_rooms rooms = {&loop, &facts, &children, &instances, &terminal, &trees,
                &listeners, &rules, &adopt, &notify, &gate, &generations};
        int ends[2];

        memset(&facts, 0, sizeof facts);
        memset(&children, 0, sizeof children);
        memset(&instances, 0, sizeof instances);
        memset(&notify, 0, sizeof notify);
        memset(&health, 0, sizeof health);
        memset(&gate, 0, sizeof gate);
        memset(&listeners, 0, sizeof listeners);
        memset(&adopt, 0, sizeof adopt);
        memset(&generations, 0, sizeof generations);
        memset(&launcher, 0, sizeof launcher);
        rooms_open();
        assert_int_equal(pipe2(ends, 0), 0);
        said_fd = ends[0];
        told_fd = ends[1];
        assert_int_equal(fcntl(said_fd, F_SETFD, FD_CLOEXEC), 0);
        snprintf(told_number, sizeof told_number, "%d", told_fd);
        launch = (struct launch_spec){.argv = arguments ? arguments : app_arguments,
                .environment = {.inherited = no_strings},
                .identity = &identity,
                .session = LAUNCH_OWN_GROUP,
                .terminal = -1,
                .parent_death_signal = SIGKILL,
                .adopt_fd = -1};
        launcher_open(&launcher, &rooms,
                &(struct launcher_settings){
                        .launch = &launch, .stop_signal = SIGTERM, .drain_signal = SIGUSR1});
}

static inline void end(void) {
        for (struct instance *one = instance_from(&instances, 0); one;
                one = instance_from(&instances, instance_place(one) + 1)) {
                kill(one->pid, SIGKILL);
                assert_int_equal(waitid(P_PID, (id_t)one->pid, &(siginfo_t){0}, WEXITED | WNOWAIT), 0);
        }
        children_reap(&children);
        assert_null(children.first);
        close(said_fd);
        close(told_fd);
        loop_deinit(&loop);
}

static inline struct fleet_action spawn_action(uint64_t number) {
        return (struct fleet_action){.kind = FLEET_DO_SPAWN, .instance = number, .generation = GENERATION};
}

/* The next thing that the app says: READY_BYTE, or a signal that it got. */
static inline void expect_signal(int number) {
        struct pollfd said = {.fd = said_fd, .events = POLLIN};
        char byte = 0;

        assert_int_equal(poll(&said, 1, 60 * 1000), 1);
        assert_int_equal(read(said_fd, &byte, 1), 1);
        assert_int_equal(byte, number);
}

/* Start the app, and wait until it runs. Returns its instance. */
static inline struct instance *app_start(void) {
        const struct fleet_action action = spawn_action(NUMBER);
        struct instance *instance;

        launcher_spawn(&launcher, &action);
        instance = instance_by_number(&instances, NUMBER);
        assert_non_null(instance);
        expect_signal(READY_BYTE);
        return instance;
}

/* Nothing more was said by now. */
static inline void expect_silence(void) {
        struct pollfd said = {.fd = said_fd, .events = POLLIN};

        assert_int_equal(poll(&said, 1, 0), 0);
}

/* It ends, which is reaped and told. */
static inline void reap(pid_t pid) {
        siginfo_t info;

        assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
        children_reap(&children);
}

/* Events come until a fact of this kind is there. */
static inline void await_fact(enum fleet_event_kind kind) {
        const int64_t deadline_ns = time_now_ns() + 60 * NS_PER_S;

        for (;;) {
                for (size_t i = 0; i < facts.count; i++)
                        if (facts.list[(facts.first + i) % FACTS_MAX].kind == kind)
                                return;
                assert_true(time_now_ns() < deadline_ns);
                loop_wait(&loop, deadline_ns);
        }
}

static inline void expect_fact(enum fleet_event_kind kind, struct fleet_event *out) {
        assert_true(facts_take(&facts, out));
        assert_int_equal(out->kind, kind);
        assert_int_equal(out->instance, NUMBER);
}

static inline int launched_main(
        int argc, char **argv, const char *name, const struct CMUnitTest *tests, size_t count) {
        if (argc == 3 && strcmp(argv[1], "app") == 0)
                return app_run(argv[2]);
        log_setup(LOG_FORMAT_PLAIN, LOG_ERROR, "test");
        return _cmocka_run_group_tests(name, tests, count, NULL, NULL);
}
