/* Serving the control socket: see server.h.
 *
 * Runs in the supervisor, whose loop it must never hold up: every descriptor is non-blocking, every buffer
 * has a fixed size, every client has a limited time. SO_PEERCRED decides before the first byte is read
 * whether a peer may ask: root, or the user that tacet runs as; the socket's mode says the same. A client
 * that waits for its answer is not read from. Errors of a client are logged at `debug`: they concern the
 * client alone. */

#include "supervisor/control/server.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "supervisor/control/reply.h"
#include "supervisor/control/socket.h"

#define CLIENTS_MAX       8
#define ACCEPTS_PER_TURN  16
#define OUT_BYTES         ((size_t)64 * 1024)
#define CLIENT_TIMEOUT_NS (10 * NS_PER_S) /* to send a request, to take a reply, to ask again */
#define ACCEPT_PAUSE_NS   NS_PER_S        /* when there is no descriptor or memory left for one more */

struct client {
        bool is_used;
        bool is_waiting; /* for the end of a rotation */
        bool wants_steps;
        bool is_emergency; /* that it waits for */
        size_t cut;        /* listeners_cut() when it asked */
        struct loop_source source;
        struct loop_timer timer;
        struct control_ticket ticket;
        int64_t asked_ns;
        size_t in_used, out_used;
        char in[CONTROL_REQUEST_BYTES_MAX];
        char out[OUT_BYTES];
};

/* One per process, as the supervisor. All zero until control_open(), so that it takes no room in the
 * program's file; pages of clients that never come are never touched. */
static struct control {
        bool is_open;
        struct control_rooms rooms;
        struct loop_source listener;
        struct loop_timer pause;
        struct control_socket socket;
        struct client clients[CLIENTS_MAX];
} control;

/* ---- one client ---- */

static void client_drop(struct client *client, const char *why) {
        if (!client->is_used)
                return;
        log_write(LOG_DEBUG, "control: client let go: %s", why);
        loop_timer_clear(control.rooms.loop, &client->timer);
        loop_remove(control.rooms.loop, &client->source);
        fd_cleanup(&client->source.fd);
        client->is_used = client->is_waiting = false;
}

static bool client_has_request(const struct client *client) {
        return memchr(client->in, '\0', client->in_used) != NULL;
}

/* Set the events to wait for: room to write, a request, or only the peer's end while it waits for a rotation
 * (errors and hang-ups always come). The client's timeout goes on. */
static void client_arm(struct client *client) {
        struct loop *loop = control.rooms.loop;
        uint32_t events = client->out_used             ? EPOLLOUT
                          : client->is_waiting         ? EPOLLERR
                          : client_has_request(client) ? EPOLLOUT /* at once */
                                                       : EPOLLIN;
        struct error error;

        if (events == EPOLLERR)
                loop_timer_clear(loop, &client->timer);
        else if (!client->timer.is_set)
                loop_timer_set(loop, &client->timer, time_add(time_now_ns(), CLIENT_TIMEOUT_NS));
        if (client->source.events == events)
                return;
        loop_remove(loop, &client->source);
        client->source.events = events;
        if (loop_add(loop, &client->source, &error) < 0)
                client_drop(client, error.text);
}

/* Send what there is. Returns false when the client is gone. */
static bool client_flush(struct client *client) {
        ssize_t sent;

        while (client->out_used) {
                sent = send(client->source.fd, client->out, client->out_used, MSG_DONTWAIT | MSG_NOSIGNAL);
                if (sent < 0 && errno == EINTR)
                        continue;
                if (sent < 0 && errno == EAGAIN)
                        break;
                if (sent < 0) {
                        client_drop(client, strerror(errno));
                        return false;
                }
                client->out_used -= (size_t)sent;
                memmove(client->out, client->out + sent, client->out_used);
                if (client->out_used == 0)
                        loop_timer_clear(control.rooms.loop, &client->timer);
        }
        return true;
}

static char *client_room(struct client *client, size_t *out_room) {
        *out_room = sizeof client->out - client->out_used;
        return client->out + client->out_used;
}

/* A reply was built (or, with 0 bytes, did not fit): send it. */
static void client_replied(struct client *client, size_t bytes) {
        if (bytes == 0) {
                client_drop(client, "it does not take its replies");
                return;
        }
        client->out_used += bytes;
        if (client_flush(client))
                client_arm(client);
}

static void reply_error(struct client *client, const char *name, const char *key, const char *value) {
        size_t room;
        char *out = client_room(client, &room);

        client_replied(client, control_reply_error(out, room, name, key, value));
}

static void reply_result(struct client *client, const char *result, uint64_t generation) {
        const struct control_outcome outcome = {.result = result,
                .generation = generation,
                .elapsed_ns = time_now_ns() - client->asked_ns,
                .has_ended = client->is_emergency,
                .ended = trees_ended(control.rooms.trees, generation),
                .cut = listeners_cut(control.rooms.listeners) - client->cut};
        size_t room;
        char *out = client_room(client, &room);

        client->is_waiting = false;
        client_replied(client, control_reply_result(out, room, &outcome));
}

/* ---- requests ---- */

/* While the service ends no rotation begins. Returns true when it does, and the client was told so. */
static bool ending_reply(struct client *client) {
        struct fleet_view view;

        fleet_look(control.rooms.fleet, &view);
        if (view.phase != FLEET_PHASE_STOPPING && view.phase != FLEET_PHASE_OVER)
                return false;
        reply_result(client, control_result_name(CONTROL_STOPPED), 0);
        return true;
}

/* The core has the request: let the client wait for the result, or reply at once. */
static void asked_reply(struct client *client, const struct control_request *request) {
        size_t room;
        char *out;

        if (request->waits && !request->is_oneway) {
                client->is_waiting = true;
                client->wants_steps = request->is_more;
                client_arm(client);
                return;
        }
        out = client_room(client, &room);
        if (!request->is_oneway)
                client_replied(client, control_reply_done(out, room));
}

static void rotation_ask(struct client *client, const struct control_request *request) {
        if (!control.rooms.generations->request) {
                reply_error(client, "io.tacet.NoSource", NULL, NULL);
                return;
        }
        client->asked_ns = time_now_ns();
        client->is_emergency = request->is_emergency;
        client->cut = listeners_cut(control.rooms.listeners);
        if (ending_reply(client))
                return;
        client->ticket = control_ticket_take(control.rooms.fleet);
        facts_push(control.rooms.facts, time_now_ns(),
                (struct fleet_event){.kind = FLEET_RELOAD,
                        .is_forced = request->is_forced,
                        .is_emergency = request->is_emergency});
        asked_reply(client, request);
}

/* That there is nothing to go back to is replied at once, also to a client that does not wait. */
static void rollback_ask(struct client *client, const struct control_request *request) {
        const struct fleet *fleet = control.rooms.fleet;
        struct fleet_view view;

        client->asked_ns = time_now_ns();
        client->is_emergency = false;
        client->cut = listeners_cut(control.rooms.listeners);
        if (ending_reply(client))
                return;
        fleet_look(fleet, &view);
        if (view.phase == FLEET_PHASE_STARTING || (view.phase == FLEET_PHASE_IDLE && !view.has_previous)) {
                bool is_kept = fleet->settings.previous_keep_ns > 0;

                reply_result(
                        client, control_result_name(is_kept ? CONTROL_NO_PREVIOUS : CONTROL_NOT_KEPT), 0);
                return;
        }
        client->ticket = control_ticket_rollback();
        facts_push(control.rooms.facts, time_now_ns(), (struct fleet_event){.kind = FLEET_ROLLBACK});
        asked_reply(client, request);
}

static void request_serve(struct client *client, const struct control_request *request) {
        size_t room;
        char *out = client_room(client, &room);

        /* Everything else is asked for its reply alone. */
        if (request->is_oneway && request->method != CONTROL_ROTATE && request->method != CONTROL_ROLLBACK)
                return;
        switch (request->method) {
        case CONTROL_ROTATE:
                rotation_ask(client, request);
                return;
        case CONTROL_ROLLBACK:
                rollback_ask(client, request);
                return;
        case CONTROL_STATUS:
                client_replied(client, control_reply_status(out, room, &control.rooms));
                return;
        case CONTROL_GET_INFO:
                client_replied(client, control_reply_info(out, room));
                return;
        case CONTROL_GET_INTERFACE:
                client_replied(client, control_reply_interface(out, room, request->name));
                return;
        case CONTROL_NO_METHOD:
                reply_error(client, "org.varlink.service.MethodNotFound", "method", request->name);
                return;
        case CONTROL_NO_INTERFACE:
                reply_error(client, "org.varlink.service.InterfaceNotFound", "interface", request->name);
                return;
        case CONTROL_NO_PARAMETER:
                reply_error(client, "org.varlink.service.InvalidParameter", "parameter", request->name);
                return;
        }
}

/* Serve the client's next request, once it is complete and the last one is answered. Returns false when there
 * is none. */
static bool client_serve(struct client *client) {
        struct control_request request;
        const char *end;
        size_t length;

        if (!client->is_used || client->is_waiting || client->out_used)
                return false;
        end = memchr(client->in, '\0', client->in_used);
        if (!end && client->in_used == sizeof client->in)
                client_drop(client, "its request is too long");
        if (!end)
                return false;
        length = (size_t)(end - client->in);
        if (control_request_parse(client->in, length, &request) < 0) {
                client_drop(client, "that is no request");
                return false;
        }
        client->in_used -= length + 1;
        memmove(client->in, end + 1, client->in_used);
        loop_timer_clear(control.rooms.loop, &client->timer);
        request_serve(client, &request);
        if (client->is_used)
                client_arm(client);
        return true;
}

bool control_serve(void) {
        for (size_t i = 0; control.is_open && i < CLIENTS_MAX; i++)
                if (client_serve(&control.clients[i]))
                        return true;
        return false;
}

static void client_read(struct client *client) {
        ssize_t got = recv(client->source.fd, client->in + client->in_used,
                sizeof client->in - client->in_used, MSG_DONTWAIT);

        if (got > 0)
                client->in_used += (size_t)got;
        else if (got == 0 || (errno != EAGAIN && errno != EINTR))
                client_drop(client, got < 0 ? strerror(errno) : "it hung up");
}

static void client_on_event(struct loop_source *source) {
        struct client *client = source->owner;

        if (client->is_waiting && client->out_used == 0) {
                client_drop(client, "it hung up while it waited");
                return;
        }
        if (!client_flush(client))
                return;
        if (client->out_used == 0 && !client->is_waiting && !client_has_request(client))
                client_read(client);
        if (client->is_used)
                client_arm(client);
}

static void client_on_due(struct loop_timer *timer) {
        client_drop(timer->owner, "it took too long");
}

void control_report(const struct fleet_action *action, const char *line) {
        if (!control.is_open)
                return;
        for (size_t i = 0; i < CLIENTS_MAX; i++) {
                struct client *client = &control.clients[i];
                enum control_result result;
                size_t room;
                char *out;

                if (!client->is_used || !client->is_waiting)
                        continue;
                if (client->wants_steps) {
                        out = client_room(client, &room);
                        client_replied(
                                client, control_reply_step(out, room, line, action->generation,
                                                time_now_ns() - client->asked_ns, action->generation != 0));
                }
                result = control_ticket_hear(&client->ticket, control.rooms.fleet, action);
                if (client->is_used && result != CONTROL_PENDING)
                        reply_result(client, control_result_name(result), client->ticket.generation);
        }
}

/* ---- the socket ---- */

static bool peer_is_allowed(int fd) {
        struct ucred peer;
        socklen_t length = sizeof peer;

        return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
               (peer.uid == 0 || peer.uid == geteuid());
}

/* Reply why, if that can be sent at once, and disconnect. */
static void peer_refuse(int fd, const char *name) {
        char text[256];
        size_t bytes = control_reply_error(text, sizeof text, name, NULL, NULL);

        log_write(LOG_DEBUG, "control: refused: %s", name);
        (void)!send(fd, text, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static struct client *client_unused(void) {
        for (size_t i = 0; i < CLIENTS_MAX; i++)
                if (!control.clients[i].is_used)
                        return &control.clients[i];
        return NULL;
}

static void peer_accept(int take_fd) {
        CLEANUP_FD int fd = take_fd;
        struct client *client = client_unused();
        struct error error;

        if (!peer_is_allowed(fd)) {
                peer_refuse(fd, "org.varlink.service.PermissionDenied");
                return;
        }
        if (!client) {
                peer_refuse(fd, "io.tacet.TooManyClients");
                return;
        }
        /* The buffers keep what was in them: nothing but the counts says what is valid. */
        client->is_used = true;
        client->is_waiting = client->wants_steps = false;
        client->in_used = client->out_used = 0;
        client->timer = (struct loop_timer){.on_due = client_on_due, .owner = client};
        client->source = (struct loop_source){
                .fd = fd_take(&fd), .on_readable = client_on_event, .owner = client, .events = EPOLLIN};
        if (loop_add(control.rooms.loop, &client->source, &error) < 0)
                client_drop(client, error.text);
        else
                client_arm(client);
}

static void listener_on_readable(struct loop_source *source) {
        for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
                int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

                if (fd >= 0) {
                        peer_accept(fd);
                        continue;
                }
                /* Pause: the connection that waits would wake the loop again and again. */
                if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
                        loop_remove(control.rooms.loop, source);
                        loop_timer_set(
                                control.rooms.loop, &control.pause, time_add(time_now_ns(), ACCEPT_PAUSE_NS));
                }
                return;
        }
}

static void pause_on_due(struct loop_timer *timer) {
        struct error error;

        if (loop_add(control.rooms.loop, &control.listener, &error) < 0)
                loop_timer_set(control.rooms.loop, timer, time_add(time_now_ns(), ACCEPT_PAUSE_NS));
}

int control_open(const struct control_rooms *rooms, const char *path, struct error *error) {
        if (!path)
                return 0;
        control.rooms = *rooms;
        if (control_socket_open(&control.socket, path, error) < 0)
                return -1;
        control.pause = (struct loop_timer){.on_due = pause_on_due, .owner = &control};
        control.listener = (struct loop_source){
                .fd = control.socket.fd, .on_readable = listener_on_readable, .owner = &control};
        control.is_open = true;
        if (loop_add(control.rooms.loop, &control.listener, error) == 0)
                return 0;
        control_close();
        return -1;
}

void control_close(void) {
        if (!control.is_open)
                return;
        control.is_open = false;
        for (size_t i = 0; i < CLIENTS_MAX; i++) {
                struct client *client = &control.clients[i];

                if (client->is_used && client->is_waiting)
                        reply_result(client, control_result_name(CONTROL_STOPPED), 0);
                client_drop(client, "the end");
        }
        loop_timer_clear(control.rooms.loop, &control.pause);
        loop_remove(control.rooms.loop, &control.listener);
        control_socket_close(&control.socket);
}
