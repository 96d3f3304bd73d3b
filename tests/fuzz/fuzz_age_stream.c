/* The payload: any bytes under a fixed key are refused without harm; what is sealed comes back; one changed
 * byte or a cut does not. */

#include <string.h>

#include "secrets/age/stream.h"
#include "tests/fuzz/fuzz.h"

static const uint8_t key[STREAM_KEY_BYTES] = "a fixed key of thirty-two bytes";

static int payload_open(const uint8_t *data, size_t size, uint8_t **out, size_t *length) {
        struct error error = {0};
        int status;

        *out = NULL;
        if (stream_plaintext_bytes(size, length, &error) < 0)
                return -1;
        *out = malloc(*length + 1);
        status = stream_open((struct bytes){data, size}, key, *out, &error);
        HOLDS(status == 0 || error.text[0] != '\0');
        return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        size_t room = 0, length = 0;
        uint8_t *sealed, *out;

        HOLDS(payload_open(data, size, &out, &length) < 0 || length < size);
        free(out);

        HOLDS(stream_payload_bytes(size, &room, NULL) == 0);
        sealed = malloc(room);
        stream_seal((struct bytes){data, size}, key, sealed);
        HOLDS(payload_open(sealed, room, &out, &length) == 0);
        HOLDS(length == size && memcmp(out, data, size) == 0);
        free(out);
        if (size >= 4) {
                size_t at = (data[0] | (size_t)data[1] << 8) % room;

                sealed[at] ^= (uint8_t)(data[2] | 1);
                HOLDS(payload_open(sealed, room, &out, &length) < 0);
                free(out);
                sealed[at] ^= (uint8_t)(data[2] | 1);
                HOLDS(payload_open(sealed, at, &out, &length) < 0);
                free(out);
        }
        free(sealed);
        return 0;
}
