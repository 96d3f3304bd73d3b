#pragma once

/* The values of [health] that have a grammar of their own: what to probe, and which answers are good. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/config.h"
#include "lib/socket_address.h"

#define CONFIG_PROBE_NAME_BYTES_MAX 255  /* of a socket, of a host */
#define CONFIG_PROBE_PATH_BYTES_MAX 1024 /* of an HTTP request */
#define CONFIG_STATUS_RANGES_MAX    16

enum config_probe_kind { CONFIG_PROBE_TCP, CONFIG_PROBE_HTTP, CONFIG_PROBE_EXEC, CONFIG_PROBE_COUNT };

/* tcp:  tcp:NAME  tcp:ADDRESS  http:/PATH  http://NAME/PATH  http://ADDRESS/PATH  exec:COMMAND */
struct config_probe {
        enum config_probe_kind kind;
        char name[CONFIG_PROBE_NAME_BYTES_MAX + 1]; /* of a socket; empty: the first */
        bool has_address;                           /* neither: a port that the app opens by itself */
        struct socket_address address;
        char authority[SOCKET_ADDRESS_TEXT_BYTES]; /* the address as it was written */
        const char *path;                          /* borrowed from the text; HTTP: begins with a slash */
        struct config_words command;               /* EXEC: owned */
};

/* Read the text of `probe`.
 * text   borrowed by out->path: it must live as long
 * out    overwritten; config_probe_deinit() it after success
 * Returns 0, or -1 with error (without a place in front) and nothing to free. */
int config_probe_parse(const char *text, struct config_probe *out, struct error *error);

/* Free the command. Idempotent; safe on a zeroed struct. */
void config_probe_deinit(struct config_probe *probe);
#define CLEANUP_CONFIG_PROBE __attribute__((cleanup(config_probe_deinit)))

/* HTTP statuses from `first` to `last`, both included; 100 to 599. */
struct config_status_range {
        uint16_t first, last;
};

/* Statuses and ranges with blanks or commas between them: `200-399`, `200,204 301`. NULL is 200-399. Returns
 * how many ranges, or -1 with error. */
int config_status_parse(const char *text, struct config_status_range out[static CONFIG_STATUS_RANGES_MAX],
        struct error *error);

/* What keys of readiness and health cannot check alone; part of config_check(). Returns 0 or -1 with error,
 * which begins with the place of the key to blame. */
int config_check_health(const struct config *config, struct error *error);
