/* One load that is waited for: see load_once.h. */

#include "cli/service/load_once.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "lib/duration.h"
#include "lib/log.h"

/* Wait until the loader answers or its time is over. The loader keeps the deadline itself; the second more is
 * for a loader that cannot, because it was stopped. */
static void wait_for_answer(const struct load_process *process, int64_t deadline_ns) {
        int64_t end_ns = time_add(time_now_ns(), time_add(deadline_ns, NS_PER_S));
        struct pollfd channel = {.fd = process->channel, .events = POLLIN};

        for (;;) {
                int64_t left_ms = (end_ns - time_now_ns()) / NS_PER_MS;
                int ready = poll(&channel, 1, left_ms > INT_MAX ? INT_MAX : left_ms < 0 ? 0 : (int)left_ms);

                if (ready > 0 || (ready < 0 && errno != EINTR))
                        return;
                if (ready == 0 && left_ms <= 0) {
                        (void)kill(process->pid, SIGKILL);
                        return;
                }
        }
}

static void loader_reap(pid_t loader) {
        while (waitpid(loader, NULL, 0) < 0 && errno == EINTR)
                continue;
}

int load_once_unreaped(
        const struct load_request *request, struct load_result *out, pid_t *out_loader, struct error *error) {
        struct load_process process;

        for (;;) {
                int answer;

                if (load_start(request, &process, error) < 0)
                        return -1;
                wait_for_answer(&process, request->deadline_ns);
                answer = load_finish(&process, out, error);
                *out_loader = process.pid;
                if (answer == 0)
                        return 0;
                loader_reap(process.pid);
                if (answer < 0)
                        return -1;
                log_error(LOG_WARNING, error); /* it is started again without what that says */
        }
}

int load_once(const struct load_request *request, struct load_result *out, struct error *error) {
        pid_t loader;

        if (load_once_unreaped(request, out, &loader, error) < 0)
                return -1;
        loader_reap(loader);
        return 0;
}
