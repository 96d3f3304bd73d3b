/* Bech32: what decodes has one spelling; and any bytes encoded come back. */

#include <ctype.h>
#include <string.h>

#include "secrets/age/bech32.h"
#include "tests/fuzz/fuzz.h"

#define ROOM 4096

static void decode_is_the_only_spelling(const uint8_t *data, size_t size) {
        static uint8_t out[ROOM];
        struct error error = {0};
        size_t prefix_length, length;
        char *prefix, *again;
        bool is_upper = false;

        if (bech32_decode((struct bytes){data, size}, &prefix_length, out, sizeof out, &length, &error) < 0) {
                HOLDS(error.text[0] != '\0');
                return;
        }
        HOLDS(prefix_length > 0 && prefix_length < size && length <= sizeof out);
        prefix = calloc(1, prefix_length + 1);
        for (size_t i = 0; i < size; i++)
                is_upper |= isupper(data[i]) != 0;
        for (size_t i = 0; i < prefix_length; i++)
                prefix[i] = (char)tolower(data[i]);
        HOLDS(bech32_encoded_bytes(prefix, length) == size);
        again = malloc(size);
        bech32_encode(prefix, (struct bytes){out, length}, is_upper, again);
        for (size_t i = 0; i < size; i++)
                HOLDS(again[i] == (is_upper ? toupper(data[i]) : tolower(data[i])));
        free(again);
        free(prefix);
}

static void encoded_comes_back(const uint8_t *data, size_t size) {
        size_t characters = bech32_encoded_bytes("age1x-", size), prefix_length = 0, length = 0;
        char *text = malloc(characters);
        uint8_t *out = malloc(size + 1);

        bech32_encode("age1x-", (struct bytes){data, size}, size % 2, text);
        HOLDS(bech32_decode((struct bytes){(uint8_t *)text, characters}, &prefix_length, out, size, &length,
                      NULL) == 0);
        HOLDS(prefix_length == 6 && length == size && memcmp(out, data, size) == 0);
        free(out);
        free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        decode_is_the_only_spelling(data, size);
        encoded_comes_back(data, size);
        return 0;
}
