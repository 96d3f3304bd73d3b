/* What was relocated becomes read-only: build/tacet-static only.
 *
 * A static program that is position independent relocates itself, and musl's code for that (rcrt1.o,
 * dlstart.c) ends there: the mprotect(2) that `-z relro` asks for is its dynamic linker's, which this program
 * does not have. Without it the tables of verbs, of steps and of schemes, and the global offset table, could
 * be written to as long as the process lives. So it is done here, as the first constructor: nothing of tacet
 * has run yet, and every process that is forked inherits it. As in both C libraries a refusal ends the
 * program: it means that there is no memory for one more mapping. */

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/error.h"

extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden"))); /* ld(1): where the file begins */

static _Noreturn void refuse(int code) {
        char text[160];
        int length = snprintf(text, sizeof text,
                "tacet: cannot make what was relocated read-only (mprotect): %s\n", strerror(code));

        (void)!write(STDERR_FILENO, text, (size_t)length);
        _exit(EXIT_STATUS_SUPERVISOR);
}

__attribute__((constructor(101))) static void relro_apply(void) {
        const uintptr_t file =
                (uintptr_t)&__ehdr_start; /* linked at 0, so that this is also what was added */
        const ElfW(Phdr) *header = (const ElfW(Phdr) *)(file + __ehdr_start.e_phoff);
        const uintptr_t page = getauxval(AT_PAGESZ);

        for (size_t i = 0; i < __ehdr_start.e_phnum; i++, header++) {
                uintptr_t start, end;

                if (header->p_type != PT_GNU_RELRO)
                        continue;
                start = (file + header->p_vaddr) & ~(page - 1);
                end = (file + header->p_vaddr + header->p_memsz) & ~(page - 1);
                if (end > start &&
                        mprotect((void *)start, end - start, PROT_READ) < 0) // NOLINT: an address of ld's
                        refuse(errno);
        }
}
