/* Which service is asked: see control_options.h. Runs in the verbs that ask, before they connect.
 *
 * The client itself takes a path and nothing else; that a configuration can stand for it is known here. */

#include "cli/ask/control_options.h"

#include "conf/config.h"

/* The file is read as `run` reads it, so that a wrong one is told here too, but its sources are not looked
 * at: whoever asks need not be able to open a secret. */
static int config_open(struct control_client *client, const char *file, struct error *error) {
        CLEANUP_CONFIG struct config config = {0};

        config_init(&config);
        if (config_read_file(&config, file, NULL, NULL, error) < 0)
                return -1;
        if (config.control.path)
                return control_client_open(client, config.control.path, error);
        error_set(error, 0, "%s names no control socket", file);
        error_hint(error, "add 'path = /run/tacet/NAME.sock' in [control] and start the service again");
        return error_status(error, EXIT_STATUS_CONFIG);
}

int control_where_open(struct control_client *client, const struct option_table *table,
        const struct control_where *where, struct error *error) {
        if (!where->path == !where->config)
                return option_usage_error(table, error, "say which service: --control PATH or -c FILE");
        return where->path ? control_client_open(client, where->path, error)
                           : config_open(client, where->config, error);
}
