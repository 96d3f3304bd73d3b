/* Records of the configuration by the rows of the schema, and the lists of those that have a name: see
 * named.h. Used by config.c alone. Takes memory; knows no key by its name, and of the sections only which
 * list is whose. */

#include "conf/named.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "conf/memory.h"
#include "conf/text.h"
#include "conf/value.h"
#include "conf/words.h"

/* Lists by their place in struct config, so that finding, adding and freeing is written once for the
 * three of them. */
static const struct kind {
        const char *section;
        size_t list, count; /* places in struct config: a pointer to the records, and their number */
        size_t bytes;       /* of one record */
} kinds[] = {
        {"source", offsetof(struct config, sources), offsetof(struct config, source_count),
                sizeof(struct config_source)},
        {"identity", offsetof(struct config, identities), offsetof(struct config, identity_count),
                sizeof(struct config_identity)},
        {"socket", offsetof(struct config, sockets), offsetof(struct config, socket_count),
                sizeof(struct config_socket)},
};
#define KIND_COUNT (sizeof kinds / sizeof *kinds)

#define BEGINS_AS_NAMED(type)                                                                                \
        static_assert(offsetof(struct type, name) == offsetof(struct named_record, name) &&                  \
                              offsetof(struct type, where) == offsetof(struct named_record, where),          \
                "a record with a name begins as struct named_record")
BEGINS_AS_NAMED(config_source);
BEGINS_AS_NAMED(config_identity);
BEGINS_AS_NAMED(config_socket);

void *record_member(void *record, const struct schema_row *row) {
        return (char *)record + row->offset;
}

void record_init(void *record, const char *section) {
        for (size_t i = 0; i < schema_row_count; i++) {
                const struct schema_row *row = &schema_rows[i];
                int result = 0;

                if (strcmp(row->section, section) != 0)
                        continue;
                if (row->default_text)
                        result = value_parse(row, row->default_text, record_member(record, row), NULL);
                else if (row->type == SCHEMA_NUMBER || row->type == SCHEMA_MODE)
                        *(int32_t *)record_member(record, row) = CONFIG_UNSET;
                /* A default is our own text: one that its row refuses is a mistake in the schema. */
                assert(result == 0);
        }
}

void record_deinit(void *record, const char *section) {
        for (size_t i = 0; i < schema_row_count; i++) {
                const struct schema_row *row = &schema_rows[i];

                if (value_is_scalar(row->type) || strcmp(row->section, section) != 0)
                        continue;
                if (row->type == SCHEMA_TEXT || row->type == SCHEMA_PATH)
                        config_memory_free(*(char **)record_member(record, row));
                else
                        words_deinit(record_member(record, row));
        }
}

static const struct kind *kind_find(const char *section) {
        size_t i = 0;

        while (i < KIND_COUNT && strcmp(kinds[i].section, section) != 0)
                i++;
        assert(i < KIND_COUNT); /* a section with a name has a list */
        return &kinds[i];
}

static char **kind_list(const struct config *config, const struct kind *kind) {
        return (char **)((uintptr_t)config + kind->list);
}

static size_t *kind_count(const struct config *config, const struct kind *kind) {
        return (size_t *)((uintptr_t)config + kind->count);
}

static struct named_record *kind_at(const struct config *config, const struct kind *kind, size_t number) {
        return (struct named_record *)(void *)(*kind_list(config, kind) + number * kind->bytes);
}

size_t named_count(const struct config *config, const char *section) {
        return *kind_count(config, kind_find(section));
}

struct named_record *named_find(
        const struct config *config, const char *section, const char *name, size_t *out_number) {
        const struct kind *kind = kind_find(section);

        for (size_t n = 0; n < *kind_count(config, kind); n++)
                if (strcmp(kind_at(config, kind, n)->name, name) == 0) {
                        *out_number = n;
                        return kind_at(config, kind, n);
                }
        return NULL;
}

struct named_record *named_add(struct config *config, const char *section, const char *name,
        const char *where, struct error *error) {
        const struct kind *kind = kind_find(section);
        size_t count = *kind_count(config, kind);
        struct named_record *record;
        char *grown;

        if (count >= CONFIG_SECTIONS_MAX)
                error_set(error, 0, "more than %d of [%s NAME]", CONFIG_SECTIONS_MAX, section);
        if (count >= CONFIG_SECTIONS_MAX)
                return NULL;
        grown = config_memory_grow(*kind_list(config, kind), count * kind->bytes, (count + 1) * kind->bytes);
        if (!grown) {
                error_set(error, ENOMEM, "hold the configuration");
                return NULL;
        }
        *kind_list(config, kind) = grown;
        record = kind_at(config, kind, count);
        memset(record, 0, kind->bytes);
        record_init(record, section);
        /* Counted only when it is complete, so that a half one is not freed a second time. */
        if (text_copy(&record->name, name, error) < 0 || text_copy(&record->where, where, error) < 0) {
                config_memory_free(record->name);
                return NULL;
        }
        (*kind_count(config, kind))++;
        return record;
}

/* The name of a socket goes into LISTEN_FDNAMES (sd_listen_fds(3)): what fits there, less blanks. */
static bool is_socket_name(const char *name) {
        for (; *name; name++)
                if (*name <= ' ' || *name > '~' || *name == ':')
                        return false;
        return true;
}

int named_check(const char *section, const char *name, struct error *error) {
        /* Such a name can stand in a message, in a file's name and on a command line without quotes. */
        static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
        bool is_socket = strcmp(section, "socket") == 0;
        int longest = is_socket ? CONFIG_SOCKET_NAME_BYTES_MAX : CONFIG_INSTANCE_BYTES_MAX;

        if (!name || !*name) {
                error_set(error, 0, "[%s] needs a name", section);
                return error_hint(error, "write [%s NAME]; messages use the name", section);
        }
        if (is_socket && !is_socket_name(name))
                return error_set(error, 0,
                        "the name in [socket NAME] may hold visible ASCII characters without ':' only");
        if (!is_socket && strspn(name, allowed) != strlen(name))
                return error_set(error, 0,
                        "the name in [%s NAME] may hold letters, digits, '.', '_' and '-' only", section);
        if (strlen(name) > (size_t)longest)
                return error_set(error, 0, "the name in [%s NAME] is longer than %d bytes", section, longest);
        return 0;
}

void named_deinit(struct config *config) {
        for (size_t i = 0; i < KIND_COUNT; i++) {
                const struct kind *kind = &kinds[i];

                for (size_t n = 0; n < *kind_count(config, kind); n++) {
                        struct named_record *record = kind_at(config, kind, n);

                        record_deinit(record, kind->section);
                        config_memory_free(record->name);
                        config_memory_free(record->where);
                }
                config_memory_free(*kind_list(config, kind));
        }
}
