/* Strings that a configuration owns: see text.h. */

#include "conf/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int text_copy(char **out, const char *text, struct error *error) {
        char *copy = strdup(text);

        if (!copy)
                return error_set(error, ENOMEM, "hold the configuration");
        free(*out);
        *out = copy;
        return 0;
}
