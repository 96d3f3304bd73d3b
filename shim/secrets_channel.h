#pragma once

/* Handing a sealed generation to a process of ours: its descriptor over a socketpair of type SOCK_SEQPACKET,
 * never a value. */

#include "secrets/bundle.h"

/* Send a bundle (NULL or empty: that there are no secrets). It stays the caller's. Returns 0, or -1 with
 * errno: the other side has gone. */
int secrets_send(int channel, const struct bundle *secrets);

/* Wait for it. Returns 0 with *out, whose key lies in memory of this file: the process is to become another
 * program, not to let go of it. -1: the channel was closed, nobody wants this process any more. */
int secrets_receive(int channel, struct bundle *out);
