/* The configuration value: defaults, setting one key, freeing it all.
 *
 * Used by the supervisor, `tacet exec` and `tacet check` before anything is started, and by nobody after
 * that. All memory of the configuration is taken here and in words.c, and given back by config_deinit(). A
 * program without configuration (`tacet -- CMD`) takes none. What a key means stands in the schema; nothing
 * here knows a key by its name. */

#include "conf/config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "conf/expand.h"
#include "conf/memory.h"
#include "conf/named.h"
#include "conf/schema.h"
#include "conf/text.h"
#include "conf/value.h"
#include "conf/words.h"
#include "conf/scheme.h"

/* `where` of what has no line. Also tells --watch which sources are not of the file. */
#define COMMAND_LINE "command line"

void config_init(struct config *config) {
        *config = (struct config){0};
        for (size_t i = 0; i < schema_section_count; i++)
                if (!schema_sections[i].is_named)
                        record_init(config, schema_sections[i].name);
}

void config_deinit(struct config *config) {
        for (size_t i = 0; i < schema_section_count; i++)
                if (!schema_sections[i].is_named)
                        record_deinit(config, schema_sections[i].name);
        named_deinit(config);
        config_memory_free(config->path);
        config_memory_free(config->given);
        *config = (struct config){0};
}

void config_cleanup(struct config *config) {
        config_deinit(config);
}

static int section_find(
        const char *name, const char *instance, const struct schema_section **out, struct error *error) {
        const struct schema_section *section = schema_find_section(name);
        const char *near;

        if (!section) {
                near = schema_near_section(name);
                error_set(error, 0, "unknown section [%s]", name);
                return near ? error_hint(error, "did you mean [%s]?", near) : -1;
        }
        if (!section->is_named && instance && *instance)
                return error_set(error, 0, "[%s] takes no name", name);
        *out = section;
        return section->is_named ? named_check(name, instance, error) : 0;
}

/* A command line may name an instance again (`--listen web=...` gives one of the file its address); in a
 * file that is a copied paragraph whose first half would be lost. */
static int section_begin(struct config *config, const char *name, const char *instance, const char *where,
        uint32_t line, struct error *error) {
        const struct schema_section *section;
        const struct named_record *former;
        size_t n;

        if (section_find(name, instance, &section, error) < 0)
                return -1;
        if (!section->is_named)
                return 0;
        former = named_find(config, name, instance, &n);
        if (!former)
                return named_add(config, name, instance, where, error) ? 0 : -1;
        return line ? error_set(error, 0, "[%s %s] stands a second time; the first is %s", name, instance,
                              former->where)
                    : 0;
}

/* Put the place in front and choose the exit status: a file that is wrong is 78, a command line 64. */
static int place(struct error *error, const char *where, uint32_t line) {
        error_wrap(error, "%s", where);
        return error_status(error, line ? EXIT_STATUS_CONFIG : EXIT_STATUS_USAGE);
}

int config_begin_section(struct config *config, const char *section, const char *instance, const char *where,
        uint32_t line, struct error *error) {
        return section_begin(config, section, instance, where, line, error) < 0 ? place(error, where, line)
                                                                                : 0;
}

/* ---- one key ---- */

static int row_find(
        const char *section, const char *key, const struct schema_row **out, struct error *error) {
        const char *near, *near_section;

        *out = schema_find(section, key);
        if (*out)
                return 0;
        near = schema_renamed_key(section, key);
        if (near) {
                error_set(error, 0, "'%s' in [%s] is called '%s' now", key, section, near);
                return error_hint(error, "write %s instead", near);
        }
        near = schema_near_key(section, key, &near_section);
        error_set(error, 0, "unknown key '%s' in [%s]", key, section);
        if (!near)
                return -1;
        if (strcmp(near_section, section) == 0)
                return error_hint(error, "did you mean '%s'?", near);
        return error_hint(error, "did you mean '%s' of section [%s]?", near, near_section);
}

/* The first mention. Options come after the file, so that a line of the file is found before them. */
static const struct config_given *given_find(const struct config *config, size_t row, size_t instance) {
        for (size_t i = 0; i < config->given_count; i++)
                if (config->given[i].row == row && config->given[i].instance == instance)
                        return &config->given[i];
        return NULL;
}

static int given_make_room(struct config *config, struct error *error) {
        struct config_given *grown;
        size_t room = config->given_room ? config->given_room * 2 : 16;

        if (config->given_count < config->given_room)
                return 0;
        grown = config_memory_grow(config->given, config->given_count * sizeof *grown, room * sizeof *grown);
        if (!grown)
                return error_set(error, ENOMEM, "hold the configuration");
        config->given = grown;
        config->given_room = room;
        return 0;
}

/* An empty text is refused, not taken for "not set": it is a variable that was never filled in. */
static int set_text(
        const struct schema_row *row, const char *value, bool is_option, char **out, struct error *error) {
        if (!*value)
                return error_set(error, 0, "%s is empty", row->key);
        if (row->is_expanded && !is_option && expand_check(value, row->key, error) < 0)
                return -1;
        return text_copy(out, value, error);
}

static int check_words(
        const struct schema_row *row, const struct config_words *words, size_t from, struct error *error) {
        char accepts[256];

        for (size_t i = from; i < words->count; i++) {
                if (row->type == SCHEMA_NAMES
                                ? value_is_name_pattern(words->at[i])
                                : row->type != SCHEMA_SETTINGS || value_is_setting(words->at[i]))
                        continue;
                error_set(error, 0, "word %zu of %s is not what it takes", i - from + 1, row->key);
                return error_hint(error, "it takes %s", schema_accepts(row, accepts));
        }
        return 0;
}

/* Append to a list, or replace a command. The words themselves never get into a message. */
static int set_words(const struct schema_row *row, const char *value, bool is_option,
        struct config_words *words, struct error *error) {
        size_t former = words->count;
        int result;

        /* An empty value takes back what stands before it, as systemd has it (systemd.service(5)). */
        if (row->type == SCHEMA_COMMAND || !*value)
                words_truncate(words, former = 0);
        /* The shell has taken the quotes of an option apart already; once more would change the value. */
        result = is_option && row->type == SCHEMA_SETTINGS ? words_add(words, value, error)
                                                           : words_split(words, value, error);
        if (result < 0)
                return error_wrap(error, "%s", row->key);
        if (check_words(row, words, former, error) < 0 ||
                (row->is_expanded && !is_option && expand_words(words, former, row->key, error) < 0)) {
                words_truncate(words, former);
                return -1;
        }
        if (row->type == SCHEMA_COMMAND && (words->count == 0 || !*words->at[0])) {
                words_truncate(words, 0);
                return error_set(error, 0, "%s names no program", row->key);
        }
        return 0;
}

static int set_value(
        const struct schema_row *row, const char *value, bool is_option, void *out, struct error *error) {
        if (value_is_scalar(row->type))
                return value_parse(row, value, out, error);
        if (row->type == SCHEMA_TEXT || row->type == SCHEMA_PATH)
                return set_text(row, value, is_option, out, error);
        return set_words(row, value, is_option, out, error);
}

static bool row_is_list(const struct schema_row *row) {
        return row->type == SCHEMA_WORDS || row->type == SCHEMA_NAMES || row->type == SCHEMA_SETTINGS;
}

static int set_key(struct config *config, const char *section, const char *instance, const char *key,
        const char *value, const char *where, uint32_t line, struct error *error) {
        const struct schema_section *kind;
        const struct schema_row *row;
        const struct config_given *former;
        void *record = config;
        size_t n = 0;

        if (section_find(section, instance, &kind, error) < 0 || row_find(section, key, &row, error) < 0 ||
                given_make_room(config, error) < 0)
                return -1;
        if (kind->is_named) {
                if (!named_find(config, section, instance, &n) &&
                        !named_add(config, section, instance, where, error))
                        return -1;
                record = named_find(config, section, instance, &n);
        }
        /* Before the value is set, so that a refused second one has not replaced the first. */
        former = given_find(config, (size_t)(row - schema_rows), n);
        if (former && former->line && line && !row_is_list(row))
                return error_set(
                        error, 0, "%s is given a second time; the first is in line %u", key, former->line);
        if (set_value(row, value, line == 0, record_member(record, row), error) < 0)
                return -1;
        config->given[config->given_count++] =
                (struct config_given){(uint16_t)(row - schema_rows), (uint16_t)n, line};
        return 0;
}

int config_set(struct config *config, const char *section, const char *instance, const char *key,
        const char *value, const char *where, uint32_t line, struct error *error) {
        return set_key(config, section, instance, key, value, where, line, error) < 0
                       ? place(error, where, line)
                       : 0;
}

static int empty_argument(const char *option, struct error *error) {
        error_set(error, 0, "%s: the argument is empty", option);
        return error_status(error, EXIT_STATUS_USAGE);
}

/* The URI is its name, too: messages call it what the person wrote. */
int config_add_source(struct config *config, const char *uri, struct error *error) {
        if (!*uri)
                return empty_argument("-s", error);
        if (!named_add(config, "source", uri, COMMAND_LINE, error))
                return place(error, "-s", 0);
        return text_copy(&config->sources[config->source_count - 1].from, uri, error);
}

int config_add_identity(struct config *config, const char *spec, struct error *error) {
        if (!*spec)
                return empty_argument("-i", error);
        if (!named_add(config, "identity", spec, COMMAND_LINE, error))
                return place(error, "-i", 0);
        return text_copy(&config->identities[config->identity_count - 1].from, spec, error);
}

int config_watch_command_line(struct config *config, struct error *error) {
        size_t count = 0;

        for (size_t i = 0; i < config->source_count; i++) {
                struct config_source *source = &config->sources[i];

                if (strcmp(source->where, COMMAND_LINE) != 0 || !source_uri_is_file(source->from))
                        continue;
                source->watch = true;
                count++;
        }
        if (count)
                return 0;
        error_set(error, 0, "--watch: no source of the command line is a file");
        error_hint(error, "in a file of -c it is 'watch = yes' in [source NAME]");
        return error_status(error, EXIT_STATUS_USAGE);
}

/* "listen", "listen-2", ...: the first that no socket has. */
static void socket_name_choose(const struct config *config, char *out) {
        size_t unused;

        snprintf(out, 32, "listen");
        for (unsigned n = 2; named_find(config, "socket", out, &unused); n++)
                snprintf(out, 32, "listen-%u", n);
}

/* A path may hold '=', and an address of the internet has no room for a name: it is one when nothing before
 * the '=' belongs to an address. */
static size_t socket_name_length(const char *text) {
        size_t length = strcspn(text, "=");

        return text[length] && strcspn(text, "/@[:") > length ? length : 0;
}

/* Has an option given this socket its address? */
static bool socket_is_given(const struct config *config, const char *name) {
        size_t row = (size_t)(schema_find("socket", "listen") - schema_rows), n;

        if (!named_find(config, "socket", name, &n))
                return false;
        for (size_t i = 0; i < config->given_count; i++)
                if (config->given[i].row == row && config->given[i].instance == n && !config->given[i].line)
                        return true;
        return false;
}

int config_add_socket(struct config *config, const char *text, struct error *error) {
        char name[CONFIG_SOCKET_NAME_BYTES_MAX + 2];
        size_t length = socket_name_length(text);

        if (!*text)
                return empty_argument("--listen", error);
        if (length)
                snprintf(name, sizeof name, "%.*s", (int)length, text);
        else
                socket_name_choose(config, name);
        if (socket_is_given(config, name)) {
                error_set(error, 0, "the name '%s' is given a second time", name);
                return place(error, "--listen", 0);
        }
        return config_set(
                config, "socket", name, "listen", text + length + (length > 0), "--listen", 0, error);
}

int config_set_command(struct config *config, char *const *words, struct error *error) {
        words_truncate(&config->service.command, 0);
        for (; *words; words++)
                if (words_add(&config->service.command, *words, error) < 0)
                        return -1;
        return 0;
}
