#pragma once

/* age_open() with the kind of fault told apart: what the public test vectors name in `expect:`. Inside
 * secrets/age and its tests only; everybody else reads the error. */

#include "secrets/age/age.h"
#include "secrets/age/format.h"

/* The checked header of a file, armored or not, and what can be told of it without a key. *header views into
 * *buffer or the file; free(3) *buffer in every case. Returns 0 or -1 with error. */
int age_header_read(struct bytes file, const struct age_limits *limits, uint8_t **buffer,
        struct age_header *header, struct age_description *out, struct error *error);

enum age_fault {
        AGE_FAULT_NONE,
        AGE_FAULT_OTHER, /* a limit, no memory, no keys */
        AGE_FAULT_ARMOR,
        AGE_FAULT_HEADER,
        AGE_FAULT_NO_MATCH,
        AGE_FAULT_MAC,
        AGE_FAULT_PAYLOAD,
};

/* As age_open(), with the fault; the name of the input is not used. */
int age_open_telling(const struct age_input *input, const struct age_keys *keys, struct secret_bytes *out,
        enum age_fault *out_fault, struct error *error);
