#pragma once

/* Signs of readiness, collected: one fact about one instance each.
 *
 * Who sees one (the exec pipe, an answered listen(2), the notify socket, a probe) notes it; when all that are
 * wanted have come, who asked for them is told, once. Which are wanted is decided above (gate/readiness.h).
 * No sign can be taken back: an instance that is ready and then fails is unhealthy, or ends. */

#include <stdbool.h>

struct instance;

enum readiness {
        READINESS_AUTO,   /* only in settings: the best sign that is to be had */
        READINESS_EXEC,   /* execve(2) succeeded */
        READINESS_LISTEN, /* it listens */
        READINESS_NOTIFY, /* READY=1 of sd_notify(3) */
        READINESS_FD,     /* a newline on a descriptor that it was given */
        READINESS_PROBE,  /* the probe of [health] succeeded often enough */
        READINESS_DELAY,  /* it has been up for a while */
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

/* A sign has come. One that nobody waits for is harmless, and so is one that comes twice or early. */
void signs_note(struct instance *instance, enum readiness sign);

/* The instance runs: what has come counts, and what comes. */
void signs_begin(struct instance *instance);
