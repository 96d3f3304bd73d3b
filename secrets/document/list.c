/* The list of named secrets: see document.h. It lies in the arena like what it points to: growing it copies
 * no secret byte, and a loader needs no heap, whose first use costs more than parsing a small document. */

#include "secrets/document/document.h"

#include <string.h>

#include "secrets/age/age.h"

int secret_list_add(
        struct secret_list *list, struct secret_entry entry, struct arena *arena, struct error *error) {
        if (list->count == SECRETS_MAX)
                return error_set(error, 0, "more than %d variables", SECRETS_MAX);
        if (list->count == list->room) {
                size_t room = list->room ? 2 * list->room : 32;
                struct secret_entry *grown = arena_take(arena, room * sizeof *grown, error);

                if (!grown)
                        return error_wrap(error, "list %zu variables", room);
                if (list->count)
                        memcpy(grown, list->at, list->count * sizeof *grown);
                list->at = grown;
                list->room = room;
        }
        list->at[list->count++] = entry;
        return 0;
}

bool secret_name_is_valid(const char *name, size_t length) {
        if (length == 0 || length > SECRET_NAME_BYTES_MAX || (name[0] >= '0' && name[0] <= '9'))
                return false;
        for (size_t i = 0; i < length; i++) {
                char c = name[i];

                if (!(c == '_' || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')))
                        return false;
        }
        return true;
}

/* What the dynamic linker takes code from. Whoever may write secrets, which takes no more than a public key,
 * must not thereby decide what the app runs. */
static bool name_is_code(struct bytes name) {
        static const char *const names[] = {"LD_PRELOAD", "LD_AUDIT", "LD_LIBRARY_PATH"};

        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
                if (strlen(names[i]) == name.length && memcmp(names[i], name.at, name.length) == 0)
                        return true;
        return false;
}

int secret_entry_check(struct bytes name, struct secret_bytes value, bool may_be_empty, struct error *error) {
        const char *text = (const char *)name.at;
        int length = (int)name.length;

        if (!secret_name_is_valid(text, name.length))
                error_set(error, 0, "not a variable name: letters, digits and '_', at most %d bytes",
                        SECRET_NAME_BYTES_MAX);
        else if (name_is_code(name)) {
                error_set(error, 0, "%.*s: no secret can have this name: it decides what code the app runs",
                        length, text);
                error_hint(error, "set it in the unit, the image or the configuration (environment =)");
        } else if (value.length == 0 && may_be_empty)
                return 0;
        else if (value.length == 0) {
                error_set(error, 0, "%.*s: the value is empty (0 bytes)", length, text);
                error_hint(error,
                        "give it a value or remove it; a tacet document says with %.*s:empty= that it is "
                        "meant",
                        length, text);
        } else if (memchr(value.at, 0, value.length))
                error_set(error, 0,
                        "%.*s: the value (%zu bytes) holds a NUL, which no environment variable can", length,
                        text, value.length);
        else if (value.length > SECRET_STRING_BYTES_MAX - 1 - name.length)
                error_set(error, 0, "%.*s: %zu bytes with the name: one variable can have %zu (execve(2))",
                        length, text, name.length + 1 + value.length, SECRET_STRING_BYTES_MAX);
        else
                return 0;
        return error_status(error, EXIT_STATUS_DATA);
}

int secret_refuse_identity(struct bytes name, struct secret_bytes value, struct error *error) {
        if (!age_text_has_identity(secret_view(value)))
                return 0;
        error_set(error, 0, "%.*s: the value is an age identity, a private key, which the app must not get",
                (int)name.length, (const char *)name.at);
        error_hint(error,
                "keep it out of the source and give it to tacet as the identity (-i); for an app that "
                "decrypts by itself set 'age_identities = yes' in the [source NAME]");
        return error_status(error, EXIT_STATUS_DATA);
}
