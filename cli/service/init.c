/* The plain init: the defaults of `tacet run`, less everything that needs a decision. It forwards signals,
 * reaps, ends with the app; how long the app may take to stop is left to whoever asked. */

#include "cli/service/init.h"

#include "cli/service/service.h"
#include "cli/common/startup.h"
#include "lib/log.h"

int init_run(int argc, char **argv) {
        CLEANUP_CONFIG struct config config;
        static struct service service;
        struct error error;

        startup_hold_no_secret();
        config_init(&config);
        /* Before everything that may fail, so that the reason is seen in the log of a container. */
        log_setup(LOG_FORMAT_AUTO, LOG_NOTICE, "tacet");
        if (argc < 2) {
                error_set(&error, 0, "no command after --");
                error_hint(&error, "tacet -- COMMAND [ARGUMENT...]; see tacet --help");
                error_status(&error, EXIT_STATUS_USAGE);
                return startup_error_exit(&error);
        }
        service_config_plain(&config);
        if (config_set_command(&config, argv + 1, &error) < 0 ||
                service_init(&service, &config, NULL, &error) < 0)
                return startup_error_exit(&error);
        return supervisor_run(&service.settings);
}
