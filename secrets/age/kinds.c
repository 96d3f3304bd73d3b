/* The table of the kinds of stanza: opening and sealing ask it, the kinds do not know of it. In the loader
 * and the editing verbs; pure. */

#include "secrets/age/wrap.h"

const struct age_kind_calls *age_kind_calls_of(enum age_kind kind) {
        static const struct age_kind_calls *const calls[AGE_KIND_COUNT] = {
                [AGE_KIND_X25519] = &x25519_calls,
                [AGE_KIND_SCRYPT] = &scrypt_calls,
                [AGE_KIND_SSH] = &ssh_calls,
                [AGE_KIND_HYBRID] = &hybrid_calls,
        };

        return calls[kind];
}

const struct age_kind_calls *age_kind_calls_for(const struct age_stanza *stanza) {
        for (unsigned kind = 0; kind < AGE_KIND_COUNT; kind++)
                if (age_stanza_is(stanza, age_kind_calls_of((enum age_kind)kind)->stanza_type))
                        return age_kind_calls_of((enum age_kind)kind);
        return NULL;
}
