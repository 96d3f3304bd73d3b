/* Refusing gates that cannot tell one instance from another, or never open: see check.h. Called by `tacet
 * run` and `tacet check` when the sockets are known. No system call but for looking at sockets that were
 * inherited.
 *
 * A probe of a socket that two generations share may be answered by the old one: then a broken new one counts
 * as healthy, which is worse than no probe. So the instance itself must give a sign as well (READY=1, the
 * ready descriptor, its own listen), or be probed where only it can answer. */

#include "supervisor/gate/check.h"

#include <string.h>

#include "lib/log.h"

#define OWN_SIGNS "ready = notify or ready = fd, an exec: probe, or socket = yes in [health]"

static int gate_refuse(struct error *error) {
        return error_status(error, EXIT_STATUS_CONFIG);
}

static const struct listener_settings *listener_named(const struct gate_subject *subject, const char *name) {
        for (size_t i = 0; i < subject->sockets->declared_count; i++)
                if (strcmp(subject->sockets->declared[i].name, name) == 0)
                        return &subject->sockets->declared[i];
        return NULL;
}

/* A sign that only the instance itself can give. */
static bool gate_has_own_sign(const struct gate_subject *subject) {
        switch (subject->readiness->ready) {
        case READINESS_NOTIFY:
        case READINESS_FD:
                return true;
        case READINESS_AUTO:
        case READINESS_LISTEN:
                return subject->readiness->has_adopted;
        case READINESS_EXEC:
        case READINESS_PROBE:
        case READINESS_DELAY:
                return false;
        }
        return false;
}

static bool gate_adopts_tcp(const struct gate_subject *subject) {
        for (size_t i = 0; i < subject->rules->adopt_count; i++)
                if (!socket_address_is_unix(&subject->rules->adopts[i]))
                        return true;
        return false;
}

/* Where the probe goes, as the message calls it. */
static const char *target_name(const struct probe_settings *probe) {
        return probe->listener ? probe->listener : "the socket";
}

static int probe_check_target(const struct gate_subject *subject, bool knows_sockets, struct error *error) {
        const struct probe_settings *probe = &subject->health->probe;
        const struct listener_settings *named;

        if (!probe->listener) {
                if (subject->sockets->declared_count || subject->rules->adopt_count || !knows_sockets)
                        return 0;
                error_set(error, 0, "there is no socket that the probe of [health] could connect to");
                error_hint(error,
                        "declare one (--listen http=8080), adopt one (--adopt 8080), give the app's own port "
                        "(http://127.0.0.1:8080/), or use socket = yes");
                return gate_refuse(error);
        }
        named = listener_named(subject, probe->listener);
        if (!named && knows_sockets) {
                error_set(error, 0, "the probe of [health] names '%s', and there is no such socket",
                        probe->listener);
                error_hint(error, "name a [socket] section or a --listen option");
                return gate_refuse(error);
        }
        if (named && named->address.type != SOCK_STREAM) {
                error_set(error, 0, "the probe of [health] names '%s', which takes no connections",
                        probe->listener);
                error_hint(error, "use " OWN_SIGNS);
                return gate_refuse(error);
        }
        return 0;
}

/* The kernel connects before the app accepts: where the accept queue cannot be read, a connection proves
 * nothing. */
static int probe_check_tcp(const struct gate_subject *subject, struct error *error) {
        const struct probe_settings *probe = &subject->health->probe;

        if (probe->kind != PROBE_TCP || probe->address || subject->health->has_socket ||
                subject->sockets->declared_count == 0 ||
                listeners_can_probe(subject->sockets, subject->rules, probe->listener) ||
                (!probe->listener && gate_adopts_tcp(subject)))
                return 0;
        error_set(error, 0,
                "a tcp: probe of %s says nothing: it is open whether or not the app takes connections",
                target_name(probe));
        error_hint(error, "use an http: probe, or " OWN_SIGNS);
        return gate_refuse(error);
}

static int probe_check_identity(const struct gate_subject *subject, struct error *error) {
        const struct probe_settings *probe = &subject->health->probe;
        bool reaches_one = probe->address
                                   ? false
                                   : listeners_can_probe(subject->sockets, subject->rules, probe->listener) ||
                                             (!probe->listener && gate_adopts_tcp(subject));

        if (rules_are_single(subject->rules) || reaches_one || gate_has_own_sign(subject))
                return 0;
        if (subject->sockets->declared_count == 0 && subject->rules->adopt_count == 0 && !probe->address)
                return 0; /* not known yet */
        if (probe->address) {
                error_set(error, 0,
                        "several instances may run at a time, and nobody knows which of them answers the "
                        "probe of [health]");
                error_hint(error, "declare or adopt the socket and write http:/PATH; or use " OWN_SIGNS);
        } else {
                error_set(error, 0,
                        "generations share %s, so the old one could answer the probe for the new one",
                        target_name(probe));
                error_hint(error, "use " OWN_SIGNS);
        }
        return gate_refuse(error);
}

static int sign_check(const struct gate_subject *subject, bool knows_sockets, struct error *error) {
        if (subject->readiness->ready == READINESS_LISTEN && knows_sockets &&
                !subject->readiness->has_adopted &&
                !listeners_can_probe(subject->sockets, subject->rules, NULL)) {
                error_set(error, 0, "ready = listen: nobody can see the app listen or accept");
                error_hint(error, "declare a tcp socket that is not shared (--listen), or adopt the address "
                                  "that the app "
                                  "binds (--adopt 8080)");
                return gate_refuse(error);
        }
        return 0;
}

int gate_check(const struct gate_subject *subject, bool knows_sockets, struct error *error) {
        const struct health_settings *health = subject->health;

        if (sign_check(subject, knows_sockets, error) < 0)
                return -1;
        if (health->probe.kind == PROBE_NONE || health->probe.kind == PROBE_EXEC || health->has_socket)
                return 0;
        if (!health->probe.address && probe_check_target(subject, knows_sockets, error) < 0)
                return -1;
        if (probe_check_tcp(subject, error) < 0)
                return -1;
        return probe_check_identity(subject, error);
}

void gate_advise(const struct gate_subject *subject) {
        if (subject->rules->fleet->surge_max == 0 || subject->readiness->ready != READINESS_AUTO ||
                subject->health->probe.kind != PROBE_NONE || subject->readiness->has_adopted ||
                listeners_can_probe(subject->sockets, subject->rules, NULL))
                return;
        log_write(LOG_NOTICE,
                "nothing says when a new instance is ready: it counts as soon as it has been executed "
                "(set ready, or a probe in [health])");
}
