/* The table of every configuration key, and the look-ups in it.
 *
 * Pure: no memory is allocated, nothing is opened. Everything that must agree about a key (parser,
 * options, help, manual, examples) reads these rows, and tests/lint compares what is written by hand with
 * them. To add a key: a member in config.h, a row here, a paragraph in tacet.conf(5); docs/DEVELOPING.md
 * walks through it. */

#include "conf/schema.h"
#include "conf/scheme.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "lib/bytes.h"
#include "lib/duration.h"
#include "lib/log.h"

#define FILE_RUN      (SCHEMA_IN_FILE | SCHEMA_ON_RUN)
#define FILE_RUN_EXEC (SCHEMA_IN_FILE | SCHEMA_ON_RUN | SCHEMA_ON_EXEC)

static const struct schema_word conflict_words[] = {
        {"replace", CONFIG_CONFLICT_REPLACE, NULL},
        {"keep", CONFIG_CONFLICT_KEEP, NULL},
        {"refuse", CONFIG_CONFLICT_REFUSE, NULL},
        {0},
};
static const struct schema_word terminal_words[] = {
        {"auto", CONFIG_TERMINAL_AUTO, NULL},
        {"no", CONFIG_TERMINAL_NO, NULL},
        {0},
};
static const struct schema_word session_words[] = {
        {"group", CONFIG_SESSION_GROUP, NULL},
        {"session", CONFIG_SESSION_SESSION, NULL},
        {"none", CONFIG_SESSION_NONE, NULL},
        {0},
};
static const struct schema_word restart_words[] = {
        {"no", CONFIG_RESTART_NO, NULL},
        {"on-failure", CONFIG_RESTART_ON_FAILURE, NULL},
        {"always", CONFIG_RESTART_ALWAYS, NULL},
        {0},
};
static const struct schema_word connect_words[] = {
        {"allow", CONFIG_CONNECT_ALLOW, NULL},
        {"refuse", CONFIG_CONNECT_REFUSE, NULL},
        {0},
};
static const struct schema_word leftovers_words[] = {
        {"end", CONFIG_LEFTOVERS_END, NULL},
        {"keep", CONFIG_LEFTOVERS_KEEP, NULL},
        {0},
};
static const struct schema_word kill_words[] = {
        {"process", CONFIG_KILL_PROCESS, NULL},
        {"group", CONFIG_KILL_GROUP, NULL},
        {"tree", CONFIG_KILL_TREE, NULL},
        {0},
};
static const struct schema_word exit_words[] = {
        {"main", CONFIG_EXIT_MAIN, NULL},
        {"all", CONFIG_EXIT_ALL, NULL},
        {0},
};
static const struct schema_word strategy_words[] = {
        {"restart", CONFIG_STRATEGY_RESTART, NULL},
        {"handoff", CONFIG_STRATEGY_HANDOFF, NULL},
        {"signal", CONFIG_STRATEGY_SIGNAL, NULL},
        {0},
};
static const struct schema_word ready_words[] = {
        {"auto", CONFIG_READY_AUTO, NULL},
        {"exec", CONFIG_READY_EXEC, NULL},
        {"listen", CONFIG_READY_LISTEN, NULL},
        {"notify", CONFIG_READY_NOTIFY, NULL},
        {"fd", CONFIG_READY_FD, NULL},
        {"probe", CONFIG_READY_PROBE, NULL},
        {"delay", CONFIG_READY_DELAY, NULL},
        {0},
};
static const struct schema_word notify_words[] = {
        {"auto", CONFIG_NOTIFY_AUTO, NULL},
        {"main", CONFIG_NOTIFY_MAIN, NULL},
        {"all", CONFIG_NOTIFY_ALL, NULL},
        {"none", CONFIG_NOTIFY_NONE, NULL},
        {0},
};
static const struct schema_word forward_words[] = {
        {"none", CONFIG_NOTIFY_FORWARD_NONE, NULL},
        {"status", CONFIG_NOTIFY_FORWARD_STATUS, NULL},
        {0},
};
static const struct schema_word revert_words[] = {
        {"yes", CONFIG_REVERT_YES, NULL},
        {"no", CONFIG_REVERT_NO, NULL},
        {0},
};
/* The dialects of the format `dotenv`, and the formats. What they are stands in secrets/document, which the
 * configuration does not know; a unit test of that folder compares the two. */
static const struct schema_word dialect_words[] = {{.word = "tacet"}, {.word = "docker"}, {0}};
static const struct schema_word format_words[] = {{.word = "dotenv"}, {.word = "json"}, {0}};
static const struct schema_word memory_words[] = {
        {"prefer", CONFIG_SECRET_MEMORY_PREFER, NULL},
        {"require", CONFIG_SECRET_MEMORY_REQUIRE, NULL},
        {0},
};
static const struct schema_word ipv6_words[] = {
        {"auto", CONFIG_IPV6_ONLY_AUTO, NULL},
        {"yes", CONFIG_IPV6_ONLY_YES, NULL},
        {"no", CONFIG_IPV6_ONLY_NO, NULL},
        {0},
};
static const struct schema_word protocol_words[] = {
        {"systemd", CONFIG_PROTOCOL_SYSTEMD, NULL},
        {"server-starter", CONFIG_PROTOCOL_SERVER_STARTER, NULL},
        {"einhorn", CONFIG_PROTOCOL_EINHORN, NULL},
        {0},
};
static const struct schema_word level_words[] = {
        {"error", LOG_ERROR, NULL},
        {"warning", LOG_WARNING, NULL},
        {"notice", LOG_NOTICE, NULL},
        {"info", LOG_INFO, NULL},
        {"debug", LOG_DEBUG, NULL},
        {0},
};
static const struct schema_word log_format_words[] = {
        {"auto", LOG_FORMAT_AUTO, NULL},
        {"plain", LOG_FORMAT_PLAIN, NULL},
        {"journal", LOG_FORMAT_JOURNAL, NULL},
        {"json", LOG_FORMAT_JSON, NULL},
        {0},
};

static_assert(sizeof(struct config) <= UINT16_MAX, "offsets of rows are 16 bits");
static_assert(sizeof(enum config_restart) == sizeof(unsigned), "an enum member is written as unsigned int");

/* The rows are written by these, so that a row reads: type, key, place in the struct, default, where, option,
 * help. */
#define AT(member) offsetof(struct config, member)
#define ROW(section_, key_, type_, at_, default_, places_, option_, help_, ...)                              \
        {                                                                                                    \
                .section = (section_), .key = (key_), .type = (type_), .offset = (uint16_t)(at_),            \
                .default_text = (default_), .places = (places_), .option = (option_), .help = (help_),       \
                __VA_ARGS__                                                                                  \
        }
#define RANGE(low, high) .minimum = (low), .maximum = (high)
#define ANY_SIZE         RANGE(0, INT64_MAX)
#define LIMIT(name, resource, help_)                                                                         \
        ROW("sandbox", "limit_" name, SCHEMA_LIMIT, AT(sandbox.limits[resource]), NULL, FILE_RUN_EXEC,       \
                "limit-" name, help_, .words = NULL)
#define NO_MORE  .words = NULL
#define EXPANDED .is_expanded = true

/* clang-format off */
const struct schema_row schema_rows[] = {
        ROW("service", "command", SCHEMA_COMMAND, AT(service.command), NULL, SCHEMA_IN_FILE, NULL,
                "the program and its arguments, split into words; no shell, no variables", EXPANDED),
        ROW("service", "user", SCHEMA_TEXT, AT(service.user), NULL, FILE_RUN_EXEC, "user",
                "run the app as this user (name or number), or USER:GROUP", NO_MORE),
        ROW("service", "group", SCHEMA_TEXT, AT(service.group), NULL, FILE_RUN_EXEC, "group",
                "run the app with this group (name or number)", NO_MORE),
        ROW("service", "supplementary_groups", SCHEMA_WORDS, AT(service.supplementary_groups), NULL,
                FILE_RUN_EXEC, "supplementary-groups", "further groups of the app", NO_MORE),
        ROW("service", "directory", SCHEMA_PATH, AT(service.directory), NULL, FILE_RUN_EXEC, "directory",
                "working directory of the app", EXPANDED),
        ROW("service", "umask", SCHEMA_MODE, AT(service.umask), NULL, FILE_RUN_EXEC, "umask",
                "file mode mask of the app", NO_MORE),
        ROW("service", "clear_env", SCHEMA_BOOLEAN, AT(service.clear_env), "no", FILE_RUN_EXEC, "clear-env",
                "start the app with the secrets and `environment` only", NO_MORE),
        ROW("service", "pass_env", SCHEMA_NAMES, AT(service.pass_env), NULL, FILE_RUN_EXEC, "pass-env",
                "inherited variables that clear_env lets through: NAME or PREFIX*", NO_MORE),
        ROW("service", "environment", SCHEMA_SETTINGS, AT(service.environment), NULL, FILE_RUN_EXEC, "env",
                "settings of the app that are not secret: NAME=VALUE", EXPANDED),
        ROW("service", "on_conflict", SCHEMA_ENUM, AT(service.on_conflict), "replace", FILE_RUN_EXEC,
                "on-conflict", "when a secret is also an inherited variable", .words = conflict_words),
        ROW("service", "terminal", SCHEMA_ENUM, AT(service.terminal), "auto", FILE_RUN, "terminal",
                "hand the terminal to the app when tacet has it", .words = terminal_words),
        ROW("service", "session", SCHEMA_ENUM, AT(service.session), "group", FILE_RUN, "session",
                "an own process group, an own session, or neither for the app", .words = session_words),
        ROW("service", "restart", SCHEMA_ENUM, AT(service.restart), "no", FILE_RUN, "restart",
                "start the app again when it ended", .words = restart_words),
        ROW("service", "restart_delay", SCHEMA_DURATION, AT(service.restart_delay_ns), "100ms", FILE_RUN,
                "restart-delay", "first delay before a restart; it doubles each time",
                RANGE(NS_PER_MS, 3600 * NS_PER_S)),
        ROW("service", "restart_delay_max", SCHEMA_DURATION, AT(service.restart_delay_max_ns), "30s",
                FILE_RUN, "restart-delay-max", "longest delay before a restart",
                RANGE(NS_PER_MS, 86400 * NS_PER_S)),
        ROW("service", "restart_reset", SCHEMA_DURATION, AT(service.restart_reset_ns), "10s", FILE_RUN,
                "restart-reset", "time up after which delay and count start anew", RANGE(0, NS_FOREVER)),
        ROW("service", "restart_limit", SCHEMA_NUMBER, AT(service.restart_limit), "10", FILE_RUN,
                "restart-limit", "restarts in a row after which tacet gives up; 0: never", RANGE(0, 1000000)),
        ROW("service", "stop_signal", SCHEMA_SIGNAL, AT(service.stop_signal), "TERM", FILE_RUN, "stop-signal",
                "signal that asks the app to end", RANGE(1, 64)),
        ROW("service", "stop_timeout", SCHEMA_DURATION, AT(service.stop_timeout_ns), "30s", FILE_RUN,
                "stop-timeout", "time from stop_signal to KILL", RANGE(0, NS_FOREVER)),
        ROW("service", "drain_signal", SCHEMA_SIGNAL, AT(service.drain_signal), "none", FILE_RUN,
                "drain-signal", "signal that asks the app to finish its work, drain_time before stop_signal",
                RANGE(0, 64)),
        ROW("service", "drain_time", SCHEMA_DURATION, AT(service.drain_time_ns), "0s", FILE_RUN, "drain-time",
                "time the app has to finish its work before stop_signal", RANGE(0, 86400 * NS_PER_S)),
        ROW("service", "kill_mode", SCHEMA_ENUM, AT(service.kill_mode), "process", FILE_RUN, "kill-mode",
                "who gets signals, and who is killed in the end", .words = kill_words),
        ROW("service", "leftovers", SCHEMA_ENUM, AT(service.leftovers), "end", FILE_RUN, "leftovers",
                "what becomes of processes that outlive the app's main process", .words = leftovers_words),
        ROW("service", "exit_when", SCHEMA_ENUM, AT(service.exit_when), "main", FILE_RUN, "exit-when",
                "end with the app's main process, or when every descendant has ended", .words = exit_words),
        ROW("service", "remaining_timeout", SCHEMA_DURATION, AT(service.remaining_timeout_ns), "5s", FILE_RUN,
                "remaining-timeout", "time from TERM to KILL for what the app left behind",
                RANGE(0, NS_FOREVER)),
        ROW("service", "parent_death_signal", SCHEMA_SIGNAL, AT(service.parent_death_signal), "KILL",
                FILE_RUN, "parent-death-signal", "what the app gets when tacet itself is killed, or none",
                RANGE(0, 64)),
        ROW("service", "replicas", SCHEMA_NUMBER, AT(service.replicas), "1", FILE_RUN, "replicas",
                "instances of the app", RANGE(1, 32)),
        ROW("service", "notify_access", SCHEMA_ENUM, AT(service.notify_access), "auto", FILE_RUN,
                "notify-access", "whose sd_notify(3) messages count: the main process's or all of its tree's",
                .words = notify_words),
        ROW("service", "notify_forward", SCHEMA_ENUM, AT(service.notify_forward), "status", FILE_RUN,
                "notify-forward", "what of the app's sd_notify(3) messages the service manager above gets",
                .words = forward_words),
        ROW("service", "socket_protocols", SCHEMA_SET, AT(service.socket_protocols), "systemd", FILE_RUN,
                "socket-protocols", "how the app is told of its sockets", .words = protocol_words),
        ROW("service", "adopt", SCHEMA_WORDS, AT(service.adopt), NULL, FILE_RUN, "adopt",
                "addresses that the app binds itself and gets tacet's socket for, such as 8080",
                NO_MORE),
        ROW("service", "adopt_connect", SCHEMA_ENUM, AT(service.adopt_connect), "allow", FILE_RUN,
                "adopt-connect", "whether the app finds the old one at those addresses before it binds them",
                .words = connect_words),

        ROW("rollout", "strategy", SCHEMA_ENUM, AT(rollout.strategy), "restart", FILE_RUN, "strategy",
                "how the app moves to new secrets", .words = strategy_words),
        ROW("rollout", "max_surge", SCHEMA_PORTION, AT(rollout.max_surge), NULL, FILE_RUN, "max-surge",
                "instances beyond `replicas` during a rotation; a number, or a share of them", RANGE(0, 32)),
        ROW("rollout", "max_unavailable", SCHEMA_PORTION, AT(rollout.max_unavailable), NULL, FILE_RUN,
                "max-unavailable", "replicas that a rotation may take away at a time; a number, or a share",
                RANGE(0, 32)),
        ROW("rollout", "ready", SCHEMA_ENUM, AT(rollout.ready), "auto", FILE_RUN, "ready",
                "the sign that a new instance is ready", .words = ready_words),
        ROW("rollout", "ready_delay", SCHEMA_DURATION, AT(rollout.ready_delay_ns), "1s", FILE_RUN,
                "ready-delay", "with ready = delay: time a new instance must be up",
                RANGE(0, 86400 * NS_PER_S)),
        ROW("rollout", "ready_fd", SCHEMA_NUMBER, AT(rollout.ready_fd), NULL, FILE_RUN, "ready-fd",
                "with ready = fd: the number of the descriptor that takes the newline", RANGE(3, 65535)),
        ROW("rollout", "min_healthy", SCHEMA_DURATION, AT(rollout.min_healthy_ns), "1s", FILE_RUN,
                "min-healthy", "time a new instance must stay up before it counts",
                RANGE(0, 86400 * NS_PER_S)),
        ROW("rollout", "ready_timeout", SCHEMA_DURATION, AT(rollout.ready_timeout_ns), "60s", FILE_RUN,
                "ready-timeout", "time a new instance has to become ready", RANGE(NS_PER_MS, NS_FOREVER)),
        ROW("rollout", "failures", SCHEMA_NUMBER, AT(rollout.failures), "0", FILE_RUN, "failures",
                "failed new instances that a rotation may have before it goes back", RANGE(0, 1000)),
        ROW("rollout", "hold", SCHEMA_DURATION, AT(rollout.hold_ns), "0s", FILE_RUN, "hold",
                "time the old instance stands by after its successor has proved itself",
                RANGE(0, 86400 * NS_PER_S)),
        ROW("rollout", "queue_quiet", SCHEMA_DURATION, AT(rollout.queue_quiet_ns), "50ms", FILE_RUN,
                "queue-quiet", "time without a waiting connection before the old instance is stopped",
                RANGE(0, 3600 * NS_PER_S)),
        ROW("rollout", "queue_timeout", SCHEMA_DURATION, AT(rollout.queue_timeout_ns), "5s", FILE_RUN,
                "queue-timeout", "longest wait for the old instance to accept what waits",
                RANGE(0, 3600 * NS_PER_S)),
        ROW("rollout", "drain_timeout", SCHEMA_DURATION, AT(rollout.drain_timeout_ns), "10s", FILE_RUN,
                "drain-timeout", "longest wait for the requests that the old instance has taken; 0: none",
                RANGE(0, 86400 * NS_PER_S)),
        ROW("rollout", "drain_settle", SCHEMA_DURATION, AT(rollout.drain_settle_ns), "1s", FILE_RUN,
                "drain-settle", "time in which a connection that has moved may be busy all the same",
                RANGE(0, 60 * NS_PER_S)),
        ROW("rollout", "progress_timeout", SCHEMA_DURATION, AT(rollout.progress_timeout_ns), "infinity",
                FILE_RUN, "progress-timeout", "longest time of a whole rotation before it goes back",
                RANGE(NS_PER_MS, NS_FOREVER)),
        ROW("rollout", "watch_delay", SCHEMA_DURATION, AT(rollout.watch_delay_ns), "500ms", FILE_RUN,
                "watch-delay", "quiet time after a change of a watched file",
                RANGE(NS_PER_MS, 3600 * NS_PER_S)),
        ROW("rollout", "emergency_timeout", SCHEMA_DURATION, AT(rollout.emergency_timeout_ns), "2s", FILE_RUN,
                "emergency-timeout", "time from stop_signal to KILL in an emergency", RANGE(0, NS_FOREVER)),
        ROW("rollout", "revert", SCHEMA_ENUM, AT(rollout.revert), "yes", FILE_RUN, "revert",
                "go back when a rotation fails, or halt where it is", .words = revert_words),
        ROW("rollout", "keep_previous", SCHEMA_DURATION, AT(rollout.keep_previous_ns), "0s", FILE_RUN,
                "keep-previous", "time the former secrets are kept to go back to", RANGE(0, NS_FOREVER)),
        ROW("rollout", "canary", SCHEMA_PORTION, AT(rollout.canary), "0%", FILE_RUN, "canary",
                "share of new connections that the first new instance gets for canary_time", RANGE(0, 0)),
        ROW("rollout", "canary_time", SCHEMA_DURATION, AT(rollout.canary_time_ns), "30s", FILE_RUN,
                "canary-time", "time for which the canary has its share alone",
                RANGE(NS_PER_MS, 86400 * NS_PER_S)),
        ROW("rollout", "reload_signal", SCHEMA_SIGNAL, AT(rollout.reload_signal), "HUP", FILE_RUN,
                "reload-signal", "strategy = signal: tells the app to read its secrets again", RANGE(1, 64)),
        ROW("rollout", "rotate_signal", SCHEMA_SIGNAL, AT(rollout.rotate_signal), "HUP", FILE_RUN,
                "rotate-signal", "with a source: asks for a rotation; any other is forwarded", RANGE(0, 64)),

        ROW("health", "probe", SCHEMA_TEXT, AT(health.probe), NULL, FILE_RUN, "health",
                "what is asked: tcp:[NAME], http:[//NAME]/PATH or exec:COMMAND", NO_MORE),
        ROW("health", "socket", SCHEMA_BOOLEAN, AT(health.socket), "no", FILE_RUN, "health-socket",
                "give every instance a socket of its own for the probe, named health", NO_MORE),
        ROW("health", "interval", SCHEMA_DURATION, AT(health.interval_ns), "5s", FILE_RUN, "health-interval",
                "time between two probes of a ready instance", RANGE(10 * NS_PER_MS, 86400 * NS_PER_S)),
        ROW("health", "timeout", SCHEMA_DURATION, AT(health.timeout_ns), "2s", FILE_RUN, "health-timeout",
                "time a probe has for its answer", RANGE(NS_PER_MS, 3600 * NS_PER_S)),
        ROW("health", "successes", SCHEMA_NUMBER, AT(health.successes), "1", FILE_RUN, "health-successes",
                "good probes in a row before a new instance is ready", RANGE(1, 1000)),
        ROW("health", "failures", SCHEMA_NUMBER, AT(health.failures), "3", FILE_RUN, "health-failures",
                "bad probes in a row before an instance is unhealthy", RANGE(1, 1000)),
        ROW("health", "start_period", SCHEMA_DURATION, AT(health.start_period_ns), "0", FILE_RUN,
                "health-start-period",
                "time after which bad probes of a new instance count; 0: ready_timeout alone",
                RANGE(0, 86400 * NS_PER_S)),
        ROW("health", "status", SCHEMA_TEXT, AT(health.status), NULL, FILE_RUN, "health-status",
                "HTTP statuses that are good, 200-399 if not given", NO_MORE),
        ROW("health", "host", SCHEMA_TEXT, AT(health.host), NULL, FILE_RUN, "health-host",
                "Host header of an HTTP probe", NO_MORE),
        ROW("health", "watchdog", SCHEMA_DURATION, AT(health.watchdog_ns), "0", FILE_RUN, "watchdog",
                "longest time between two WATCHDOG=1 of a ready instance; 0: not asked for",
                RANGE(0, 86400 * NS_PER_S)),

        ROW("source", "from", SCHEMA_TEXT, offsetof(struct config_source, from), NULL, SCHEMA_IN_FILE, NULL,
                "where they are: " SOURCE_SCHEMES_TEXT(" "), NO_MORE),
        ROW("source", "dialect", SCHEMA_WORD, offsetof(struct config_source, dialect), NULL, SCHEMA_IN_FILE,
                NULL, "dotenv dialect of the document", .words = dialect_words),
        ROW("source", "format", SCHEMA_WORD, offsetof(struct config_source, format), NULL, SCHEMA_IN_FILE,
                NULL, "format of the document", .words = format_words),
        ROW("source", "watch", SCHEMA_BOOLEAN, offsetof(struct config_source, watch), "no", SCHEMA_IN_FILE,
                NULL, "load the secrets again when the files of this source change", NO_MORE),
        ROW("source", "age_identities", SCHEMA_BOOLEAN, offsetof(struct config_source, age_identities), "no",
                SCHEMA_IN_FILE, NULL, "hand age identities among its values to the app", NO_MORE),

        ROW("identity", "from", SCHEMA_TEXT, offsetof(struct config_identity, from), NULL, SCHEMA_IN_FILE,
                NULL, "key: PATH, fd:N, credential:NAME, env:NAME, passphrase-file:PATH, passphrase-fd:N",
                NO_MORE),

        ROW("socket", "listen", SCHEMA_ADDRESS, offsetof(struct config_socket, listen), NULL, SCHEMA_IN_FILE,
                NULL, "where it listens: PORT, IP:PORT, [IPV6]:PORT, udp:..., PATH, @NAME, unix-dgram:PATH",
                NO_MORE),
        ROW("socket", "backlog", SCHEMA_NUMBER, offsetof(struct config_socket, backlog), "4096",
                SCHEMA_IN_FILE, NULL, "connections that may wait to be accepted", RANGE(1, 65535)),
        ROW("socket", "mode", SCHEMA_MODE, offsetof(struct config_socket, mode), NULL, SCHEMA_IN_FILE, NULL,
                "mode of the file of a unix socket", NO_MORE),
        ROW("socket", "user", SCHEMA_TEXT, offsetof(struct config_socket, user), NULL, SCHEMA_IN_FILE, NULL,
                "owner of the file of a unix socket (name or number)", NO_MORE),
        ROW("socket", "group", SCHEMA_TEXT, offsetof(struct config_socket, group), NULL, SCHEMA_IN_FILE, NULL,
                "group of the file of a unix socket (name or number)", NO_MORE),
        ROW("socket", "ipv6_only", SCHEMA_ENUM, offsetof(struct config_socket, ipv6_only), "auto",
                SCHEMA_IN_FILE, NULL, "whether an IPv6 socket leaves IPv4 to others", .words = ipv6_words),
        ROW("socket", "free_bind", SCHEMA_BOOLEAN, offsetof(struct config_socket, free_bind), "no",
                SCHEMA_IN_FILE, NULL, "open it although no interface has the address yet", NO_MORE),
        ROW("socket", "shared", SCHEMA_BOOLEAN, offsetof(struct config_socket, shared), "no", SCHEMA_IN_FILE,
                NULL, "one socket for all generations, even where each could have its own", NO_MORE),

        ROW("load", "timeout", SCHEMA_DURATION, AT(load.timeout_ns), "30s", FILE_RUN_EXEC, "load-timeout",
                "time one load may take", RANGE(10 * NS_PER_MS, 86400 * NS_PER_S)),
        ROW("load", "source_bytes_max", SCHEMA_SIZE, AT(load.source_bytes_max), "8M", FILE_RUN_EXEC,
                "source-bytes-max", "largest file or reply of a source", RANGE(1024, INT64_C(1) << 30)),
        ROW("load", "scrypt_work_factor_max", SCHEMA_NUMBER, AT(load.scrypt_work_factor_max), "22",
                FILE_RUN_EXEC, "scrypt-work-factor-max",
                "highest passphrase work factor (log2) that is tried", RANGE(1, 30)),
        ROW("load", "secret_memory", SCHEMA_ENUM, AT(load.secret_memory), "prefer", FILE_RUN_EXEC,
                "secret-memory",
                "hold secrets in memfd_secret(2) when it can be had, or refuse to run without",
                .words = memory_words),

        LIMIT("as", RLIMIT_AS, "address space, bytes"),
        LIMIT("core", RLIMIT_CORE, "core file, bytes"),
        LIMIT("cpu", RLIMIT_CPU, "processor time, seconds"),
        LIMIT("data", RLIMIT_DATA, "data segment, bytes"),
        LIMIT("fsize", RLIMIT_FSIZE, "file size, bytes"),
        LIMIT("memlock", RLIMIT_MEMLOCK, "locked memory, bytes"),
        LIMIT("msgqueue", RLIMIT_MSGQUEUE, "message queues, bytes"),
        LIMIT("nice", RLIMIT_NICE, "nice ceiling, 20 minus the nice value"),
        LIMIT("nofile", RLIMIT_NOFILE, "open files"),
        LIMIT("nproc", RLIMIT_NPROC, "processes of the user"),
        LIMIT("rtprio", RLIMIT_RTPRIO, "real-time priority"),
        LIMIT("rttime", RLIMIT_RTTIME, "real-time processor time, microseconds"),
        LIMIT("sigpending", RLIMIT_SIGPENDING, "queued signals"),
        LIMIT("stack", RLIMIT_STACK, "stack, bytes"),

        ROW("control", "path", SCHEMA_PATH, AT(control.path), NULL, FILE_RUN, "control",
                "socket on which rotate and status reach this service", NO_MORE),

        ROW("log", "level", SCHEMA_ENUM, AT(log.level), "notice", FILE_RUN_EXEC, "log-level",
                "least important messages that are written", .words = level_words),
        ROW("log", "format", SCHEMA_ENUM, AT(log.format), "auto", FILE_RUN_EXEC, "log-format",
                "form of the messages", .words = log_format_words),
};
/* clang-format on */
const size_t schema_row_count = sizeof schema_rows / sizeof *schema_rows;

const struct schema_section schema_sections[] = {
        {"service", 0, "the app, how it is started, stopped and restarted"},
        {"rollout", 0, "how a rotation goes"},
        {"health", 0, "is an instance well"},
        {"source", 1, "where secrets come from"},
        {"identity", 1, "keys that open them"},
        {"socket", 1, "where the app is reached: opened once, kept over every restart"},
        {"load", 0, "limits of loading"},
        {"sandbox", 0, "resource limits of the app"},
        {"control", 0, "the socket of tacet rotate and tacet status"},
        {"log", 0, "messages of tacet itself"},
};
const size_t schema_section_count = sizeof schema_sections / sizeof *schema_sections;

const struct schema_section *schema_find_section(const char *name) {
        for (size_t i = 0; i < schema_section_count; i++)
                if (strcmp(schema_sections[i].name, name) == 0)
                        return &schema_sections[i];
        return NULL;
}

const struct schema_row *schema_find(const char *section, const char *key) {
        for (size_t i = 0; i < schema_row_count; i++)
                if (strcmp(schema_rows[i].key, key) == 0 && strcmp(schema_rows[i].section, section) == 0)
                        return &schema_rows[i];
        return NULL;
}

const struct schema_row *schema_find_option(const char *option) {
        for (size_t i = 0; i < schema_row_count; i++)
                if (schema_rows[i].option && strcmp(schema_rows[i].option, option) == 0)
                        return &schema_rows[i];
        return NULL;
}

/* Former names. They are errors that name the new one: who reads an old page is not left to guess. */
static const struct {
        const char *section, *key, *option; /* as they were */
        const char *key_now, *option_now;
} renamed[] = {
        {"rollout", "drain_quiet", "drain-quiet", "queue_quiet", "queue-quiet"},
};

#define RENAMED_COUNT (sizeof renamed / sizeof *renamed)

const char *schema_renamed_key(const char *section, const char *key) {
        for (size_t i = 0; i < RENAMED_COUNT; i++)
                if (strcmp(renamed[i].section, section) == 0 && strcmp(renamed[i].key, key) == 0)
                        return renamed[i].key_now;
        return NULL;
}

const char *schema_renamed_option(const char *option, size_t length) {
        for (size_t i = 0; i < RENAMED_COUNT; i++)
                if (strlen(renamed[i].option) == length && strncmp(renamed[i].option, option, length) == 0)
                        return renamed[i].option_now;
        return NULL;
}
