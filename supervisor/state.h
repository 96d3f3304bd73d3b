#pragma once

/* What the files of this folder share, without its subfolders: one struct with the rooms side by side, set up
 * once in supervisor_run(), never freed while the program runs. */

#include "lib/loop.h"
#include "supervisor/adopt/adopt.h"
#include "supervisor/core/facts.h"
#include "supervisor/gate/readiness.h"
#include "supervisor/generations/generations.h"
#include "supervisor/health/health.h"
#include "supervisor/instance/launcher.h"
#include "supervisor/manager/manager.h"
#include "supervisor/notify/notify.h"
#include "supervisor/process/children.h"
#include "supervisor/process/errand.h"
#include "supervisor/process/instances.h"
#include "supervisor/process/terminal.h"
#include "supervisor/process/tree.h"
#include "supervisor/sockets/listener.h"
#include "supervisor/supervisor.h"

/* The clock of the rotation that runs: on every line about it. */
struct rotation {
        int64_t began_ns; /* 0: none runs */
        uint64_t target;
        bool is_emergency;
};

/* What is used all the time comes first, the large tables last: they are filled from their beginning, so that
 * their other pages, and what a fork copies, stay few. Of two rooms with tables, one that ends with what it
 * uses stands before one that begins with it, so that both are on one page. */
struct supervisor {
        const struct supervisor_settings *settings;
        struct loop loop;
        struct loop_source signals;
        struct terminal terminal;
        struct children children;
        struct socket_rules rules;
        struct fleet_settings fleet_settings; /* the user's, changed where the kernel lacks something */
        struct rotation rotation;
        bool is_over;         /* FLEET_DO_EXIT was said */
        bool is_told_to_stop; /* a stop signal came; asked anew in each phase of remaining_end() */
        int exit_status;
        struct trees trees;
        struct adopt adopt;
        struct launcher launcher;
        struct generations generations;
        struct fleet fleet;
        struct manager manager;
        struct fleet_actions actions;
        struct facts facts;
        struct instances instances;
        struct readiness_gate gate;
        struct errands errands;
        struct notify notify;
        struct health health;
        struct listeners listeners;
};

/* ---- perform.c ---- */

/* Hand all queued facts to the core and perform its actions. Never called while a step runs. */
void facts_handle(struct supervisor *supervisor);

/* ---- signals.c: the signalfd ---- */

/* Read the signals that have come, and forward them or act on them. */
void signals_on_readable(struct loop_source *source);

/* ---- report.c: what happened, in words ---- */

#define REPORT_LINE_BYTES 512

/* A rotation runs from its first report to its last. Note its begin before report_write(), its end after
 * it. */
void rotation_note_begin(struct supervisor *supervisor, const struct fleet_action *action);
void rotation_note_end(struct supervisor *supervisor, const struct fleet_action *action);

/* Write the log's line for a FLEET_DO_REPORT to `out`. */
void report_format(const struct supervisor *supervisor, const struct fleet_action *action,
        char out[static REPORT_LINE_BYTES]);

/* Write `line` to the log, with the report's level. */
void report_write(struct supervisor *supervisor, const struct fleet_action *action, const char *line);

/* Log where new connections go by the shares of the step that runs. */
void report_steer(const struct supervisor *supervisor);

/* ---- end.c: after the app's end ---- */

/* End the processes that the app left behind, or wait for them, as the settings say; returns when that is
 * over. */
void remaining_end(struct supervisor *supervisor);
