/* Sealed memory: see seal.h and bundle.h. The loader makes seals, the shim (or the next loader) opens them;
 * the supervisor only looks at their kind and size.
 *
 * memfd_secret(2) memory is out of the kernel's own map: no read(2), ptrace or /proc/PID/mem reaches it. It
 * counts against RLIMIT_MEMLOCK and may be switched off, so the same strings can lie in an ordinary memfd,
 * encrypted with a key that is used for nothing else (hence the constant nonce), and sealed against any
 * change. */

#include "secrets/seal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/fd.h"
#include "secrets/trial.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* linux/memfd.h, since 6.3 */
#endif

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static_assert(SEAL_KEY_BYTES == crypto_secretbox_KEYBYTES, "the key of a seal is a secretbox key");
static_assert(SEAL_EXTRA_BYTES == crypto_secretbox_MACBYTES, "a seal is longer by the authenticator");

static const uint8_t seal_nonce[crypto_secretbox_NONCEBYTES];

static int secret_make(struct bytes strings, struct error *error) {
        CLEANUP_FD int fd = (int)syscall(SYS_memfd_secret, O_CLOEXEC);
        void *at;

        if (fd < 0)
                return error_set(error, errno, "memfd_secret");
        if (ftruncate(fd, (off_t)strings.length) < 0)
                return error_set(error, errno, "make %zu bytes of secret memory", strings.length);
        at = mmap(NULL, strings.length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (at == MAP_FAILED)
                return error_set(
                        error, errno, "map %zu bytes of secret memory (RLIMIT_MEMLOCK)", strings.length);
        memcpy(at, strings.at, strings.length);
        munmap(at, strings.length);
        return fd_take(&fd);
}

static int memfd_make(const char *name) {
        int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

        return fd >= 0 || errno != EINVAL ? fd : memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

int seal_plain(const char *name, struct bytes bytes, struct error *error) {
        CLEANUP_FD int fd = memfd_make(name);

        if (fd < 0)
                return error_set(error, errno, "memfd_create");
        if (fd_write_full(fd, bytes.at, bytes.length) < 0)
                return error_set(error, errno, "write %zu bytes to a memory file", bytes.length);
        if (fcntl(fd, F_ADD_SEALS, SEALS) < 0)
                return error_set(error, errno, "seal a memory file");
        return fd_take(&fd);
}

static int encrypted_make(struct bytes strings, const uint8_t *key, struct error *error) {
        size_t length = strings.length + SEAL_EXTRA_BYTES;
        uint8_t *box = malloc(length);
        int fd;

        if (!box)
                return error_set(error, ENOMEM, "encrypt %zu bytes", strings.length);
        crypto_secretbox_easy(box, strings.at, strings.length, seal_nonce, key);
        fd = seal_plain("tacet-generation", (struct bytes){box, length}, error);
        free(box);
        return fd;
}

int seal_make(struct bytes strings, const uint8_t *key, enum seal_memory memory, struct seal *out,
        struct error *error) {
        *out = (struct seal){.fd = memory == SEAL_SECRET_FORBIDDEN ? -1 : secret_make(strings, error)};
        if (out->fd >= 0)
                return 0;
        if (memory == SEAL_SECRET_REQUIRED) {
                error_hint(error, "raise LimitMEMLOCK= (ulimit -l), boot with secretmem.enable=1, allow "
                                  "memfd_secret in SystemCallFilter=, or do not require secret memory");
                return -1;
        }
        if (key)
                memcpy(out->key, key, sizeof out->key);
        else
                randombytes_buf(out->key, sizeof out->key);
        out->is_encrypted = true;
        out->fd = encrypted_make(strings, out->key, error);
        return out->fd < 0 ? -1 : 0;
}

static int encrypted_map(int fd, const uint8_t *key, uint64_t length, char **out, struct error *error) {
        size_t box_length = (size_t)length + SEAL_EXTRA_BYTES;
        uint8_t *box = malloc(box_length);
        void *at;

        if (!box)
                return error_set(error, ENOMEM, "open %llu bytes of secrets", (unsigned long long)length);
        at = mmap(NULL, (size_t)length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED) {
                free(box);
                return error_set(error, errno, "open %llu bytes of secrets", (unsigned long long)length);
        }
        (void)madvise(at, (size_t)length, MADV_DONTDUMP);
        (void)mlock(at, (size_t)length);
        if (fd_pread_full(fd, box, box_length, 0) != (ssize_t)box_length ||
                crypto_secretbox_open_easy(at, box, box_length, seal_nonce, key) != 0) {
                munmap(at, (size_t)length);
                free(box);
                return error_set(error, 0, "the sealed generation does not open with its key");
        }
        free(box);
        *out = at;
        return 0;
}

int seal_map(
        int fd, bool is_encrypted, const uint8_t *key, uint64_t length, char **out, struct error *error) {
        void *at;

        if (is_encrypted)
                return encrypted_map(fd, key, length, out, error);
        at = mmap(NULL, (size_t)length, PROT_READ, MAP_SHARED, fd, 0);
        if (at == MAP_FAILED)
                return error_set(error, errno, "map %llu bytes of secret memory (RLIMIT_MEMLOCK)",
                        (unsigned long long)length);
        *out = at;
        return 0;
}

int seal_inspect(int fd, bool *out_is_encrypted, uint64_t *out_length, struct error *error) {
        struct statfs system;
        struct stat status;
        int seals;

        if (fstat(fd, &status) < 0 || fstatfs(fd, &system) < 0)
                return error_set(error, errno, "inspect a sealed generation");
        if ((unsigned long)system.f_type == SECRETMEM_MAGIC && status.st_size > 0) {
                *out_is_encrypted = false;
                *out_length = (uint64_t)status.st_size;
                return 0;
        }
        seals = fcntl(fd, F_GET_SEALS);
        if (seals < 0 || (seals & SEALS) != SEALS || status.st_size <= SEAL_EXTRA_BYTES)
                return error_set(error, 0, "not a sealed generation");
        *out_is_encrypted = true;
        *out_length = (uint64_t)status.st_size - SEAL_EXTRA_BYTES;
        return 0;
}
