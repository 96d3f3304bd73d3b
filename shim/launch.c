/* Forking the shim and hearing from it: see launch.h. This side runs in the supervisor (PID 1), which maps no
 * secret.
 *
 * With secrets it is a fork: the shim's mapping of them must not appear in the supervisor's memory. Without,
 * a plain init may ask for a vfork: no page is copied, and the whole start took 1.6 instead of 2.2 times the
 * bare program's. The shim then runs in our memory while we stand still, so it allocates nothing: the
 * environment is built before. Nothing else waits for a plain init in that moment; a supervisor with
 * deadlines to keep forks. */

#include "shim/launch.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "lib/fd.h"
#include "secrets/wipe.h"
#include "shim/adopt.h"
#include "shim/progress.h"
#include "shim/secrets_channel.h"

static_assert(sizeof(struct launch_message) <= PIPE_BUF, "one write per message, never torn: pipe(7)");

static void note_send(const struct launch_message *message, void *context) {
        /* The number of notes is bounded (ENVIRONMENT_CONFLICTS_MAX) far below what the pipe holds: this
         * cannot block. */
        (void)fd_write_full(*(const int *)context, message, sizeof *message);
}

/* A shim of waiting.h: hold no generation, and wait for that which this start is for. Nobody wants it when
 * there is none. */
static const struct launch_spec *secrets_wait(const struct launch_spec *spec) {
        static struct launch_spec waited;
        static struct bundle secrets;

        fd_close(spec->secrets_channel_peer);
        for (size_t i = 0; i < spec->forgotten->count; i++)
                fd_close(spec->forgotten->fds[i]);
        load_environment_wipe(spec->forgotten->request);
        if (secrets_receive(spec->secrets_channel, &secrets) < 0)
                _exit(EXIT_STATUS_SUPERVISOR);
        fd_close(spec->secrets_channel);
        waited = *spec;
        waited.secrets = &secrets;
        return &waited;
}

static _Noreturn void shim_main(
        const struct launch_spec *spec, struct environment *environment, int status_fd, pid_t parent) {
        struct launch_message failure = {0};

        /* Until the step that sets the configured signal: a shim without a supervisor must not go on. */
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(EXIT_STATUS_SUPERVISOR);
        if (spec->secrets_channel)
                spec = secrets_wait(spec);
        launch_become(spec, environment, &status_fd, parent, note_send, &status_fd, &failure);
        (void)fd_write_full(status_fd, &failure, sizeof failure);
        _exit(EXIT_STATUS_SUPERVISOR);
}

static pid_t shim_fork(const struct launch_spec *spec, int status_fd, struct error *error) {
        pid_t parent = getpid(), pid = fork();

        if (pid == 0)
                shim_main(spec, NULL, status_fd, parent);
        return pid < 0 ? error_set(error, errno, "start a process for the app (fork)") : pid;
}

static pid_t shim_vfork(const struct launch_spec *spec, int status_fd, struct error *error) {
        struct environment environment;
        pid_t parent = getpid(), pid;

        if (environment_build(&spec->environment, NULL, &environment, error) < 0)
                return -1;
        /* Signals are blocked, and the child changes nothing of ours. */
        pid = vfork(); // NOLINT: deprecated for portability
        if (pid == 0)  // NOLINTNEXTLINE(clang-analyzer-unix.Vfork): see above
                shim_main(spec, &environment, status_fd, parent);
        if (pid < 0)
                error_set(error, errno, "start a process for the app (vfork)");
        environment_deinit(&environment);
        return pid;
}

int launch_start(const struct launch_spec *spec, struct launch_process *out, struct error *error) {
        CLEANUP_FD int reader = -1;
        CLEANUP_FD int writer = -1;
        int ends[2];
        pid_t pid;

        assert(!spec->suspends_parent || !expansion_is_wanted(&spec->expansion));
        assert(!spec->suspends_parent || (!spec->secrets && !spec->descriptor_count && !spec->variables));
        if (pipe2(ends, O_CLOEXEC) < 0)
                return error_set(error, errno, "make the status pipe of the app (pipe2)");
        reader = ends[0];
        writer = ends[1];
        if (fcntl(reader, F_SETFL, O_NONBLOCK) < 0)
                return error_set(error, errno, "make the status pipe non-blocking (fcntl)");
        pid = spec->suspends_parent ? shim_vfork(spec, writer, error) : shim_fork(spec, writer, error);
        if (pid < 0)
                return -1;
        /* Here and in the shim: whoever comes first, a signal to the group finds it (EACCES: it has already
         * exec'd). */
        if (spec->session == LAUNCH_OWN_GROUP)
                (void)setpgid(pid, pid);
        *out = (struct launch_process){.pid = pid, .status_fd = fd_take(&reader)};
        return 0;
}

int launch_read(int status_fd, struct launch_message *out) {
        ssize_t got;

        do
                got = read(status_fd, out, sizeof *out);
        while (got < 0 && errno == EINTR);
        if (got < 0)
                return errno == EAGAIN ? 1 : 2;
        if (got != sizeof *out || out->stage >= LAUNCH_STAGE_COUNT)
                return 2;
        out->detail[sizeof out->detail - 1] = '\0';
        return 0;
}

void launch_note_describe(const struct launch_message *note, const struct launch_spec *spec,
        char out[static LAUNCH_NOTE_BYTES]) {
        bool is_kept = spec->environment.on_conflict == ENVIRONMENT_KEEP;

        snprintf(out, LAUNCH_NOTE_BYTES, "secret %s also stands in the inherited environment%s", note->detail,
                is_kept ? ", which wins" : ": the secret wins");
}

/* What the stage was about to do, as "cannot X". */
static const char *const stage_texts[] = {
        [LAUNCH_CGROUP] = "give it a cgroup of its own",
        [LAUNCH_SESSION] = "give it a session or process group of its own",
        [LAUNCH_TERMINAL] = "give it the terminal",
        [LAUNCH_SECRETS] = "map its secrets",
        [LAUNCH_ADOPT] = "have its bind and listen reported (seccomp)",
        [LAUNCH_DESCRIPTORS] = "set up its descriptors",
        [LAUNCH_LIMITS] = "set its resource limits",
        [LAUNCH_GROUPS] = "set its supplementary groups",
        [LAUNCH_GROUP] = "set its group",
        [LAUNCH_USER] = "set its user",
        [LAUNCH_PARENT] = "tie its life to the supervisor's",
        [LAUNCH_UMASK] = "set its umask",
        [LAUNCH_DIRECTORY] = "enter its directory",
        [LAUNCH_ENVIRONMENT] = "make its environment",
        [LAUNCH_ARGUMENTS] = "accept its arguments",
        [LAUNCH_LOADER] = "wait for the end of the loader",
        [LAUNCH_EXECUTE] = "execute it",
};
static_assert(sizeof stage_texts / sizeof *stage_texts == LAUNCH_STAGE_COUNT, "one text per stage");

static void describe_execute(const struct launch_message *failure, const char *command, struct error *error) {
        const char *detail = failure->detail;

        error_set(error, failure->code, "cannot execute '%s'%s%s", command, *detail ? ": " : "", detail);
        error_status(error, EXIT_STATUS_NOT_EXECUTABLE);
        switch (failure->code) {
        case ENOENT:
        case ENOTDIR:
                error_status(error, EXIT_STATUS_NOT_FOUND);
                if (strchr(command, '/'))
                        error_hint(error, "the file, or the interpreter that it names, does not exist");
                else
                        error_hint(error, "no folder of $PATH has it: give the full path");
                break;
        case ENOEXEC:
                error_hint(error, "a script needs a first line such as #!/bin/sh: tacet does not guess one");
                break;
        case E2BIG:
                error_hint(error, "one variable may have 131071 bytes; all of them, with the arguments, a "
                                  "quarter of the stack limit");
                break;
        case EACCES:
                error_hint(
                        error, "it must be a regular file with the x bit, on a file system without noexec");
                break;
        case ETXTBSY:
                error_hint(error, "some process still has the file open for writing");
                break;
        default:
                break;
        }
}

static void describe_filtered(
        const struct launch_message *failure, const struct launch_spec *spec, struct error *error) {
        error_set(error, 0,
                "cannot start '%s': a system call filter (SystemCallFilter=, seccomp) ended it with SIGSYS "
                "when "
                "it was to %s",
                spec->argv[0], stage_texts[failure->stage]);
        if (failure->stage >= LAUNCH_GROUPS && failure->stage <= LAUNCH_USER)
                error_hint(error, "SystemCallFilter=@setuid allows it; or leave user and groups to the unit: "
                                  "User=, SupplementaryGroups=");
        else
                error_hint(error, "SystemCallFilter=%s allows it; or leave the setting out",
                        progress_calls(failure->stage));
        error_status(error, EXIT_STATUS_SUPERVISOR);
}

void launch_failure_describe(
        const struct launch_message *failure, const struct launch_spec *spec, struct error *error) {
        if (failure->kind == LAUNCH_FILTERED) {
                describe_filtered(failure, spec, error);
                return;
        }
        if (failure->stage == LAUNCH_EXECUTE) {
                describe_execute(failure, spec->argv[0], error);
                return;
        }
        error_set(error, failure->code, "cannot start '%s': cannot %s%s%s", spec->argv[0],
                stage_texts[failure->stage], failure->detail[0] ? ": " : "", failure->detail);
        if (failure->stage == LAUNCH_ADOPT)
                error_hint(error, "%s", adopt_filter_hint(failure->code));
        if (failure->stage == LAUNCH_ARGUMENTS)
                error_hint(error, "anyone can read arguments: let the app read the variable itself");
        if (failure->stage == LAUNCH_ENVIRONMENT && failure->code == 0)
                error_hint(error, "remove it from the environment, or set on_conflict to replace or keep");
        if (failure->code == EPERM && failure->stage >= LAUNCH_LIMITS && failure->stage <= LAUNCH_USER)
                error_hint(error, "tacet itself needs the right to do this: start it as root, or leave the "
                                  "setting out");
        error_status(error, EXIT_STATUS_SUPERVISOR);
}
