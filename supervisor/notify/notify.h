#pragma once

/* The notify socket toward the app: sd_notify(3), the receiving side.
 *
 * One datagram socket for all instances. The sender of a message is the process that the kernel names
 * (SCM_CREDENTIALS, unix(7)), whatever the message says. Toward the service manager see manager.h. */

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
        bool is_stopping;    /* it sent STOPPING=1 */
        bool has_complaint;  /* that MAINPID= or FDSTORE=1 is ignored was logged */
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
        int64_t complaint_ns;        /* when a dropped message was last logged: at most once a second */
        unsigned complaints_skipped; /* not logged since then */
        bool is_handled;         /* the first datagram of the queue was handled, and is only to be removed */
        struct loop_timer pause; /* until the socket is read again */
        struct notify_watch watches[FLEET_INSTANCES_MAX]; /* by instance_place() */
};

/* The rooms that this one stands on; all borrowed. */
struct notify_rooms {
        struct loop *loop;
        struct facts *facts;
        struct instances *instances;
        struct errands *errands;
};

/* Make the socket, unless access is NOTIFY_ACCESS_NONE. `notify` is all zero; `settings` are borrowed.
 * Returns 0, or -1 with error. */
int notify_listen(struct notify *notify, const struct notify_rooms *rooms,
        const struct notify_settings *settings, struct error *error);

/* Before the start of an instance: add NOTIFY_SOCKET, and WATCHDOG_USEC where wanted, to its environment. */
void notify_equip(struct notify *notify, struct instance *instance, struct gear *gear);

/* The instance is ready: from now on it has to send WATCHDOG=1 in time, where that is wanted. */
void notify_ready(struct notify *notify, struct instance *instance);

/* The instance has ended: stop its watchdog. May be called again. */
void notify_ended(struct notify *notify, struct instance *instance);

/* The instance's last STATUS=, one line of printable UTF-8; empty when it never sent one. Show it as the
 * app's own text. Borrowed until the next message. */
const char *notify_status(const struct notify *notify, const struct instance *instance);
