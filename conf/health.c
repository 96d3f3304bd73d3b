/* Reading a probe and a list of statuses: see health.h.
 *
 * Called by config_check() and again when the settings are made, before anything runs. Refuses names of
 * hosts: PID 1 must not ask a name server in order to know whether its app is well. */

#include "conf/health.h"

#include <stdio.h>
#include <string.h>

#include "conf/words.h"
#include "lib/bytes.h"

static const char forms[] =
        "give tcp:, tcp:NAME, http:/PATH, http://NAME/PATH or exec:COMMAND, where NAME is that of a "
        "[socket] section";

/* NAME of a socket, or ADDRESS, which has a colon in it. */
static int authority_parse(const char *text, size_t length, struct config_probe *out, struct error *error) {
        if (length >= sizeof out->authority)
                return error_set(
                        error, 0, "the name or address is longer than %zu bytes", sizeof out->authority - 1);
        memcpy(out->authority, text, length);
        out->authority[length] = '\0';
        /* A name has no colon and every tcp address has one, so neither needs a mark of its own. */
        if (!memchr(text, ':', length)) {
                snprintf(out->name, sizeof out->name, "%s", out->authority);
                return 0;
        }
        if (socket_address_parse(out->authority, &out->address, error) < 0)
                return -1;
        if (socket_address_is_unix(&out->address) || out->address.type != SOCK_STREAM) {
                error_set(error, 0, "'%s' is no tcp address", out->authority);
                return error_hint(error, "%s", forms);
        }
        out->has_address = true;
        return 0;
}

/* What may stand in a request line (RFC 3986 leaves out blanks and controls; so does RFC 9112). */
static int path_check(const char *path, struct error *error) {
        size_t length = strlen(path);

        if (length > CONFIG_PROBE_PATH_BYTES_MAX)
                return error_set(error, 0, "the path is longer than %d bytes", CONFIG_PROBE_PATH_BYTES_MAX);
        for (size_t i = 0; i < length; i++)
                if ((unsigned char)path[i] <= ' ' || (unsigned char)path[i] >= 0x7f || path[i] == '#')
                        return error_set(
                                error, 0, "character %zu of the path cannot stand in a request", i + 1);
        return 0;
}

static int http_parse(const char *rest, struct config_probe *out, struct error *error) {
        size_t length;

        out->kind = CONFIG_PROBE_HTTP;
        if (strncmp(rest, "//", 2) == 0) {
                rest += 2;
                length = strcspn(rest, "/");
                if (length == 0)
                        return error_set(error, 0, "http:// is followed by no name");
                if (authority_parse(rest, length, out, error) < 0)
                        return -1;
                rest += length;
        }
        out->path = *rest ? rest : "/";
        if (*out->path != '/') {
                error_set(error, 0, "the path of an http probe begins with a slash");
                return error_hint(error, "%s", forms);
        }
        return path_check(out->path, error);
}

int config_probe_parse(const char *text, struct config_probe *out, struct error *error) {
        const char *rest;

        *out = (struct config_probe){0};
        if (text_after(text, "http:", &rest))
                return http_parse(rest, out, error);
        if (text_after(text, "tcp:", &rest)) {
                out->kind = CONFIG_PROBE_TCP;
                return authority_parse(rest, strlen(rest), out, error);
        }
        if (text_after(text, "exec:", &rest)) {
                out->kind = CONFIG_PROBE_EXEC;
                if (words_split(&out->command, rest, error) < 0)
                        return -1;
                if (out->command.count > 0)
                        return 0;
                return error_set(error, 0, "exec: is followed by no command");
        }
        error_set(error, 0, "this is no probe: it begins with none of tcp:, http: and exec:");
        return error_hint(error, "%s", forms);
}

void config_probe_deinit(struct config_probe *probe) {
        words_deinit(&probe->command);
}

/* 100 to 599: all that HTTP has (RFC 9110 section 15), so a larger number is a slip. */
static bool status_read(const char *text, size_t length, uint16_t *out) {
        uint64_t number;

        if (!bytes_to_u64(text, length, &number) || number < 100 || number > 599)
                return false;
        *out = (uint16_t)number;
        return true;
}

static bool range_read(const char *text, size_t length, struct config_status_range *out) {
        const char *dash = memchr(text, '-', length);
        size_t first = dash ? (size_t)(dash - text) : length;

        if (!status_read(text, first, &out->first))
                return false;
        out->last = out->first;
        return !dash || (status_read(dash + 1, length - first - 1, &out->last) && out->first <= out->last);
}

int config_status_parse(const char *text, struct config_status_range out[static CONFIG_STATUS_RANGES_MAX],
        struct error *error) {
        int count = 0;

        /* The default is what load balancers and kubelet take for healthy: redirects are answers of a
         * working app. */
        for (const char *at = text ? text : "200-399";;) {
                size_t length;

                at += strspn(at, " \t,");
                length = strcspn(at, " \t,");
                if (length == 0)
                        break;
                if (count == CONFIG_STATUS_RANGES_MAX)
                        return error_set(
                                error, 0, "more than %d ranges of statuses", CONFIG_STATUS_RANGES_MAX);
                if (!range_read(at, length, &out[count])) {
                        error_set(error, 0, "'%.*s' is no status or range of statuses",
                                (int)(length < 40 ? length : 40), at);
                        return error_hint(error, "give numbers from 100 to 599, e.g. 200-299 304");
                }
                count++;
                at += length;
        }
        return count ? count : error_set(error, 0, "there is no status in it");
}
