#pragma once

/* What the files of this folder share; other folders include listeners.h. */

#include <assert.h>
#include <sys/stat.h>

#include "lib/loop.h"
#include "supervisor/sockets/inquiry.h"
#include "supervisor/sockets/steering.h"
#include "supervisor/sockets/listeners.h"

#define LISTENER_NAME_BYTES 256 /* LISTEN_FDNAMES: 255 */
#define LISTENER_SPARES_MAX 4

static_assert(LISTENER_MEMBERS_MAX <= STEERING_MEMBERS_MAX, "the program knows all of them");
static_assert(LISTENER_MEMBERS_MAX > FLEET_INSTANCES_MAX + LISTENER_SPARES_MAX, "one for every seat");

/* One socket of a group; its place in the list is its index in the kernel. */
struct listener_member {
        int fd;
        struct seat seat;
        uint8_t tag;       /* that its connections inherit: tags.c; 0: none */
        bool is_spare;     /* of no seat: the next one that needs a socket gets it */
        bool is_awaited;   /* made before its app came for it: the first of its generation gets it */
        bool is_permanent; /* somebody else holds it too, so closing it does not take it out of the group */
        /* connections were steered to it: what waits in its queue is more than our own probes */
        bool had_clients;
        uint32_t weight;
        /* a bound socket that keeps the port of the last probe from others; -1: there was none */
        int probe_hold;
        uint16_t probe_port;
};

/* The file of a unix socket: see struct listener_settings. */
struct listener_file {
        bool has_mode;
        mode_t mode;
        uid_t user;
        gid_t group;
};

struct listener {
        bool is_declared;
        char name[LISTENER_NAME_BYTES];
        struct socket_address address;
        int backlog, ipv6_only;
        bool is_free;           /* IP_FREEBIND */
        bool is_vacated;        /* shut down by us, until an app binds the address: listeners_vacate() */
        bool leaves_file;       /* somebody else keeps the socket: its file outlives us */
        const char *why_shared; /* NULL: a group with a socket per seat; else one socket for all */
        uint8_t tag_last;       /* that was given to a member */
        bool is_stale;          /* the kernel goes by older weights or ports than the members say */
        size_t member_count;    /* shared: 1 */
        struct listener_member members[LISTENER_MEMBERS_MAX];
        unsigned stranger_count;   /* sockets of others on our address, when last counted */
        uint64_t kept_cookie;      /* see struct listener_view */
        struct listener_file file; /* how it is made, and made again */
        dev_t file_device;         /* unix paths: the file that we made; inode 0: none */
        ino_t file_inode;
};

/* Connections that were half open at the switch, by their cookies (SO_COOKIE). */
#define LISTENER_HANDSHAKES_MAX 512
struct listener_handshakes {
        size_t count;
        size_t seen; /* so many at the front were found half open again */
        uint64_t cookies[LISTENER_HANDSHAKES_MAX];
};

/* An instance that is emptying. */
struct listener_emptying {
        bool is_used;
        bool is_told;      /* FLEET_EMPTY was sent */
        bool has_noted;    /* handshakes: which there were at the switch */
        int64_t looked_ns; /* and when it was known last which of these there are still */
        struct listeners *listeners;
        struct inquiry inquiry;
        uint64_t number; /* of the instance */
        struct seat seat;
        int64_t empty_since_ns; /* NS_FOREVER: it was not empty when it was looked at last */
};

/* An instance whose requests are waited for, or that was told to stop (cut.c). */
#define LISTENER_DRAINS_MAX FLEET_INSTANCES_MAX
struct listener_drain {
        bool is_used;
        bool is_told;   /* FLEET_IDLE was sent */
        bool is_ending; /* it was told to stop: what becomes of its connections is heard */
        bool has_ended; /* and is gone; the timer ends the hearing */
        bool takes_all; /* nobody has looked at its connections: any that ends may be its own */
        uint64_t instance;
        struct seat seat;
        struct listeners *listeners;
        struct loop_timer timer;
        struct inquiry inquiry;
        size_t cut; /* requests that were left without an answer */
        /* which connections may have had a request at the last look */
        size_t open_count;
        struct {
                uint8_t family;
                uint64_t cookie;
                struct inet_diag_sockid id;
        } open[DRAIN_CONNECTIONS_MAX];
        struct drain drain;
};

struct listeners {
        const struct socket_settings *settings;
        struct listeners_rooms rooms;
        size_t count;             /* of list */
        size_t share_count;       /* of shares: of the last STEER */
        size_t kept_count;        /* of kept: all that the service manager kept, taken or shut down */
        uint16_t probe_port_last; /* the next probe's is the next free one below it */
        struct loop_timer watch;
        struct loop_timer again; /* wakes up for what is stale */
        size_t cut;              /* see listeners_cut() */
        struct loop_source ends; /* of connections: cut.c; while an instance is ending */
        size_t emptying_places;  /* of emptyings that were ever used: the others are not even looked at */
        size_t drain_places;     /* of drains, the same: each is a page */
        struct listener_emptying emptyings[FLEET_INSTANCES_MAX];
        struct fleet_share shares[FLEET_SHARES_MAX];
        struct listener_kept kept[LAUNCH_LISTEN_MAX];
        struct listener list[LISTENERS_MAX];
        struct listener_handshakes handshakes[FLEET_INSTANCES_MAX]; /* large: apart, each at its emptying */
        struct listener_drain drains[LISTENER_DRAINS_MAX];
};

/* ---- open.c: making sockets ---- */

/* Open a socket that is bound to the listener's address and listens. `is_first`: no other socket may have the
 * address; later ones join the group. *out_fd is the caller's. Returns 0, or -1 with error. */
int listener_socket_open(struct listener *listener, bool is_first, int *out_fd, struct error *error);

/* The same for a unix socket; a file that a process which is gone has left is removed before. */
int listener_local_open(
        struct listener *listener, const struct listener_file *file, int *out_fd, struct error *error);

/* Remove the file of a unix socket at the end, if it is still the one that was made. */
void listener_local_remove(const struct listener *listener);

/* Can another socket join the group of `fd`, which the service manager passed? Returns NULL, or why not. */
const char *listener_inherited_check(const struct listener *listener, int fd);

/* ---- renew.c ---- */

/* The only socket of a shared listener is about to be given to an instance: one that was shut down, or whose
 * file is gone, is made again. Returns 0, or -1 with error when clients could not connect. */
int listener_renew(struct listener *listener, struct error *error);

/* A second name of a declared socket's file, hidden beside it: with it the file can be put back when an app
 * or somebody else removes it, and the socket stays the one that running instances have. All best effort:
 * where no link can be made, a socket is made anew at the next start (listener_renew()). listener_spare_use()
 * returns false when there is none, or something else has the name. */
void listener_spare_make(const struct listener *listener);
bool listener_spare_use(const struct listener *listener);
void listener_spare_remove(const struct listener *listener);

/* ---- group.c: members and their order ---- */

/* The member of that seat; NULL when there is none. */
struct listener_member *listener_member_of(struct listener *listener, const struct seat *seat);

/* The same; where there is none, a spare member becomes it, or a new socket at the end. NULL with error. */
struct listener_member *listener_member_need(
        struct listener *listener, const struct seat *seat, struct error *error);

/* Put a socket that listens at the end of the list. */
struct listener_member *listener_member_add(struct listener *listener, int take_fd, const struct seat *seat);

/* Nobody will come back to this seat: close its member, or keep it as a spare one. */
void listener_member_drop(struct listener *listener, const struct seat *seat);

/* Forget members that an app has shut down: the kernel took them out of the group. */
void listener_members_check(struct listener *listener);

/* Attach a program with the members' present weights and probe ports. Returns 0, or -1 with error: nothing
 * changed, and listeners_settle() tries again until it succeeds. */
int listener_program_set(struct listener *listener, struct error *error);

/* Write the source addresses of this listener's probes to *out; its other members stay as they are. */
void listener_probe_sources(const struct listener *listener, struct steering *out);

/* True when listen(2) was called on the socket, and it was not shut down. */
bool listener_is_listening(int fd);

/* Connections in the accept queue of a tcp listener, or -1. */
long listener_waiting(int fd);

/* ---- kept.c ---- */

/* Take over settings->kept; before any socket is opened. */
void listener_kept_read(struct listeners *listeners);

/* The kept socket for a listener that is about to be opened, or -1. The descriptor is the caller's. A kept
 * socket of that address that cannot be used is shut down. */
int listener_kept_take(struct listeners *listeners, struct listener *listener);

/* Shut down kept sockets that may make a bind to this address fail (NULL: all). Returns true when there was
 * one. */
bool listener_kept_clear(struct listeners *listeners, const struct socket_address *address);

/* Once a generation is stable, shut down the kept sockets that its app did not bind. */
void listener_kept_settle(struct listeners *listeners);

/* ---- diag.c ---- */

/* Call on_socket for every tcp socket of the family at this port whose state is one of `states` (1 <<
 * TCP_...). Returns false when the kernel does not tell, or not all. */
struct inet_diag_msg;
typedef void listener_diag_handler(void *context, const struct inet_diag_msg *message);
bool listener_diag_each(
        uint8_t family, uint16_t port, uint32_t states, listener_diag_handler *on_socket, void *context);

/* The same with the attributes that the kernel adds (struct nlattr, one after the other). */
typedef void listener_diag_attributes_handler(
        void *context, const struct inet_diag_msg *message, const uint8_t *attributes, size_t length);
bool listener_diag_attributes_each(const struct listener_diag_request *wanted,
        listener_diag_attributes_handler *on_socket, void *context);

/* The same for the one connection with this id, whatever its state is; on_socket is not called where there is
 * none. It takes microseconds. */
void listener_diag_one(uint8_t family, const struct inet_diag_sockid *id,
        listener_diag_attributes_handler *on_socket, void *context);

/* ---- drain.c, for cut.c ---- */

/* The place of that instance, or NULL; one for a new instance, or NULL when all are used. */
struct listener_drain *listener_drain_of(struct listeners *listeners, uint64_t instance);
struct listener_drain *listener_drain_new(struct listeners *listeners, const struct instance *instance);

/* Nothing is looked for any more. */
void listener_drain_release(struct listener_drain *drain);

/* ---- cut.c ---- */

/* At the end: say what is known. */
void listener_cuts_close(struct listeners *listeners);

/* Sockets of others in the group are counted by the kernel and not by us: say so when there are any, or none
 * any more. */
void listener_strangers_look(struct listener *listener);

/* ---- tags.c ---- */

/* Give the member a tag that no other member of the listener has: the connections that are made from now on
 * carry it. Where the kernel has no room for one, member->tag stays 0. */
void listener_tag_set(struct listener *listener, struct listener_member *member);

/* The tag that a connection carries, from the kernel's attributes; -1: it does not say (before Linux
 * 5.10). */
int listener_tag_read(const uint8_t *attributes, size_t length);

/* The attribute of that kind, as far as it goes; NULL: it is not there. */
const uint8_t *listener_attribute_find(
        const uint8_t *attributes, size_t length, uint16_t kind, size_t *out_length);

/* ---- handshakes.c ---- */

/* Add to *order: which connections are half open at the listener's port? */
void listener_handshakes_ask(const struct listener *listener, struct inquiry_order *order);

/* Note one of them; or mark it when it was noted. */
void listener_handshake_note(struct listener_handshakes *handshakes, uint64_t cookie);
void listener_handshake_mark(struct listener_handshakes *handshakes, uint64_t cookie);

/* After all listeners: forget what was not marked. Returns how many are left. */
size_t listener_handshakes_left(struct listener_handshakes *handshakes);
