/* Descendants by /proc: see descendants.h. Called in the supervisor by tree.c, notify/ and end.c.
 *
 * One pass reads pid, parent and start time of all processes; a second follows each one's chain of parents.
 * The pid of our child stays its own until we reap it, but that of a grandchild may be used again: so its
 * start time is read again, while a pidfd is open, before it is signalled (pidfd_open(2), proc(5)). */

#include "supervisor/process/descendants.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lib/bytes.h"
#include "lib/duration.h"
#include "lib/fd.h"

#define PROCESSES_MAX ((size_t)1 << 20)
#define CHAIN_MAX     4096

struct process {
        pid_t pid, parent, group, session;
        uint64_t started;
        bool is_zombie;
};

struct process_table {
        bool is_partial; /* something could not be read for want of descriptors or memory */
        struct process *at;
        size_t count, room;
};

/* Field `number` of /proc/PID/stat as proc(5) counts them, from 4 on; `rest` begins behind the parenthesis
 * that ends the name. */
static bool field_read(const char *rest, unsigned number, uint64_t *out) {
        for (unsigned field = 3; field < number && *rest; field++) {
                rest += strspn(rest, " ");
                rest += strcspn(rest, " ");
        }
        rest += strspn(rest, " ");
        return bytes_to_u64(rest, strcspn(rest, " \n"), out);
}

static bool process_read(pid_t pid, struct process *out) {
        char path[64], text[1024];
        const char *name_end;
        uint64_t parent, group, session, started;
        ssize_t length;
        CLEANUP_FD int fd = -1;

        snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        length = fd < 0 ? -1 : fd_read_full(fd, text, sizeof text - 1);
        if (length <= 0)
                return false;
        text[length] = '\0';
        name_end = strrchr(text, ')'); /* the name is in parentheses and may hold anything */
        if (!name_end || !field_read(name_end + 1, 4, &parent) || !field_read(name_end + 1, 5, &group) ||
                !field_read(name_end + 1, 6, &session) || !field_read(name_end + 1, 22, &started))
                return false;
        *out = (struct process){.pid = pid,
                .parent = (pid_t)parent,
                .group = (pid_t)group,
                .session = (pid_t)session,
                .started = started,
                .is_zombie = name_end[1] == ' ' && name_end[2] == 'Z'};
        return true;
}

bool descendant_look(pid_t pid, struct descendant *out) {
        struct process process;
        char self[16] = {0};
        uint64_t number;

        /* A /proc of another pid namespace has other numbers. */
        if (readlink("/proc/self", self, sizeof self - 1) < 0 || !text_to_u64(self, &number) ||
                number != (uint64_t)getpid())
                return false;
        if (pid <= 0 || !process_read(pid, &process))
                return false;
        *out = (struct descendant){
                .parent = process.parent, .group = process.group, .session = process.session};
        return true;
}

static bool table_add(struct process_table *table, struct process process) {
        if (table->count == table->room) {
                size_t room = table->room ? table->room * 2 : 256;
                struct process *at = room > PROCESSES_MAX ? NULL : reallocarray(table->at, room, sizeof *at);

                if (!at)
                        return false;
                table->at = at;
                table->room = room;
        }
        table->at[table->count++] = process;
        return true;
}

static int process_compare(const void *a, const void *b) {
        pid_t first = ((const struct process *)a)->pid, second = ((const struct process *)b)->pid;

        return (first > second) - (first < second);
}

static void table_note_lack(struct process_table *table) {
        table->is_partial |= errno == EMFILE || errno == ENFILE || errno == ENOMEM;
}

static bool table_read(struct process_table *table) {
        DIR *directory = opendir("/proc");
        const struct dirent *entry;
        bool found_self = false;

        if (!directory)
                table_note_lack(table);
        while (directory && (errno = 0, entry = readdir(directory))) {
                struct process process;
                uint64_t pid;

                if (!text_to_u64(entry->d_name, &pid) || pid > INT32_MAX)
                        continue;
                if (!process_read((pid_t)pid, &process)) {
                        table_note_lack(table);
                        continue;
                }
                if (!table_add(table, process))
                        break;
                found_self |= process.pid == getpid();
        }
        if (directory) {
                table_note_lack(table);
                closedir(directory);
        }
        /* Without our own pid this is the /proc of another pid namespace, whose pids mean others. */
        if (!found_self || !table->at)
                return false;
        qsort(table->at, table->count, sizeof *table->at, process_compare);
        return true;
}

static bool process_is_descendant(const struct process_table *table, const struct process *process) {
        pid_t self = getpid();

        for (int step = 0; process && step < CHAIN_MAX; step++) {
                struct process key = {.pid = process->parent};

                if (process->parent == self)
                        return true;
                process = bsearch(&key, table->at, table->count, sizeof key, process_compare);
        }
        return false;
}

static void process_signal(const struct process *process, int number) {
        CLEANUP_FD int fd = (int)syscall(SYS_pidfd_open, process->pid, 0);
        struct process again;

        if (fd >= 0 && process_read(process->pid, &again) && again.started == process->started)
                (void)syscall(SYS_pidfd_send_signal, fd, number, NULL, 0);
}

bool descendants_signal(int number) {
        struct process_table table = {0};
        bool is_known = table_read(&table);

        for (size_t i = 0; is_known && i < table.count; i++)
                if (table.at[i].pid != getpid() && process_is_descendant(&table, &table.at[i]))
                        process_signal(&table.at[i], number);
        free(table.at);
        return is_known;
}

static bool is_claimed(const struct descendant_tree *tree, const struct process *orphan) {
        const struct descendant_orphan known = {.pid = orphan->pid,
                .group = orphan->group,
                .session = orphan->session,
                .started_ticks = orphan->started};

        return tree->claim && tree->claim(tree->owner, &known);
}

static bool is_in_tree(const struct process_table *table, const struct process *process,
        const struct descendant_tree *tree) {
        bool is_marked = false;
        pid_t self = getpid();

        for (int step = 0; process && step < CHAIN_MAX; step++) {
                struct process key = {.pid = process->parent};

                is_marked |= (tree->is_alive && process->pid == tree->root) || process->group == tree->root ||
                             process->session == tree->root;
                if (process->parent == self)
                        return is_marked || is_claimed(tree, process);
                process = bsearch(&key, table->at, table->count, sizeof key, process_compare);
        }
        return false;
}

uint64_t descendants_now_ticks(void) {
        const uint64_t per_second = (uint64_t)sysconf(_SC_CLK_TCK);
        struct timespec now = {0};

        clock_gettime(CLOCK_BOOTTIME, &now);
        return (uint64_t)now.tv_sec * per_second + (uint64_t)now.tv_nsec * per_second / NS_PER_S;
}

long descendants_signal_tree(const struct descendant_tree *tree, int number) {
        struct process_table table = {0};
        bool is_known = table_read(&table);
        long count = 0;

        for (size_t i = 0; is_known && i < table.count; i++) {
                if (table.at[i].is_zombie || !is_in_tree(&table, &table.at[i], tree))
                        continue;
                count++;
                if (number)
                        process_signal(&table.at[i], number);
        }
        free(table.at);
        if (table.is_partial && count == 0)
                return 1;
        return is_known ? count : -1;
}
