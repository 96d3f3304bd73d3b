/* The client of the control socket: see control_client.h.
 *
 * Runs in short-lived verbs. What comes from the socket is believed as far as the supervisor is; texts are
 * made harmless for a terminal all the same, since some are the app's own. */

#include "client/control_client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "conf/config.h"
#include "lib/duration.h"
#include "lib/fd.h"

void control_json_cleanup(json_t **json) {
        json_decref(*json);
}

struct control_options {
        struct control_where *where;
        control_option_handler *on_option;
        void *context;
};

static int control_option(void *context, const struct option_reader *reader, int id, struct error *error) {
        const struct control_options *options = context;

        if (id == OPTION_OPERAND)
                return option_usage_error(
                        reader->table, error, "%s takes no operand", reader->table->command);
        if (id == OPTION_CONTROL)
                options->where->path = reader->value;
        else if (id == OPTION_CONTROL_CONFIG)
                options->where->config = reader->value;
        else
                options->on_option(options->context, id);
        return 0;
}

int control_options_read(const struct option_table *table, char **argv, struct control_where *where,
        control_option_handler *on_option, void *context, int *out_status, struct error *error) {
        struct control_options options = {.where = where, .on_option = on_option, .context = context};

        return option_read_all(table, argv, control_option, &options, out_status, error);
}

static int path_fill(struct sockaddr_un *out, const char *path, struct error *error) {
        out->sun_family = AF_UNIX;
        if (strlen(path) >= sizeof out->sun_path) {
                error_set(error, ENAMETOOLONG, "control socket '%s'", path);
                error_hint(
                        error, "the path of a unix socket has at most %zu bytes", sizeof out->sun_path - 1);
                return error_status(error, EXIT_STATUS_USAGE);
        }
        memcpy(out->sun_path, path, strlen(path) + 1);
        return 0;
}

static int path_of_config(struct sockaddr_un *out, const char *file, struct error *error) {
        CLEANUP_CONFIG struct config config = {0};

        config_init(&config);
        if (config_read_file(&config, file, NULL, NULL, error) < 0)
                return -1;
        if (config.control.path)
                return path_fill(out, config.control.path, error);
        error_set(error, 0, "%s names no control socket", file);
        error_hint(error, "add 'path = /run/tacet/NAME.sock' in [control] and start the service again");
        return error_status(error, EXIT_STATUS_CONFIG);
}

static int connect_refused(const char *path, int code, struct error *error) {
        if (code == ENOENT || code == ECONNREFUSED) {
                error_set(error, 0, "no supervisor answers at '%s'", path);
                error_hint(error, "is the service running, with this control socket?");
                return error_status(error, EXIT_STATUS_UNAVAILABLE);
        }
        error_set(error, code, "connect to '%s'", path);
        if (code != EACCES && code != EPERM)
                return error_status(error, EXIT_STATUS_UNAVAILABLE);
        error_hint(error, "root and the user that the service's tacet runs as may ask it");
        return error_status(error, EXIT_STATUS_PERMISSION);
}

int control_client_open(struct control_client *client, const struct option_table *table,
        const struct control_where *where, struct error *error) {
        struct sockaddr_un address = {0};
        int result;

        client->fd = -1;
        client->used = client->consumed = 0;
        if (!where->path == !where->config)
                return option_usage_error(table, error, "say which service: --control PATH or -c FILE");
        result = where->path ? path_fill(&address, where->path, error)
                             : path_of_config(&address, where->config, error);
        if (result < 0)
                return -1;
        client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (client->fd < 0)
                return error_set(error, errno, "make a socket");
        if (connect(client->fd, (const struct sockaddr *)&address, sizeof address) < 0)
                return connect_refused(address.sun_path, errno, error);
        return 0;
}

void control_client_close(struct control_client *client) {
        fd_cleanup(&client->fd);
}

static int went_away(int code, struct error *error) {
        error_set(error, code, "the supervisor went away");
        return error_status(error, EXIT_STATUS_UNAVAILABLE);
}

int control_client_call(struct control_client *client, const char *method, json_t *take_parameters,
        bool is_more, struct error *error) {
        CLEANUP_JSON json_t *call = json_pack(
                "{s:s, s:o*, s:b}", "method", method, "parameters", take_parameters, "more", is_more);
        char text[4096];
        size_t length = call ? json_dumpb(call, text, sizeof text, JSON_COMPACT) : 0;

        if (length == 0 || length >= sizeof text)
                return error_set(error, ENOMEM, "make a request");
        text[length] = '\0';
        /* One that was refused has been answered already: the answer says why. */
        if (fd_write_full(client->fd, text, length + 1) < 0 && errno != EPIPE)
                return went_away(errno, error);
        return 0;
}

/* ---- replies ---- */

/* Wait until there is something to read. */
static int reply_wait(const struct control_client *client, int64_t deadline_ns, struct error *error) {
        struct pollfd poll_fd = {.fd = client->fd, .events = POLLIN};

        for (;;) {
                int64_t left_ns = deadline_ns == NS_FOREVER ? -NS_PER_MS : deadline_ns - time_now_ns();
                int result;

                if (deadline_ns != NS_FOREVER && left_ns < 0)
                        left_ns = 0;
                result = poll(&poll_fd, 1, (int)(left_ns / NS_PER_MS));
                if (result > 0)
                        return 0;
                if (result < 0 && errno != EINTR)
                        return error_set(error, errno, "wait for the supervisor");
                if (result == 0 && deadline_ns != NS_FOREVER && time_now_ns() >= deadline_ns) {
                        error_set(error, 0, "the supervisor does not answer");
                        error_hint(error, "is it stopped?");
                        return error_status(error, EXIT_STATUS_UNAVAILABLE);
                }
        }
}

/* The next message as it came, NUL-terminated inside the buffer. */
static int message_read(
        struct control_client *client, int64_t timeout_ns, const char **out, struct error *error) {
        int64_t deadline_ns = timeout_ns == NS_FOREVER ? NS_FOREVER : time_add(time_now_ns(), timeout_ns);
        const char *end;
        ssize_t got;

        client->used -= client->consumed;
        memmove(client->buffer, client->buffer + client->consumed, client->used);
        client->consumed = 0;
        while (!(end = memchr(client->buffer, '\0', client->used))) {
                if (client->used == sizeof client->buffer)
                        return error_set(error, 0, "a reply is longer than %zu bytes", client->used);
                if (reply_wait(client, deadline_ns, error) < 0)
                        return -1;
                got = read(client->fd, client->buffer + client->used, sizeof client->buffer - client->used);
                if (got < 0 && errno == EINTR)
                        continue;
                if (got <= 0)
                        return went_away(got < 0 && errno != ECONNRESET ? errno : 0, error);
                client->used += (size_t)got;
        }
        client->consumed = (size_t)(end - client->buffer) + 1;
        *out = client->buffer;
        return 0;
}

static int replied_error(const json_t *reply, const char *name, struct error *error) {
        const json_t *parameters = json_object_get(reply, "parameters");
        char detail[128];

        if (strcmp(name, "org.varlink.service.PermissionDenied") == 0) {
                error_set(error, 0, "the supervisor refuses to be asked by this user");
                error_hint(error, "root and the user that tacet runs as may ask");
                return error_status(error, EXIT_STATUS_PERMISSION);
        }
        if (strcmp(name, "io.tacet.NoSource") == 0)
                return error_set(
                        error, 0, "the service has no source of secrets: there is nothing to rotate");
        if (strcmp(name, "io.tacet.TooManyClients") == 0)
                return error_set(error, 0, "too many others are asking the supervisor");
        if (strcmp(name, "org.varlink.service.MethodNotFound") == 0 ||
                strcmp(name, "org.varlink.service.InvalidParameter") == 0) {
                control_text(
                        parameters, strstr(name, "Method") ? "method" : "parameter", detail, sizeof detail);
                error_set(error, 0, "the supervisor does not know '%s'", detail);
                return error_hint(error, "it is an older tacet than this one");
        }
        return error_set(error, 0, "the supervisor replied '%s'", name);
}

int control_client_reply(
        struct control_client *client, int64_t timeout_ns, json_t **out_parameters, struct error *error) {
        CLEANUP_JSON json_t *reply = NULL;
        const char *text, *name;
        json_t *parameters;

        if (message_read(client, timeout_ns, &text, error) < 0)
                return -1;
        reply = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        name = json_string_value(json_object_get(reply, "error"));
        if (name)
                return replied_error(reply, name, error);
        parameters = json_object_get(reply, "parameters");
        if (!json_is_object(parameters))
                return error_set(error, 0, "what answers there is no supervisor of tacet");
        *out_parameters = json_incref(parameters);
        return json_is_true(json_object_get(reply, "continues")) ? CONTROL_CLIENT_MORE : 0;
}

const char *control_text(const json_t *object, const char *key, char *out, size_t room) {
        const char *text = json_string_value(json_object_get(object, key));

        snprintf(out, room, "%s", text ? text : "");
        text_tame(out);
        return out;
}
