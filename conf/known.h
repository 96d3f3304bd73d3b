#pragma once

/* What is known of servers by the name of their program: which signal lets them finish their requests, what
 * keeps them in the foreground, and whether they own data. One table; docs/SERVERS.md tells it to people.
 *
 * Advice, never a refusal: a name says little, and what a server's own configuration says is not read. */

#include <stdbool.h>

#include "conf/config.h"

#define KNOWN_TEXT_BYTES 512

/* Gets one piece of advice, a sentence without a full stop; `text` is borrowed for the call. */
typedef void known_report(void *context, const char *text);

/* How to keep the command's program in the foreground: a static text of what to write, or NULL when the
 * program is not known, or does not go into the background. */
const char *known_foreground(const struct config *config);

/* The command's program owns data, and two of it would run at a time, or one without the port as its lock:
 * say so. */
void known_advise_data(const struct config *config, known_report *report, void *context);

/* That, and a stop signal or an option that is missing. For people who check a configuration. */
void known_advise(const struct config *config, known_report *report, void *context);
