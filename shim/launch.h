#pragma once

/* From fork to the app's first instruction.
 *
 * launch_start() forks the shim, which takes the steps of enum launch_stage in that order and becomes the
 * app. What goes wrong in it comes back through a close-on-exec pipe as (stage, errno, detail); end of file
 * on that pipe without a failure means that execve(2) succeeded. launch_become() is the same without a fork,
 * for `tacet exec`.
 *
 * There is no fall-back to a shell: a file that the kernel does not execute is not executed. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "lib/error.h"
#include "secrets/bundle.h"
#include "secrets/load.h"
#include "shim/adopt.h"
#include "shim/environment.h"
#include "shim/expand.h"
#include "shim/identity.h"

enum launch_session {
        LAUNCH_SAME_GROUP, /* stays in tacet's process group */
        LAUNCH_OWN_GROUP,  /* setpgid(2); gets the terminal's foreground if tacet had it */
        /* setsid(2); takes the terminal on standard input as its controlling one, if it may */
        LAUNCH_OWN_SESSION,
};

/* What the caller of tacet had, to be given back to the app (signal(7): mask and ignored signals survive
 * execve). */
struct launch_inheritance {
        uint64_t signal_mask;
        bool ignores_child;  /* SIGCHLD was ignored */
        bool has_core_limit; /* RLIMIT_CORE was lowered by tacet; core_limit is what it was */
        struct rlimit core_limit;
};

struct launch_limit {
        int resource; /* RLIMIT_* */
        struct rlimit value;
};

#define LAUNCH_LIMITS_MAX      RLIM_NLIMITS
#define LAUNCH_LISTEN_MAX      64
#define LAUNCH_DESCRIPTORS_MAX 128

/* A descriptor that the app gets. `fd` is borrowed, and close-on-exec here. */
struct launch_descriptor {
        int fd;
        const char *name; /* of LISTEN_FDNAMES; NULL: unknown */
        int number; /* 0: the next one from 3 on, counted in LISTEN_FDS; else exactly this one, not counted */
};

/* How the app is told of its counted descriptors: handover.h. */
#define LAUNCH_SYSTEMD        1U
#define LAUNCH_SERVER_STARTER 2U
#define LAUNCH_EINHORN        4U

/* What a shim gives up before it waits for its secrets: descriptors of generations, and the variables that
 * this request names. The supervisor still has them while its first load runs, but the app must not get
 * them. */
struct launch_forgotten {
        const int *fds;
        size_t count;
        const struct load_request *request;
};

struct launch_spec {
        char *const *argv; /* argv[0] is looked up in $PATH when it has no slash */
        struct environment_spec environment;
        const struct bundle *secrets; /* NULL or empty: none */
        const struct identity *identity;
        const char *directory;             /* NULL: stay */
        struct launch_expansion expansion; /* of argv, environment.settings and directory */
        bool has_umask;
        mode_t umask;
        struct launch_limit limits[LAUNCH_LIMITS_MAX];
        size_t limit_count;
        enum launch_session session;
        int terminal;            /* descriptor of the terminal whose foreground the app gets, or -1 */
        bool wants_terminal;     /* hand it over when tacet has it */
        int parent_death_signal; /* 0: none */
        bool hides_input;        /* standard input is tacet's (a key): the app gets /dev/null */
        /* descriptors 3.. that a service manager gave, where they are, with LISTEN_PID; not together with
         * `descriptors` */
        unsigned listen_count;
        const struct launch_descriptor *descriptors; /* with any, the app inherits no other one from 3 on */
        size_t descriptor_count;
        unsigned protocols; /* LAUNCH_SYSTEMD, ... */
        /* NULL-terminated NAME=value strings of tacet's own, which win over all; or NULL */
        char *const *variables;
        int cgroup_fd; /* cgroup.procs of the cgroup that the app begins in; 0: none */
        /* a socket on which the shim sends the descriptor that reports bind and listen, or -1:
         * shim/adopt.h */
        int adopt_fd;
        enum adopt_reports adopt_reports;
        bool suspends_parent; /* vfork(2) instead of fork(2): see launch.c; never with secrets */
        /* waiting.h: the channel on which the secrets will come, and its other end, which is closed; 0:
         * `secrets` has them */
        int secrets_channel, secrets_channel_peer;
        const struct launch_forgotten *forgotten;
        pid_t loader;               /* a killed child of the caller, reaped as late as possible; 0: none */
        volatile uint8_t *progress; /* where the shim notes its steps: progress.h; NULL: nowhere */
        struct launch_inheritance inheritance;
};

enum launch_stage {
        LAUNCH_CGROUP,
        LAUNCH_SESSION,
        LAUNCH_TERMINAL,
        LAUNCH_SECRETS,
        LAUNCH_ADOPT,
        LAUNCH_DESCRIPTORS,
        LAUNCH_LIMITS,
        LAUNCH_GROUPS,
        LAUNCH_GROUP,
        LAUNCH_USER,
        LAUNCH_PARENT,
        LAUNCH_UMASK,
        LAUNCH_DIRECTORY,
        LAUNCH_ENVIRONMENT,
        LAUNCH_ARGUMENTS,
        LAUNCH_LOADER,
        LAUNCH_EXECUTE,
        LAUNCH_STAGE_COUNT,
};

enum launch_message_kind {
        LAUNCH_NOTE_CONFLICT = 1, /* detail: a secret's name that the inherited environment also has */
        LAUNCH_FAILED,
        LAUNCH_FILTERED, /* never sent: a filter has ended the shim in that stage (progress.h) */
};

/* What travels through the pipe; no secret byte. */
struct launch_message {
        uint32_t kind;
        uint32_t stage;
        int32_t code; /* errno, or 0 */
        char detail[256];
};

struct launch_process {
        pid_t pid;
        int status_fd; /* non-blocking read end of the pipe */
};

/* Fork the shim. Returns 0, or -1 with error for want of processes, descriptors or memory (try again
 * later). */
int launch_start(const struct launch_spec *spec, struct launch_process *out, struct error *error);

/* Read one message. Returns 0 with *out; 1 when there is none yet; 2 at the end (the app runs, or the shim
 * died). */
int launch_read(int status_fd, struct launch_message *out);

/* Take the steps in this process and become the app. Returns only on failure, with *out set. Notes go to
 * `on_note`, with `context`.
 *
 *      environment   already built, with room for what LISTEN_PID changes; or NULL: build it here
 *      own_fd        a descriptor that `on_note` needs, moved when the app gets its number; or NULL
 *      parent        the process that must still be the parent when parent_death_signal is set; 0: not
 *      checked */
typedef void launch_note_handler(const struct launch_message *message, void *context);
void launch_become(const struct launch_spec *spec, struct environment *environment, int *own_fd, pid_t parent,
        launch_note_handler *on_note, void *context, struct launch_message *out);

#define LAUNCH_NOTE_BYTES 384

/* Write one sentence for a note. */
void launch_note_describe(const struct launch_message *note, const struct launch_spec *spec,
        char out[static LAUNCH_NOTE_BYTES]);

/* Set *error for a failure: one sentence, a hint and the exit status (127, 126 or 125). */
void launch_failure_describe(
        const struct launch_message *failure, const struct launch_spec *spec, struct error *error);
