/* The age header: what parses is walked again, its known stanzas are checked, and written anew it is the same
 * bytes (there is only one spelling of a header, else strangers could change it unseen). */

#include <string.h>

#include "secrets/age/base64.h"
#include "secrets/age/wrap.h"
#include "tests/fuzz/fuzz.h"

static void stanza_write(struct age_writer *writer, const struct age_stanza *stanza) {
        age_write_text(writer, "-> ");
        age_write_bytes(writer, stanza->type);
        for (size_t n = 0; n < stanza->argument_count; n++) {
                age_write_text(writer, " ");
                age_write_bytes(writer, age_stanza_argument(stanza, n));
        }
        age_write_text(writer, "\n");
        for (size_t at = 0; at < stanza->body.length;) {
                const uint8_t *line = stanza->body.at + at;
                const uint8_t *end = memchr(line, '\n', stanza->body.length - at);
                uint8_t decoded[64];
                size_t length = 0;

                HOLDS(end);
                HOLDS(base64_decode(
                        BASE64_UNPADDED, (struct bytes){line, (size_t)(end - line)}, decoded, &length));
                age_write_base64(writer, (struct bytes){decoded, length});
                age_write_text(writer, "\n");
                at += (size_t)(end - line) + 1;
        }
}

static void stanza_use(const struct age_stanza *stanza) {
        const struct age_kind_calls *calls = age_kind_calls_for(stanza);
        struct error error = {0};
        uint8_t wrapped[AGE_WRAPPED_BYTES];

        if (calls && calls->check(stanza, &error) == 0)
                age_stanza_wrapped_key(stanza, wrapped);
        else if (calls)
                HOLDS(error.text[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct age_header header;
        struct age_stanza_walk walk = {0};
        struct age_stanza stanza;
        struct error error = {0};
        struct age_writer writer = {malloc(size + 1), 0, size};
        size_t count = 0;

        if (age_header_parse((struct bytes){data, size}, &header, &error) < 0) {
                HOLDS(error.text[0] != '\0');
                free(writer.at);
                return 0;
        }
        HOLDS(header.text.length <= size && header.signed_length < header.text.length);
        age_write_text(&writer, AGE_VERSION_LINE);
        while (age_stanza_next(&header, &walk, &stanza)) {
                count++;
                stanza_use(&stanza);
                stanza_write(&writer, &stanza);
        }
        HOLDS(count == header.stanza_count && count > 0);
        age_write_text(&writer, "--- ");
        age_write_base64(&writer, (struct bytes){header.mac, sizeof header.mac});
        age_write_text(&writer, "\n");
        HOLDS(writer.length == header.text.length && memcmp(writer.at, data, writer.length) == 0);
        free(writer.at);
        return 0;
}
