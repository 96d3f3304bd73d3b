/* Loading as the parent sees it: see load.h. Runs in the supervisor, or in a verb that needs secrets.
 *
 * It forks the loader (loader.c) and takes one message from it (message.c). Neither step reads a file or maps
 * a secret. */

#include "secrets/load.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/fd.h"
#include "lib/secret_memory.h"
#include "secrets/source/gather.h"
#include "secrets/loader.h"
#include "secrets/message.h"
#include "secrets/trial.h"

/* What loaders have died of: TRIAL_BIT()s. A property of this process, since a filter is never taken off
 * (seccomp(2)). */
static unsigned calls_missing;

void load_result_deinit(struct load_result *result) {
        bundle_deinit(&result->bundle);
        fd_close(result->captured_environment);
        free(result->items);
        *result = (struct load_result){.captured_environment = -1};
        bundle_init(&result->bundle);
}

static int origin_wrap(const char *where, struct error *error) {
        return error_wrap(error, "%s", where ? where : "request");
}

int load_request_check(const struct load_request *request, struct error *error) {
        bool needs_key = false;

        if (request->source_count == 0 || request->source_count > LOAD_SOURCES_MAX ||
                request->key_count > LOAD_KEYS_MAX) {
                error_set(error, 0, "%zu sources and %zu keys: 1 to %d sources and up to %d keys can be used",
                        request->source_count, request->key_count, LOAD_SOURCES_MAX, LOAD_KEYS_MAX);
                return error_status(error, EXIT_STATUS_CONFIG);
        }
        for (size_t i = 0; i < request->key_count; i++)
                if (key_check(&request->keys[i], error) < 0)
                        return origin_wrap(request->keys[i].where, error);
        for (size_t i = 0; i < request->source_count; i++) {
                if (source_check(&request->sources[i], error) < 0)
                        return origin_wrap(request->sources[i].where, error);
                needs_key |= source_is_age(&request->sources[i]);
        }
        if (needs_key && request->key_count == 0) {
                error_set(error, 0, "an encrypted source needs a key");
                error_hint(error, "give -i FILE with the identity, or passphrase-file:PATH");
                return error_status(error, EXIT_STATUS_CONFIG);
        }
        return 0;
}

int load_start(const struct load_request *request, struct load_process *out, struct error *error) {
        struct loader_trial trial = {.missing = calls_missing};
        pid_t parent = getpid(), pid;
        int ends[2];

        if (load_request_check(request, error) < 0)
                return -1;
        for (size_t i = 0; i < request->key_count; i++)
                if (key_check_open(&request->keys[i], error) < 0)
                        return -1;
        trial.page = trial_page_new(error);
        if (!trial.page)
                return -1;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
                error_set(error, errno, "make a channel to the loader");
                trial_page_drop(trial.page);
                return -1;
        }
        pid = fork();
        if (pid == 0)
                loader_run(request, ends[1], parent, &trial);
        if (pid < 0) {
                error_set(error, errno, "start the loader");
                trial_page_drop(trial.page);
                fd_close(ends[0]);
                fd_close(ends[1]);
                return -1;
        }
        fd_close(ends[1]);
        *out = (struct load_process){.pid = pid,
                .channel = ends[0],
                .trial = trial.page,
                .deadline_ns = time_add(time_now_ns(), load_deadline_ns(request))};
        return 0;
}

/* How the loader has ended: only asked of one whose end of the channel is closed because it is dying. It
 * stays to be reaped by who called load_start(). */
static bool is_ended_by_filter(const struct load_process *process) {
        siginfo_t info = {0};
        int result;

        if (process->pid == 0)
                return WIFSIGNALED(process->wait_status) && WTERMSIG(process->wait_status) == SIGSYS;
        do
                result = waitid(P_PID, (id_t)process->pid, &info, WEXITED | WNOWAIT);
        while (result < 0 && errno == EINTR);
        return result == 0 && info.si_code != CLD_EXITED && info.si_status == SIGSYS;
}

/* After the end of a loader without an answer: 1 when it is to be started again, else 0. */
static int trial_learn(const struct load_process *process, struct error *error) {
        enum trial_call call = trial_fatal(process->trial);

        if (call == TRIAL_NONE || calls_missing & TRIAL_BIT(call) || !is_ended_by_filter(process))
                return 0;
        calls_missing |= TRIAL_BIT(call);
        error_set(error, 0, "%s", trial_text(call));
        return 1;
}

void load_abandon(struct load_process *process) {
        fd_cleanup(&process->channel);
        trial_page_drop(process->trial);
        process->trial = NULL;
        if (process->pid > 0)
                (void)kill(process->pid, SIGKILL);
}

int load_finish(struct load_process *process, struct load_result *out, struct error *error) {
        CLEANUP_FD int channel = fd_take(&process->channel);
        struct load_message message;
        int fds[MESSAGE_DESCRIPTORS], result, again;

        *out = (struct load_result){.captured_environment = -1};
        bundle_init(&out->bundle);
        result = message_receive(channel, &message, fds, error);
        again = result < 0 ? trial_learn(process, error) : 0;
        /* A loader that was taken over by what it parsed could go on writing to the memory that it has
         * sent. */
        load_abandon(process);
        if (again)
                return again;
        if (result < 0) {
                if (time_now_ns() >= process->deadline_ns)
                        return error_set(error, ETIMEDOUT, "the loader did not answer before its deadline");
                return -1;
        }
        if (message.is_error) {
                *error = message.error;
                return -1;
        }
        result = message_accept(&message, fds, out, error);
        secret_wipe(&message, sizeof message);
        for (int i = 0; i < MESSAGE_DESCRIPTORS; i++)
                fd_close(fds[i]);
        if (result < 0)
                load_result_deinit(out);
        return result;
}
