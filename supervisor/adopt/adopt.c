/* Trees, notifications and listen: see adopt.h. Runs in the supervisor, for processes that it need not trust.
 *
 * A call is read by a child (look.c), for each tree one at a time: an app whose memory or files take long to
 * read, or that binds a thousand times a second, only slows itself down. The descriptor of a tree hangs up
 * (POLLHUP) when its last process has ended. */

#include "supervisor/adopt/adopt.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "supervisor/adopt/call.h"
#include "supervisor/adopt/caller.h"

#define CALLS_PER_TURN 16
#define LOOKS_MAX      100
#define LOOK_AGAIN_NS  (20 * NS_PER_MS)

static bool call_read(struct adopt_request *call, const struct seccomp_notif *request) {
        const struct seccomp_data *data = &request->data;

        call->thread = (pid_t)request->pid; /* 0: in a PID namespace that we cannot see */
        call->kind = adopt_call_of(data->arch, data->nr);
        if (call->thread <= 0 || call->kind == ADOPT_CALL_NONE)
                return false;
        if (call->kind == ADOPT_CALL_UNLINK) {
                call->number = AT_FDCWD;
                call->address = data->args[0];
                return true;
        }
        call->number = (int)data->args[0];
        call->address = data->args[1];
        call->length = (uint32_t)data->args[2];
        return true;
}

/* Once listen(2) was called at every address of the configuration, it is a sign that the instance is ready;
 * where a socket could not be adopted, any listen(2) is. Returns false when this one is none that was
 * adopted. */
static bool listen_note(const struct adopt_request *call) {
        struct adopt_tree *tree = call->tree;
        const struct socket_rules *rules = tree->adopt->rooms.rules;
        struct instance *instance = instance_by_number(tree->adopt->rooms.instances, tree->instance);
        uint64_t inode = caller_inode(call->thread, call->number);
        const struct adopt_socket *entry = adopt_socket_by_inode(tree, inode);
        int rule = entry ? rules_match(rules, &entry->address) : -1;

        if (!inode && adopt_is_our_lack(errno))
                adopt_complain(tree, call->thread, errno, "see the sockets");
        if (rule >= 0)
                tree->listened |= UINT32_C(1) << rule;
        else if (call->kind == ADOPT_CALL_ASK_LISTENING)
                return false;
        if (instance && (tree->has_complained || tree->listened + 1 == UINT32_C(1) << rules->adopt_count))
                signs_note(instance, READINESS_LISTEN);
        return rule >= 0;
}

/* A listen(2) on an adopted socket changes nothing: the socket already listens, and its backlog must not
 * shrink. */
static int listen_answer(const struct adopt_request *call) {
        return listen_note(call) ? 0 : ADOPT_GOES_ON;
}

/* Who asks whether its socket listens (haproxy) is told so by the kernel, and does not call listen(2) then:
 * the question is as good a sign. */
static int question_answer(const struct adopt_request *call) {
        (void)listen_note(call);
        return ADOPT_GOES_ON;
}

static void call_answer(struct adopt_request *call, int verdict) {
        /* The kernel's struct may be larger than that of our headers. */
        union {
                struct seccomp_notif_resp response;
                char room[256];
        } out = {.response = {.id = call->id}};

        if (verdict == ADOPT_GOES_ON)
                out.response.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        else
                out.response.error = verdict;
        if (adopt_ioctl(call->tree, SECCOMP_IOCTL_NOTIF_SEND, &out.response) == 0 && call->placed)
                call->placed->is_unanswered = false;
}

static int call_decide(struct adopt_request *call, const struct adopt_sight *sight) {
        call->kind = sight->kind;
        call->number = sight->number;
        call->address = sight->address;
        call->length = sight->length;
        switch (call->kind) {
        case ADOPT_CALL_BIND:
                return adopt_answer_bind(call, sight);
        case ADOPT_CALL_LISTEN:
                return listen_answer(call);
        case ADOPT_CALL_ASK_LISTENING:
                return question_answer(call);
        case ADOPT_CALL_CONNECT:
                return adopt_answer_connect(call, sight);
        case ADOPT_CALL_UNLINK:
        case ADOPT_CALL_UNLINKAT:
                return adopt_answer_unlink(call, sight);
        case ADOPT_CALL_NONE:
        case ADOPT_CALL_SOCKETCALL:
                break;
        }
        return ADOPT_GOES_ON;
}

/* Wait for calls of the tree (EPOLLIN), or only for its end (EPOLLERR). */
static void tree_wait(struct adopt_tree *tree, uint32_t events) {
        struct error error;

        loop_remove(tree->adopt->rooms.loop, &tree->source);
        tree->source.events = events;
        if (loop_add(tree->adopt->rooms.loop, &tree->source, &error) == 0)
                return;
        log_error(LOG_ERROR, &error);
        adopt_tree_close(tree);
}

static void again_on_due(struct loop_timer *timer);

/* Try again later to read the call. A bind that is let through unread gives the app a socket of its own,
 * which its successor does not get: so a lack of processes or memory is waited out. Returns false after
 * LOOKS_MAX tries. */
static bool call_look_later(struct adopt_tree *tree) {
        if (tree->tries++ >= LOOKS_MAX)
                return false;
        tree->again = (struct loop_timer){.on_due = again_on_due, .owner = tree};
        loop_timer_set(tree->adopt->rooms.loop, &tree->again, time_add(time_now_ns(), LOOK_AGAIN_NS));
        return true;
}

static void call_on_seen(void *owner, const void *answer_bytes, size_t bytes) {
        struct adopt_tree *tree = owner;
        struct adopt_sight sight;
        int verdict = ADOPT_GOES_ON;

        if (bytes != sizeof sight && call_look_later(tree))
                return;
        tree->is_looking = false;
        if (bytes == sizeof sight && !tree->is_dropped) {
                memcpy(&sight, answer_bytes, sizeof sight);
                verdict = call_decide(&tree->looked, &sight);
        }
        call_answer(&tree->looked, verdict);
        tree_wait(tree, EPOLLIN);
}

static void again_on_due(struct loop_timer *timer) {
        struct adopt_tree *tree = timer->owner;
        struct error error;

        if (adopt_look(&tree->looked, call_on_seen, &error) == 0 || call_look_later(tree))
                return;
        adopt_complain(tree, tree->looked.thread, error.code, "look at the calls");
        call_on_seen(tree, NULL, 0);
}

static void call_look_begin(struct adopt_tree *tree, const struct adopt_request *call) {
        tree->looked = *call;
        tree->tries = 0;
        tree->is_looking = true;
        tree_wait(tree, EPOLLERR);
        if (tree->is_used)
                again_on_due(&(struct loop_timer){.owner = tree});
}

static void notification_handle(struct adopt_tree *tree) {
        struct adopt_request call = {.tree = tree};
        union {
                struct seccomp_notif request;
                char room[256];
        } in = {0};
        int verdict = ADOPT_GOES_ON;

        /* ENOENT: the caller was killed, or interrupted, before we looked. */
        if (adopt_ioctl(tree, SECCOMP_IOCTL_NOTIF_RECV, &in.request) < 0)
                return;
        call.id = in.request.id; /* every call has to be answered, also one that is not read */
        if (!tree->is_dropped && call_read(&call, &in.request)) {
                if (call.kind == ADOPT_CALL_LISTEN)
                        verdict = listen_answer(&call);
                else if (call.kind == ADOPT_CALL_ASK_LISTENING)
                        verdict = question_answer(&call);
                else if (call.kind != ADOPT_CALL_CONNECT || !adopt_has_bound_all(tree)) {
                        call_look_begin(tree, &call);
                        return;
                }
        }
        call_answer(&call, verdict);
}

/* RECV blocks when there is nothing to receive, so poll(2) goes before each. */
static void notify_on_readable(struct loop_source *source) {
        struct adopt_tree *tree = source->owner;

        for (int n = 0; n < CALLS_PER_TURN && source->fd >= 0; n++) {
                struct pollfd ready = {.fd = source->fd, .events = POLLIN};

                if (poll(&ready, 1, 0) <= 0)
                        return;
                if (ready.revents & POLLHUP) {
                        adopt_tree_close(tree);
                        return;
                }
                if (tree->is_looking || !(ready.revents & POLLIN))
                        return;
                notification_handle(tree);
        }
}

static void channel_on_readable(struct loop_source *source) {
        struct adopt_tree *tree = source->owner;
        int fd = adopt_descriptor_receive(source->fd);
        struct error error;

        if (fd < 0 && errno == EAGAIN)
                return;
        if (fd < 0) {
                /* EPIPE: the shim has failed and says why by its pipe. */
                if (errno != EPIPE)
                        log_write(LOG_ERROR, "cannot watch what the app binds, so it cannot bind: %s",
                                strerror(errno));
                adopt_tree_close(tree);
                return;
        }
        loop_remove(tree->adopt->rooms.loop, source);
        fd_close(source->fd);
        *source = (struct loop_source){.fd = fd, .on_readable = notify_on_readable, .owner = tree};
        if (loop_add(tree->adopt->rooms.loop, source, &error) < 0) {
                log_error(LOG_ERROR, &error);
                adopt_tree_close(tree);
        }
}

/* ---- the start ---- */

void adopt_open(struct adopt *adopt, const struct adopt_rooms *rooms) {
        adopt->rooms = *rooms;
        adopt_trees_open(adopt);
}

void adopt_try(struct socket_rules *rules, struct fleet_settings *fleet) {
        struct error error;

        rules->is_adopting = rules->adopt_count > 0;
        if (!rules->is_adopting || adopt_probe(&error) == 0)
                return;
        rules->is_adopting = false;
        error_wrap(
                &error, "sockets of the app cannot be adopted, so instances are replaced and do not overlap");
        log_error(LOG_WARNING, &error);
        fleet->surge_max = 0;
        if (fleet->unavailable_max == 0)
                fleet->unavailable_max = 1;
}

void adopt_drop(struct adopt *adopt, uint64_t generation) {
        for (size_t i = 0; i < adopt->tree_places; i++)
                if (adopt->trees[i].is_used && adopt->trees[i].seat.generation == generation)
                        adopt->trees[i].is_dropped = true;
}

int adopt_prepare(struct adopt *adopt, const struct instance *instance, int *out_fd, struct error *error) {
        struct adopt_tree *tree;
        int ends[2];

        *out_fd = -1;
        if (!adopt->rooms.rules->is_adopting)
                return 0;
        adopt_vacate(adopt, instance->slot);
        tree = adopt_tree_take(adopt);
        if (!tree)
                return error_set(error, 0, "more than %d instances with adopted sockets", ADOPT_TREES_MAX);
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
                return error_set(error, errno, "make a channel for adopted sockets (socketpair)");
        *tree = (struct adopt_tree){
                .is_used = true,
                .adopt = adopt,
                .instance = instance->number,
                .seat = instance_seat(instance),
                .source = {.fd = ends[0], .on_readable = channel_on_readable, .owner = tree},
        };
        if (loop_add(tree->adopt->rooms.loop, &tree->source, error) < 0) {
                adopt_tree_close(tree);
                fd_close(ends[1]);
                return -1;
        }
        *out_fd = ends[1];
        return 0;
}
