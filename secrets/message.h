#pragma once

/* What the loader tells its parent: one datagram of fixed size with up to three descriptors. Internal to
 * secrets/. Both ends are the same program, so there is no byte order and no version to agree on; the parent
 * still believes nothing in it. */

#include <stdbool.h>
#include <stdint.h>

#include "lib/error.h"
#include "secrets/bundle.h"
#include "secrets/load.h"

struct load_message {
        uint32_t size; /* of this struct */
        uint8_t is_error;
        uint8_t is_encrypted;
        uint8_t is_unlocked;
        uint8_t has_inventory;
        uint8_t has_capture;
        uint32_t count;
        uint64_t bytes;
        uint8_t digest[BUNDLE_DIGEST_BYTES];
        uint8_t key[32];
        char warning[256];
        char note[256];
        struct error error;
};

/* In the order in which they travel; those that are -1 do not. */
enum message_descriptor {
        MESSAGE_BUNDLE,
        MESSAGE_INVENTORY,
        MESSAGE_CAPTURE,
        MESSAGE_DESCRIPTORS,
};

/* Send it (loader). Returns 0 or -1 with errno; there is nobody to tell. */
int message_send(int channel, const struct load_message *message, const int fds[static MESSAGE_DESCRIPTORS]);

/* Receive one (parent). fds[] are the caller's afterwards, -1 where nothing came. Returns 0; -1 with error
 * when the other end is gone or said something that is not a message; then no descriptor is left open. */
int message_receive(
        int channel, struct load_message *out, int fds[static MESSAGE_DESCRIPTORS], struct error *error);

/* Turn a checked message into a result. Descriptors are taken out of fds[] as they are used. */
int message_accept(const struct load_message *message, int fds[static MESSAGE_DESCRIPTORS],
        struct load_result *out, struct error *error);
