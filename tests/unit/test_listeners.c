/* The registry of listening sockets against the kernel, on the loopback of a network of its own where that
 * can be had: who gets which connection, before, while and after generations come and go. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "supervisor/state.h"

#define ANSWER_MS 5000

/* What the registry needs of the supervisor; the loop is turned by the tests. */
static struct supervisor supervisor;
static struct supervisor_settings settings;
static struct listener_settings declared[4];
static bool has_own_network;

static void registry_begin(void) {
        struct error error = {0};

        memset(&supervisor, 0, sizeof supervisor);
        settings = (struct supervisor_settings){.listeners = declared, .drain_quiet_ns = 20 * NS_PER_MS};
        settings.fleet.replicas = 1;
        settings.fleet.surge_max = 1;
        supervisor.settings = &settings;
        assert_int_equal(loop_init(&supervisor.loop, &error), 0);
        fleet_init(&supervisor.fleet, &settings.fleet);
        supervisor.fleet.settings.is_steered = true;
}

static struct listener_settings *declare(const char *name, const char *address) {
        struct listener_settings *listener = &declared[settings.listener_count++];
        struct error error = {0};

        *listener = (struct listener_settings){
                .name = name, .user = (uid_t)-1, .group = (gid_t)-1, .ipv6_only = -1, .inherited_fd = -1};
        if (socket_address_parse(address, &listener->address, &error) < 0)
                fail_msg("%s", error.text);
        return listener;
}

static void registry_open(void) {
        struct error error = {0};

        if (listeners_open(&supervisor, &error) < 0)
                fail_msg("%s", error.text);
}

/* One tcp listener on a free port of `host`; the parser refuses port 0, the registry does not. */
static struct listener_settings *declare_free(const char *host) {
        char address[64];
        struct listener_settings *listener;

        snprintf(address, sizeof address, "%s:1", host);
        listener = declare("web", address);
        if (listener->address.generic.sa_family == AF_INET6)
                listener->address.in6.sin6_port = 0;
        else
                listener->address.in4.sin_port = 0;
        return listener;
}

static void registry_start(const char *host) {
        registry_begin();
        declare_free(host);
        registry_open();
}

static void registry_end(void) {
        listeners_close(&supervisor);
        loop_deinit(&supervisor.loop);
}

static struct listener *web(void) {
        return &supervisor.listeners.list[0];
}

/* The generation's first declared socket. */
static int descriptor_of(uint64_t generation) {
        struct launch_descriptor descriptors[LISTENERS_MAX];
        struct error error = {0};
        size_t count;

        if (listeners_descriptors(&supervisor, generation, descriptors, &count, &error) < 0)
                fail_msg("%s", error.text);
        assert_int_equal(count, settings.listener_count);
        return descriptors[0].fd;
}

static void steer(uint64_t first, uint32_t first_weight, uint64_t second, uint32_t second_weight) {
        const struct fleet_share shares[] = {{.generation = first, .weight = first_weight},
                {.generation = second, .weight = second_weight}};

        listeners_steer(&supervisor, shares, second_weight > 0 ? 2 : 1);
}

static int client_connect(const char *host) {
        uint16_t port = socket_address_port(&web()->address);
        struct socket_address address = {0};
        struct error error = {0};
        char text[64];
        int fd;

        snprintf(text, sizeof text, "%s:%u", host, port);
        assert_int_equal(socket_address_parse(text, &address, &error), 0);
        fd = socket(address.generic.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
        if (connect(fd, &address.generic, address.length) < 0)
                fail_msg("connect to %s: %s", text, strerror(errno));
        return fd;
}

/* Whose queue got the one connection that waits? It is accepted and closed. */
static uint64_t accept_one(void) {
        for (size_t i = 0; i < web()->member_count; i++) {
                struct pollfd poll_fd = {.fd = web()->members[i].fd, .events = POLLIN};

                if (poll(&poll_fd, 1, 0) == 1) {
                        close(accept(poll_fd.fd, NULL, NULL));
                        return web()->members[i].generation;
                }
        }
        fail_msg("nobody got the connection");
        return 0;
}

static uint64_t client_lands(const char *host) {
        const struct linger reset = {.l_onoff = 1};
        int fd = client_connect(host);
        uint64_t generation = accept_one();

        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(fd);
        return generation;
}

static void assert_all_land(const char *host, unsigned clients, uint64_t generation) {
        for (unsigned i = 0; i < clients; i++)
                assert_int_equal(client_lands(host), generation);
}

static uint64_t probe_lands(uint64_t generation) {
        struct pollfd poll_fd = {.events = POLLOUT};
        struct error error = {0};
        int result, code = 0;
        socklen_t length = sizeof code;

        result = listeners_probe(&supervisor, generation, NULL, &poll_fd.fd, &error);
        if (result != 0)
                fail_msg("probe: %d %s", result, error.text);
        assert_int_equal(poll(&poll_fd, 1, ANSWER_MS), 1);
        assert_int_equal(getsockopt(poll_fd.fd, SOL_SOCKET, SO_ERROR, &code, &length), 0);
        assert_int_equal(code, 0);
        close(poll_fd.fd);
        return accept_one();
}

/* ---- who gets a connection ----------------------------------------------------------------------------- */

static void check_steering(const char *bound, const char *const *hosts) {
        registry_start(bound);
        descriptor_of(1);
        for (const char *const *host = hosts; *host; host++)
                assert_all_land(*host, 20, 1);
        assert_int_not_equal(descriptor_of(1), descriptor_of(2));
        for (const char *const *host = hosts; *host; host++) {
                steer(1, 1, 0, 0);
                for (int i = 0; i < 20; i++) {
                        assert_int_equal(probe_lands(2), 2);
                        assert_int_equal(client_lands(*host), 1);
                        assert_int_equal(probe_lands(1), 1);
                }
                steer(2, 1, 0, 0);
                assert_all_land(*host, 50, 2);
                assert_int_equal(probe_lands(1), 1);
                assert_int_equal(probe_lands(2), 2);
        }
        registry_end();
}

static const char *const only4[] = {"127.0.0.1", NULL}, *const only6[] = {"[::1]", NULL},
                         *const both[] = {"127.0.0.1", "[::1]", NULL};

static void check_all_families(void) {
        check_steering("127.0.0.1", only4);
        check_steering("0.0.0.0", only4);
        check_steering("[::1]", only6);
        check_steering("*", both);
}

static void test_clients_go_by_the_shares_and_probes_to_whom_they_ask_for(void **state) {
        (void)state;
        check_all_families();
}

static void test_the_same_holds_without_any_right(void **state) {
        pid_t pid;
        int status;

        (void)state;
        fflush(NULL);
        pid = fork();
        if (pid == 0) {
                if (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
                        _exit(3);
                check_all_families();
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_a_canary_gets_about_its_share(void **state) {
        unsigned canary = 0;

        (void)state;
        registry_start("127.0.0.1");
        descriptor_of(1);
        descriptor_of(2);
        steer(1, 90, 2, 10);
        for (int i = 0; i < 2000; i++)
                canary += client_lands("127.0.0.1") == 2;
        assert_in_range(canary, 120, 290); /* 200 are expected, six standard deviations around them */
        registry_end();
}

static void test_who_closes_moves_nobody_else(void **state) {
        (void)state;
        registry_start("127.0.0.1");
        for (uint64_t generation = 1; generation <= 5; generation++)
                descriptor_of(generation);
        steer(5, 1, 0, 0);
        assert_int_equal(probe_lands(4), 4);
        listeners_drop(&supervisor, 2); /* 5 takes its place */
        assert_all_land("127.0.0.1", 20, 5);
        assert_int_equal(probe_lands(4), 4);
        listeners_drop(&supervisor, 4); /* the last one */
        assert_all_land("127.0.0.1", 20, 5);
        listeners_drop(&supervisor, 1);
        assert_all_land("127.0.0.1", 20, 5);
        assert_int_equal(probe_lands(3), 3);
        steer(3, 1, 0, 0);
        assert_all_land("127.0.0.1", 20, 3);
        listeners_drop(&supervisor, 5);
        descriptor_of(6);
        assert_int_equal(probe_lands(6), 6);
        assert_all_land("127.0.0.1", 20, 3);
        steer(6, 1, 0, 0);
        assert_all_land("127.0.0.1", 20, 6);
        assert_int_equal(web()->member_count, 2);
        registry_end();
}

/* A thousand rotations: the same number of sockets and descriptors at the end. */
static void test_rotations_leave_nothing_behind(void **state) {
        int before;

        (void)state;
        registry_start("127.0.0.1");
        descriptor_of(1);
        before = dup(0);
        for (uint64_t generation = 2; generation < 1000; generation++) {
                descriptor_of(generation);
                assert_int_equal(probe_lands(generation), generation);
                steer(generation, 1, 0, 0);
                listeners_drop(&supervisor, generation - 1);
                assert_int_equal(web()->member_count, 1);
        }
        assert_int_equal(client_lands("127.0.0.1"), 999);
        close(before);
        assert_in_range(dup(0), 0, before + 2);
        registry_end();
}

static void test_a_generation_without_a_socket_gets_one_when_it_is_steered_to(void **state) {
        int fd;

        (void)state;
        registry_start("127.0.0.1");
        descriptor_of(1);
        steer(2, 1, 0, 0);
        fd = client_connect("127.0.0.1");
        assert_int_equal(listeners_waiting(&supervisor, 2), 1);
        assert_int_equal(listeners_waiting(&supervisor, 1), 0);
        assert_int_equal(accept_one(), 2);
        close(fd);
        registry_end();
}

static uint16_t port_of(int fd) {
        struct socket_address address;

        assert_true(socket_address_of(fd, &address));
        return socket_address_port(&address);
}

/* Unless a process of it lives, which may still accept. */
static void test_the_next_generation_gets_the_queue_of_one_that_died(void **state) {
        int first, client;

        (void)state;
        registry_start("127.0.0.1");
        first = descriptor_of(1);
        steer(1, 1, 0, 0);
        client = client_connect("127.0.0.1");
        supervisor.instances.places = 1;
        supervisor.instances.list[0] = (struct instance){.is_used = true, .number = 1, .generation = 1};
        steer(2, 1, 0, 0);
        assert_int_not_equal(descriptor_of(2), first);
        assert_int_equal(listeners_waiting(&supervisor, 1), 1);
        supervisor.instances.list[0] = (struct instance){0};
        steer(3, 1, 0, 0);
        assert_int_equal(descriptor_of(3), first);
        assert_int_equal(listeners_waiting(&supervisor, 3), 1);
        close(client);
        registry_end();
}

static void test_every_probe_comes_from_a_port_of_its_own(void **state) {
        struct error error = {0};
        int first, second;

        (void)state;
        registry_start("127.0.0.1");
        descriptor_of(1);
        descriptor_of(2);
        assert_int_equal(listeners_probe(&supervisor, 1, "web", &first, &error), 0);
        assert_int_equal(accept_one(), 1);
        assert_int_equal(listeners_probe(&supervisor, 1, "web", &second, &error), 0);
        assert_int_equal(accept_one(), 1);
        assert_int_not_equal(port_of(first), port_of(second));
        close(first);
        close(second);
        assert_int_equal(listeners_probe(&supervisor, 7, "web", &second, &error), LISTENERS_UNKNOWN);
        assert_int_equal(listeners_probe(&supervisor, 1, "other", &second, &error), LISTENERS_UNKNOWN);
        registry_end();
}

static int accept_now(void) {
        struct pollfd poll_fd = {.fd = web()->members[0].fd, .events = POLLIN};
        int fd;

        assert_int_equal(poll(&poll_fd, 1, ANSWER_MS), 1);
        fd = accept(poll_fd.fd, NULL, NULL);
        assert_true(fd >= 0);
        return fd;
}

/* TIME_WAIT on its side, on ours, FIN_WAIT2 on ours. */
enum order { SERVER_FIRST, CLIENT_FIRST, CLIENT_ALONE, ORDERS };

static void probe_and_end(enum order order, int *out_server) {
        struct pollfd poll_fd = {.events = POLLIN};
        struct error error = {0};
        char byte;
        int fd;

        if (listeners_probe(&supervisor, 1, NULL, &fd, &error) != 0)
                fail_msg("%s", error.text);
        *out_server = accept_now();
        if (order == SERVER_FIRST)
                assert_int_equal(shutdown(*out_server, SHUT_WR), 0);
        else
                assert_int_equal(shutdown(fd, SHUT_WR), 0);
        poll_fd.fd = order == SERVER_FIRST ? fd : *out_server;
        assert_int_equal(poll(&poll_fd, 1, ANSWER_MS), 1);
        assert_int_equal(recv(poll_fd.fd, &byte, 1, MSG_DONTWAIT), 0);
        close(fd);
        if (order != CLIENT_ALONE)
                fd_cleanup(out_server);
}

static void timestamps_set(const char *digit) {
        CLEANUP_FD int fd = open("/proc/sys/net/ipv4/tcp_timestamps", O_WRONLY | O_CLOEXEC);

        if (has_own_network && fd >= 0)
                assert_int_equal(write(fd, digit, 1), 1);
}

/* Whatever is left of it in the kernel, and also where that does not let a port in TIME_WAIT be used
 * again. */
static void test_a_probe_follows_another_at_once_whoever_closes_first(void **state) {
        static int servers[ORDERS * 100];

        (void)state;
        registry_start("127.0.0.1");
        descriptor_of(1);
        timestamps_set("0");
        for (unsigned i = 0; i < sizeof servers / sizeof *servers; i++)
                probe_and_end((enum order)(i % ORDERS), &servers[i]);
        timestamps_set("1");
        for (unsigned i = 0; i < sizeof servers / sizeof *servers; i++)
                fd_close(servers[i]);
        registry_end();
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
        for (size_t i = 0; i < 2; i++)
                supervisor.instances.list[i] =
                        (struct instance){.is_used = true, .supervisor = &supervisor, .generation = 1};
        supervisor.instances.places = 2;
        descriptor_of(1);
        steer(1, 1, 0, 0);
        for (size_t i = 0; i < 2; i++) /* the queue is full: who comes now gets no answer */
                clients[i] = client_connect("127.0.0.1");
        assert_int_equal(
                probe_start(&supervisor.instances.list[0], &supervisor.instances.list[0].health.probe, &probe, NULL, &error), 0);
        assert_true(probe_is_connecting(&supervisor.instances.list[0].health.probe));
        assert_int_equal(probe_reach(&supervisor.instances.list[1], &probe, &fd, &counts, &error), PROBE_LATER);
        probe_end(&supervisor.instances.list[0], &supervisor.instances.list[0].health.probe);
        assert_int_equal(probe_reach(&supervisor.instances.list[1], &probe, &fd, &counts, &error), 0);
        close(fd);
        for (size_t i = 0; i < 2; i++)
                close(clients[i]);
        registry_end();
}

/* ---- under load ---------------------------------------------------------------------------------------- */

/* Ends with this program, also when a claim of it fails: these children never end by themselves. */
static pid_t child_fork(void) {
        pid_t parent = getpid(), pid = fork();

        if (pid == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent))
                _exit(1);
        return pid;
}

static volatile sig_atomic_t is_asked_to_end;

static void on_terminate(int number) {
        (void)number;
        is_asked_to_end = 1;
}

/* Accepts and says who it is, until SIGTERM; what it has accepted it answers. */
static pid_t server_start(int fd, char name) {
        pid_t pid = child_fork();
        struct pollfd listening = {.fd = fd, .events = POLLIN};

        if (pid != 0)
                return pid;
        signal(SIGTERM, on_terminate);
        while (!is_asked_to_end) {
                int connection = poll(&listening, 1, 10) > 0 ? accept(fd, NULL, NULL) : -1;

                if (connection >= 0) {
                        (void)!write(connection, &name, 1);
                        close(connection);
                }
        }
        _exit(0);
}

struct counts {
        unsigned done, failed;
};

static pid_t clients_start(struct counts *counts) {
        uint16_t port = socket_address_port(&web()->address);
        pid_t pid = child_fork();

        if (pid != 0)
                return pid;
        for (;;) {
                struct sockaddr_in in4 = {.sin_family = AF_INET,
                        .sin_port = htons(port),
                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
                int fd = socket(AF_INET, SOCK_STREAM, 0);
                char byte;

                if (connect(fd, (struct sockaddr *)&in4, sizeof in4) == 0 && read(fd, &byte, 1) == 1)
                        counts->done++;
                else
                        counts->failed++;
                close(fd);
        }
}

static void child_end(pid_t pid, int number) {
        kill(pid, number);
        waitpid(pid, NULL, 0);
}

/* Empty for 20 ms, and no handshake left that began before the switch, as the supervisor waits for it; ten
 * seconds at most, for a machine that is busy. */
static void queue_await_empty(uint64_t generation) {
        struct listener_handshakes handshakes = {0};

        listener_handshakes_note(web(), &handshakes);
        for (int looks = 0, empty = 0; looks < 5000 && empty < 10; looks++) {
                listener_handshakes_look(web(), &handshakes);
                empty = listener_handshakes_left(&handshakes) == 0 &&
                                        listeners_waiting(&supervisor, generation) == 0
                                ? empty + 1
                                : 0;
                usleep(2000);
        }
}

/* Generation after generation: its server starts, it is steered to, the one before empties its queue and
 * goes. */
static void test_no_connection_is_lost_while_generations_come_and_go(void **state) {
        struct counts *counts =
                mmap(NULL, 4 * sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        pid_t clients[4], servers[2];
        unsigned done = 0, failed = 0;

        (void)state;
        assert_true(counts != MAP_FAILED);
        registry_start("*");
        servers[0] = server_start(descriptor_of(1), 'a');
        for (int i = 0; i < 4; i++)
                clients[i] = clients_start(&counts[i]);
        for (uint64_t generation = 2; generation < 22; generation++) {
                servers[1] = server_start(descriptor_of(generation), 'b');
                for (int i = 0; i < 4; i++) {
                        steer(generation, 1, generation - 1, 3);
                        steer(generation - 1, 1, 0, 0);
                        steer(generation, 1, 0, 0);
                        usleep(2000);
                }
                queue_await_empty(generation - 1);
                assert_int_equal(listeners_waiting(&supervisor, generation - 1), 0);
                child_end(servers[0], SIGTERM);
                listeners_drop(&supervisor, generation - 1);
                servers[0] = servers[1];
        }
        for (int i = 0; i < 4; i++) {
                child_end(clients[i], SIGKILL);
                done += counts[i].done;
                failed += counts[i].failed;
        }
        child_end(servers[0], SIGTERM);
        assert_int_equal(failed, 0);
        assert_true(done > 200);
        munmap(counts, 4 * sizeof *counts);
        registry_end();
}

/* ---- queues -------------------------------------------------------------------------------------------- */

static void test_a_probe_that_nobody_took_is_no_client_to_keep_a_socket_for(void **state) {
        struct error error;
        int probe;

        (void)state;
        registry_start("127.0.0.1");
        descriptor_of(1);
        steer(1, 1, 0, 0);
        descriptor_of(2);
        assert_int_equal(listeners_probe(&supervisor, 2, NULL, &probe, &error), 0);
        for (int tries = 0; listeners_waiting(&supervisor, 2) < 1 && tries < 2000; tries++)
                usleep(1000);
        assert_int_equal(listeners_waiting(&supervisor, 2), 1);
        close(probe);
        listeners_drop(&supervisor, 2);
        assert_int_equal(web()->member_count, 1);
        registry_end();
}

static void test_a_queue_is_counted_and_survives_its_generation(void **state) {
        int clients[3], old;

        (void)state;
        registry_start("127.0.0.1");
        old = descriptor_of(1);
        steer(1, 1, 0, 0);
        for (int i = 0; i < 3; i++)
                clients[i] = client_connect("127.0.0.1");
        assert_int_equal(listeners_waiting(&supervisor, 1), 3);
        descriptor_of(2);
        steer(2, 1, 0, 0);
        listeners_drop(&supervisor, 1);
        assert_int_equal(web()->member_count, 2);
        assert_true(web()->members[0].is_spare);
        /* The next one gets them, and nobody else does. */
        assert_int_equal(descriptor_of(3), old);
        assert_int_equal(listeners_waiting(&supervisor, 3), 3);
        for (int i = 0; i < 3; i++) {
                assert_int_equal(accept_one(), 3);
                close(clients[i]);
        }
        steer(3, 1, 0, 0);
        listeners_drop(&supervisor, 2);
        assert_all_land("127.0.0.1", 5, 3);
        assert_int_equal(web()->member_count, 1);
        registry_end();
}

/* Returns false where the kernel does not know it, or the network is not ours. */
static bool migration_set(const char *value) {
        int fd = has_own_network ? open("/proc/sys/net/ipv4/tcp_migrate_req", O_WRONLY | O_CLOEXEC) : -1;
        bool is_set = fd >= 0 && write(fd, value, 1) == 1;

        if (fd >= 0)
                close(fd);
        return is_set;
}

static void test_a_kernel_that_moves_queues_is_let_do_it(void **state) {
        int client;

        (void)state;
        if (!migration_set("1"))
                skip();
        registry_start("127.0.0.1");
        descriptor_of(1);
        descriptor_of(2);
        steer(1, 1, 0, 0);
        client = client_connect("127.0.0.1");
        steer(2, 1, 0, 0);
        listeners_drop(&supervisor, 1);
        assert_int_equal(web()->member_count, 1);
        assert_int_equal(listeners_waiting(&supervisor, 2), 1);
        assert_int_equal(accept_one(), 2);
        close(client);
        assert_all_land("127.0.0.1", 5, 2);
        descriptor_of(3);
        steer(3, 1, 0, 0);
        listeners_drop(&supervisor, 2);
        assert_all_land("127.0.0.1", 5, 3);
        registry_end();
        assert_true(migration_set("0"));
}

static void test_what_is_kept_for_later_is_bounded(void **state) {
        int clients[LISTENER_SPARES_MAX + 2];

        (void)state;
        registry_start("127.0.0.1");
        /* All sockets are there before one of them is spare. */
        for (uint64_t generation = 1; generation <= LISTENER_SPARES_MAX + 2; generation++)
                descriptor_of(generation);
        for (uint64_t generation = 1; generation <= LISTENER_SPARES_MAX + 2; generation++) {
                steer(generation, 1, 0, 0);
                clients[generation - 1] = client_connect("127.0.0.1");
        }
        descriptor_of(99);
        steer(99, 1, 0, 0);
        for (uint64_t generation = 1; generation <= LISTENER_SPARES_MAX + 2; generation++)
                listeners_drop(&supervisor, generation);
        assert_int_equal(web()->member_count, LISTENER_SPARES_MAX + 1);
        for (size_t i = 0; i < sizeof clients / sizeof clients[0]; i++)
                close(clients[i]);
        registry_end();
}

static void test_a_socket_that_the_app_shut_down_leaves_its_place(void **state) {
        (void)state;
        registry_start("127.0.0.1");
        descriptor_of(1);
        descriptor_of(2);
        descriptor_of(3);
        steer(3, 1, 0, 0);
        shutdown(web()->members[0].fd, SHUT_RDWR);
        assert_int_equal(probe_lands(2), 2);
        assert_int_equal(web()->member_count, 2);
        assert_all_land("127.0.0.1", 10, 3);
        assert_int_equal(listeners_waiting(&supervisor, 1), 0);
        registry_end();
}

static void instance_set(enum instance_state state, uint64_t generation) {
        supervisor.fleet.slots[0].pair[0] =
                (struct fleet_instance){.state = state, .number = 1, .generation = generation};
}

/* Turn the loop until something is said, at most for `limit_ns`. Returns how long it took. */
static int64_t turn_until_said(int64_t limit_ns) {
        int64_t start_ns = time_now_ns();

        while (!supervisor.event_count && time_now_ns() - start_ns < limit_ns)
                loop_wait(&supervisor.loop, start_ns + limit_ns);
        return time_now_ns() - start_ns;
}

static void test_an_empty_queue_is_said_when_it_was_quiet_long_enough(void **state) {
        int client;

        (void)state;
        registry_start("127.0.0.1");
        descriptor_of(1);
        steer(1, 1, 0, 0);
        client = client_connect("127.0.0.1");
        supervisor.instances.list[0] = (struct instance){.is_used = true, .generation = 1};
        supervisor.instances.places = 1;
        instance_set(INSTANCE_READY, 1);
        listeners_settle(&supervisor);
        assert_false(supervisor.listeners.watch.is_set); /* nothing drains: no wake-up */
        steer(2, 1, 0, 0);
        instance_set(INSTANCE_EMPTYING, 1);
        listeners_settle(&supervisor);
        turn_until_said(100 * NS_PER_MS);
        assert_int_equal(supervisor.event_count, 0); /* one waits */
        assert_int_equal(accept_one(), 1);
        close(client);
        assert_true(turn_until_said(5 * NS_PER_S) >= settings.drain_quiet_ns);
        assert_int_equal(supervisor.event_count, 1);
        assert_int_equal(supervisor.events[0].kind, FLEET_EMPTY);
        assert_int_equal(supervisor.events[0].generation, 1);
        listeners_settle(&supervisor);
        assert_false(supervisor.listeners.watch.is_set);
        instance_set(INSTANCE_STOPPING, 1);
        listeners_settle(&supervisor);
        instance_set(INSTANCE_EMPTYING, 1); /* again: it is watched again */
        listeners_settle(&supervisor);
        assert_true(supervisor.listeners.watch.is_set);
        registry_end();
}

/* ---- a client at the other end of a wire, who takes his time ------------------------------------------- */

#define CLIENT_SEQUENCE 1000

/* A network of one other machine, 10.9.0.2, that these tests play. -1 where that cannot be had. */
static int wire_open(void) {
        struct ifreq request = {.ifr_name = "tacet0", .ifr_flags = IFF_TUN | IFF_NO_PI};
        struct sockaddr_in *address = (struct sockaddr_in *)&request.ifr_addr;
        int fd = has_own_network ? open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK) : -1, control;

        if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0)
                return -1;
        control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a090001)};
        assert_int_equal(ioctl(control, SIOCSIFADDR, &request), 0);
        address->sin_addr.s_addr = htonl(0xffffff00);
        assert_int_equal(ioctl(control, SIOCSIFNETMASK, &request), 0);
        request.ifr_flags = IFF_UP | IFF_RUNNING;
        assert_int_equal(ioctl(control, SIOCSIFFLAGS, &request), 0);
        close(control);
        return fd;
}

static uint32_t sum_of(const uint8_t *bytes, size_t length) {
        uint32_t sum = 0;

        for (size_t i = 0; i < length; i++)
                sum += (uint32_t)bytes[i] << (i % 2 ? 0 : 8);
        return sum;
}

static void put_sum(uint8_t *at, uint32_t sum) {
        while (sum >> 16)
                sum = (sum & 0xffff) + (sum >> 16);
        at[0] = (uint8_t)(~sum >> 8);
        at[1] = (uint8_t)~sum;
}

static void put32(uint8_t *at, uint32_t value) {
        for (int i = 0; i < 4; i++)
                at[i] = (uint8_t)(value >> (24 - 8 * i));
}

enum { FLAG_SYN = 2, FLAG_ACK = 16 };
static uint32_t client_address = 0x0a090002;

/* One tcp segment without data; `words` of an IPv4 header, more than 5 with options that do nothing. */
static void segment_send(int wire, size_t words, uint16_t source_port, uint8_t flags, uint32_t acknowledged) {
        uint8_t packet[80] = {0}, *tcp = packet + 4 * words;
        uint16_t port = socket_address_port(&web()->address);

        packet[0] = (uint8_t)(0x40 | words);
        packet[3] = (uint8_t)(4 * words + 20);
        packet[8] = 64;
        packet[9] = IPPROTO_TCP;
        put32(packet + 12, client_address);
        put32(packet + 16, 0x0a090001);
        memset(packet + 20, 1, 4 * words - 20);
        put_sum(packet + 10, sum_of(packet, 4 * words));
        put32(tcp, (uint32_t)source_port << 16 | port);
        put32(tcp + 4, CLIENT_SEQUENCE + (flags & FLAG_ACK ? 1 : 0));
        put32(tcp + 8, acknowledged);
        put32(tcp + 12, 5U << 28 | (uint32_t)flags << 16 | 65535);
        put_sum(tcp + 16, sum_of(packet + 12, 8) + IPPROTO_TCP + 20 + sum_of(tcp, 20));
        assert_int_equal(write(wire, packet, 4 * words + 20), 4 * words + 20);
}

/* The number to be acknowledged, out of the answer to a SYN. */
static uint32_t answer_await(int wire, uint16_t source_port) {
        struct pollfd poll_fd = {.fd = wire, .events = POLLIN};
        uint8_t packet[1500];

        while (poll(&poll_fd, 1, ANSWER_MS) == 1) {
                ssize_t length = read(wire, packet, sizeof packet);
                const uint8_t *tcp = packet + (packet[0] & 15) * 4;

                if (length >= 40 && packet[0] >> 4 == 4 && packet[9] == IPPROTO_TCP &&
                        (tcp[2] << 8 | tcp[3]) == source_port && tcp[13] == (FLAG_SYN | FLAG_ACK))
                        return ((uint32_t)tcp[4] << 24 | (uint32_t)tcp[5] << 16 | (uint32_t)tcp[6] << 8 |
                                       tcp[7]) +
                               1;
        }
        fail_msg("no answer to a SYN");
        return 0;
}

static void test_a_handshake_that_began_before_the_switch_is_waited_for(void **state) {
        int wire = wire_open();
        uint32_t acknowledged;

        (void)state;
        if (wire < 0)
                skip();
        registry_start("*");
        descriptor_of(1);
        steer(1, 1, 0, 0);
        supervisor.instances.list[0] = (struct instance){.is_used = true, .generation = 1};
        supervisor.instances.places = 1;
        segment_send(wire, 5, 40001, FLAG_SYN, 0);
        acknowledged = answer_await(wire, 40001);
        steer(2, 1, 0, 0);
        instance_set(INSTANCE_EMPTYING, 1);
        listeners_settle(&supervisor);
        turn_until_said(200 * NS_PER_MS); /* ten times drain_quiet */
        assert_int_equal(supervisor.event_count, 0);
        segment_send(wire, 5, 40001, FLAG_ACK, acknowledged);
        turn_until_said(10 * NS_PER_MS);
        assert_int_equal(supervisor.event_count, 0);
        assert_int_equal(accept_one(), 1);
        turn_until_said(5 * NS_PER_S);
        assert_int_equal(supervisor.event_count, 1);
        assert_int_equal(supervisor.events[0].kind, FLEET_EMPTY);
        registry_end();
        close(wire);
}

/* Its SYN is answered a second time after a second: then it does not count any more. */
static void test_a_client_that_does_not_answer_is_not_waited_for(void **state) {
        int wire = wire_open();

        (void)state;
        if (wire < 0)
                skip();
        registry_start("0.0.0.0");
        descriptor_of(1);
        steer(1, 1, 0, 0);
        supervisor.instances.list[0] = (struct instance){.is_used = true, .generation = 1};
        supervisor.instances.places = 1;
        segment_send(wire, 5, 40002, FLAG_SYN, 0);
        answer_await(wire, 40002);
        steer(2, 1, 0, 0);
        instance_set(INSTANCE_EMPTYING, 1);
        listeners_settle(&supervisor);
        assert_true(turn_until_said(20 * NS_PER_S) > 500 * NS_PER_MS);
        assert_int_equal(supervisor.event_count, 1);
        registry_end();
        close(wire);
}

/* From another machine the port of a probe is any port; options in the header change nothing. */
static void test_a_stranger_on_the_port_of_the_probe_is_a_client(void **state) {
        int wire = wire_open();

        (void)state;
        if (wire < 0)
                skip();
        registry_start("*");
        descriptor_of(1);
        descriptor_of(2);
        steer(1, 1, 0, 0);
        assert_int_equal(probe_lands(2), 2);
        for (size_t words = 5; words <= 8; words++) {
                uint16_t port = listener_member_of(web(), 2)->probe_port;

                client_address++;
                segment_send(wire, words, port, FLAG_SYN, 0);
                segment_send(wire, words, port, FLAG_ACK, answer_await(wire, port));
                assert_int_equal(accept_one(), 1);
        }
        registry_end();
        close(wire);
}

static void test_the_socket_of_a_generation_that_nobody_runs_is_closed(void **state) {
        (void)state;
        registry_start("127.0.0.1");
        descriptor_of(1);
        descriptor_of(2);
        descriptor_of(3);
        steer(3, 1, 0, 0);
        supervisor.fleet.generations[0] = (struct fleet_generation){.is_used = true, .number = 3};
        supervisor.fleet.target = 0;
        supervisor.fleet.generations[1] = (struct fleet_generation){.is_used = true, .number = 2};
        supervisor.fleet.stable = 1;
        supervisor.instances.list[0] = (struct instance){.is_used = true, .generation = 1};
        supervisor.instances.places = 1;
        listeners_settle(&supervisor);
        assert_int_equal(web()->member_count, 3); /* it runs; the stable one and the target may come again */
        supervisor.instances.list[0].is_used = false;
        listeners_settle(&supervisor);
        assert_int_equal(web()->member_count, 2);
        supervisor.fleet.stable = 0;
        listeners_settle(&supervisor);
        assert_int_equal(web()->member_count, 1);
        assert_all_land("127.0.0.1", 5, 3);
        registry_end();
}

/* ---- adopted ------------------------------------------------------------------------------------------- */

static void test_an_app_that_binds_gets_the_socket_of_its_generation(void **state) {
        const struct listener_options options = LISTENER_OPTIONS_DEFAULT;
        struct socket_address address;
        struct error error = {0};
        int declared_fd, first, again, second;

        (void)state;
        registry_start("127.0.0.1");
        declared_fd = descriptor_of(1);
        address = web()->address;
        assert_int_equal(listeners_adopt(&supervisor, 1, &address, &options, &first, &error), 0);
        assert_int_equal(first, declared_fd);
        listeners_close(&supervisor);
        settings.listener_count = 0;
        assert_false(listeners_are_steered(&supervisor));
        settings.adopt_count = 1;
        assert_true(listeners_are_steered(&supervisor)); /* it may come */
        assert_int_equal(listeners_adopt(&supervisor, 1, &address, &options, &first, &error), 0);
        assert_true(listeners_are_steered(&supervisor));
        assert_int_equal(listeners_adopt(&supervisor, 1, &address, &options, &again, &error), 0);
        assert_int_equal(again, first);
        assert_int_equal(listeners_adopt(&supervisor, 2, &address, &options, &second, &error), 0);
        assert_int_not_equal(second, first);
        assert_int_equal(client_lands("127.0.0.1"), 1);
        steer(2, 1, 0, 0);
        assert_int_equal(client_lands("127.0.0.1"), 2);
        registry_end();
}

/* Nobody has the addresses for documentation. */
static void check_free_bind(const char *host) {
        struct error error = {0};

        registry_begin();
        declare_free(host);
        assert_int_equal(listeners_open(&supervisor, &error), -1);
        assert_int_equal(error.code, EADDRNOTAVAIL);
        assert_non_null(strstr(error.hint, "free_bind"));
        registry_end();

        registry_begin();
        declare_free(host)->is_free = true;
        registry_open();
        assert_int_not_equal(descriptor_of(1), descriptor_of(2));
        assert_true(listener_is_listening(web()->members[1].fd));
        registry_end();
}

static void test_an_address_that_is_not_there_yet_can_be_bound_freely(void **state) {
        (void)state;
        check_free_bind("192.0.2.1");
        check_free_bind("[2001:db8::1]");
}

/* ---- strangers ----------------------------------------------------------------------------------------- */

/* Somebody of our user, on our address. */
static int stranger_open(const char *text) {
        struct socket_address address = {0};
        struct error error = {0};
        const int on = 1;
        int fd;

        assert_int_equal(socket_address_parse(text, &address, &error), 0);
        fd = socket(address.generic.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on), 0);
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
        if (bind(fd, &address.generic, address.length) < 0)
                fail_msg("bind %s: %s", text, strerror(errno));
        assert_int_equal(listen(fd, 1), 0);
        return fd;
}

static void check_stranger(const char *host) {
        char text[64];
        int fd;

        registry_start(host);
        snprintf(text, sizeof text, "%s:%u", strcmp(host, "*") == 0 ? "[::]" : host,
                socket_address_port(&web()->address));
        descriptor_of(1);
        steer(1, 1, 0, 0);
        descriptor_of(2);
        assert_int_equal(web()->stranger_count, 0);
        listeners_drop(&supervisor, 2);
        fd = stranger_open(text);
        steer(1, 1, 0, 0);
        assert_int_equal(web()->stranger_count, 0); /* harmless: the program never names it */
        descriptor_of(3);
        assert_int_equal(web()->stranger_count, 1);
        close(fd);
        steer(3, 1, 0, 0);
        assert_int_equal(web()->stranger_count, 0);
        registry_end();
}

static void test_a_stranger_in_the_group_is_noticed(void **state) {
        (void)state;
        check_stranger("127.0.0.1");
        check_stranger("[::1]");
        check_stranger("*");
}

/* Another address with the same port is another group. */
static void test_who_listens_beside_the_group_is_no_stranger(void **state) {
        char text[64];
        int fd;

        (void)state;
        registry_start("127.0.0.1");
        snprintf(text, sizeof text, "127.0.0.2:%u", socket_address_port(&web()->address));
        fd = stranger_open(text);
        descriptor_of(1);
        descriptor_of(2);
        steer(2, 1, 0, 0);
        assert_int_equal(web()->stranger_count, 0);
        close(fd);
        registry_end();
}

/* ---- kept by a service manager ------------------------------------------------------------------------- */

/* A tcp socket that listens, and another descriptor of it, as the manager has one. */
static int kept_open(bool is_reused, int *out_copy) {
        struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const int on = is_reused;

        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on), 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&in4, sizeof in4), 0);
        assert_int_equal(listen(fd, 16), 0);
        *out_copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        return fd;
}

static void registry_start_with_kept(struct kept_descriptor *kept, struct socket_address *rule) {
        registry_begin();
        assert_true(socket_address_of(kept->fd, rule));
        settings.adopts = rule;
        settings.adopt_count = 1;
        settings.kept = kept;
        settings.kept_count = 1;
        registry_open();
        listeners_kept_begin(&supervisor);
}

static void test_what_was_kept_is_for_the_app_that_binds_its_address(void **state) {
        struct listener_options options = LISTENER_OPTIONS_DEFAULT;
        struct kept_descriptor kept = {.name = "tacet-adopted.x"};
        struct socket_address address;
        struct listener_view view;
        struct error error;
        int copy, fd, client;

        (void)state;
        kept.fd = kept_open(true, &copy);
        registry_start_with_kept(&kept, &address);
        assert_true(listeners_has_kept(&supervisor, &address));
        client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(client, &address.generic, address.length), 0);
        assert_int_equal(listeners_adopt(&supervisor, 1, &address, &options, &fd, &error), 0);
        assert_int_equal(fd, kept.fd);
        assert_int_equal(listener_waiting(fd), 1);
        assert_false(listeners_has_kept(&supervisor, &address));
        assert_true(listeners_look(&supervisor, 0, &view));
        assert_true(view.kept_cookie != 0);
        steer(1, 1, 0, 0);
        assert_int_equal(accept_one(), 1);
        assert_int_equal(listeners_adopt(&supervisor, 2, &address, &options, &fd, &error), 0);
        steer(2, 1, 0, 0);
        assert_all_land("127.0.0.1", 20, 2);
        listeners_drop(&supervisor, 1); /* although the manager has a copy of it */
        assert_int_equal(web()->member_count, 1);
        assert_all_land("127.0.0.1", 20, 2);
        close(client);
        close(copy);
        registry_end();
}

static void test_what_was_kept_and_cannot_be_joined_is_replaced(void **state) {
        struct listener_options options = LISTENER_OPTIONS_DEFAULT;
        struct kept_descriptor kept = {.name = "tacet-adopted.x"};
        struct socket_address address;
        struct error error;
        int copy, fd;

        (void)state;
        kept.fd = kept_open(false, &copy);
        registry_start_with_kept(&kept, &address);
        if (listeners_adopt(&supervisor, 1, &address, &options, &fd, &error) < 0)
                fail_msg("%s", error.text);
        assert_null(web()->why_shared);
        assert_true(supervisor.listeners.kept[0].is_unwanted);
        assert_false(listener_is_listening(copy));
        steer(1, 1, 0, 0);
        assert_all_land("127.0.0.1", 5, 1);
        close(copy);
        registry_end();
}

static void test_what_was_kept_yields_to_a_bind_that_nobody_answers(void **state) {
        struct kept_descriptor kept = {.name = "tacet-adopted.x"};
        struct socket_address address;
        int copy;

        (void)state;
        kept.fd = kept_open(true, &copy);
        registry_start_with_kept(&kept, &address);
        listeners_settle(&supervisor);
        assert_true(listeners_has_kept(&supervisor, &address)); /* nothing has proved itself yet */
        listeners_kept_yield(&supervisor, &address);
        assert_false(listeners_has_kept(&supervisor, &address));
        assert_false(listener_is_listening(copy));
        close(copy);
        registry_end();
}

static void test_an_address_in_use_is_the_apps_own_error(void **state) {
        const struct listener_options options = LISTENER_OPTIONS_DEFAULT;
        struct socket_address address;
        struct error error = {0};
        int fd, stranger;
        const int on = 1;

        (void)state;
        registry_start("127.0.0.1");
        address = web()->address;
        registry_end();
        registry_begin();
        stranger = socket(AF_INET, SOCK_STREAM, 0);
        /* Even one of ours that would share it. */
        setsockopt(stranger, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
        assert_int_equal(bind(stranger, &address.generic, address.length), 0);
        assert_int_equal(listen(stranger, 5), 0);
        assert_int_equal(listeners_adopt(&supervisor, 1, &address, &options, &fd, &error), -1);
        assert_int_equal(error.code, EADDRINUSE);
        assert_non_null(strstr(error.text, "127.0.0.1:"));
        assert_true(error.hint[0]);
        assert_int_equal(supervisor.listeners.count, 0);
        close(stranger);
        assert_int_equal(listeners_adopt(&supervisor, 1, &address, &options, &fd, &error), 0);
        registry_end();
}

/* ---- shared -------------------------------------------------------------------------------------------- */

static void assert_shared(const char *why) {
        struct error error = {0};
        struct listener_view view;
        int fd;

        assert_int_equal(descriptor_of(1), descriptor_of(2));
        assert_true(listeners_look(&supervisor, 0, &view));
        assert_non_null(view.why_shared);
        assert_non_null(strstr(view.why_shared, why));
        assert_false(listeners_look(&supervisor, 1, &view));
        assert_int_equal(listeners_probe(&supervisor, 1, NULL, &fd, &error), LISTENERS_SHARED);
        assert_false(listeners_are_steered(&supervisor));
        assert_false(listeners_can_probe(&settings, "web"));
        listeners_drop(&supervisor, 1);
        assert_true(fcntl(descriptor_of(2), F_GETFD) >= 0);
}

static void test_what_cannot_have_a_group_is_shared(void **state) {
        (void)state;
        registry_begin();
        declare_free("127.0.0.1")->is_shared = true;
        registry_open();
        assert_shared("configuration");
        assert_int_equal(client_lands("127.0.0.1"), 0);
        registry_end();

        registry_begin();
        settings.fleet.is_signalled = true;
        settings.fleet.replicas = 2;
        declare_free("127.0.0.1");
        registry_open();
        assert_shared("live on");
        registry_end();

        registry_begin();
        declare_free("udp:127.0.0.1");
        registry_open();
        assert_shared("stream");
        registry_end();

        registry_begin();
        declare("web", "@tacet-test-listeners");
        registry_open();
        assert_shared("unix");
        registry_end();
}

static void test_where_one_instance_runs_at_a_time_it_has_the_one_socket(void **state) {
        struct pollfd poll_fd = {.events = POLLOUT};
        struct error error = {0};
        const char *const hosts[] = {"127.0.0.1", "[::1]", "*"};

        (void)state;
        for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
                registry_begin();
                settings.fleet.surge_max = 0;
                declare_free(hosts[i]);
                assert_true(listeners_can_probe(&settings, "web"));
                registry_open();
                assert_int_equal(descriptor_of(1), descriptor_of(2));
                assert_false(listeners_are_steered(&supervisor));
                assert_int_equal(listeners_probe(&supervisor, 2, NULL, &poll_fd.fd, &error), 0);
                assert_int_equal(poll(&poll_fd, 1, ANSWER_MS), 1);
                accept_one();
                close(poll_fd.fd);
                settings.fleet.replicas = 2; /* then there are more */
                assert_false(listeners_are_single(&settings));
                registry_end();
        }
}

static int inherited_open(bool is_reused) {
        struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const int on = is_reused;

        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on), 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&in4, sizeof in4), 0);
        assert_int_equal(listen(fd, 64), 0);
        return fd;
}

static void declare_inherited(int fd) {
        struct listener_settings *listener = declare_free("127.0.0.1");

        listener->inherited_fd = fd;
        assert_true(socket_address_of(fd, &listener->address));
}

static void test_a_socket_given_without_reuse_is_shared(void **state) {
        (void)state;
        registry_begin();
        declare_inherited(inherited_open(false));
        registry_open();
        assert_shared("SO_REUSEPORT");
        assert_int_equal(client_lands("127.0.0.1"), 0);
        registry_end();
}

/* Whoever gave it keeps a copy: it never leaves the group, so it serves every second generation. */
static void test_a_socket_given_with_reuse_is_steered_and_never_closed(void **state) {
        int given = inherited_open(true), copy = dup(given);

        (void)state;
        registry_begin();
        declare_inherited(given);
        assert_true(listeners_can_probe(&settings, "web"));
        registry_open();
        assert_int_equal(descriptor_of(1), given);
        for (uint64_t generation = 2; generation < 8; generation++) {
                assert_int_equal(descriptor_of(generation) == given, generation % 2);
                assert_int_equal(probe_lands(generation), generation);
                steer(generation, 1, 0, 0);
                listeners_drop(&supervisor, generation - 1);
                assert_all_land("127.0.0.1", 10, generation);
        }
        assert_true(listener_is_listening(copy));
        registry_end();
        close(copy);
}

/* ---- unix sockets -------------------------------------------------------------------------------------- */

static char folder[64];

static struct listener_settings *declare_local(const char *prefix) {
        static char address[128];

        snprintf(address, sizeof address, "%s%s/s", prefix, folder);
        return declare("web", address);
}

static void test_a_unix_socket_has_its_mode_and_goes_with_us(void **state) {
        struct listener_settings *listener;
        struct stat status;
        char path[96];

        (void)state;
        snprintf(path, sizeof path, "%s/s", folder);
        for (int round = 0; round < 2; round++) {
                registry_begin();
                listener = declare_local(round ? "unix-dgram:" : "");
                listener->has_mode = true;
                listener->mode = 0620;
                registry_open();
                assert_int_equal(stat(path, &status), 0);
                assert_int_equal(status.st_mode & 07777, 0620);
                registry_end();
                assert_int_equal(stat(path, &status), -1);
        }
}

static void test_a_unix_socket_that_nobody_has_is_replaced(void **state) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        struct error error = {0};
        struct stat status;
        int stranger = socket(AF_UNIX, SOCK_STREAM, 0);

        (void)state;
        snprintf(address.sun_path, sizeof address.sun_path, "%s/s", folder);
        assert_int_equal(bind(stranger, (struct sockaddr *)&address, sizeof address), 0);
        assert_int_equal(listen(stranger, 1), 0);
        registry_begin();
        declare_local("");
        assert_int_equal(listeners_open(&supervisor, &error), -1);
        assert_int_equal(error.code, EADDRINUSE);
        registry_end();
        close(stranger);
        registry_begin();
        declare_local("");
        registry_open();
        /* Somebody has taken our place: that file is not ours to remove. */
        unlink(address.sun_path);
        stranger = socket(AF_UNIX, SOCK_STREAM, 0);
        assert_int_equal(bind(stranger, (struct sockaddr *)&address, sizeof address), 0);
        registry_end();
        assert_int_equal(stat(address.sun_path, &status), 0);
        close(stranger);
        unlink(address.sun_path);
}

static void test_a_file_that_is_no_socket_is_left_alone(void **state) {
        struct error error = {0};
        char path[96];
        struct stat status;

        (void)state;
        snprintf(path, sizeof path, "%s/s", folder);
        close(creat(path, 0600));
        registry_begin();
        declare_local("");
        assert_int_equal(listeners_open(&supervisor, &error), -1);
        assert_non_null(strstr(error.text, path));
        registry_end();
        assert_int_equal(stat(path, &status), 0);
        unlink(path);
}

/* ---- a network of our own ------------------------------------------------------------------------------ */

/* Ports are nobody else's there. Without the right to make one the tests share the machine's loopback. */
static void network_make(void) {
        struct ifreq request = {.ifr_name = "lo"};
        int fd;

        if (unshare(CLONE_NEWNET) < 0)
                return;
        has_own_network = true;
        fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        request.ifr_flags = IFF_UP | IFF_RUNNING;
        (void)ioctl(fd, SIOCSIFFLAGS, &request);
        close(fd);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_clients_go_by_the_shares_and_probes_to_whom_they_ask_for),
                cmocka_unit_test(test_the_same_holds_without_any_right),
                cmocka_unit_test(test_a_canary_gets_about_its_share),
                cmocka_unit_test(test_who_closes_moves_nobody_else),
                cmocka_unit_test(test_rotations_leave_nothing_behind),
                cmocka_unit_test(test_a_generation_without_a_socket_gets_one_when_it_is_steered_to),
                cmocka_unit_test(test_the_next_generation_gets_the_queue_of_one_that_died),
                cmocka_unit_test(test_every_probe_comes_from_a_port_of_its_own),
                cmocka_unit_test(test_a_probe_follows_another_at_once_whoever_closes_first),
                cmocka_unit_test(test_a_probe_waits_until_that_of_another_replica_stands),
                cmocka_unit_test(test_no_connection_is_lost_while_generations_come_and_go),
                cmocka_unit_test(test_a_probe_that_nobody_took_is_no_client_to_keep_a_socket_for),
                cmocka_unit_test(test_a_queue_is_counted_and_survives_its_generation),
                cmocka_unit_test(test_a_kernel_that_moves_queues_is_let_do_it),
                cmocka_unit_test(test_what_is_kept_for_later_is_bounded),
                cmocka_unit_test(test_a_socket_that_the_app_shut_down_leaves_its_place),
                cmocka_unit_test(test_an_empty_queue_is_said_when_it_was_quiet_long_enough),
                cmocka_unit_test(test_a_handshake_that_began_before_the_switch_is_waited_for),
                cmocka_unit_test(test_a_client_that_does_not_answer_is_not_waited_for),
                cmocka_unit_test(test_a_stranger_on_the_port_of_the_probe_is_a_client),
                cmocka_unit_test(test_the_socket_of_a_generation_that_nobody_runs_is_closed),
                cmocka_unit_test(test_an_app_that_binds_gets_the_socket_of_its_generation),
                cmocka_unit_test(test_an_address_that_is_not_there_yet_can_be_bound_freely),
                cmocka_unit_test(test_a_stranger_in_the_group_is_noticed),
                cmocka_unit_test(test_who_listens_beside_the_group_is_no_stranger),
                cmocka_unit_test(test_what_was_kept_is_for_the_app_that_binds_its_address),
                cmocka_unit_test(test_what_was_kept_and_cannot_be_joined_is_replaced),
                cmocka_unit_test(test_what_was_kept_yields_to_a_bind_that_nobody_answers),
                cmocka_unit_test(test_an_address_in_use_is_the_apps_own_error),
                cmocka_unit_test(test_what_cannot_have_a_group_is_shared),
                cmocka_unit_test(test_where_one_instance_runs_at_a_time_it_has_the_one_socket),
                cmocka_unit_test(test_a_socket_given_without_reuse_is_shared),
                cmocka_unit_test(test_a_socket_given_with_reuse_is_steered_and_never_closed),
                cmocka_unit_test(test_a_unix_socket_has_its_mode_and_goes_with_us),
                cmocka_unit_test(test_a_unix_socket_that_nobody_has_is_replaced),
                cmocka_unit_test(test_a_file_that_is_no_socket_is_left_alone),
        };
        int failed;

        log_setup(LOG_FORMAT_PLAIN, LOG_ERROR, "test");
        snprintf(folder, sizeof folder, "/tmp/tacet-listeners-XXXXXX");
        if (!mkdtemp(folder))
                return 1;
        network_make();
        failed = cmocka_run_group_tests_name("listeners", tests, NULL, NULL);
        (void)rmdir(folder);
        return failed;
}
