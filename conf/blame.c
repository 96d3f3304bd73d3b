/* Naming the key that is to blame: see blame.h. For the checks that look at several keys. */

#include "conf/blame.h"

#include "conf/schema.h"

/* Begin a message with the place of the key that is to blame: FILE:LINE, its option, or the key itself when
 * it has its default. The last mention counts: it is the one in force. */
int config_blame(const struct config *config, const char *section, const char *key, struct error *error) {
        const struct schema_row *row = schema_find(section, key);

        for (size_t i = config->given_count; i > 0; i--) {
                const struct config_given *given = &config->given[i - 1];

                if (&schema_rows[given->row] != row)
                        continue;
                if (given->line) {
                        error_wrap(
                                error, "%s:%u", config->path ? config->path : "configuration", given->line);
                        return error_status(error, EXIT_STATUS_CONFIG);
                }
                error_wrap(error, "--%s", row->option ? row->option : row->key);
                return error_status(error, EXIT_STATUS_USAGE);
        }
        error_wrap(error, "[%s]", section);
        return error_status(error, EXIT_STATUS_CONFIG);
}
