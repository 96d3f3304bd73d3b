#pragma once

/* The sockets of a service: those that its configuration declares, and those that a service manager gave.
 * Descriptors are only noted here; the supervisor opens, adopts and closes them. */

#include "conf/config.h"
#include "supervisor/supervisor.h"

/* What the settings point into. */
struct service_sockets {
        size_t listener_count, passed_count, kept_count;
        unsigned given_count; /* descriptors from 3 on */
        char *names;          /* LISTEN_FDNAMES, cut into its names; heap, for as long as the program runs */
        struct listener_settings listeners[LISTENERS_MAX];
        struct passed_descriptor passed[LAUNCH_LISTEN_MAX];
        struct kept_descriptor kept[LAUNCH_LISTEN_MAX];
};

/* Fill out->listeners from `config` (borrowed): owners of unix sockets are looked up, nothing is opened.
 * Returns 0, or -1 with error, which carries its status. */
int service_sockets_declare(struct service_sockets *out, const struct config *config, struct error *error);

/* sd_listen_fds(3): how many descriptors from 3 on were given to this process; 0 when LISTEN_PID is
 * another's, or when one of them is not open or is close-on-exec (that is a warning). Our own descriptors,
 * and those of keys, are close-on-exec, and a number that is too large must not give them to the app. */
unsigned service_sockets_given(void);

/* Take `count` descriptors from 3 on, as service_sockets_given() counted them. What has the name or the
 * address of a declared socket is that socket; any other socket that listens becomes one of its own; what is
 * none is handed on as it is. All are close-on-exec from now on. What is unexpected about one is a warning.
 * Once per process: what is not needed is closed. */
void service_sockets_inherit(struct service_sockets *sockets, unsigned count);

/* Bytes that execve(2) counts for the variables that tell the app of these sockets (LISTEN_FDS and its like):
 * an upper bound. */
size_t service_sockets_variable_bytes(const struct service_sockets *sockets);

/* NULL-terminated names of what a service manager says to its own child alone: never the app's. */
extern char *const service_manager_variables[];
