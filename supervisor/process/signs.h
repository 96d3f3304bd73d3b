#pragma once

/* Signs of readiness, collected for each instance.
 *
 * The room that sees a sign (the exec pipe, an answered listen(2), the notify socket, a probe) notes it; when
 * all that are wanted have come, on_complete of the table of instances is called, once. gate/readiness.h
 * decides which are wanted. No sign is taken back: an instance that is ready and then fails is unhealthy, or
 * ends. */

#include <stdbool.h>

struct instance;

enum readiness {
        READINESS_AUTO,   /* only in settings: the best sign that this app can give */
        READINESS_EXEC,   /* execve(2) succeeded */
        READINESS_LISTEN, /* it listens */
        READINESS_NOTIFY, /* READY=1 of sd_notify(3) */
        READINESS_FD,     /* a newline on a descriptor that it was given */
        READINESS_PROBE,  /* the probe of [health] succeeded often enough */
        READINESS_DELAY,  /* it has run for the time that is configured */
};

typedef void signs_handler(void *owner, struct instance *instance);

/* Part of struct instance; all zero at first. */
struct signs {
        unsigned wanted, seen; /* sign_bit() */
        bool is_running;       /* signs count from here on: the app's first instruction has been reached */
        bool is_complete;      /* on_complete was called: the instance is ready */
};

static inline unsigned sign_bit(enum readiness sign) {
        return 1U << sign;
}

/* Note a sign. One that is not wanted, comes twice or before signs_begin() does no harm. */
void signs_note(struct instance *instance, enum readiness sign);

/* The app runs: from now on the instance is ready once all wanted signs have come, those of before
 * included. */
void signs_begin(struct instance *instance);
