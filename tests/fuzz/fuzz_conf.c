/* The configuration's parser: any bytes as a file. It may refuse, but with a place and a reason; what it
 * accepts must be well formed and must survive the check and be freed. */

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "conf/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void count_errors(void *context, const struct error *error) {
        assert(error->text[0] && error->status == EXIT_STATUS_CONFIG);
        ++*(unsigned *)context;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct config config;
        struct error error = {0};
        unsigned errors = 0;
        char path[64];
        int fd = memfd_create("fuzz", MFD_CLOEXEC), result;

        assert(fd >= 0 && write(fd, data, size) == (ssize_t)size);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        config_init(&config);
        result = config_read_file(&config, path, count_errors, &errors, &error);
        assert((result < 0) == (errors > 0));
        for (size_t i = 0; i < config.service.environment.count; i++)
                assert(strchr(config.service.environment.at[i], '='));
        if (config.service.command.at)
                assert(!config.service.command.at[config.service.command.count]);
        for (size_t i = 0; i < config.source_count; i++)
                assert(config.sources[i].name && config.sources[i].where);
        (void)config_check(&config, true, &error);
        config_deinit(&config);
        close(fd);
        return 0;
}
