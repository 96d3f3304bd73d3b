#pragma once

/* Who the app runs as. Names are looked up in /etc/passwd and /etc/group themselves, once, when the
 * supervisor starts: no name service runs inside PID 1, and a static binary behaves like a dynamic one.
 * Numbers need no file. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/error.h"

#define IDENTITY_GROUPS_MAX 256
#define IDENTITY_VARIABLES  4 /* HOME, USER, LOGNAME, SHELL */
#define IDENTITY_TEXT_BYTES 512

struct identity {
        bool is_set; /* false: the app keeps tacet's own user and groups */
        uid_t user;
        gid_t group;
        gid_t groups[IDENTITY_GROUPS_MAX]; /* supplementary */
        size_t group_count;
        char name[64]; /* from /etc/passwd; empty when unknown */
        /* Of a user who was named: what environment_spec.person wants. Empty else. */
        char *variables[IDENTITY_VARIABLES + 1];
        char texts[IDENTITY_VARIABLES][IDENTITY_TEXT_BYTES];
};

/* user                  name or number, or NULL; with a group behind it as USER:GROUP
 * group                 name or number, or NULL: the user's own group
 * supplementary_groups  NULL-terminated names or numbers; NULL: those /etc/group lists for the user
 * With all three NULL, out->is_set is false. Errors carry EXIT_STATUS_CONFIG. `out` must stay where it is:
 * its variables point into it. */
int identity_resolve(const char *user, const char *group, char *const *supplementary_groups,
        struct identity *out, struct error *error);

/* One user or one group, by name or number. Errors carry EXIT_STATUS_CONFIG. */
int identity_find_user(const char *user, uid_t *out, struct error *error);
int identity_find_group(const char *group, gid_t *out, struct error *error);
