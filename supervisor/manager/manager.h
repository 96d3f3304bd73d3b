#pragma once

/* Toward the service manager that started tacet: sd_notify(3) of a Type=notify or notify-reload service.
 *
 * What is said follows from the fleet alone (fleet_look): READY=1 when the first generation is available in
 * every slot, RELOADING=1 and READY=1 around every reload whatever became of it, STOPPING=1 once, STATUS=
 * with the progress, EXTEND_TIMEOUT_USEC= while something runs that has a deadline of its own, WATCHDOG=1
 * from the event loop. MAINPID= is never sent: tacet is and stays the main process. Nothing here waits: what
 * does not fit into the manager's queue is said later, the newest state only. Without $NOTIFY_SOCKET every
 * function does nothing. */

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
        const char *socket;   /* $NOTIFY_SOCKET, borrowed; NULL: nobody to tell */
        const char *names;    /* $LISTEN_FDNAMES when it is meant for this process, borrowed; else NULL */
        int64_t watchdog_ns;  /* $WATCHDOG_USEC when it is meant for this process; else 0 */
        bool forwards_status; /* what the app says of itself goes on */
        bool stores;          /* may be asked to keep descriptors: $FDSTORE is not 0 */
};

/* What the manager keeps of one listener. */
struct manager_kept {
        bool is_stored;  /* under the listener's name */
        bool came_back;  /* the socket with which we began came out of the store, not from a .socket unit */
        uint64_t cookie; /* SO_COOKIE of the one that was looked at last */
};

struct manager_store {
        bool is_clean; /* what came back in vain is removed */
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

/* What is not of the manager alone. */
struct manager_service {
        const struct socket_settings *sockets; /* borrowed */
        bool has_generations;                  /* there are secrets: texts name generations */
        int64_t remaining_timeout_ns;
};

struct manager {
        const struct manager_settings *settings;
        struct manager_rooms rooms;
        struct manager_service service;
        int fd; /* -1: nobody to tell */
        struct notify_address address;
        struct loop_timer beat, extend, retry;
        unsigned owed;              /* what has to be said and is not said yet: bits of manager.c */
        unsigned tries;             /* in vain, in a row */
        bool is_ready;              /* READY=1 was due once */
        bool is_busy;               /* RELOADING=1 was due, READY=1 not yet */
        bool is_stopping;           /* STOPPING=1 was due */
        bool is_reload_asked;       /* since the last update */
        int64_t reload_ns;          /* when the reload began that runs */
        int64_t extend_pause_ns;    /* until it is asked for again */
        int64_t extend_until_ns;    /* nothing may take longer than this */
        int64_t status_earliest_ns; /* a STATUS= for its own sake is not sent before */
        struct manager_store store;
        char outcome[MANAGER_STATUS_BYTES]; /* of the last reload, when it did not simply succeed */
        int exit_status;                    /* once the fleet is over */
        char status[MANAGER_STATUS_BYTES];  /* the last text that was due */
};

/* Read NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID from this process's environment. */
void manager_settings_read(struct manager_settings *out);

/* Begin, after listeners_open() and fleet_init(). `manager` is all zero, `settings` are borrowed. An address
 * that cannot be used is a warning, no error: the app is started all the same. */
void manager_open(struct manager *manager, const struct manager_rooms *rooms,
        const struct manager_settings *settings, const struct manager_service *service);

/* SIGHUP came, or somebody else asked for a reload: the answer must be dated after this very moment. */
void manager_reload_asked(struct manager *manager);

/* A report of the core, and the words that the log has for it. load_error: why the last load failed, or
 * empty. */
void manager_report(
        struct manager *manager, const struct fleet_action *action, const char *line, const char *load_error);

/* Say what is new. Called after every turn of the loop; makes no system call when nothing is. */
void manager_update(struct manager *manager);

/* The fleet is over, with this exit status, and what is left will be ended: STOPPING=1, unless it was
 * said. */
void manager_ending(struct manager *manager, int exit_status);

/* The supervisor ends: the files of sockets that the manager keeps stay where they are. Before
 * listeners_close(). */
void manager_files_leave(struct manager *manager);

/* What has not been said yet gets one last try. */
void manager_close(struct manager *manager);

/* ---- store.c: for manager.c ---- */
void manager_store_open(struct manager *manager);

/* Could something else be worth keeping than at the last call? */
bool manager_store_has_changed(struct manager *manager);

/* Say it. Returns as notify_send(); call it again until it returns 0. */
int manager_store_say(struct manager *manager, struct error *error);

/* ---- status.c ---- */

/* One line for STATUS=: what runs, how far it is, what came of the last reload. */
void manager_status_format(struct manager *manager, char out[static MANAGER_STATUS_BYTES]);
