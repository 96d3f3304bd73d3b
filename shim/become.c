/* The ordered steps between fork and the app's first instruction: see enum launch_stage.
 *
 * Order matters (credentials(7), setrlimit(2), prctl(2)): the secrets are mapped first, because a mapping of
 * memfd_secret counts as locked memory, which the app's own limit or user may not have; the filter of adopted
 * sockets while there is CAP_SYS_ADMIN and no limit on descriptors; limits while still privileged; groups,
 * group, user; then the parent-death signal, which a change of user clears; then execve, with the signal mask
 * given back last so that a signal which arrived meanwhile ends the app-to-be instead of vanishing.
 * Everything blocks signals until then. No step logs: a failure is (stage, errno, detail). */

#include "shim/launch.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/fd.h"
#include "lib/signals.h"
#include "shim/adopt.h"
#include "shim/descriptors.h"
#include "shim/handover.h"
#include "shim/progress.h"

#define BUSY_TRIES    20
#define BUSY_PAUSE_NS (5 * NS_PER_MS) /* a file still open for writing (ETXTBSY) is usually closed by then */
#define PATH_DEFAULT  "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Everything the steps share. */
struct becoming {
        const struct launch_spec *spec;
        pid_t parent;
        int *own_fd;
        struct bundle_view secrets;
        bool has_secrets;
        struct environment environment;
        bool has_environment; /* built by the caller */
        char listen_pid[32];
        launch_note_handler *on_note;
        void *note_context;
        struct launch_message *failure;
};

/* Returns -1, so that a step can `return step_failed(...)`. */
static int step_failed(struct becoming *becoming, int code, const char *detail) {
        becoming->failure->code = code;
        snprintf(becoming->failure->detail, sizeof becoming->failure->detail, "%.255s", detail);
        return -1;
}

/* All of tacet's own descriptors are close-on-exec, so without descriptors for the app nothing is done. After
 * the steps that use the terminal's and the secrets'. */
static int step_descriptors(struct becoming *becoming) {
        const struct launch_spec *spec = becoming->spec;
        int *const kept[] = {becoming->own_fd};
        struct error error;

        if (spec->hides_input) {
                fd_close(STDIN_FILENO);
                (void)fd_hold_standard_streams();
        }
        if (spec->identity->is_set)
                descriptors_give_pipes(spec->identity->user, spec->identity->group);
        for (unsigned n = 0; n < spec->listen_count; n++)
                if (fcntl(3 + (int)n, F_SETFD, 0) < 0)
                        return step_failed(becoming, errno, "a listening socket");
        if (!spec->descriptor_count)
                return 0;
        if (descriptors_place(spec->descriptors, spec->descriptor_count, kept, kept[0] ? 1 : 0, &error) < 0)
                return step_failed(becoming, 0, error.text);
        return 0;
}

/* The first step, so that no process can be started outside of the cgroup. */
static int step_cgroup(struct becoming *becoming) {
        const int fd = becoming->spec->cgroup_fd;

        return fd && write(fd, "0", 1) != 1 ? step_failed(becoming, errno, "") : 0;
}

static int step_session(struct becoming *becoming) {
        switch (becoming->spec->session) {
        case LAUNCH_SAME_GROUP:
                return 0;
        case LAUNCH_OWN_GROUP:
                return setpgid(0, 0) < 0 ? step_failed(becoming, errno, "setpgid") : 0;
        case LAUNCH_OWN_SESSION:
                return setsid() < 0 ? step_failed(becoming, errno, "setsid") : 0;
        }
        return 0;
}

/* Best effort: a terminal that went away, or is not ours to give, is no reason not to start the app. */
static int step_terminal(struct becoming *becoming) {
        if (becoming->spec->session == LAUNCH_OWN_SESSION && !becoming->spec->hides_input)
                (void)ioctl(STDIN_FILENO, TIOCSCTTY, 0);
        else if (becoming->spec->session == LAUNCH_OWN_GROUP && becoming->spec->terminal >= 0)
                (void)tcsetpgrp(becoming->spec->terminal, getpgrp());
        return 0;
}

/* The descriptor itself is close-on-exec like its channel: the app has neither. */
static int step_adopt(struct becoming *becoming) {
        int fd;

        if (becoming->spec->adopt_fd < 0)
                return 0;
        fd = adopt_filter_install(becoming->spec->adopt_reports);
        if (fd < 0)
                return step_failed(becoming, errno, "");
        if (adopt_descriptor_send(becoming->spec->adopt_fd, fd) < 0)
                return step_failed(becoming, errno, "hand the descriptor over");
        return 0;
}

/* By number: the C libraries disagree about the type of the resource. */
static int limit_set(const struct launch_limit *limit) {
        return (int)syscall(SYS_prlimit64, 0, limit->resource, &limit->value, NULL);
}

static int step_limits(struct becoming *becoming) {
        for (size_t i = 0; i < becoming->spec->limit_count; i++) {
                const struct launch_limit *limit = &becoming->spec->limits[i];
                char detail[64];

                snprintf(detail, sizeof detail, "resource %d of setrlimit(2)", limit->resource);
                /* The core limit comes last, in step_execute: until then none of this process's memory may be
                 * dumped. */
                if (limit->resource != RLIMIT_CORE && limit_set(limit) < 0)
                        return step_failed(becoming, errno, detail);
        }
        return 0;
}

static int step_groups(struct becoming *becoming) {
        const struct identity *identity = becoming->spec->identity;

        if (!identity->is_set || setgroups(identity->group_count, identity->groups) == 0)
                return 0;
        /* An unprivileged tacet may "change" to what it already is; the groups stay those it has. */
        if (errno == EPERM && geteuid() != 0 && geteuid() == identity->user && getegid() == identity->group)
                return 0;
        return step_failed(becoming, errno, "");
}

static int step_group(struct becoming *becoming) {
        gid_t group = becoming->spec->identity->group;

        if (becoming->spec->identity->is_set && setresgid(group, group, group) < 0)
                return step_failed(becoming, errno, "");
        return 0;
}

static int step_user(struct becoming *becoming) {
        uid_t user = becoming->spec->identity->user, former = geteuid();

        if (!becoming->spec->identity->is_set)
                return 0;
        if (setresuid(user, user, user) < 0)
                return step_failed(becoming, errno, "");
        /* The change of user has set it to fs.suid_dumpable (prctl(2)), which may be 1; and this process
         * still holds every generation and key. */
        (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        /* Between two users that are not root the kernel keeps ambient capabilities (capabilities(7)): they
         * were given to tacet, not to the app. */
        if (user != former)
                (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
        return 0;
}

/* The signal is cleared by a change of user, so it is set here; a parent that died before shows in
 * getppid(2). */
static int step_parent(struct becoming *becoming) {
        if (becoming->parent == 0)
                return 0;
        if (prctl(PR_SET_PDEATHSIG, becoming->spec->parent_death_signal) < 0)
                return step_failed(becoming, errno, "");
        if (getppid() != becoming->parent)
                _exit(EXIT_STATUS_SUPERVISOR);
        return 0;
}

static int step_umask(struct becoming *becoming) {
        if (becoming->spec->has_umask)
                (void)umask(becoming->spec->umask);
        return 0;
}

static int step_directory(struct becoming *becoming) {
        const char *directory = becoming->spec->directory;

        if (directory && chdir(directory) < 0)
                return step_failed(becoming, errno, directory);
        return 0;
}

static int step_secrets(struct becoming *becoming) {
        const struct bundle *secrets = becoming->spec->secrets;
        struct error error;

        if (!secrets || secrets->fd < 0)
                return 0;
        if (bundle_map(secrets, &becoming->secrets, &error) < 0)
                return step_failed(becoming, error.code, error.code ? "" : error.text);
        becoming->has_secrets = true;
        return 0;
}

/* The name part of `NAME=value`, for a message. */
static void name_copy(const char *string, char out[static 256]) {
        snprintf(out, 256, "%.*s", (int)environment_name_length(string), string);
}

static void listen_variables_set(struct becoming *becoming) {
        struct environment *environment = &becoming->environment;
        size_t kept = 0;

        snprintf(becoming->listen_pid, sizeof becoming->listen_pid, "LISTEN_PID=%d", (int)getpid());
        for (size_t i = 0; i < environment->count; i++) {
                char *string = environment->strings[i];

                /* sd_listen_fds(3): LISTEN_PIDFDID names the pidfd of another process; unset is right, wrong
                 * is not. */
                if (strncmp(string, "LISTEN_PIDFDID=", 15) == 0)
                        continue;
                if (strncmp(string, "LISTEN_PID=", 11) == 0)
                        string = becoming->listen_pid;
                environment->strings[kept++] = string;
        }
        environment->strings[kept] = NULL;
        environment->count = kept;
}

/* Set tacet's own variables, after all others. */
static int own_variables_set(struct becoming *becoming) {
        struct error error;

        for (char *const *at = becoming->spec->variables; at && *at; at++)
                environment_put(&becoming->environment, *at);
        if (handover_variables(becoming->spec, &becoming->environment, &error) < 0)
                return step_failed(becoming, ENOMEM, "");
        return 0;
}

static int step_environment(struct becoming *becoming) {
        struct environment_spec spec = becoming->spec->environment;
        struct launch_message note = {.kind = LAUNCH_NOTE_CONFLICT, .stage = LAUNCH_ENVIRONMENT};
        struct environment *environment = &becoming->environment;
        struct error error;

        for (char *const *at = becoming->spec->variables; at && *at; at++)
                spec.spare++;
        if (becoming->spec->descriptor_count)
                spec.spare += HANDOVER_VARIABLES_MAX;
        if (!becoming->has_environment &&
                environment_build(
                        &spec, becoming->has_secrets ? &becoming->secrets : NULL, environment, &error) < 0)
                return step_failed(becoming, ENOMEM, "");
        for (size_t i = 0; i < environment->conflict_count && i < ENVIRONMENT_CONFLICTS_MAX; i++) {
                name_copy(environment->conflicts[i], note.detail);
                if (spec.on_conflict != ENVIRONMENT_REFUSE) {
                        becoming->on_note(&note, becoming->note_context);
                        continue;
                }
                snprintf(becoming->failure->detail, sizeof becoming->failure->detail,
                        "secret %.190s also stands in the inherited environment", note.detail);
                return -1;
        }
        if (becoming->spec->listen_count)
                listen_variables_set(becoming);
        return own_variables_set(becoming);
}

static int step_arguments(struct becoming *becoming) {
        const char *string = NULL;
        char name[256];
        size_t index = 0;

        if (becoming->has_secrets)
                string = environment_find_in_arguments(&becoming->secrets, becoming->spec->argv, &index);
        if (!string)
                return 0;
        name_copy(string, name);
        snprintf(becoming->failure->detail, sizeof becoming->failure->detail,
                "the value of secret %.190s stands in argument %zu", name, index);
        return -1;
}

/* `tacet exec`: reap the loader, which has ended during the steps before. The app must find neither a child
 * nor the signal of its end: ignoring SIGCHLD discards the one that is pending (signal(7)). */
static int step_loader(struct becoming *becoming) {
        if (!becoming->spec->loader)
                return 0;
        while (waitpid(becoming->spec->loader, NULL, 0) < 0)
                if (errno != EINTR)
                        return step_failed(becoming, errno, "");
        (void)signal(SIGCHLD, SIG_IGN);
        (void)signal(SIGCHLD, SIG_DFL);
        return 0;
}

static void execute_file(struct becoming *becoming, const char *path) {
        for (int try = 0; try < BUSY_TRIES; try++) {
                execve(path, becoming->spec->argv, becoming->environment.strings);
                if (errno != ETXTBSY)
                        return;
                (void)nanosleep(&(struct timespec){.tv_nsec = BUSY_PAUSE_NS}, NULL);
                errno = ETXTBSY;
        }
}

/* As execvp(3), less its fall-back to sh: look through $PATH; a file that is there but may not be executed is
 * remembered while later folders are tried. The PATH is the inherited one, never one that came with the
 * secrets. Returns the errno that counts. */
static int execute_in_path(struct becoming *becoming) {
        const char *command = becoming->spec->argv[0];
        const char *path = environment_find(becoming->spec->environment.inherited, "PATH", 4);
        char file[PATH_MAX];
        int code = ENOENT;

        if (!*command)
                return ENOENT;
        if (strchr(command, '/')) {
                execute_file(becoming, command);
                return errno;
        }
        path = path ? path + 5 : PATH_DEFAULT;
        while (path) {
                size_t length = strcspn(path, ":");
                int written = snprintf(
                        file, sizeof file, "%.*s%s%s", (int)length, path, length ? "/" : "./", command);

                if (written > 0 && (size_t)written < sizeof file) {
                        execute_file(becoming, file);
                        if (errno == EACCES)
                                code = EACCES;
                        else if (errno != ENOENT && errno != ENOTDIR && errno != ENAMETOOLONG)
                                return errno;
                }
                path = path[length] ? path + length + 1 : NULL;
        }
        return code;
}

static void too_big_describe(struct becoming *becoming) {
        const char *string = environment_longest_refused(&becoming->environment);
        struct launch_message *failure = becoming->failure;
        char name[256] = "none";
        size_t total;

        if (string) {
                name_copy(string, name);
                snprintf(failure->detail, sizeof failure->detail,
                        "variable %.150s has %zu bytes, 131071 are possible", name, strlen(string));
                return;
        }
        string = environment_largest(&becoming->environment, &total);
        if (string)
                name_copy(string, name);
        snprintf(failure->detail, sizeof failure->detail,
                "the environment has %zu bytes, its largest variable %.100s %zu of them", total, name,
                string ? strlen(string) : 0);
}

static int step_execute(struct becoming *becoming) {
        const struct launch_inheritance *inheritance = &becoming->spec->inheritance;
        int code;

        if (inheritance->ignores_child)
                (void)signal(SIGCHLD, SIG_IGN);
        if (inheritance->has_core_limit)
                (void)setrlimit(RLIMIT_CORE, &inheritance->core_limit);
        for (size_t i = 0; i < becoming->spec->limit_count; i++)
                if (becoming->spec->limits[i].resource == RLIMIT_CORE)
                        (void)limit_set(&becoming->spec->limits[i]);
        progress_end(becoming->spec->progress);
        signals_set_mask(inheritance->signal_mask, NULL);
        code = execute_in_path(becoming);
        signals_set_mask(SIGNAL_MASK_ALL, NULL);
        if (code == E2BIG)
                too_big_describe(becoming);
        becoming->failure->code = code;
        return -1;
}

static int (*const steps[])(struct becoming *) = {
        [LAUNCH_CGROUP] = step_cgroup,
        [LAUNCH_SESSION] = step_session,
        [LAUNCH_TERMINAL] = step_terminal,
        [LAUNCH_SECRETS] = step_secrets,
        [LAUNCH_ADOPT] = step_adopt,
        [LAUNCH_DESCRIPTORS] = step_descriptors,
        [LAUNCH_LIMITS] = step_limits,
        [LAUNCH_GROUPS] = step_groups,
        [LAUNCH_GROUP] = step_group,
        [LAUNCH_USER] = step_user,
        [LAUNCH_PARENT] = step_parent,
        [LAUNCH_UMASK] = step_umask,
        [LAUNCH_DIRECTORY] = step_directory,
        [LAUNCH_ENVIRONMENT] = step_environment,
        [LAUNCH_ARGUMENTS] = step_arguments,
        [LAUNCH_LOADER] = step_loader,
        [LAUNCH_EXECUTE] = step_execute,
};
static_assert(sizeof steps / sizeof *steps == LAUNCH_STAGE_COUNT, "one step per stage");

/* The words of this very start. Returns -1 when there is no memory. */
static int spec_expand(const struct launch_spec *spec, struct launch_spec *out) {
        const struct launch_expansion *expansion = &spec->expansion;

        *out = *spec;
        if (expansion->arguments)
                out->argv = expand_list(spec->argv, expansion->arguments, expansion);
        if (expansion->settings)
                out->environment.settings =
                        expand_list(spec->environment.settings, expansion->settings, expansion);
        if (expansion->has_directory)
                out->directory = expand_text(spec->directory, expansion);
        return out->argv && (!expansion->settings || out->environment.settings) &&
                               (!expansion->has_directory || out->directory)
                       ? 0
                       : -1;
}

void launch_become(const struct launch_spec *spec, struct environment *environment, int *own_fd, pid_t parent,
        launch_note_handler *on_note, void *context, struct launch_message *out) {
        struct launch_spec expanded;
        struct becoming becoming = {
                .spec = spec,
                .parent = parent,
                .own_fd = own_fd,
                .on_note = on_note,
                .note_context = context,
                .failure = out,
                .has_environment = environment != NULL,
        };

        *out = (struct launch_message){.kind = LAUNCH_FAILED, .stage = LAUNCH_ARGUMENTS, .code = ENOMEM};
        if (expansion_is_wanted(&spec->expansion)) {
                if (spec_expand(spec, &expanded) < 0)
                        return;
                becoming.spec = &expanded;
        }
        if (environment)
                becoming.environment = *environment;
        *out = (struct launch_message){.kind = LAUNCH_FAILED};
        for (unsigned stage = 0; stage < LAUNCH_STAGE_COUNT; stage++) {
                out->stage = stage;
                progress_note(spec->progress, stage);
                if (steps[stage](&becoming) < 0)
                        break;
        }
        if (!environment)
                environment_deinit(&becoming.environment);
}
