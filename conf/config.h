#pragma once

/* The configuration as plain data: what tacet.conf(5) and the options of `tacet run` and `tacet exec` say.
 *
 * conf/schema.c is the table of every key; this file is where the values land. Durations are ns (NS_FOREVER:
 * `infinity`), sizes are bytes (UINT64_MAX: `infinity`), strings and lists are owned by the config. Nothing
 * here is secret.
 *
 * The order of calls: config_init(), config_read_file() when there is a file, the options by config_set() and
 * config_add_...(), config_check(), and config_deinit() at the end. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include "lib/error.h"
#include "lib/socket_address.h"

#define CONFIG_FILE_BYTES_MAX        ((size_t)1024 * 1024)
#define CONFIG_LINE_BYTES_MAX        ((size_t)64 * 1024) /* one logical line, without its line end */
#define CONFIG_WORDS_MAX             4096                /* of one command or list */
#define CONFIG_SECTIONS_MAX          64                  /* sources; identities */
#define CONFIG_INSTANCE_BYTES_MAX    40                  /* NAME of [source NAME] */
#define CONFIG_SOCKET_NAME_BYTES_MAX 255                 /* NAME of [socket NAME]: sd_listen_fds(3) */
#define CONFIG_ADOPTS_MAX            16                  /* addresses of `adopt` */
#define CONFIG_UNSET                 INT32_MIN           /* a number that was not given */

/* The words of each key that takes one; tacet.conf(5) says what they do. The first is not always the default:
 * that stands in the schema. _COUNT is no word, but for tables that have a row for each. */
enum config_restart {
        CONFIG_RESTART_NO,
        CONFIG_RESTART_ON_FAILURE,
        CONFIG_RESTART_ALWAYS,
        CONFIG_RESTART_COUNT,
};
enum config_on_conflict {
        CONFIG_CONFLICT_REPLACE,
        CONFIG_CONFLICT_KEEP,
        CONFIG_CONFLICT_REFUSE,
        CONFIG_CONFLICT_COUNT,
};
enum config_terminal { CONFIG_TERMINAL_AUTO, CONFIG_TERMINAL_NO };
enum config_session {
        CONFIG_SESSION_GROUP,
        CONFIG_SESSION_SESSION,
        CONFIG_SESSION_NONE,
        CONFIG_SESSION_COUNT,
};
enum config_kill_mode { CONFIG_KILL_PROCESS, CONFIG_KILL_GROUP, CONFIG_KILL_TREE };
enum config_connect { CONFIG_CONNECT_ALLOW, CONFIG_CONNECT_REFUSE };
enum config_leftovers { CONFIG_LEFTOVERS_END, CONFIG_LEFTOVERS_KEEP };
enum config_exit_when { CONFIG_EXIT_MAIN, CONFIG_EXIT_ALL };
enum config_strategy { CONFIG_STRATEGY_RESTART, CONFIG_STRATEGY_HANDOFF, CONFIG_STRATEGY_SIGNAL };
enum config_ready {
        CONFIG_READY_AUTO,
        CONFIG_READY_EXEC,
        CONFIG_READY_LISTEN,
        CONFIG_READY_NOTIFY,
        CONFIG_READY_FD,
        CONFIG_READY_PROBE,
        CONFIG_READY_DELAY,
        CONFIG_READY_COUNT,
};
enum config_notify_access {
        CONFIG_NOTIFY_AUTO,
        CONFIG_NOTIFY_MAIN,
        CONFIG_NOTIFY_ALL,
        CONFIG_NOTIFY_NONE,
};
enum config_notify_forward { CONFIG_NOTIFY_FORWARD_NONE, CONFIG_NOTIFY_FORWARD_STATUS };
enum config_revert { CONFIG_REVERT_YES, CONFIG_REVERT_NO };
enum config_secret_memory { CONFIG_SECRET_MEMORY_PREFER, CONFIG_SECRET_MEMORY_REQUIRE };

enum config_ipv6_only { CONFIG_IPV6_ONLY_AUTO, CONFIG_IPV6_ONLY_YES, CONFIG_IPV6_ONLY_NO };

/* Bits of config_service.socket_protocols. */
#define CONFIG_PROTOCOL_SYSTEMD        1U
#define CONFIG_PROTOCOL_SERVER_STARTER 2U
#define CONFIG_PROTOCOL_EINHORN        4U

/* A list of words, all of it owned. at[count] is NULL, so that a command is an argv; at is NULL while nothing
 * was given. */
struct config_words {
        char **at;
        size_t count;
        size_t expanded; /* the first so many have %g and %r: conf/expand.h */
};

/* setrlimit(2): what an app begins with. */
struct config_limit {
        bool is_set;
        uint64_t soft, hard; /* UINT64_MAX: infinity */
};

/* A number, or a share of something that the key names. */
struct config_portion {
        bool is_set;
        bool is_percent;
        uint32_t value;
};

/* [service]: the app and how it is kept running. */
struct config_service {
        struct config_words command;
        char *user, *group; /* a name or a number; NULL: unchanged */
        struct config_words supplementary_groups;
        char *directory; /* NULL: unchanged */
        int32_t umask;   /* CONFIG_UNSET: unchanged */
        bool clear_env;
        struct config_words pass_env;    /* NAME or PREFIX*; only with clear_env */
        struct config_words environment; /* NAME=VALUE, later wins; not secret */
        enum config_on_conflict on_conflict;
        enum config_terminal terminal;
        enum config_session session;
        enum config_restart restart;
        int64_t restart_delay_ns, restart_delay_max_ns, restart_reset_ns;
        int32_t restart_limit; /* 0: none */
        int32_t stop_signal;
        int64_t stop_timeout_ns;
        int32_t drain_signal; /* 0: none */
        int64_t drain_time_ns;
        enum config_kill_mode kill_mode;
        enum config_leftovers leftovers;
        enum config_exit_when exit_when;
        int64_t remaining_timeout_ns;
        int32_t parent_death_signal; /* 0: none */
        int32_t replicas;
        enum config_notify_access notify_access;
        enum config_notify_forward notify_forward;
        uint32_t socket_protocols; /* CONFIG_PROTOCOL_... */
        struct config_words adopt; /* addresses; checked by config_check() */
        enum config_connect adopt_connect;
};

/* [rollout]: how running instances come to new secrets. */
struct config_rollout {
        enum config_strategy strategy;
        struct config_portion max_surge, max_unavailable; /* of the replicas; not set: as the strategy says */
        enum config_ready ready;
        int64_t ready_delay_ns;
        int32_t ready_fd; /* CONFIG_UNSET: none */
        int64_t min_healthy_ns, ready_timeout_ns;
        int32_t failures;
        int64_t hold_ns, queue_quiet_ns, queue_timeout_ns, drain_timeout_ns, drain_settle_ns,
                progress_timeout_ns, emergency_timeout_ns, keep_previous_ns;
        enum config_revert revert;
        int64_t watch_delay_ns;
        struct config_portion canary; /* of new connections */
        int64_t canary_time_ns;
        int32_t reload_signal;
        int32_t rotate_signal; /* 0: none */
};

/* [health]: how it is seen that an instance works. */
struct config_health {
        char *probe; /* conf/health.h; NULL: none */
        bool socket;
        int64_t interval_ns, timeout_ns, start_period_ns;
        int32_t successes, failures;
        char *status, *host; /* NULL: 200-399; the address */
        int64_t watchdog_ns; /* 0: none */
};

/* [load]: limits of the loader, against a source that is slow, large or hostile. */
struct config_load {
        int64_t timeout_ns;
        uint64_t source_bytes_max;
        int32_t scrypt_work_factor_max; /* log2(N) */
        enum config_secret_memory secret_memory;
};

/* [sandbox]: the limits of the app. */
struct config_sandbox {
        struct config_limit limits[RLIM_NLIMITS]; /* index: RLIMIT_* */
};

/* [control]: where a running service can be asked. */
struct config_control {
        char *path; /* NULL: no control socket */
};

/* [log]: what tacet says of itself. */
struct config_log {
        uint32_t level;  /* enum log_level */
        uint32_t format; /* enum log_format */
};

/* [source NAME], or one -s of the command line (then `name` is the URI). Their order is the precedence: later
 * wins. */
struct config_source {
        char *name;
        char *where; /* FILE:LINE of the section, or "command line" */
        char *from;
        const char *dialect; /* a word of the table, as `format`; NULL: not given */
        const char *format;
        bool watch;          /* load again when its files change */
        bool age_identities; /* its values may be age identities, for an app that decrypts by itself */
};

/* [identity NAME], or one -i. */
struct config_identity {
        char *name;
        char *where;
        char *from;
};

/* [socket NAME], or one --listen. */
struct config_socket {
        char *name;
        char *where;
        struct socket_address listen; /* type 0: not given */
        int32_t backlog;
        int32_t mode;       /* of the file of a unix socket; CONFIG_UNSET: by umask */
        char *user, *group; /* who owns it; NULL: unchanged */
        enum config_ipv6_only ipv6_only;
        bool free_bind;
        bool shared;
};

/* Where a key was given, for duplicates and for messages. */
struct config_given {
        uint16_t row, instance; /* of schema_rows; of sources, identities or sockets */
        uint32_t line;          /* 0: command line */
};

/* All of it. Begin with config_init(). */
struct config {
        struct config_service service;
        struct config_rollout rollout;
        struct config_health health;
        struct config_load load;
        struct config_sandbox sandbox;
        struct config_control control;
        struct config_log log;
        struct config_source *sources;
        size_t source_count;
        struct config_identity *identities;
        size_t identity_count;
        struct config_socket *sockets;
        size_t socket_count;
        char *path;           /* of the file that was read, or NULL */
        bool expands_options; /* --expand */
        struct config_given *given;
        size_t given_count, given_room;
};

/* Fill in every default of the schema; what was there is overwritten, not freed. Allocates nothing; cannot
 * fail: a default that its own row would refuse is an assert. */
void config_init(struct config *config);

/* Free all. Idempotent; safe on a zeroed struct. */
void config_deinit(struct config *config);

/* The same, at the end of a scope. */
void config_cleanup(struct config *config);
#define CLEANUP_CONFIG __attribute__((cleanup(config_cleanup)))

/* Give one key a value, as the file reader and the option parser do.
 * section    "service", "source", ...
 * instance   NAME of [source NAME], else NULL; made when it is new
 * value      its text, copied; a list key appends, an empty value empties the list
 * where      begins every message: "FILE:LINE" or the option's name
 * line       of the file, or 0 for the command line. In a file a second value for a key that is not a list is
 *            an error that names both lines; the command line overrides the file, and its own last word wins
 * Returns 0 or -1 with error (status 78 with a line, 64 without). A refused value changes nothing. */
int config_set(struct config *config, const char *section, const char *instance, const char *key,
        const char *value, const char *where, uint32_t line, struct error *error);

/* A section begins: check its name, and make the instance of a named one (their order is the order of the
 * headers). In a file (`line` is not 0) a second [source NAME] with the same name is an error. Parameters and
 * result as in config_set(). */
int config_begin_section(struct config *config, const char *section, const char *instance, const char *where,
        uint32_t line, struct error *error);

/* Add `-s URI` or `-i KEY`, behind all that are there: what comes later wins, so the command line wins over
 * the file. The text is copied, and may be anything but empty. Returns 0 or -1 with error (status 64). */
int config_add_source(struct config *config, const char *uri, struct error *error);
int config_add_identity(struct config *config, const char *spec, struct error *error);

/* --watch: `watch = yes` for those sources of the command line that are files. Once, behind the last of them.
 * Returns 0, or -1 with error (status 64) when there is none. */
int config_watch_command_line(struct config *config, struct error *error);

/* Add `--listen [NAME=]ADDRESS`. Without a name it is "listen", the second one "listen-2", and so on. A
 * socket of the file with that name gets this address; two options with one name are an error. Returns 0 or
 * -1 with error (status 64). */
int config_add_socket(struct config *config, const char *text, struct error *error);

/* The command after `--`: replaces that of the file. `words` is NULL-terminated and copied, byte for byte: no
 * quotes are taken off. Returns 0 or -1 with error. */
int config_set_command(struct config *config, char *const *words, struct error *error);

/* Called for each error of a file; the next lines are still read. `error` is borrowed for the call. */
typedef void config_report(void *context, const struct error *error);

/* Read an INI file over what *config has; config->path is its name then.
 * report    NULL: the first error ends the reading. Else every error is reported, and *error is the first of
 *           them
 * context   for `report`
 * Returns 0, or -1 with error (status 78); what was good before the error is in *config. */
int config_read_file(
        struct config *config, const char *path, config_report *report, void *context, struct error *error);

/* What no key can check alone: a source without `from`, `pass_env` without `clear_env`, and so on.
 * `needs_command`: for run and exec, not for check. Call once, after the file and the options. Returns 0 or
 * -1 with error. */
int config_check(const struct config *config, bool needs_command, struct error *error);

/* max_surge and max_unavailable as numbers of replicas: a share of surge is rounded up, one of unavailable
 * down; what is not set is as the strategy says (handoff 1 and 0, restart and signal 0 and 1). */
uint32_t config_surge_max(const struct config *config);
uint32_t config_unavailable_max(const struct config *config);
