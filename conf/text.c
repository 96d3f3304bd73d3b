/* Strings that a configuration owns: see text.h. */

#include "conf/text.h"

#include <errno.h>

#include "conf/memory.h"

int text_copy(char **out, const char *text, struct error *error) {
        char *copy = config_memory_text(text);

        if (!copy)
                return error_set(error, ENOMEM, "hold the configuration");
        config_memory_free(*out);
        *out = copy;
        return 0;
}
