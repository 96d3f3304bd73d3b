/* Armor: what decodes, encoded again, is the same text but for blanks around it and CR at line ends. */

#include <string.h>

#include "secrets/age/armor.h"
#include "tests/fuzz/fuzz.h"

/* The text without what is tolerated. Returns its length. */
static size_t text_strip(const uint8_t *data, size_t size, char *out) {
        size_t length = 0, start = 0;

        while (start < size && strchr(" \t\r\n", data[start]) && data[start])
                start++;
        while (size > start && strchr(" \t\r\n", data[size - 1]) && data[size - 1])
                size--;
        for (size_t i = start; i < size; i++)
                if (data[i] != '\r' || i + 1 == size || data[i + 1] != '\n')
                        out[length++] = (char)data[i];
        return length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        uint8_t *decoded = malloc(armor_decoded_bytes_max(size));
        char *stripped = malloc(size + 1), *encoded;
        struct error error = {0};
        size_t length, stripped_length;

        if (armor_decode((struct bytes){data, size}, decoded, &length, &error) == 0) {
                HOLDS(armor_is_present((struct bytes){data, size}));
                stripped_length = text_strip(data, size, stripped);
                encoded = malloc(armor_encoded_bytes(length));
                armor_encode((struct bytes){decoded, length}, encoded);
                HOLDS(armor_encoded_bytes(length) == stripped_length + 1); /* its last line end */
                HOLDS(memcmp(encoded, stripped, stripped_length) == 0);
                free(encoded);
        } else
                HOLDS(error.text[0] != '\0');
        free(stripped);
        free(decoded);
        return 0;
}
