#pragma once

/* Toward the service manager that started tacet: sd_notify(3) of a Type=notify or notify-reload service.
 *
 * What is sent follows from the fleet's state alone (fleet_look): READY=1 when the first generation is
 * available in every slot, RELOADING=1 and READY=1 around every reload whatever its result, STOPPING=1 once,
 * STATUS= with the progress, EXTEND_TIMEOUT_USEC= while something runs that has a deadline of its own,
 * WATCHDOG=1 from the event loop. MAINPID= is never sent: tacet is and stays the main process. Nothing here
 * blocks: what does not fit into the manager's queue is sent later, the newest state only. Without
 * $NOTIFY_SOCKET every function does nothing. */

#include <stdbool.h>
#include <stdint.h>

#include "lib/error.h"
#include "lib/loop.h"
#include "lib/notify_send.h"
#include "supervisor/core/fleet.h"
#include "supervisor/notify/notify.h"
#include "supervisor/process/instances.h"
#include "supervisor/sockets/listeners.h"

#define MANAGER_STATUS_BYTES 512
#define MANAGER_KEPT_MAX     32

struct manager_settings {
        const char *socket;   /* $NOTIFY_SOCKET, borrowed; NULL: there is no service manager */
        const char *names;    /* $LISTEN_FDNAMES when it is meant for this process, borrowed; else NULL */
        int64_t watchdog_ns;  /* $WATCHDOG_USEC when it is meant for this process; else 0 */
        bool forwards_status; /* STATUS= of the app is added to ours */
        bool stores;          /* the manager keeps descriptors for us: $FDSTORE is not 0 */
};

/* What the manager keeps of one listener. */
struct manager_kept {
        bool is_stored;  /* under the listener's name */
        bool came_back;  /* our first socket came out of the store, not from a .socket unit */
        uint64_t cookie; /* SO_COOKIE of the socket that was checked last */
};

struct manager_store {
        bool is_clean; /* descriptors of the store that we do not use were removed there */
        bool was_looked_at;
        size_t share_count, listener_count; /* of the last look */
        struct fleet_share shares[FLEET_SHARES_MAX];
        struct manager_kept kept[MANAGER_KEPT_MAX];
};

/* The rooms that this one stands on; all borrowed. */
struct manager_rooms {
        struct loop *loop;
        const struct fleet *fleet;
        struct instances *instances;
        struct listeners *listeners;
        const struct notify *notify;
};

/* Settings of the service that the manager needs, too. */
struct manager_service {
        const struct socket_settings *sockets; /* borrowed */
        bool has_generations;                  /* there are secrets: texts name generations */
        int64_t remaining_timeout_ns;
};

struct manager {
        const struct manager_settings *settings;
        struct manager_rooms rooms;
        struct manager_service service;
        int fd; /* -1: there is no service manager */
        struct notify_address address;
        struct loop_timer beat, extend, retry;
        unsigned owed;              /* messages that are to be sent: bits of manager.c */
        unsigned tries;             /* that failed in a row */
        bool is_ready;              /* READY=1 was due once */
        bool is_busy;               /* RELOADING=1 was due, READY=1 not yet */
        bool is_stopping;           /* STOPPING=1 was due */
        bool is_reload_asked;       /* since the last update */
        int64_t reload_ns;          /* when the reload began that runs */
        int64_t extend_pause_ns;    /* until more time is asked for again */
        int64_t extend_until_ns;    /* until when what runs may take at most */
        int64_t status_earliest_ns; /* a message with STATUS= alone is not sent before */
        struct manager_store store;
        char outcome[MANAGER_STATUS_BYTES]; /* of the last reload, when it did not simply succeed */
        int exit_status;                    /* once the fleet is over */
        char status[MANAGER_STATUS_BYTES];  /* the last text that was due */
};

/* Read NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID from this process's environment. */
void manager_settings_read(struct manager_settings *out);

/* Call this first, after listeners_open() and fleet_init(). `manager` is all zero, `settings` are borrowed. A
 * socket that cannot be used is a warning, no error: the app is started all the same. */
void manager_open(struct manager *manager, const struct manager_rooms *rooms,
        const struct manager_settings *settings, const struct manager_service *service);

/* A reload was asked for, by SIGHUP or otherwise: MONOTONIC_USEC= of the answer must be later than this
 * moment (sd_notify(3), RELOADING=1). */
void manager_reload_asked(struct manager *manager);

/* A report of the core, and its line in the log. load_error: why the last load failed, or empty. */
void manager_report(
        struct manager *manager, const struct fleet_action *action, const char *line, const char *load_error);

/* Send what is new. Called after every turn of the loop; makes no system call when nothing is. */
void manager_update(struct manager *manager);

/* The fleet is over, with this exit status, and remaining processes will be ended: STOPPING=1, unless it was
 * sent. */
void manager_ending(struct manager *manager, int exit_status);

/* The supervisor ends: keep the files of unix sockets that the manager keeps. Before listeners_close(). */
void manager_files_leave(struct manager *manager);

/* Try once more to send what is owed, and close the socket. */
void manager_close(struct manager *manager);

/* ---- store.c: for manager.c ---- */

/* Note which descriptors of ours are in the store already. */
void manager_store_open(struct manager *manager);

/* May the sockets that are to be stored be others than at the last call? */
bool manager_store_has_changed(struct manager *manager);

/* Send what has to change in the store. Returns as notify_send(); call it again until it returns 0. */
int manager_store_say(struct manager *manager, struct error *error);

/* ---- status.c ---- */

/* Write one line for STATUS=: what runs, its progress, the result of the last reload. */
void manager_status_format(struct manager *manager, char out[static MANAGER_STATUS_BYTES]);
