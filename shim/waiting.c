/* Shims that wait for their secrets: see waiting.h. Runs in the supervisor; what the shim does is in
 * launch.c. */

#include "shim/waiting.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/fd.h"
#include "shim/secrets_channel.h"

int launch_waiting_start(const struct launch_spec *spec, const struct launch_forgotten *forgotten,
        struct launch_waiting *out, struct error *error) {
        struct launch_spec waiting = *spec;
        CLEANUP_FD int ours = -1;
        CLEANUP_FD int theirs = -1;
        int ends[2];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
                return error_set(error, errno, "make a channel to the shim (socketpair)");
        ours = ends[0];
        theirs = ends[1];
        waiting.secrets = NULL;
        waiting.suspends_parent = false;
        waiting.secrets_channel = theirs;
        waiting.secrets_channel_peer = ours;
        waiting.forgotten = forgotten;
        if (launch_start(&waiting, &out->process, error) < 0)
                return -1;
        out->channel = fd_take(&ours);
        return 0;
}

int launch_waiting_release(struct launch_waiting *waiting, const struct bundle *secrets) {
        if (secrets_send(waiting->channel, secrets) < 0)
                return -1;
        fd_cleanup(&waiting->channel);
        return 0;
}

void launch_waiting_end(struct launch_waiting *waiting) {
        if (waiting->process.pid > 0)
                (void)kill(waiting->process.pid, SIGKILL);
        fd_cleanup(&waiting->channel);
        fd_cleanup(&waiting->process.status_fd);
        waiting->process.pid = 0;
}
