/* The client of the control socket: see control_client.h.
 *
 * Runs in an ordinary process that asks, never in the supervisor. Who listens at the path decides what comes
 * back, so a reply is bounded in size and read by jansson alone; nothing in it is executed or opened, and
 * texts are made harmless for a terminal. No secret travels here: the protocol has none. */

#include "client/control_client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/fd.h"

void control_json_cleanup(json_t **json) {
        json_decref(*json);
}

static int address_fill(struct sockaddr_un *out, const char *path, struct error *error) {
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

/* What connect(2) said, in terms of the service. No socket and nobody who takes connections come to the same
 * for whoever asks: a socket file outlives a supervisor that was killed. */
static int connection_explain(const char *path, int code, struct error *error) {
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

int control_client_open(struct control_client *client, const char *path, struct error *error) {
        struct sockaddr_un address = {0};

        client->fd = -1;
        client->used = client->consumed = 0;
        if (address_fill(&address, path, error) < 0)
                return -1;
        client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (client->fd < 0)
                return error_set(error, errno, "make a socket");
        if (connect(client->fd, (const struct sockaddr *)&address, sizeof address) < 0) {
                connection_explain(path, errno, error);
                control_client_close(client);
                return -1;
        }
        return 0;
}

void control_client_close(struct control_client *client) {
        fd_cleanup(&client->fd);
}

static int connection_lost(int code, struct error *error) {
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
                return connection_lost(errno, error);
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
                        return connection_lost(got < 0 && errno != ECONNRESET ? errno : 0, error);
                client->used += (size_t)got;
        }
        client->consumed = (size_t)(end - client->buffer) + 1;
        *out = client->buffer;
        return 0;
}

static int reply_explain(const json_t *reply, const char *name, struct error *error) {
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
                return reply_explain(reply, name, error);
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
