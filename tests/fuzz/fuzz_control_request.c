/* Requests of the control socket: any bytes. What is taken has a name that can stand in a reply as it is. */

#include <string.h>

#include "supervisor/control/request.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct control_request request;
        bool has_name;

        if (control_request_parse((const char *)data, size, &request) < 0)
                return 0;
        HOLDS(size < CONTROL_REQUEST_BYTES_MAX);
        HOLDS(request.method <= CONTROL_NO_PARAMETER);
        has_name = request.method >= CONTROL_GET_INTERFACE;
        HOLDS(has_name || !*request.name);
        HOLDS(strnlen(request.name, sizeof request.name) < sizeof request.name);
        for (const char *at = request.name; *at; at++)
                HOLDS(*at >= ' ' && *at < 0x7f && *at != '"' && *at != '\\');
        if (request.is_forced || request.is_emergency || request.waits)
                HOLDS(request.method == CONTROL_ROTATE || request.method == CONTROL_NO_PARAMETER);
        return 0;
}
