#pragma once

/* What the supervisor's files share: one struct, made once in supervisor_run(), never freed while the program
 * runs. */

#include <signal.h>

#include "lib/loop.h"
#include "supervisor/process/errand.h"
#include "supervisor/health/closing.h"
#include "supervisor/sockets/listener.h"
#include "supervisor/manager/manager.h"
#include "supervisor/adopt/adopt.h"
#include "supervisor/supervisor.h"
#include "supervisor/process/terminal.h"
#include "supervisor/process/tree.h"

#define EVENTS_MAX (2 * FLEET_ACTIONS_MAX)

/* One process that a FLEET_DO_SPAWN made. */
struct app {
        bool is_used;
        struct supervisor *supervisor;
        bool is_reported; /* SPAWNED or SPAWN_FAILED has been said */
        bool has_failure; /* `failure` came through the status pipe */
        bool is_stopped;  /* by SIGSTOP or its like, as far as waitpid has told */
        bool is_ending;   /* was sent its stop signal */
        bool has_cgroup;  /* of its own: tree.h */
        pid_t pid;
        uint64_t number;
        uint32_t slot;
        uint64_t generation;
        struct loop_source status; /* the shim's pipe; fd -1 once it has ended */
        struct launch_message failure;
        struct readiness_watch readiness;
        struct notify_watch notify;
        struct health_watch health;
        struct loop_timer drain; /* until the stop signal */
};

/* What one start of the app is given beside its secrets. The strings live as long as the start takes. */
#define APP_VARIABLES_MAX 16
#define APP_TEMPORARY_MAX 4
#define APP_TEXTS_MAX     8
#define APP_TEXT_BYTES    64
struct app_gear {
        struct launch_descriptor descriptors[LAUNCH_DESCRIPTORS_MAX];
        size_t descriptor_count;
        char *variables[APP_VARIABLES_MAX + 1]; /* NULL-terminated NAME=value */
        size_t variable_count;
        /* descriptors for the app alone: closed here when it has been started */
        int temporary[APP_TEMPORARY_MAX];
        size_t temporary_count;
        char texts[APP_TEXTS_MAX][APP_TEXT_BYTES]; /* variables that are made for this start */
        size_t text_count;
};
/* ---- equip.c ---- */
/* Sockets, and the variables that tell the instance from others. Returns 0, or -1 with error: it must not
 * start. */
int app_equip(struct supervisor *supervisor, struct app *app, struct app_gear *gear, struct error *error);
void app_gear_variable(struct app_gear *gear, char *string);
void app_gear_descriptor(struct app_gear *gear, struct launch_descriptor descriptor);
void app_gear_temporary(struct app_gear *gear, int take_fd);

/* One sealed set of secrets. */
struct generation {
        bool is_used;
        uint64_t number;
        int64_t asked_ns; /* when its load began */
        struct bundle bundle;
};

/* What is used all the time comes first, the large tables last: they are filled from their beginning, so that
 * their other pages, and what a fork copies, stay few. */
struct supervisor {
        const struct supervisor_settings *settings;
        struct loop loop;
        struct loop_source signals;
        struct terminal terminal;

        struct load_process load;
        struct loop_source load_channel; /* fd -1: no loader runs */
        uint32_t load_number;
        /* the last load that somebody asked for: that it brought nothing new is said aloud */
        uint32_t loud_load;
        int64_t load_began_ns;
        int64_t rotation_began_ns; /* of the one that runs; 0: none */
        uint64_t rotation_target;
        bool has_loaded; /* a load has succeeded: what only the first one may see has been wiped */

        uint64_t generation_last;
        uint64_t start_count;       /* of instances with sockets: SERVER_STARTER_GENERATION */
        char ready_fd_variable[32]; /* TACET_READY_FD=N */

        int stop_signal; /* the last one that asked for the end: what STOP sends */
        /* forwarded to the first apps, which one step starts, as soon as they are there */
        uint64_t held_signals;
        bool is_reaping_due;  /* more children may be waiting than one turn reaps */
        bool has_no_children; /* the last waitpid said ECHILD */
        bool has_started;     /* an app has been started once */
        bool is_over;         /* FLEET_DO_EXIT was said */
        int exit_status;
        bool is_told_to_stop; /* a stop signal came; asked anew in each phase of remaining_end() */
        /* process groups of each slot's last app: they may have members */
        pid_t last_groups[FLEET_REPLICAS_MAX];

        size_t event_first, event_count;
        size_t app_places; /* of `apps` that were ever used */
        struct trees trees;
        struct adopt adopt;
        struct generation generations[FLEET_GENERATIONS_MAX];
        struct notify notify;
        struct fleet fleet;
        struct manager manager;

        struct fleet_actions actions;
        struct fleet_event events[EVENTS_MAX];
        struct app apps[FLEET_INSTANCES_MAX];
        struct leaving leaving;
        struct listeners listeners;
        struct errands errands;
};

/* Queue a fact for the core; handled after the actions of the step that runs. */
void supervisor_push(struct supervisor *supervisor, struct fleet_event event);

/* Tell the core all that is queued. For handlers of the loop only: no step may be running. */
void supervisor_settle(struct supervisor *supervisor);

/* ---- app.c: processes; ending.c: signals to them ---- */
void app_spawn(struct supervisor *supervisor, const struct fleet_action *action);
struct app *app_by_pid(struct supervisor *supervisor, pid_t pid);
struct app *app_by_number(struct supervisor *supervisor, uint64_t number);

/* Send a signal the way the settings say (process or group). Only to a process that has not been reaped, so
 * the number is certainly its own. */
void app_signal(struct supervisor *supervisor, struct app *app, int number, const union sigval *value);

/* The stop signal, and CONT where it is needed: a stopped app must be able to end. */
void app_stop(struct supervisor *supervisor, struct app *app);

/* As a FLEET_DO_STOP says: drain first, or nothing because it has the signal. */
void app_stop_as(struct supervisor *supervisor, struct app *app, const struct fleet_action *action);

/* The reload signal; the process is one of `generation` from now on. */
void app_reload(struct supervisor *supervisor, struct app *app, uint64_t generation);
void app_kill(struct supervisor *supervisor, struct app *app);

/* The process was reaped with this wait status: tell the core, forget the instance. */
void app_ended(struct supervisor *supervisor, struct app *app, int wait_status);

/* ---- reap.c ---- */
void children_reap(struct supervisor *supervisor);

/* ---- forward.c: the signalfd ---- */
void signals_on_readable(struct loop_source *source);

/* ---- rotation.c: loads and generations ---- */
void rotation_load(struct supervisor *supervisor, uint32_t load);
void rotation_cancel(struct supervisor *supervisor);

/* Ask for a load and what follows from it. Quiet: nobody waits to hear that nothing has changed. */
void rotation_ask(struct supervisor *supervisor, bool is_forced, bool is_emergency, bool is_quiet);

/* The load that ran last was asked for by nobody but the watch. */
bool rotation_was_quiet(const struct supervisor *supervisor);
void rotation_drop(struct supervisor *supervisor, uint64_t number);
/* When that generation was asked for; now, when it is not known any more. */
int64_t rotation_asked(const struct supervisor *supervisor, uint64_t number);
const struct bundle *rotation_bundle(const struct supervisor *supervisor, uint64_t number);

/* ---- report.c: what happened, in words ---- */
void report_write(struct supervisor *supervisor, const struct fleet_action *action);

/* Where new connections go by the shares of the step that runs. */
void report_steer(const struct supervisor *supervisor);

/* ---- remaining.c: after the app's end ---- */
void remaining_end(struct supervisor *supervisor);
