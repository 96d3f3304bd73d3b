#pragma once

/* The resident process: PID 1 of a container, or a wrapper under a service manager or a shell.
 *
 * It starts the app through the shim, forwards signals, reaps all children, has the loader read the secrets
 * again on request, and performs what supervisor/core decides. It never maps a plaintext secret and, once
 * started, never ends because of an error of its own: it logs, tries again, keeps reaping. */

#include <stdbool.h>
#include <stdint.h>

#include "lib/error.h"
#include "lib/signals.h"
#include "lib/socket_address.h"
#include "secrets/load.h"
#include "shim/launch.h"
#include "supervisor/core/fleet.h"
#include "supervisor/gate/readiness.h"
#include "supervisor/manager/manager.h"
#include "supervisor/process/gear.h"
#include "supervisor/sockets/listeners.h"

struct supervisor_settings {
        struct launch_spec launch; /* secrets and terminal are filled in by the supervisor for each start */
        struct fleet_settings fleet;
        struct readiness_settings readiness;
        struct manager_settings manager;
        struct notify_settings notify;
        struct health_settings health;
        struct socket_settings sockets;
        struct load_request *load;    /* NULL: no source */
        int rotate_signal;            /* asks for a rotation and is not forwarded; 0: none does */
        int64_t watch_delay_ns;       /* quiet time after a change of a watched file, before it is loaded */
        const char *control_path;     /* of the control socket; NULL: none */
        int stop_signal;              /* sent to the app instead of SIGTERM */
        int drain_signal;             /* sent fleet.drain_ns before it; 0: none */
        int reload_signal;            /* tells the app to read its secrets again (fleet.is_signalled) */
        bool signals_group;           /* signals go to the app's process group instead of the app alone */
        bool kills_tree;              /* KILL to an instance is KILL to everything that it has started */
        bool ends_leftovers;          /* what an instance left behind ends before another takes its place */
        bool is_subreaper;            /* adopt orphans also when not PID 1 (prctl(2)); PID 1 always does */
        bool waits_for_all;           /* after the app's end wait until every descendant has left by itself */
        bool ends_group;              /* after the app's end send TERM to what is left of its process group */
        bool suspends_itself;         /* on SIGTSTP, SIGTTIN, SIGTTOU stop as well, after forwarding */
        bool minds_background;        /* an app that goes into the background has failed */
        const char *foreground;       /* what to write against that, for this app; NULL: not known */
        bool reports_reaped;          /* one log line per adopted orphan that ended */
        bool keeps_directory;         /* another start may follow: stay in the working directory */
        int64_t remaining_timeout_ns; /* TERM to KILL for the descendants that the app left behind */
        const struct passed_descriptor *passed;
        size_t passed_count;
        uint8_t rewrites[SIGNAL_MAX + 1]; /* by signal number: what is forwarded instead; 0: nothing */
};

/* Refuse settings whose gate cannot work, before anything is started: see gate/check.h. knows_sockets: those
 * of a service manager are among the listeners already. Returns 0, or -1 with error (status 78). */
int supervisor_check(const struct supervisor_settings *settings, bool knows_sockets, struct error *error);

/* Forward every signal as itself. */
void supervisor_rewrites_init(uint8_t rewrites[static SIGNAL_MAX + 1]);

/* Run until the app has ended for good. All signals must be blocked since the program's first instruction
 * (settings->launch.inheritance holds the former mask). Returns the exit status for the program: the app's
 * own code, 128+N for signal N, 125..127 when it could not be started; other tacet statuses when the first
 * load failed. */
int supervisor_run(const struct supervisor_settings *settings);
