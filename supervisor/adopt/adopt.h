#pragma once

/* Adopted sockets: an app that binds a port of its own gets the listening socket of its instance in its
 * place.
 *
 * shim/adopt.h reports every bind(2) and listen(2) of an instance and of all that it starts. A bind to an
 * address of the rules is answered by putting the socket of its seat (listeners.h) on the very
 * descriptor number of the call; every other call goes on as if nobody had looked. The app notices nothing,
 * and its listen is the sign that it is ready. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"
#include "lib/loop.h"
#include "lib/socket_address.h"
#include "shim/adopt.h"
#include "supervisor/core/fleet.h"
#include "supervisor/process/errand.h"
#include "supervisor/process/instances.h"
#include "supervisor/sockets/listeners.h"

#define ADOPT_RULES_MAX   16
#define ADOPT_BACKLOG     4096
#define ADOPT_SOCKETS_MAX 8 /* addresses that one instance can have adopted at a time */
#define ADOPT_UNNAMED_MAX 4 /* other addresses that are remembered of an instance */
/* Instances, and some that have ended but left processes behind. */
#define ADOPT_TREES_MAX (FLEET_INSTANCES_MAX + 16)

/* One address that an instance has bound. */
struct adopt_socket {
        struct socket_address address;
        uint64_t inode;
        pid_t process;      /* the process that bound it */
        int number;         /* its descriptor there */
        int reuses_port;    /* it had SO_REUSEPORT; -1: not known */
        bool is_unanswered; /* the descriptor is in place, but the call was interrupted before its answer */
};

struct adopt;
struct adopt_tree;

/* One reported call. */
struct adopt_request {
        struct adopt_tree *tree;
        uint64_t id;
        pid_t thread;
        enum adopt_call kind;
        int number;                  /* the descriptor */
        uint64_t address, length;    /* unlinkat: its flags in the place of a length */
        struct adopt_socket *placed; /* out: what the app has when the answer, 0, has reached it */
};

/* The processes of one instance. It outlives the instance while others of them run. */
struct adopt_tree {
        bool is_used;
        bool is_dropped; /* its generation is gone, and the sockets with it: its binds are its own */
        bool is_looking; /* an errand reads the call `looked`; no other is received meanwhile */
        struct adopt_request looked;
        unsigned tries; /* errands for it that have failed */
        struct loop_timer again;
        bool has_complained; /* what cannot be done for it was logged */
        struct adopt *adopt;
        int failure;       /* the errno of the last refused bind: each is said once */
        uint64_t instance; /* its number */
        struct seat seat;
        uint32_t listened; /* bits: index in the rules */
        /* the descriptor that reports, or before it the channel on which it comes */
        struct loop_source source;
        size_t socket_count;
        struct adopt_socket sockets[ADOPT_SOCKETS_MAX];
        size_t unnamed_count;
        struct socket_address unnamed[ADOPT_UNNAMED_MAX]; /* bound, and not named by a rule */
};

/* The rooms that this one stands on; all borrowed. */
struct adopt_rooms {
        struct loop *loop;
        struct errands *errands;
        struct instances *instances;
        struct listeners *listeners;
        const struct socket_rules *rules;
};

/* What the last start in a slot has done about the addresses of the rules. */
enum adopt_start {
        ADOPT_START_NONE,
        ADOPT_START_RUNS, /* nothing so far */
        ADOPT_START_BOUND,
};

struct adopt {
        struct adopt_rooms rooms;
        size_t tree_places;                          /* of `trees` that were ever used: loops end there */
        struct adopt_tree *trees;                    /* ADOPT_TREES_MAX */
        bool vacates;                                /* before each start: vacate.c */
        enum adopt_start starts[FLEET_REPLICAS_MAX]; /* by slot */
        bool has_told;                               /* of a bind that no rule names, in this generation */
        uint64_t told_generation;
};

/* Call this first. `adopt` is all zero. */
void adopt_open(struct adopt *adopt, const struct adopt_rooms *rooms);

/* Try whether adopting works here, and note it in `rules`. When it does not, log it, and change `fleet` so
 * that instances do not overlap: two cannot bind the same port. Once, before fleet_init and the first
 * child. */
void adopt_try(struct socket_rules *rules, struct fleet_settings *fleet);

/* Before the start of an instance. *out_fd is for launch_spec.adopt_fd, to be closed after launch_start(); -1
 * when nothing is adopted. Returns 0, or -1 with error: then it must not be started now. */
int adopt_prepare(struct adopt *adopt, const struct instance *instance, int *out_fd, struct error *error);

/* The instance has failed, or has ended: log what it had bound that no rule names, if anything. */
void adopt_explain(const struct adopt *adopt, uint64_t instance);

/* The instance is long in becoming ready: log at which addresses it has not called listen(2), or that it has
 * bound none, and what else it has bound. */
void adopt_say_missing(const struct adopt *adopt, uint64_t instance);

/* FLEET_DO_DROP: processes that still run of this generation get no socket any more. */
void adopt_drop(struct adopt *adopt, uint64_t generation);
