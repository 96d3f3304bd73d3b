#pragma once

/* The records of sections with a name: [source NAME], [identity NAME], [socket NAME]. One growing list each,
 * in the order of their headers. */

#include "conf/config.h"
#include "conf/schema.h"

/* How every such record begins. */
struct named_record {
        char *name;
        char *where; /* FILE:LINE of the section, or "command line" */
};

/* `section` of all these is "source", "identity" or "socket": another one is an assert. Records move when one
 * is added, so a pointer is good until the next named_add(). */

/* How many there are of this kind. */
size_t named_count(const struct config *config, const char *section);

/* The one with this name, and its number; NULL when there is none. */
struct named_record *named_find(
        const struct config *config, const char *section, const char *name, size_t *out_number);

/* Append one, with the defaults of its rows. `name` and `where` are copied, and not checked. Returns it, or
 * NULL with error: CONFIG_SECTIONS_MAX are there, or there is no memory. */
struct named_record *named_add(
        struct config *config, const char *section, const char *name, const char *where, struct error *error);

/* The name (NULL: none was given) must be one that the section takes. Returns 0 or -1 with error. */
int named_check(const char *section, const char *name, struct error *error);

/* Set every member of `record` that belongs to `section` to its default. `record` is zeroed: a struct config,
 * or one of a section with a name. */
void record_init(void *record, const char *section);

/* Free what the members of `record` that belong to `section` own; they are not to be used afterwards. */
void record_deinit(void *record, const char *section);

/* Free all records of all kinds, and the lists; the caller zeroes the config. */
void named_deinit(struct config *config);

/* The member of a record that a row stands for. */
void *record_member(void *record, const struct schema_row *row);
