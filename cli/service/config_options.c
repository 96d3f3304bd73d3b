/* File and options into one configuration: see config_options.h.
 *
 * Runs in the supervisor, in `exec` and in `check`, before anything is started. Allocates nothing itself. */

#include "cli/service/config_options.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "conf/scheme.h"

#define TEXT_BYTES 256 /* of one explained argument or help text */

void config_options_add(struct config_options *options, struct option_spec spec) {
        assert(options->count < OPTION_SPECS_MAX);
        options->specs[options->count++] = spec;
}

void config_options_init(struct config_options *options) {
        options->count = 0;
        config_options_add(options, (struct option_spec){.id = CONFIG_OPTION_FILE,
                                            .letter = 'c',
                                            .name = "config",
                                            .value = "FILE",
                                            .help = "read the configuration, see tacet.conf(5)"});
        config_options_add(
                options, (struct option_spec){.id = CONFIG_OPTION_SOURCE,
                                 .letter = 's',
                                 .is_repeatable = true,
                                 .name = "source",
                                 .value = "URI",
                                 .help = "take secrets from " SOURCE_SCHEMES_TEXT("\n") "; later ones win"});
        config_options_add(options, (struct option_spec){.id = CONFIG_OPTION_IDENTITY,
                                            .letter = 'i',
                                            .is_repeatable = true,
                                            .name = "identity",
                                            .value = "KEY",
                                            .help = "key: a file, fd:N, credential:NAME, env:NAME,\n"
                                                    "passphrase-file:PATH, passphrase-fd:N"});
}

void config_options_add_listen(struct config_options *options) {
        config_options_add(options, (struct option_spec){.id = CONFIG_OPTION_LISTEN,
                                            .is_repeatable = true,
                                            .name = "listen",
                                            .value = "[NAME=]ADDRESS",
                                            .help = "open a socket for the app: PORT, IP:PORT, [IPV6]:PORT,\n"
                                                    "udp:..., PATH, @NAME or unix-dgram:PATH"});
}

static const struct schema_row *spec_row(const struct option_spec *spec) {
        return &schema_rows[spec->id - CONFIG_OPTION_ROWS];
}

static bool spec_is_row(const struct option_spec *spec) {
        return spec->id >= CONFIG_OPTION_ROWS && spec->id < CONFIG_OPTION_ROWS + (int)schema_row_count;
}

void config_options_add_rows(struct config_options *options, unsigned place) {
        for (size_t i = 0; i < schema_row_count; i++) {
                const struct schema_row *row = &schema_rows[i];

                /* A key without an option exists only in files: it needs a section of its own or makes no
                 * sense in one line. */
                if (!row->option || !(row->places & place))
                        continue;
                /* Repeatable: the last one counts, as the user of a wrapper script expects; lists grow. */
                config_options_add(options, (struct option_spec){
                                                    .id = CONFIG_OPTION_ROWS + (int)i,
                                                    .name = row->option,
                                                    .is_repeatable = true,
                                                    .value = row->type == SCHEMA_BOOLEAN ? NULL : "VALUE",
                                                    .help = row->help,
                                            });
        }
}

void config_options_explain(struct config_options *options) {
        /* Static, because --help ends the program; see the header. */
        static char texts[OPTION_SPECS_MAX][2][TEXT_BYTES];

        for (size_t i = 0; i < options->count; i++) {
                struct option_spec *spec = &options->specs[i];
                const struct schema_row *row;

                if (!spec_is_row(spec))
                        continue;
                row = spec_row(spec);
                spec->value = schema_argument(row, texts[i][0]);
                /* The option of a boolean means yes, so its default goes without saying. */
                if (!row->default_text || row->type == SCHEMA_BOOLEAN)
                        continue;
                snprintf(texts[i][1], TEXT_BYTES, "%s (default: %s)", row->help, row->default_text);
                spec->help = texts[i][1];
        }
}

/* The first pass: the file that -c names, and the verb's own options. Every option is looked at, so that a
 * wrong one is told before a wrong file is, and `--json` is known when the file's errors are reported. */
static int options_scan(const struct option_table *table, char **argv, config_option_handler *handler,
        void *context, const char **out_path, struct error *error) {
        struct option_reader reader;
        int id;

        option_start(&reader, table, argv);
        while ((id = option_next(&reader, error)) != OPTION_END) {
                if (id == OPTION_OPERAND)
                        return option_usage_error(table, error, "%s takes no operand", table->command);
                if (id < 0)
                        return -1;
                if (id == OPTION_HELP)
                        return CONFIG_OPTIONS_HELP;
                if (id == CONFIG_OPTION_FILE)
                        *out_path = reader.value;
                if (id >= CONFIG_OPTION_OWN && handler(context, &reader, error) < 0)
                        return -1;
        }
        return 0;
}

/* The second pass: one option over the file. */
static int option_apply(struct config *config, const struct option_reader *reader, struct error *error) {
        char spelling[OPTION_SPELLING_BYTES];
        const struct schema_row *row;

        if (reader->spec->id == CONFIG_OPTION_SOURCE)
                return config_add_source(config, reader->value, error);
        if (reader->spec->id == CONFIG_OPTION_IDENTITY)
                return config_add_identity(config, reader->value, error);
        if (reader->spec->id == CONFIG_OPTION_LISTEN)
                return config_add_socket(config, reader->value, error);
        if (!spec_is_row(reader->spec))
                return 0;
        row = spec_row(reader->spec);
        return config_set(config, row->section, NULL, row->key, reader->value ? reader->value : "yes",
                option_spelling(reader->spec, spelling), 0, error);
}

int config_options_read(struct config *config, const struct option_table *table, char **argv,
        config_report *report, config_option_handler *handler, void *context, char ***out_rest,
        struct error *error) {
        struct option_reader reader;
        const char *path = NULL;
        int result;

        result = options_scan(table, argv, handler, context, &path, error);
        if (result != 0)
                return result;
        /* The file before every other option, so that an option wins over it wherever it stands. */
        if (path && config_read_file(config, path, report, context, error) < 0)
                return -1;
        option_start(&reader, table, argv);
        while ((result = option_next(&reader, error)) != OPTION_END)
                if (result < 0 || option_apply(config, &reader, error) < 0)
                        return -1;
        *out_rest = reader.rest;
        return 0;
}
