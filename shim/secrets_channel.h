#pragma once

/* Sending a sealed generation to another process of tacet: its descriptor, never a value, over a socketpair
 * of type SOCK_SEQPACKET. */

#include "secrets/bundle.h"

/* Send a bundle (NULL or empty: there are no secrets). It stays the caller's. Returns 0, or -1 with errno:
 * the other side has gone. */
int secrets_send(int channel, const struct bundle *secrets);

/* Wait for a bundle. Returns 0 with *out, whose key is in static memory: this process becomes another program
 * and does not free it. -1: the channel was closed, this process is not needed any more. */
int secrets_receive(int channel, struct bundle *out);
