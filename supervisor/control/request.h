#pragma once

/* One request on the control socket: a Varlink call (https://varlink.org), strictly read. docs/PROTOCOL.md
 * describes it. */

#include <stdbool.h>
#include <stddef.h>

#define CONTROL_REQUEST_BYTES_MAX 4096 /* with its NUL */
#define CONTROL_NAME_BYTES_MAX    128

enum control_method {
        CONTROL_ROTATE,
        CONTROL_ROLLBACK,
        CONTROL_STATUS,
        CONTROL_GET_INFO,
        CONTROL_GET_INTERFACE,
        CONTROL_NO_METHOD,    /* `name` is a method that is not there */
        CONTROL_NO_INTERFACE, /* `name` is an interface that is not there */
        CONTROL_NO_PARAMETER, /* `name` is a parameter that is unknown, missing or of a wrong type */
};

struct control_request {
        enum control_method method;
        bool is_more;                      /* replies may come in a row, all but the last with "continues" */
        bool is_oneway;                    /* no reply is wanted */
        bool is_forced, is_emergency;      /* of CONTROL_ROTATE */
        bool waits;                        /* of CONTROL_ROTATE, CONTROL_ROLLBACK */
        char name[CONTROL_NAME_BYTES_MAX]; /* harmless ASCII; the interface of CONTROL_GET_INTERFACE */
};

/* Read one message (without its NUL). Returns 0, or -1 when it is no call at all: then the peer does not
 * speak this protocol. For other mistakes `method` is one of CONTROL_NO_*. */
int control_request_parse(const char *text, size_t length, struct control_request *out);
