/* Files and variables that are keys of this very load. Runs in the loader before it confines itself.
 *
 * An identity often lies beside the secrets that it opens: in $CREDENTIALS_DIRECTORY, in a mount. A source
 * that takes the whole folder would hand the private key to the app, and with it what the app was not meant
 * to have. Such a file is told by device and number, so by whatever name it is met. Two looks are compared:
 * at what was read, and at what the path leads to while the folder is listed, since the folder may have been
 * replaced in between. */

#include "secrets/source/gather.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/bytes.h"

struct file_mark file_mark_of(const struct stat *status) {
        return (struct file_mark){.device = status->st_dev, .number = status->st_ino};
}

static bool mark_is_same(struct file_mark a, struct file_mark b) {
        return a.device == b.device && a.number == b.number;
}

void key_files_look(struct gathered *gathered) {
        for (size_t i = 0; i < gathered->key_count; i++) {
                struct key_material *key = &gathered->keys[i];
                struct stat status;

                key->now = key->path && stat(key->path, &status) == 0 ? file_mark_of(&status) : key->read;
        }
}

int key_file_is_in_use(const struct gathered *gathered, int fd, struct error *error) {
        struct stat status;
        struct file_mark mark;

        if (fstat(fd, &status) < 0)
                return error_set(error, errno, "fstat");
        mark = file_mark_of(&status);
        for (size_t i = 0; i < gathered->key_count; i++)
                if (mark_is_same(mark, gathered->keys[i].read) || mark_is_same(mark, gathered->keys[i].now))
                        return 1;
        return 0;
}

bool key_variable_is_in_use(const struct load_request *request, const char *name, size_t length) {
        const char *key;

        for (size_t i = 0; i < request->key_count; i++)
                if (text_after(request->keys[i].spec, "env:", &key) && strlen(key) == length &&
                        memcmp(key, name, length) == 0)
                        return true;
        return false;
}
