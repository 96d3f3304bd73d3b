#pragma once

/* The notify socket toward the app: sd_notify(3), the receiving side.
 *
 * One datagram socket for all instances; who sent a message is what the kernel says (SCM_CREDENTIALS), never
 * what the message says. Toward the service manager above see manager.h. */

#include <stdbool.h>
#include <stdint.h>

#include "lib/error.h"
#include "lib/loop.h"
#include "supervisor/core/facts.h"
#include "supervisor/notify/message.h"
#include "supervisor/process/errand.h"
#include "supervisor/process/gear.h"
#include "supervisor/process/instances.h"

enum notify_access {
        NOTIFY_ACCESS_NONE, /* there is no socket */
        NOTIFY_ACCESS_MAIN, /* the app's own process */
        NOTIFY_ACCESS_ALL,  /* any process of its tree, group or session */
};

struct notify_settings {
        enum notify_access access;
        int64_t watchdog_ns; /* asked of the app by WATCHDOG_USEC; 0: none */
};

#define NOTIFY_VARIABLE_BYTES 64

struct notify;

/* What is kept of one instance; all zero at first. */
struct notify_watch {
        struct notify *notify;
        struct instance *instance;
        struct loop_timer watchdog;
        int64_t watchdog_ns; /* 0: it is not watched */
        bool is_stopping;    /* it said STOPPING=1 */
        bool has_complaint;  /* MAINPID= or FDSTORE=1 has been answered by a line in the log */
        char status[NOTIFY_STATUS_BYTES];
};

struct notify {
        const struct notify_settings *settings;
        struct loop *loop;
        struct facts *facts;
        struct instances *instances;
        struct errands *errands;
        struct loop_source source; /* fd -1: there is none */
        char socket_variable[NOTIFY_VARIABLE_BYTES], watchdog_variable[NOTIFY_VARIABLE_BYTES];
        /* when something was last complained about: not more often than once a second */
        int64_t complaint_ns;
        unsigned hushed; /* complaints since then */
        bool is_heard;   /* the datagram at the head of the queue has been taken already */
        struct loop_timer pause;
        struct notify_watch watches[FLEET_INSTANCES_MAX]; /* by instance_place() */
};

/* The rooms that this one stands on; all borrowed. */
struct notify_rooms {
        struct loop *loop;
        struct facts *facts;
        struct instances *instances;
        struct errands *errands;
};

/* Begin: make the socket, when the settings (borrowed) want one. `notify` is all zero. Returns 0, or -1 with
 * error. */
int notify_listen(struct notify *notify, const struct notify_rooms *rooms,
        const struct notify_settings *settings, struct error *error);

/* An instance is about to be started: tell it of the socket, in its environment. */
void notify_equip(struct notify *notify, struct instance *instance, struct gear *gear);

/* The instance is ready: from here on it has to send WATCHDOG=1 in time, when that was asked for. */
void notify_ready(struct notify *notify, struct instance *instance);

/* The instance has ended. Idempotent. */
void notify_ended(struct notify *notify, struct instance *instance);

/* Its last STATUS=, one line of printable UTF-8; empty when it never sent one. It is the app's own text: show
 * it as such. */
const char *notify_status(const struct notify *notify, const struct instance *instance);
