/* The program's entry: finds the verb and calls it. */

#include <stdio.h>
#include <string.h>

#include "cli/terminal.h"
#include "cli/verbs.h"
#include "lib/error.h"

static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
} verbs[] = {
        {"keygen", verb_keygen},
        {"encrypt", verb_encrypt},
        {"decrypt", verb_decrypt},
        {"set", verb_set},
        {"unset", verb_unset},
        {"list", verb_list},
        {"edit", verb_edit},
        {"rekey", verb_rekey},
};

int main(int argc, char **argv) {
        struct error error;

        for (size_t i = 0; argc > 1 && i < sizeof verbs / sizeof verbs[0]; i++)
                if (strcmp(argv[1], verbs[i].name) == 0)
                        return verbs[i].run(argc - 1, argv + 1);
        error_set(&error, 0, argc > 1 ? "unknown verb" : "no verb is given");
        error_status(&error, EXIT_STATUS_USAGE);
        return cli_error_exit(&error);
}
