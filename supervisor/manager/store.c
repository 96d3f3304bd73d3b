/* What a service manager keeps for the next supervisor (FDSTORE): see manager.h.
 *
 * It keeps, of every listener, the socket that new connections go to. When tacet is killed its app dies with
 * it, but clients in the accept queue go on waiting in the manager's copy, which the next tacet gets: a
 * declared socket under its name, one that an app had bound under its address, for an app that binds it again
 * (sockets/kept.c). Sockets of a .socket unit are not stored. Called by manager.c; sends what has changed
 * since it was sent last, so a full queue only delays it. */

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/bytes.h"
#include "supervisor/sockets/listeners.h"
#include "supervisor/manager/manager.h"

static_assert(MANAGER_KEPT_MAX >= LISTENERS_MAX, "one place for every listener");

#define NAME_BYTES    256 /* sd_notify(3): at most 255 characters */
#define MESSAGE_BYTES (NAME_BYTES + 64)

static bool character_is_storable(char character) {
        return character > ' ' && character <= '~' && character != ':';
}

static bool name_of_declared(const char *name, char out[static NAME_BYTES]) {
        for (const char *at = name; *at; at++)
                if (!character_is_storable(*at))
                        return false;
        return snprintf(out, NAME_BYTES, LISTENER_KEPT_PREFIX "%s", name) < NAME_BYTES;
}

/* Another name for each address: a character that a name may not have is written as %XX. */
static bool name_of_adopted(const char *address, char out[static NAME_BYTES]) {
        size_t length = (size_t)snprintf(out, NAME_BYTES, LISTENER_ADOPTED_PREFIX);

        for (const char *at = address; *at; at++) {
                bool is_plain = character_is_storable(*at) && *at != '%';

                if (length + 3 >= NAME_BYTES)
                        return false;
                length += (size_t)snprintf(
                        out + length, NAME_BYTES - length, is_plain ? "%c" : "%%%02X", (unsigned char)*at);
        }
        return true;
}

/* The listener's name in the store. Returns false when it cannot be stored. */
static bool store_name(const struct listener_view *view, char out[static NAME_BYTES]) {
        return view->is_declared ? name_of_declared(view->name, out) : name_of_adopted(view->address, out);
}

/* The settings of a listener that was declared. */
static const struct listener_settings *declared_find(
        const struct socket_settings *sockets, const char *name) {
        for (size_t i = 0; i < sockets->declared_count; i++)
                if (strcmp(sockets->declared[i].name, name) == 0)
                        return &sockets->declared[i];
        return NULL;
}

/* Identifies a socket, even when its descriptor number was used by others before; 0: unknown. */
static uint64_t socket_cookie(int fd) {
        uint64_t cookie = 0;
        socklen_t size = sizeof cookie;

        return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

/* The member that gets new connections: the only one, the one with most of them, or the one that waits for
 * the first generation. Of several with as much the one that is kept already. */
static size_t member_choose(const struct listener_view *view, const struct manager_kept *kept) {
        size_t best = 0;

        for (size_t i = 1; i < view->member_count; i++)
                if (view->members[i].weight > view->members[best].weight)
                        best = i;
        for (size_t i = 0; kept->is_stored && i < view->member_count; i++)
                if (view->members[i].weight == view->members[best].weight &&
                        socket_cookie(view->members[i].fd) == kept->cookie)
                        return i;
        return best;
}

static int store_send(struct manager *manager, const char *what, const char *name, const char *how, int fd,
        struct error *error) {
        char text[MESSAGE_BYTES];
        int length = snprintf(text, sizeof text, "%s=1\nFDNAME=%s%s", what, name, how);

        return notify_send(manager->fd, &manager->address, text, (size_t)length, fd, error);
}

/* Did the listener's socket come from a .socket unit? That passes it again. Sockets of later generations
 * beside it are not stored either: the next tacet would get two sockets for one listener, and lose the
 * clients of the one that it does not take. Without ours, the kernel gives connections to the unit's
 * meanwhile. */
static bool listener_is_managers(
        const struct manager *manager, const struct listener_view *view, const struct manager_kept *kept) {
        const struct listener_settings *declared =
                view->is_declared ? declared_find(manager->service.sockets, view->name) : NULL;

        return declared && declared->inherited_fd >= 0 && !kept->came_back;
}

/* Note that a kept socket that an app has taken is still in the store. */
static void kept_note_return(const struct listener_view *view, struct manager_kept *kept) {
        if (!view->kept_cookie || kept->came_back)
                return;
        *kept = (struct manager_kept){.is_stored = true, .came_back = true, .cookie = view->kept_cookie};
}

/* Remove the old socket before the new one is stored: sd_notify(3) has no replacing, and two of one name
 * could not be told apart. */
static int listener_store(struct manager *manager, const struct listener_view *view,
        struct manager_kept *kept, struct error *error) {
        char name[NAME_BYTES];
        size_t at;
        int result;

        kept_note_return(view, kept);
        at = member_choose(view, kept);
        if (view->member_count == 0 || !store_name(view, name) || listener_is_managers(manager, view, kept) ||
                kept->cookie == socket_cookie(view->members[at].fd))
                return 0;
        if (kept->is_stored) {
                result = store_send(manager, "FDSTOREREMOVE", name, "", -1, error);
                if (result != 0)
                        return result;
                kept->is_stored = false;
        }
        result = store_send(manager, "FDSTORE", name, "\nFDPOLL=0", view->members[at].fd, error);
        if (result != 0)
                return result;
        kept->is_stored = true;
        kept->cookie = socket_cookie(view->members[at].fd);
        return 0;
}

/* Does this list of names, as LISTEN_FDNAMES has it, contain that one? */
static bool names_have(const char *names, const char *name) {
        size_t length = strlen(name);

        while (names) {
                if (strncmp(names, name, length) == 0 && (names[length] == ':' || names[length] == '\0'))
                        return true;
                names = strchr(names, ':');
                names += names ? 1 : 0;
        }
        return false;
}

/* A kept socket that a listener has taken is still in the store. */
void manager_store_open(struct manager *manager) {
        struct manager_store *store = &manager->store;
        struct listener_view view;
        char name[NAME_BYTES];

        for (size_t i = 0; i < LISTENERS_MAX && listeners_look(manager->rooms.listeners, i, &view); i++) {
                const struct listener_settings *declared = declared_find(manager->service.sockets, view.name);

                if (!declared || declared->inherited_fd < 0 || !store_name(&view, name))
                        continue;
                if (!names_have(manager->settings->names, name) ||
                        names_have(manager->settings->names, view.name))
                        continue;
                store->kept[i] = (struct manager_kept){
                        .is_stored = true, .came_back = true, .cookie = socket_cookie(view.members[0].fd)};
        }
}

static bool name_is_taken(const struct manager *manager, const char *name) {
        struct listener_view view;

        for (size_t i = 0; i < LISTENERS_MAX && listeners_look(manager->rooms.listeners, i, &view); i++)
                if (strcmp(view.name, name) == 0)
                        return manager->store.kept[i].is_stored;
        return false;
}

/* Once: remove descriptors from the store that no listener has taken; our copies were closed at the start. */
static int stale_remove(struct manager *manager, struct error *error) {
        const char *at = manager->settings->names, *name;
        char copy[NAME_BYTES];

        for (; at; at = strchr(at, ':'), at += at ? 1 : 0) {
                int result = 0;

                snprintf(copy, sizeof copy, "%.*s", (int)strcspn(at, ":"), at);
                if (text_after(copy, LISTENER_KEPT_PREFIX, &name) && !name_is_taken(manager, name))
                        result = store_send(manager, "FDSTOREREMOVE", copy, "", -1, error);
                if (result != 0)
                        return result;
        }
        manager->store.is_clean = true;
        return 0;
}

/* Remove kept sockets that no app has bound. Before anything is stored: a new one may have the same name. */
static int unwanted_remove(struct manager *manager, struct error *error) {
        const char *name;

        while ((name = listeners_unwanted(manager->rooms.listeners))) {
                int result = store_send(manager, "FDSTOREREMOVE", name, "", -1, error);

                if (result != 0)
                        return result;
                listeners_unwanted_done(manager->rooms.listeners, name);
        }
        return 0;
}

int manager_store_say(struct manager *manager, struct error *error) {
        struct listener_view view;
        int result = manager->store.is_clean ? 0 : stale_remove(manager, error);

        if (result == 0)
                result = unwanted_remove(manager, error);
        for (size_t i = 0;
                result == 0 && i < LISTENERS_MAX && listeners_look(manager->rooms.listeners, i, &view); i++)
                result = listener_store(manager, &view, &manager->store.kept[i], error);
        return result;
}

bool manager_store_has_changed(struct manager *manager) {
        struct manager_store *store = &manager->store;
        const struct fleet *fleet = manager->rooms.fleet;
        bool has_changed = !store->was_looked_at || store->share_count != fleet->share_count ||
                           store->listener_count != listeners_count(manager->rooms.listeners);

        has_changed |= listeners_unwanted(manager->rooms.listeners) != NULL;
        for (size_t i = 0; i < fleet->share_count; i++) {
                has_changed |= store->shares[i].generation != fleet->shares[i].generation ||
                               store->shares[i].slot != fleet->shares[i].slot ||
                               store->shares[i].weight != fleet->shares[i].weight;
                store->shares[i] = fleet->shares[i];
        }
        store->share_count = fleet->share_count;
        store->listener_count = listeners_count(manager->rooms.listeners);
        store->was_looked_at = true;
        return has_changed && manager->settings->stores;
}

void manager_files_leave(struct manager *manager) {
        for (size_t i = 0; manager->fd >= 0 && i < listeners_count(manager->rooms.listeners); i++)
                if (manager->store.kept[i].is_stored)
                        listeners_leave_file(manager->rooms.listeners, i);
}
