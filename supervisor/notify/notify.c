/* Receiving what apps say by sd_notify(3): see notify.h.
 *
 * Runs in the supervisor. The address is abstract (unix(7)): it needs no directory that both can reach, so it
 * works with a read-only root and for an app that runs as another user, and it is gone with the supervisor;
 * it does need the same network namespace. Its name is random, but security does not depend on that: a
 * message counts only when the kernel's credentials name a process of an instance. All others are dropped,
 * and a turn reads a limited number. A message with descriptors is received by a child process, because
 * closing a descriptor can block for as long as its sender likes. */

#include "supervisor/notify/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "supervisor/process/descendants.h"

#define MESSAGES_PER_TURN  32
#define DESCRIPTORS_MAX    253 /* SCM_MAX_FD: unix(7) */
#define CHAIN_MAX          64  /* how far below an instance a sender may be */
#define RECEIVERS_MAX      16  /* children that receive messages with descriptors, and may block */
#define RECEIVE_PAUSE_NS   (100 * NS_PER_MS)
#define NAME_TRIES         8
#define WATCHDOG_NS_MIN    (10 * NS_PER_MS)
#define COMPLAINT_PAUSE_NS NS_PER_S

static const int yes = 1;

/* ---- making it ---- */

static int notify_bind(int fd, char out_name[static 24]) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        uint64_t random;
        socklen_t length;

        for (int try = 0; try < NAME_TRIES; try++) {
                if (getrandom(&random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random)
                        random = (uint64_t)time_now_ns() ^ ((uint64_t)getpid() << 40);
                snprintf(out_name, 24, "tacet/%016llx", (unsigned long long)random);
                memcpy(address.sun_path + 1, out_name, strlen(out_name));
                length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(out_name));
                if (bind(fd, (struct sockaddr *)&address, length) == 0)
                        return 0;
                if (errno != EADDRINUSE)
                        return -1;
        }
        return -1;
}

static void notify_on_readable(struct loop_source *source);
static void pause_on_due(struct loop_timer *timer);

int notify_listen(struct notify *notify, const struct notify_rooms *rooms,
        const struct notify_settings *settings, struct error *error) {
        char name[24];
        CLEANUP_FD int fd = -1;

        notify->settings = settings;
        notify->loop = rooms->loop;
        notify->facts = rooms->facts;
        notify->instances = rooms->instances;
        notify->errands = rooms->errands;
        notify->source = (struct loop_source){.fd = -1, .on_readable = notify_on_readable, .owner = notify};
        if (settings->access == NOTIFY_ACCESS_NONE)
                return 0;
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        /* Before bind: no message may come without credentials. */
        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes) < 0 ||
                notify_bind(fd, name) < 0)
                return error_set(error, errno, "make the notify socket of the app");
        notify->pause = (struct loop_timer){.on_due = pause_on_due, .owner = notify};
        notify->source.fd = fd;
        if (loop_add(notify->loop, &notify->source, error) < 0) {
                notify->source.fd = -1;
                return -1;
        }
        (void)fd_take(&fd);
        snprintf(notify->socket_variable, sizeof notify->socket_variable, "NOTIFY_SOCKET=@%s", name);
        snprintf(notify->watchdog_variable, sizeof notify->watchdog_variable, "WATCHDOG_USEC=%lld",
                (long long)(settings->watchdog_ns / NS_PER_US));
        return 0;
}

static struct notify_watch *watch_of(struct notify *notify, const struct instance *instance) {
        return &notify->watches[instance_place(instance)];
}

void notify_equip(struct notify *notify, struct instance *instance, struct gear *gear) {
        if (notify->source.fd < 0)
                return;
        *watch_of(notify, instance) = (struct notify_watch){.notify = notify, .instance = instance};
        gear_variable(gear, notify->socket_variable);
        if (notify->settings->watchdog_ns)
                gear_variable(gear, notify->watchdog_variable);
}

/* ---- the watchdog ---- */

static void unhealthy_push(struct notify_watch *watch) {
        struct notify *notify = watch->notify;

        loop_timer_clear(notify->loop, &watch->watchdog);
        watch->watchdog_ns = 0;
        facts_push(notify->facts, time_now_ns(),
                (struct fleet_event){.kind = FLEET_UNHEALTHY, .instance = watch->instance->number});
}

/* The interval that is asked for, but at least WATCHDOG_NS_MIN: for a shorter one the supervisor would always
 * be late itself, and so never act. */
static int64_t watchdog_interval_ns(int64_t asked_ns) {
        if (asked_ns == NS_FOREVER || asked_ns == 0)
                return 0;
        return asked_ns > WATCHDOG_NS_MIN ? asked_ns : WATCHDOG_NS_MIN;
}

static void watchdog_set(struct notify_watch *watch) {
        struct loop *loop = watch->notify->loop;

        if (watch->watchdog_ns && watch->instance->signs.is_complete)
                loop_timer_set(loop, &watch->watchdog, time_add(time_now_ns(), watch->watchdog_ns));
        else
                loop_timer_clear(loop, &watch->watchdog);
}

static void watchdog_on_due(struct loop_timer *timer) {
        struct notify_watch *watch = timer->owner;
        const struct instance *instance = watch->instance;
        int64_t late_ns = time_now_ns() - timer->deadline_ns;
        char interval[32];

        if (instance->is_ending)
                return;
        /* A stopped app cannot send; and when the supervisor is late itself, the machine may have kept
         * both. */
        if (instance->is_stopped || late_ns > watch->watchdog_ns / 2) {
                watchdog_set(watch);
                return;
        }
        log_write(LOG_WARNING, "process %d sent no WATCHDOG=1 for %s", (int)instance->pid,
                duration_format(watch->watchdog_ns, interval));
        unhealthy_push(watch);
}

void notify_ready(struct notify *notify, struct instance *instance) {
        struct notify_watch *watch = watch_of(notify, instance);

        if (notify->source.fd < 0)
                return;
        watch->watchdog = (struct loop_timer){.on_due = watchdog_on_due, .owner = watch};
        if (!watch->watchdog_ns)
                watch->watchdog_ns = watchdog_interval_ns(notify->settings->watchdog_ns);
        watchdog_set(watch);
}

void notify_ended(struct notify *notify, struct instance *instance) {
        if (notify->source.fd >= 0)
                loop_timer_clear(notify->loop, &watch_of(notify, instance)->watchdog);
}

const char *notify_status(const struct notify *notify, const struct instance *instance) {
        return notify->source.fd >= 0 ? notify->watches[instance_place(instance)].status : "";
}

/* ---- who sent it ---- */

/* At most one line a second: a process that may not send messages must not fill the log either. */
static void complaint_write(struct notify *notify, pid_t sender, const char *why) {
        int64_t now_ns = time_now_ns();

        if (notify->complaint_ns && now_ns - notify->complaint_ns < COMPLAINT_PAUSE_NS) {
                notify->complaints_skipped++;
                return;
        }
        notify->complaint_ns = now_ns;
        if (notify->complaints_skipped)
                log_write(LOG_INFO, "%u other notify messages were dropped", notify->complaints_skipped);
        notify->complaints_skipped = 0;
        log_write(LOG_INFO, "notify message of process %d dropped: %s", (int)sender, why);
}

/* The instance of one of the sender's ancestors; an orphan still has the group or the session of its app. */
static struct instance *instance_of_descendant(struct notify *notify, pid_t sender) {
        struct descendant descendant;
        struct instance *instance = NULL;

        for (int step = 0; step < CHAIN_MAX && !instance && descendant_look(sender, &descendant); step++) {
                instance = instance_by_pid(notify->instances, descendant.parent);
                if (!instance)
                        instance = instance_by_pid(notify->instances, descendant.group);
                if (!instance)
                        instance = instance_by_pid(notify->instances, descendant.session);
                sender = descendant.parent;
                if (sender <= 1)
                        break;
        }
        return instance;
}

static struct instance *instance_of_sender(struct notify *notify, pid_t sender) {
        struct instance *instance = instance_by_pid(notify->instances, sender);
        struct instance *above = instance ? NULL : instance_of_descendant(notify, sender);

        if (!instance && above && notify->settings->access == NOTIFY_ACCESS_MAIN)
                complaint_write(
                        notify, sender, "only the app's main process may send any (notify_access = main)");
        else if (!instance && !above)
                complaint_write(notify, sender, "it is no process of the app, or has ended already");
        return instance || notify->settings->access == NOTIFY_ACCESS_MAIN ? instance : above;
}

/* ---- what it says ---- */

static void refusal_write(struct notify_watch *watch, const struct notify_message *message) {
        if (watch->has_complaint || (!message->names_main && !message->stores_fds))
                return;
        watch->has_complaint = true;
        log_write(LOG_INFO, "process %d sent %s: not followed, %s", (int)watch->instance->pid,
                message->names_main ? "MAINPID" : "FDSTORE",
                message->names_main ? "the process that tacet started is the main one"
                                    : "tacet keeps no descriptors of apps");
}

static void message_handle(struct notify_watch *watch, const struct notify_message *message) {
        struct instance *instance = watch->instance;

        if (message->has_status) {
                memcpy(watch->status, message->status, sizeof watch->status);
                log_write(LOG_DEBUG, "process %d: status: %s", (int)instance->pid, watch->status);
        }
        watch->is_stopping |= message->is_stopping;
        refusal_write(watch, message);
        if (message->has_extension)
                facts_push(watch->notify->facts, time_now_ns(),
                        (struct fleet_event){.kind = FLEET_EXTEND,
                                .instance = instance->number,
                                .delay_ns = message->extension_ns});
        if (message->has_watchdog)
                watch->watchdog_ns = watchdog_interval_ns(message->watchdog_ns);
        if (message->has_watchdog || message->is_alive)
                watchdog_set(watch);
        if (message->is_ready)
                signs_note(instance, READINESS_NOTIFY);
        if (message->is_failing) {
                log_write(LOG_WARNING, "process %d sent WATCHDOG=trigger", (int)instance->pid);
                unhealthy_push(watch);
        }
}

/* ---- one datagram ---- */

struct datagram {
        char text[NOTIFY_MESSAGE_BYTES_MAX + 1];
        size_t length;
        bool is_cut, has_descriptors;
        pid_t sender; /* 0: unknown */
};

/* Read the next datagram, but leave it in the queue. The buffer has room for the credentials only, so that no
 * descriptor is received. Returns false when there is none. */
static bool datagram_peek(int fd, struct datagram *out) {
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(struct ucred))];
        } control;
        struct iovec vector = {.iov_base = out->text, .iov_len = sizeof out->text};
        struct msghdr header = {.msg_iov = &vector,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof control};
        const struct cmsghdr *first;
        struct ucred credentials;
        ssize_t got;

        do
                got = recvmsg(fd, &header, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        while (got < 0 && errno == EINTR);
        if (got < 0)
                return false;
        out->length = (size_t)got;
        out->is_cut = (header.msg_flags & MSG_TRUNC) != 0;
        out->has_descriptors = (header.msg_flags & MSG_CTRUNC) != 0;
        out->sender = 0;
        first = CMSG_FIRSTHDR(&header);
        if (first && first->cmsg_level == SOL_SOCKET && first->cmsg_type == SCM_CREDENTIALS &&
                first->cmsg_len == CMSG_LEN(sizeof credentials)) {
                memcpy(&credentials, CMSG_DATA(first), sizeof credentials);
                out->sender = credentials.pid;
        }
        return true;
}

static void datagram_handle(struct notify *notify, const struct datagram *datagram) {
        struct notify_message message;
        struct instance *instance;

        if (datagram->sender <= 0) /* of another pid namespace: none of our apps */
                return;
        instance = instance_of_sender(notify, datagram->sender);
        if (!instance)
                return;
        if (datagram->is_cut || !notify_message_read(datagram->text, datagram->length, &message))
                complaint_write(notify, datagram->sender, "longer than 4096 bytes, or with a NUL in it");
        else if (!message.is_barrier)
                message_handle(watch_of(notify, instance), &message);
}

/* ---- descriptors that come along ---- */

/* In a child: take the datagram off the queue; its descriptors are closed by the end of this process. */
static size_t receiver_run(const void *request, int fd, void *out, size_t room) {
        static union {
                struct cmsghdr alignment;
                char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int) * DESCRIPTORS_MAX)];
        } control;
        struct msghdr header = {.msg_control = &control, .msg_controllen = sizeof control};

        (void)request;
        (void)room;
        if (recvmsg(fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0)
                return 0;
        memset(out, 1, 1);
        return 1;
}

static void reading_pause(struct notify *notify, int64_t pause_ns) {
        loop_remove(notify->loop, &notify->source);
        if (pause_ns)
                loop_timer_set(notify->loop, &notify->pause, time_add(time_now_ns(), pause_ns));
}

static void reading_resume(struct notify *notify) {
        struct error error;

        if (loop_add(notify->loop, &notify->source, &error) < 0)
                loop_timer_set(notify->loop, &notify->pause, time_add(time_now_ns(), RECEIVE_PAUSE_NS));
}

static void pause_on_due(struct loop_timer *timer) {
        reading_resume(timer->owner);
}

/* Without an answer the datagram may still be in the queue: it is rather handled twice than never. */
static void receiver_on_done(void *owner, const void *answer, size_t bytes) {
        struct notify *notify = owner;

        (void)answer;
        notify->is_handled = false;
        if (bytes)
                reading_resume(notify);
        else
                reading_pause(notify, RECEIVE_PAUSE_NS);
}

/* Let a child remove the first datagram, which has descriptors. Closing the last copy of one may block: a
 * file system of the sender's own, or a connection that lingers. So it is not even received here. No other
 * datagram is read meanwhile: order matters. */
static void receiver_start(struct notify *notify) {
        const struct errand_order order = {
                .work = receiver_run, .fd = notify->source.fd, .on_done = receiver_on_done, .owner = notify};
        struct error error;

        reading_pause(notify, 0);
        if (errands_of(notify->errands, notify) < RECEIVERS_MAX &&
                errand_start(notify->errands, &order, &error) == 0)
                return;
        reading_pause(notify, RECEIVE_PAUSE_NS);
}

/* A barrier (sd_notify_barrier(3)) is answered by the close of its descriptor: all messages before it have
 * been handled by then. */
static void notify_on_readable(struct loop_source *source) {
        struct notify *notify = source->owner;
        static struct datagram datagram;

        for (int turn = 0; turn < MESSAGES_PER_TURN && datagram_peek(source->fd, &datagram); turn++) {
                if (!notify->is_handled)
                        datagram_handle(notify, &datagram);
                notify->is_handled = datagram.has_descriptors;
                if (datagram.has_descriptors) {
                        receiver_start(notify);
                        return;
                }
                (void)recv(source->fd, datagram.text, 0, MSG_DONTWAIT);
        }
}
