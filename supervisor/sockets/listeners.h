#pragma once

/* The listening sockets: opened by the supervisor, inherited by instances, open beyond the end of those.
 *
 * A tcp address has one SO_REUSEPORT group with one socket for each seat (the place of a generation in a
 * slot: instances.h), and a program (steering.h) that says which of them gets a new connection. So one
 * instance can be kept from new connections while all others go on, and a crashed one's successor finds who
 * waits for it. What cannot have a group (unix, udp, a socket that came without SO_REUSEPORT, `shared = yes`)
 * is one socket that all instances share.
 *
 * All functions run in the supervisor and return at once. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"
#include "lib/socket_address.h"
#include "shim/launch.h"
#include "supervisor/core/drain.h"
#include "supervisor/core/facts.h"
#include "supervisor/process/errand.h"
#include "supervisor/process/instances.h"
#include "supervisor/sockets/rules.h"

struct listeners;

#define LISTENERS_MAX 32

/* One socket that is opened before the app starts and stays open after its end: [socket NAME]. */
struct listener_settings {
        const char *name; /* what LISTEN_FDNAMES calls it */
        struct socket_address address;
        int backlog;   /* listen(2); 0: 4096 */
        bool has_mode; /* of the file of a unix socket; else by umask */
        mode_t mode;
        uid_t user;       /* who owns that file; (uid_t)-1: unchanged */
        gid_t group;      /* (gid_t)-1: unchanged */
        int ipv6_only;    /* 1 or 0; -1: what the address says, else the system's default */
        bool is_free;     /* bound although no interface has the address (yet) */
        bool is_shared;   /* one socket for all generations, even where each could have its own */
        int inherited_fd; /* passed by a service manager, taken; -1: to be opened */
};

/* Prefix of the name of a listener that a service manager keeps for the next supervisor (FDSTORE): sockets
 * that the manager opened itself have none. */
#define LISTENER_KEPT_PREFIX "tacet-kept."

/* Prefix for the socket of an address that an app had bound; the address follows. */
#define LISTENER_ADOPTED_PREFIX "tacet-adopted."

/* One that an app had bound, passed back to us by the service manager. */
struct kept_descriptor {
        int fd;           /* taken */
        const char *name; /* in the store, with the prefix; borrowed for as long as the program runs */
};

struct socket_settings {
        const struct listener_settings *declared;
        size_t declared_count;               /* at most LISTENERS_MAX */
        const struct socket_address *adopts; /* addresses that instances bind themselves */
        size_t adopt_count;
        bool refuses_connects; /* see struct socket_rules */
        const struct kept_descriptor *kept;
        size_t kept_count; /* at most LAUNCH_LISTEN_MAX */
        /* how long an accept queue must have been empty before its instance is stopped */
        int64_t queue_quiet_ns;
        struct drain_settings drain; /* timeout_ns 0: nobody looks whether requests run */
};

/* The sockets of one listener: of all that live, of some that are between two lives, and spare ones. */
#define LISTENER_MEMBERS_MAX 80

/* How a socket that an app asked for (bind) is to be made. */
struct listener_options {
        const char *name; /* for the log; borrowed for the call; NULL: its address */
        int backlog;      /* 0: 4096; the app's own listen(2) changes it */
        int ipv6_only;    /* what the app set: 1 or 0; -1: the system's default */
        bool is_shared;   /* never a group */
        bool has_mode;    /* unix paths: the mode of the file; else by umask */
        mode_t mode;
};
#define LISTENER_OPTIONS_DEFAULT ((struct listener_options){.ipv6_only = -1})

/* One socket that an app of the supervisor before us had bound, kept by the service manager for the app that
 * binds its address again. */
struct listener_kept {
        const char *name; /* in the store; borrowed */
        int fd;           /* -1: taken, or shut down */
        bool is_unwanted; /* shut down: the service manager is to close it, too */
        struct socket_address address;
};

/* The rooms that this one stands on; all borrowed. */
struct listeners_rooms {
        struct loop *loop;
        struct facts *facts;
        struct instances *instances;
        const struct fleet *fleet;
        const struct socket_rules *rules;
        struct errands *errands; /* NULL: what may take long is done here */
};

/* Shut down those of settings->kept that no app may bind any more. After listeners_open, before the first app
 * is started. */
void listeners_kept_begin(struct listeners *listeners);

/* A bind to this address (NULL: to any) is not answered by us: shut down kept sockets that would make it
 * fail. */
void listeners_kept_yield(struct listeners *listeners, const struct socket_address *address);

/* True when a kept socket waits for an app that binds this address. */
bool listeners_has_kept(const struct listeners *listeners, const struct socket_address *address);

/* Open the sockets that `settings` (borrowed) declare. `listeners` is all zero. Once, before the first spawn.
 * Returns 0, or -1 with error. */
int listeners_open(struct listeners *listeners, const struct listeners_rooms *rooms,
        const struct socket_settings *settings, struct error *error);

/* Has some listener a socket per instance, or may one that is adopted later? Then the fleet is steered
 * (fleet.h). Call it after listeners_open. */
bool listeners_are_steered(const struct listeners *listeners);

/* The sockets that were declared, for an instance at `seat`, in their order, made where they are not there
 * yet. `out` has LISTENERS_MAX places; the descriptors stay the registry's. Returns 0, or -1 with error: then
 * the instance must not start. */
int listeners_descriptors(struct listeners *listeners, const struct seat *seat, struct launch_descriptor *out,
        size_t *count, struct error *error);

/* The socket of `seat` for an address that its app wants to bind, found or made, already listening. *out_fd
 * stays the registry's. Returns 0, or -1 with error (error->code EADDRINUSE, EADDRNOTAVAIL, ... is what
 * bind(2) said). */
int listeners_adopt(struct listeners *listeners, const struct seat *seat,
        const struct socket_address *address, const struct listener_options *options, int *out_fd,
        struct error *error);

/* Shut down the shared sockets that apps have bound themselves, so that the kernel refuses whoever connects
 * there (ECONNREFUSED) until an app binds the address again: for an app that looks whether somebody answers
 * before it binds. Who waits in their queues is refused as well. Returns how many addresses it was, and the
 * name of the first in *out_name (borrowed; NULL: none). */
size_t listeners_vacate(struct listeners *listeners, const char **out_name);

/* Call it when an instance has ended: put back the files of declared unix sockets that it has removed. */
void listeners_mend_files(const struct listeners *listeners);

/* FLEET_DO_STEER: from now on new connections go by these shares. A seat that has no socket here, because its
 * app has not bound the address, gets nothing while another one has; where none has, one is made that whoever
 * comes first gets. */
void listeners_steer(struct listeners *listeners, const struct fleet_share *shares, size_t count);

/* FLEET_DO_EMPTY: the instance gets no new connection any more. Its accept queue is watched, and FLEET_EMPTY
 * is pushed when it has been empty for queue_quiet; until then instance_is_emptying() must hold. */
void listeners_empty(struct listeners *listeners, const struct instance *instance);

/* FLEET_DO_DRAIN: look at the connections that the instance has taken, and push FLEET_IDLE when no request
 * runs any more, or none can be seen. Ends by itself when the instance is not emptying any more. */
void listeners_drain(struct listeners *listeners, const struct instance *instance);

/* How many requests of an instance that drains ran at the last look. */
size_t listeners_requests(const struct listeners *listeners, uint64_t instance);

/* FLEET_DO_STOP or KILL, before its signal is sent: from now on it is heard which of the instance's
 * connections end with a request that was not answered. Until listeners_ended(). May come again. */
void listeners_stopping(struct listeners *listeners, const struct instance *instance);

/* The instance, and all that it left behind, is gone: say how many of its requests were cut. Waits a few
 * milliseconds at the most, and only where requests ran shortly before; else it is said a moment later. */
void listeners_ended(struct listeners *listeners, uint64_t instance);

/* How many requests were cut since the start, as far as it was seen. */
size_t listeners_cut(const struct listeners *listeners);

/* Do clients wait at a socket of a generation of which no process is left? The next seat that is steered to
 * and has no socket of its own yet gets that one. */
bool listeners_have_orphans(const struct listeners *listeners);

/* FLEET_DO_DROP: the generation is gone, and its sockets with it, but for those in whose queue somebody
 * waits: instances that are started next get them. */
void listeners_drop(struct listeners *listeners, uint64_t generation);

/* Call after each round of events: begins and ends the watch on the accept queues of what drains
 * (FLEET_EMPTY), and lets go of sockets whose instance is gone and will not come back: its generation is
 * over, or another one has its slot. Costs nothing while nothing rolls. */
void listeners_settle(struct listeners *listeners);

/* Connections in the accept queues of `seat`; those of shared sockets are not counted. */
long listeners_waiting(const struct listeners *listeners, const struct seat *seat);

/* A non-blocking tcp socket that connects (or has connected) to the listener `name` (NULL: the first that is
 * steered) such that the instance at `seat` alone can answer. *out_fd is the caller's; on_readable for
 * EPOLLOUT tells when it stands, SO_ERROR how; leave it by leaving_begin(). The route to the seat is that of
 * the last such connection: one that does not stand yet when the next begins must be given up, or its SYN,
 * sent again, goes astray. Returns 0; LISTENERS_BUSY when no port was free; LISTENERS_SHARED when the
 * listener cannot tell instances apart; LISTENERS_UNKNOWN when there is none; -1 with error. */
enum { LISTENERS_BUSY = 1, LISTENERS_SHARED, LISTENERS_UNKNOWN };
int listeners_probe(struct listeners *listeners, const struct seat *seat, const char *name, int *out_fd,
        struct error *error);

/* Would listeners_probe() reach one instance alone, at a declared socket (NULL: at any)? For the
 * configuration, before the start. */
bool listeners_can_probe(
        const struct socket_settings *settings, const struct socket_rules *rules, const char *name);

/* Do not remove the file of the unix socket with this index at the end: the service manager keeps the
 * socket. */
void listeners_leave_file(struct listeners *listeners, size_t index);

/* How many listeners there are, declared and adopted. */
size_t listeners_count(const struct listeners *listeners);

/* The name of a kept socket that was shut down, so that the service manager can close its copy; borrowed.
 * NULL: there is none. listeners_unwanted_done() notes that this was done for that name. */
const char *listeners_unwanted(const struct listeners *listeners);
void listeners_unwanted_done(struct listeners *listeners, const char *name);

/* For `status`, and for the service manager that keeps sockets beyond our end (FDSTORE). */
struct listener_view {
        const char *name;
        char address[SOCKET_ADDRESS_TEXT_BYTES];
        const char *why_shared; /* NULL: steered */
        bool is_declared;
        uint64_t kept_cookie; /* SO_COOKIE of the kept socket that an app took; 0: the socket is new */
        size_t member_count;
        struct {
                struct seat seat;
                bool is_spare;   /* of no seat: waits for the next one, see listeners_drop */
                int fd;          /* borrowed */
                long waiting;    /* connections in the accept queue; -1: unknown */
                uint32_t weight; /* of its share of new connections */
        } members[LISTENER_MEMBERS_MAX];
};

/* Describe the listener with this index, from 0. Returns false when there is none, which ends a loop. */
bool listeners_look(const struct listeners *listeners, size_t index, struct listener_view *out);

/* The app has ended for good: close all sockets, and remove those files of unix sockets that we made. */
void listeners_close(struct listeners *listeners);
