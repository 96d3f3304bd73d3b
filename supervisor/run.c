/* The supervisor's main: set up, then turn the loop until the core says EXIT, then end what is left.
 *
 * Runs as PID 1 or as a wrapper, with whatever rights tacet was given. It parses nothing that comes from
 * outside: sources and keys are the loader's, the environment is the shim's. Facts are queued as events,
 * fleet_step() decides, the actions are performed here; no action waits for anything. */

#include "supervisor/supervisor.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/bytes.h"
#include "lib/duration.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "supervisor/control/server.h"
#include "supervisor/gate/check.h"
#include "supervisor/state.h"
#include "supervisor/generations/watch.h"

/* One supervisor per process: static, because its size is known and PID 1 should not depend on malloc. */
static struct supervisor the_supervisor;

#define DESCRIPTORS_LOOKED_AT 4096 /* without /proc */
#define DESCRIPTORS_BYTES     1024 /* of their list that is read at once */

static void close_if_inherited(int fd) {
        int flags = fcntl(fd, F_GETFD);

        if (flags >= 0 && !(flags & FD_CLOEXEC))
                (void)close(fd);
}

/* getdents64(2); its type has no declaration outside the kernel. */
struct directory_entry {
        uint64_t inode;
        int64_t offset;
        uint16_t length;
        uint8_t type;
        char name[];
};

/* Returns false when the rest cannot be listed. */
static bool descriptors_look(int directory) {
        _Alignas(struct directory_entry) char entries[DESCRIPTORS_BYTES];
        long got;
        uint64_t fd;

        while ((got = syscall(SYS_getdents64, directory, entries, sizeof entries)) > 0)
                for (long at = 0; at < got;) {
                        const struct directory_entry *entry = (const void *)(entries + at);

                        if (text_to_u64(entry->name, &fd) && fd >= 3 && fd <= INT32_MAX)
                                close_if_inherited((int)fd);
                        at += entry->length;
                }
        return got == 0;
}

/* Close every descriptor from 3 on that the caller left open: the app has it, and a copy here would keep its
 * pipe or port open for ever. Inherited ones have no close-on-exec flag; all of our own have it, or got it
 * when they were taken over (keys, sockets). Not opendir(3): nothing else in a plain init needs a heap. */
static void inherited_descriptors_close(void) {
        CLEANUP_FD int directory = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (directory >= 0 && descriptors_look(directory))
                return;
        for (int number = 3; number < DESCRIPTORS_LOOKED_AT; number++)
                close_if_inherited(number);
}

extern const char __executable_start[], etext[]; /* ld(1) */

/* Most of the program (options, configuration, look-ups) is not needed any more. Its pages are the file's:
 * releasing them costs only a minor fault where one is needed again. */
static void startup_pages_release(void) {
        uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), start = (uintptr_t)__executable_start,
                  end = (uintptr_t)etext;

        if (page && end > start)
                (void)madvise((void *)(start & ~(page - 1)), end - start,
                        MADV_DONTNEED); // NOLINT: an address of ld's
}

/* A plain init starts no other app, so it also leaves the caller's directory, which may be on a file system
 * that is to be unmounted. */
static void after_first_start(const struct supervisor *supervisor) {
        inherited_descriptors_close();
        startup_pages_release();
        if (!supervisor->settings->keeps_directory)
                (void)!chdir("/");
}

/* Descriptors of the service manager are for every start of the app, not only for the first: made
 * close-on-exec like our own; the shim takes that flag off. */
static void listen_descriptors_keep(const struct supervisor_settings *settings) {
        for (unsigned n = 0; settings->keeps_directory && n < settings->launch.listen_count; n++)
                (void)fcntl(3 + (int)n, F_SETFD, FD_CLOEXEC);
}

/* As the settings want them; what the kernel makes of that is seen at the start. */
static struct socket_rules rules_of(const struct supervisor_settings *settings) {
        return (struct socket_rules){.fleet = &settings->fleet,
                .adopts = settings->sockets.adopts,
                .adopt_count = settings->sockets.adopt_count,
                .refuses_connects = settings->sockets.refuses_connects};
}

static struct gate_subject gate_subject_of(
        const struct supervisor_settings *settings, const struct socket_rules *rules) {
        return (struct gate_subject){.readiness = &settings->readiness,
                .health = &settings->health,
                .sockets = &settings->sockets,
                .rules = rules};
}

int supervisor_check(const struct supervisor_settings *settings, bool knows_sockets, struct error *error) {
        const struct socket_rules rules = rules_of(settings);
        const struct gate_subject subject = gate_subject_of(settings, &rules);

        return gate_check(&subject, knows_sockets, error);
}

/* What there is of descriptors and tables before anything is opened. */
static int ground_open(struct supervisor *supervisor, struct error *error) {
        const struct supervisor_settings *settings = supervisor->settings;

        listen_descriptors_keep(settings);
        /* With SIGCHLD ignored, the kernel would reap children itself (wait(2)); the app gets the caller's
         * choice. */
        (void)signal(SIGCHLD, SIG_DFL);
        if (settings->is_subreaper && getpid() != 1 && prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
                log_write(LOG_WARNING, "cannot adopt orphans (PR_SET_CHILD_SUBREAPER): %s", strerror(errno));
        if (loop_init(&supervisor->loop, error) < 0)
                return -1;
        supervisor->signals = (struct loop_source){
                .fd = signals_open(SIGNAL_MASK_ALL), .on_readable = signals_on_readable, .owner = supervisor};
        if (supervisor->signals.fd < 0)
                return error_set(error, errno, "read signals from a descriptor (signalfd)");
        return loop_add(&supervisor->loop, &supervisor->signals, error);
}

static void launcher_room_open(struct supervisor *supervisor) {
        const struct supervisor_settings *settings = supervisor->settings;
        const struct launcher_rooms rooms = {.loop = &supervisor->loop,
                .facts = &supervisor->facts,
                .children = &supervisor->children,
                .instances = &supervisor->instances,
                .terminal = &supervisor->terminal,
                .trees = &supervisor->trees,
                .listeners = &supervisor->listeners,
                .rules = &supervisor->rules,
                .adopt = &supervisor->adopt,
                .notify = &supervisor->notify,
                .gate = &supervisor->gate,
                .generations = &supervisor->generations};
        const struct launcher_settings launcher = {.launch = &settings->launch,
                .has_replicas = settings->fleet.replicas > 1,
                .has_generations = settings->load != NULL,
                .signals_group = settings->signals_group,
                .stop_signal = settings->stop_signal,
                .drain_signal = settings->drain_signal,
                .reload_signal = settings->reload_signal,
                .minds_background = settings->minds_background,
                .is_daemon = settings->foreground != NULL,
                .passed = settings->passed,
                .passed_count = settings->passed_count};

        launcher_open(&supervisor->launcher, &rooms, &launcher);
}

/* Nothing that has to be prepared, opened or asked stands between a plain init and the start of its app. */
static bool is_plain(const struct supervisor_settings *settings) {
        return settings->launch.suspends_parent && !settings->load && !settings->control_path &&
               !settings->kills_tree && settings->fleet.replicas <= 1 &&
               settings->sockets.declared_count == 0 && settings->sockets.adopt_count == 0 &&
               settings->sockets.kept_count == 0 && settings->passed_count == 0 &&
               settings->notify.access == NOTIFY_ACCESS_NONE && settings->health.probe.kind == PROBE_NONE &&
               !settings->health.has_socket && settings->readiness.ready <= READINESS_EXEC;
}

/* What takes its time elsewhere begins first, and the rest is set up beside it: the loader that decrypts, or
 * the execve(2) of a plain init's app. */
static void start_early(struct supervisor *supervisor) {
        const struct supervisor_settings *settings = supervisor->settings;

        generations_load_early(&supervisor->generations);
        terminal_open(&supervisor->terminal);
        launcher_room_open(supervisor);
        if (is_plain(settings))
                launcher_start_early(&supervisor->launcher);
}

static int process_rooms_open(struct supervisor *supervisor, struct error *error) {
        const struct supervisor_settings *settings = supervisor->settings;
        const struct tree_rooms tree_rooms = {.loop = &supervisor->loop,
                .facts = &supervisor->facts,
                .children = &supervisor->children,
                .instances = &supervisor->instances,
                .fleet = &supervisor->fleet};
        const struct tree_settings tree = {.kills = settings->kills_tree,
                .ends_leftovers = settings->ends_leftovers,
                .has_groups = settings->launch.session != LAUNCH_SAME_GROUP,
                .has_replicas = settings->fleet.replicas > 1,
                .remaining_timeout_ns = settings->remaining_timeout_ns};
        const struct notify_rooms notify = {.loop = &supervisor->loop,
                .facts = &supervisor->facts,
                .instances = &supervisor->instances,
                .errands = &supervisor->errands};

        supervisor->children.is_chatty = settings->reports_reaped;
        errands_open(&supervisor->errands, &supervisor->loop, &supervisor->children);
        if (notify_listen(&supervisor->notify, &notify, &settings->notify, error) < 0)
                return -1;
        trees_open(&supervisor->trees, &tree_rooms, &tree);
        return 0;
}

static int socket_rooms_open(struct supervisor *supervisor, struct error *error) {
        const struct supervisor_settings *settings = supervisor->settings;
        const struct listeners_rooms listeners = {.loop = &supervisor->loop,
                .facts = &supervisor->facts,
                .instances = &supervisor->instances,
                .fleet = &supervisor->fleet,
                .rules = &supervisor->rules,
                .errands = &supervisor->errands};
        const struct adopt_rooms adopt = {.loop = &supervisor->loop,
                .errands = &supervisor->errands,
                .instances = &supervisor->instances,
                .listeners = &supervisor->listeners,
                .rules = &supervisor->rules};

        supervisor->rules = rules_of(settings);
        adopt_open(&supervisor->adopt, &adopt);
        return listeners_open(&supervisor->listeners, &listeners, &settings->sockets, error);
}

static int control_room_open(struct supervisor *supervisor, struct error *error) {
        const struct control_rooms rooms = {.loop = &supervisor->loop,
                .facts = &supervisor->facts,
                .fleet = &supervisor->fleet,
                .instances = &supervisor->instances,
                .trees = &supervisor->trees,
                .notify = &supervisor->notify,
                .listeners = &supervisor->listeners,
                .rules = &supervisor->rules,
                .generations = &supervisor->generations};

        return control_open(&rooms, supervisor->settings->control_path, error);
}

/* What the kernel lets us have decides how the fleet goes about it. */
static void fleet_open(struct supervisor *supervisor) {
        struct fleet_settings *fleet = &supervisor->fleet_settings;

        *fleet = supervisor->settings->fleet;
        fleet->is_daemon = supervisor->settings->foreground != NULL;
        adopt_try(&supervisor->rules, fleet);
        listeners_kept_begin(&supervisor->listeners);
        fleet->is_steered = listeners_are_steered(&supervisor->listeners);
        if (fleet->canary_percent && !fleet->is_steered)
                log_write(LOG_WARNING,
                        "canary has no effect: there is no tcp socket of which tacet could give a share");
        fleet_init(&supervisor->fleet, fleet);
}

static void gate_rooms_open(struct supervisor *supervisor) {
        const struct supervisor_settings *settings = supervisor->settings;
        const struct health_rooms health = {.loop = &supervisor->loop,
                .facts = &supervisor->facts,
                .children = &supervisor->children,
                .instances = &supervisor->instances,
                .listeners = &supervisor->listeners,
                .rules = &supervisor->rules,
                .launch = &settings->launch};
        const struct readiness_rooms gate = {.loop = &supervisor->loop,
                .facts = &supervisor->facts,
                .instances = &supervisor->instances,
                .notify = &supervisor->notify,
                .health = &supervisor->health,
                .adopt = &supervisor->adopt};
        const struct gate_subject subject = gate_subject_of(settings, &supervisor->rules);

        health_open(&supervisor->health, &health, &settings->health, settings->fleet.ready_timeout_ns);
        readiness_open(&supervisor->gate, &gate, &settings->readiness,
                listeners_can_probe(&settings->sockets, &supervisor->rules, NULL),
                settings->fleet.ready_timeout_ns);
        gate_advise(&subject);
}

static void manager_room_open(struct supervisor *supervisor) {
        const struct supervisor_settings *settings = supervisor->settings;
        const struct manager_rooms rooms = {.loop = &supervisor->loop,
                .fleet = &supervisor->fleet,
                .instances = &supervisor->instances,
                .listeners = &supervisor->listeners,
                .notify = &supervisor->notify};
        const struct manager_service service = {.sockets = &settings->sockets,
                .has_generations = settings->load != NULL,
                .remaining_timeout_ns = settings->remaining_timeout_ns};

        manager_open(&supervisor->manager, &rooms, &settings->manager, &service);
}

/* Field by field: the_supervisor is zero already, and writing all of it would make pages resident that are
 * never used. */
static int set_up(struct supervisor *supervisor, struct error *error) {
        supervisor->loop.epoll_fd = -1;
        supervisor->terminal.fd = -1;
        generations_open(&supervisor->generations, &supervisor->loop, &supervisor->facts,
                &supervisor->children, supervisor->settings->load);
        if (ground_open(supervisor, error) < 0)
                return -1;
        start_early(supervisor);
        if (process_rooms_open(supervisor, error) < 0 || control_room_open(supervisor, error) < 0)
                return -1;
        if (socket_rooms_open(supervisor, error) < 0) {
                control_close();
                return -1;
        }
        fleet_open(supervisor);
        gate_rooms_open(supervisor);
        manager_room_open(supervisor);
        watch_open(&supervisor->loop, &supervisor->facts, supervisor->settings->load,
                supervisor->settings->watch_delay_ns);
        return 0;
}

/* Requests are served one by one, each when the core knows all that came before. */
static void requests_serve(struct supervisor *supervisor) {
        while (!supervisor->is_over && control_serve())
                facts_handle(supervisor);
}

static void turn(struct supervisor *supervisor) {
        int64_t deadline_ns = fleet_deadline(&supervisor->fleet);

        loop_wait(&supervisor->loop, supervisor->children.is_due ? 0 : deadline_ns);
        facts_handle(supervisor);
        children_reap(&supervisor->children);
        facts_handle(supervisor);
        if (!supervisor->is_over && time_now_ns() >= fleet_deadline(&supervisor->fleet)) {
                facts_push(&supervisor->facts, time_now_ns(), (struct fleet_event){.kind = FLEET_TICK});
                facts_handle(supervisor);
        }
        requests_serve(supervisor);
        listeners_settle(&supervisor->listeners);
}

int supervisor_run(const struct supervisor_settings *settings) {
        struct supervisor *supervisor = &the_supervisor;
        bool was_started = false;
        struct error error;

        supervisor->settings = settings;
        if (set_up(supervisor, &error) < 0) {
                generations_cancel(&supervisor->generations);
                log_error(LOG_ERROR, &error);
                return EXIT_STATUS_SUPERVISOR;
        }
        facts_push(&supervisor->facts, time_now_ns(),
                (struct fleet_event){.kind = FLEET_START, .has_generation = !settings->load});
        facts_handle(supervisor);
        manager_update(&supervisor->manager);
        while (!supervisor->is_over) {
                if (supervisor->launcher.has_started && !was_started) {
                        after_first_start(supervisor);
                        was_started = true;
                }
                turn(supervisor);
                manager_update(&supervisor->manager);
        }
        /* As long as the service lives in processes that the app has left, it can be asked about. */
        if (!settings->waits_for_all)
                control_close();
        manager_files_leave(&supervisor->manager);
        listeners_close(&supervisor->listeners);
        remaining_end(supervisor);
        trees_close(&supervisor->trees);
        manager_close(&supervisor->manager);
        return supervisor->exit_status;
}
