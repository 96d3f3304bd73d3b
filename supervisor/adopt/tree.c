/* The processes of one instance whose calls are reported, and what is known of their sockets: see adopt.h.
 * What adopt.c, bind.c and unlink.c share. Runs in the supervisor, for processes that it need not trust. */

#include "supervisor/adopt/adopt.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "supervisor/adopt/call.h"
#include "supervisor/adopt/caller.h"

void adopt_tree_close(struct adopt_tree *tree) {
        errands_call_off(tree->adopt->rooms.errands, tree);
        loop_timer_clear(tree->adopt->rooms.loop, &tree->again);
        loop_remove(tree->adopt->rooms.loop, &tree->source);
        fd_cleanup(&tree->source.fd);
        tree->is_used = false;
}

/* Not in struct adopt: where nothing is adopted its pages are never touched. */
static struct adopt_tree all_trees[ADOPT_TREES_MAX];

void adopt_trees_open(struct adopt *adopt) {
        adopt->trees = all_trees;
}

/* There is room for all instances. When all places are taken, the tree goes whose instance ended longest ago:
 * its processes get ENOSYS from then on. */
struct adopt_tree *adopt_tree_take(struct adopt *adopt) {
        struct adopt_tree *oldest = NULL;

        for (size_t i = 0; i < adopt->tree_places; i++) {
                struct adopt_tree *tree = &adopt->trees[i];

                if (!tree->is_used)
                        return tree;
                if (!instance_by_number(adopt->rooms.instances, tree->instance) &&
                        (!oldest || tree->instance < oldest->instance))
                        oldest = tree;
        }
        if (adopt->tree_places < ADOPT_TREES_MAX)
                return &adopt->trees[adopt->tree_places++];
        if (oldest)
                adopt_tree_close(oldest);
        return oldest;
}

struct adopt_socket *adopt_socket_by_inode(struct adopt_tree *tree, uint64_t inode) {
        for (size_t i = 0; i < tree->socket_count; i++)
                if (inode && tree->sockets[i].inode == inode)
                        return &tree->sockets[i];
        return NULL;
}

void adopt_complain(struct adopt_tree *tree, pid_t thread, int code, const char *what) {
        if (tree->has_complained)
                return;
        tree->has_complained = true;
        listeners_kept_yield(tree->adopt->rooms.listeners, NULL);
        log_write(LOG_WARNING,
                "cannot %s of process %d: %s; what it binds stays its own and is not handed over (it takes "
                "the app's user or CAP_SYS_PTRACE, /proc, and free descriptors)",
                what, (int)thread, strerror(code));
}

bool adopt_path_address(const struct adopt_request *call, const char *path, struct socket_address *out) {
        struct sockaddr_un local = {.sun_family = AF_UNIX};
        char absolute[CALLER_PATH_BYTES];
        size_t length;

        if (!caller_path(call->thread, path, absolute) || !adopt_is_waiting(call))
                return false;
        length = strlen(absolute);
        if (length >= sizeof local.sun_path)
                return false;
        memcpy(local.sun_path, absolute, length + 1);
        return socket_address_set(out, SOCK_STREAM, (struct sockaddr *)&local,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1));
}
