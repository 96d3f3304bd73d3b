/* Putting descriptors where the app expects them: see descriptors.h. Runs between fork and exec, so the table
 * of descriptors is this process's own copy.
 *
 * sd_listen_fds(3) wants 3, 4, 5... without a gap, whatever the numbers were in the supervisor. Any of these
 * may be taken: by another of them, by the pipe on which the shim reports, by what the caller of tacet left
 * open. So first everything that must survive and stands on a wanted number is duplicated elsewhere, then
 * each is put in its place with dup2(2). Only what collides is duplicated: the limit of open files may be
 * low. */

#include "shim/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <linux/magic.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/fd.h"

#define CLOEXEC_RANGE 4U /* CLOSE_RANGE_CLOEXEC: close_range(2), Linux 5.11 */

static bool number_is_wanted(const int *numbers, size_t count, int number) {
        for (size_t i = 0; i < count; i++)
                if (numbers[i] == number)
                        return true;
        return false;
}

int descriptors_number(const struct launch_descriptor *wanted, size_t count,
        int out_numbers[static LAUNCH_DESCRIPTORS_MAX], struct error *error) {
        int next = 3;

        if (count > LAUNCH_DESCRIPTORS_MAX)
                return error_set(error, 0, "%zu descriptors for one app: at most %d are possible", count,
                        LAUNCH_DESCRIPTORS_MAX);
        for (size_t i = 0; i < count; i++)
                out_numbers[i] = wanted[i].number ? wanted[i].number : next++;
        for (size_t i = 0; i < count; i++)
                if (number_is_wanted(out_numbers, i, out_numbers[i]))
                        return error_set(
                                error, 0, "two descriptors shall have the number %d", out_numbers[i]);
        return 0;
}

/* As F_DUPFD_CLOEXEC, to the lowest number that is not one of `numbers`. Returns it, or -1 with errno. */
static int fd_duplicate_elsewhere(int fd, const int *numbers, size_t count) {
        int minimum = 3;

        for (size_t tries = 0; tries <= count; tries++) {
                int copy = fcntl(fd, F_DUPFD_CLOEXEC, minimum);

                if (copy < 0 || !number_is_wanted(numbers, count, copy))
                        return copy;
                fd_close(copy);
                minimum = copy + 1;
        }
        errno = EMFILE;
        return -1;
}

static int kept_move(
        int *const kept[], size_t kept_count, const int *numbers, size_t count, struct error *error) {
        for (size_t i = 0; i < kept_count; i++) {
                if (*kept[i] < 0 || !number_is_wanted(numbers, count, *kept[i]))
                        continue;
                *kept[i] = fd_duplicate_elsewhere(*kept[i], numbers, count);
                if (*kept[i] < 0)
                        return error_set(error, errno, "move a descriptor of tacet's own");
        }
        return 0;
}

/* Will something else be put on this descriptor's number? */
static bool fd_is_replaced(const struct launch_descriptor *wanted, const int *numbers, size_t count, int fd) {
        for (size_t i = 0; i < count; i++)
                if (numbers[i] == fd && wanted[i].fd != fd)
                        return true;
        return false;
}

int descriptors_place(const struct launch_descriptor *wanted, size_t count, int *const kept[],
        size_t kept_count, struct error *error) {
        int numbers[LAUNCH_DESCRIPTORS_MAX], sources[LAUNCH_DESCRIPTORS_MAX];

        if (descriptors_number(wanted, count, numbers, error) < 0 ||
                kept_move(kept, kept_count, numbers, count, error) < 0)
                return -1;
        for (size_t i = 0; i < count; i++) {
                sources[i] = wanted[i].fd;
                if (!fd_is_replaced(wanted, numbers, count, sources[i]))
                        continue;
                sources[i] = fd_duplicate_elsewhere(wanted[i].fd, numbers, count);
                if (sources[i] < 0)
                        return error_set(
                                error, errno, "descriptor '%s'", wanted[i].name ? wanted[i].name : "");
        }
        for (size_t i = 0; i < count; i++)
                if (sources[i] != numbers[i] && dup2(sources[i], numbers[i]) < 0)
                        return error_set(error, errno, "descriptor '%s' as number %d",
                                wanted[i].name ? wanted[i].name : "", numbers[i]);
        /* All of ours have the flag already, but what the caller left open has not. Linux before 5.11
         * refuses. */
        (void)syscall(SYS_close_range, 3U, ~0U, CLOEXEC_RANGE);
        for (size_t i = 0; i < count; i++)
                if (fcntl(numbers[i], F_SETFD, 0) < 0)
                        return error_set(error, errno, "descriptor '%s' as number %d",
                                wanted[i].name ? wanted[i].name : "", numbers[i]);
        return 0;
}

void descriptors_give_pipes(uid_t user, gid_t group) {
        struct statfs status;

        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
                if (fstatfs(fd, &status) == 0 && status.f_type == PIPEFS_MAGIC)
                        (void)!fchown(fd, user, group);
}
