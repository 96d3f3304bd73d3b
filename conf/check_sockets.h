#pragma once

/* The part of config_check() that is about [socket NAME]. */

#include "conf/config.h"

/* Every socket has an address of its own, and only keys that it can have. Returns 0 or -1 with error. */
int config_check_sockets(const struct config *config, struct error *error);
