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

/* How many there are of this kind. */
size_t named_count(const struct config *config, const char *section);

/* The one with this name, and its number; NULL when there is none. */
struct named_record *named_find(
        const struct config *config, const char *section, const char *name, size_t *out_number);

/* Append one, with the defaults of its rows. Returns it, or NULL with error. */
struct named_record *named_add(
        struct config *config, const char *section, const char *name, const char *where, struct error *error);

/* The name must be one that the section takes. Returns 0 or -1 with error. */
int named_check(const char *section, const char *name, struct error *error);

/* Set every member of `record` that belongs to `section` to its default; free what it owns. */
void record_init(void *record, const char *section);
void record_deinit(void *record, const char *section);

/* Free all of them. */
void named_deinit(struct config *config);

/* The member of a record that a row stands for. */
void *record_member(void *record, const struct schema_row *row);
