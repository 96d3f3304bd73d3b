#pragma once

/* The options that stand for configuration keys, and the reading of file and options into one
 * configuration: what run, exec and check have in common. The table of options is made from the schema, so
 * a key and its option cannot differ. */

#include <stdbool.h>
#include <stddef.h>

#include "cli/common/options.h"
#include "conf/config.h"
#include "conf/schema.h"
#include "lib/error.h"

/* Ids of the options that every verb here has; ids of schema rows begin behind them. A verb's own are
 * above OWN. */
enum {
        CONFIG_OPTION_FILE = 1,
        CONFIG_OPTION_SOURCE,
        CONFIG_OPTION_IDENTITY,
        CONFIG_OPTION_LISTEN,
        CONFIG_OPTION_ROWS = 0x100,
        CONFIG_OPTION_OWN = 0x1000,
};

#define CONFIG_OPTIONS_HELP 2 /* --help was asked for */

/* The table of options of one verb. Large; on the stack of a verb that ends, or static. */
struct config_options {
        struct option_spec specs[OPTION_SPECS_MAX];
        size_t count;
};

/* Begin with -c, -s, -i. A verb adds its own with config_options_add(), then the rows, then
 * OPTION_SPEC_HELP: the order of --help. */
void config_options_init(struct config_options *options);

/* Add one option; its texts are borrowed. There is room for all that the verbs have (OPTION_SPECS_MAX). */
void config_options_add(struct config_options *options, struct option_spec spec);

/* Add --listen, for verbs that look at sockets. */
void config_options_add_listen(struct config_options *options);

/* Add one option per row that may be given at `place` (SCHEMA_ON_RUN or SCHEMA_ON_EXEC). */
void config_options_add_rows(struct config_options *options, unsigned place);

/* Replace the short argument and help texts of the rows by those with words and defaults: only --help
 * wants them, and a start need not pay for them. The texts are kept in static memory: for one table of the
 * program. */
void config_options_explain(struct config_options *options);

/* A verb's own option: its id is reader->spec->id. Returns 0 or -1 with error. */
typedef int config_option_handler(void *context, const struct option_reader *reader, struct error *error);

/* Read the command line and, first of all, the file of -c: options come after it and win, whatever their
 * order.
 * config     initialised
 * table      with the options of a struct config_options
 * report     gets every error of the file (may be NULL: the first ends it)
 * handler    for ids from CONFIG_OPTION_OWN on, called before the file is read; NULL when there are none
 * context    for both of them
 * out_rest   behind the options: the command; part of argv, NULL-terminated
 * Returns 0, CONFIG_OPTIONS_HELP (nothing was read, nothing printed), or -1 with error: EXIT_STATUS_USAGE for
 * an option, EXIT_STATUS_CONFIG for the file. Does not call config_check(). */
int config_options_read(struct config *config, const struct option_table *table, char **argv,
        config_report *report, config_option_handler *handler, void *context, char ***out_rest,
        struct error *error);
