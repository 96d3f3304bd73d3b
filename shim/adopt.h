#pragma once

/* Telling the supervisor when the app, or anything it starts, calls bind(2) or listen(2), asks whether a
 * socket listens or, where that is wanted, removes a file or calls connect(2): a seccomp filter with a user
 * notification (seccomp_unotify(2)). The shim installs it; what the supervisor does with the calls is
 * supervisor/adopt/adopt.h.
 *
 * The filter is inherited by every descendant, allows every other call, and cannot be taken off again. When
 * the supervisor is gone, a bind fails with ENOSYS. */

#include <stdbool.h>
#include <stdint.h>

#include "lib/error.h"

enum adopt_call {
        ADOPT_CALL_NONE,
        ADOPT_CALL_BIND,
        ADOPT_CALL_LISTEN,
        ADOPT_CALL_ASK_LISTENING, /* getsockopt(2) of SO_ACCEPTCONN */
        ADOPT_CALL_CONNECT,
        ADOPT_CALL_UNLINK,
        ADOPT_CALL_UNLINKAT,
        ADOPT_CALL_SOCKETCALL, /* socketcall(2): its first argument says which call it is */
};

/* What is reported; each has what is before it. */
enum adopt_reports {
        ADOPT_REPORTS_SOCKETS, /* bind, listen, and the question whether a socket listens */
        ADOPT_REPORTS_PATHS, /* unlink and unlinkat, so that the file of an adopted unix socket can be kept */
        ADOPT_REPORTS_ALL,   /* connect, which costs each of them a message to the supervisor and back */
        ADOPT_REPORTS_COUNT,
};

/* Which call was reported, by `arch` and `nr` of its struct seccomp_data. */
enum adopt_call adopt_call_of(uint32_t arch, int number);

/* Install the filter in this process. With CAP_SYS_ADMIN nothing else changes; without, no_new_privs is set
 * (prctl(2)): the app cannot gain rights by a set-user-ID program then. Allocates nothing.
 *
 * Returns the descriptor on which calls are reported (close-on-exec), or -1 with errno:
 *
 *      EBUSY           a filter with such a descriptor is installed already, by whoever started tacet
 *      EACCES          no CAP_SYS_ADMIN, and no_new_privs was refused
 *      ENOSYS EINVAL   the kernel is too old, or another filter hides the call */
int adopt_filter_install(enum adopt_reports reports);

/* What to do about a failed install, as a sentence; `code` is its errno. */
const char *adopt_filter_hint(int code);

/* Send the descriptor over a socketpair(2). Returns 0, or -1 with errno. */
int adopt_descriptor_send(int channel, int fd);

/* Receive it at the other end. Returns the descriptor (close-on-exec), or -1 with errno: EAGAIN; EPIPE when
 * the sender is gone without having sent one; EMFILE. */
int adopt_descriptor_receive(int channel);

/* Check that all works here that adopting needs. Tries it in a child, which takes a fraction of a
 * millisecond; only before there are other children. Returns 0, or -1 with an error and a hint. */
int adopt_probe(struct error *error);
