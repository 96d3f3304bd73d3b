/* Reading a request: see request.h.
 *
 * One of the two places where the resident process parses text from outside (the other is notify/message.c).
 * Only root and the user that tacet runs as can reach it (SO_PEERCRED, checked before the first byte is
 * read), and they control the process anyway. It takes at most 4 KiB, and jansson's strict mode refuses what
 * is not one JSON object. A fuzz target covers it. A child process for each request, as for secrets, would be
 * more code than it protects. */

#include "supervisor/control/request.h"

#include <jansson.h>
#include <string.h>

static void json_cleanup(json_t **json) {
        json_decref(*json);
}
#define CLEANUP_JSON __attribute__((cleanup(json_cleanup)))

static const struct {
        const char *name;
        enum control_method method;
} methods[] = {
        {"io.tacet.Rotate", CONTROL_ROTATE},
        {"io.tacet.Rollback", CONTROL_ROLLBACK},
        {"io.tacet.Status", CONTROL_STATUS},
        {"org.varlink.service.GetInfo", CONTROL_GET_INFO},
        {"org.varlink.service.GetInterfaceDescription", CONTROL_GET_INTERFACE},
};

/* Copy only the characters that a name may have, so that it is harmless in a reply and in the log. */
static void name_copy(char out[static CONTROL_NAME_BYTES_MAX], const char *name) {
        size_t used = 0;

        for (; *name && used < CONTROL_NAME_BYTES_MAX - 1; name++)
                out[used++] = *name >= ' ' && *name < 0x7f && *name != '"' && *name != '\\' ? *name : '?';
        out[used] = '\0';
}

static void request_refuse(struct control_request *out, enum control_method how, const char *name) {
        out->method = how;
        name_copy(out->name, name);
}

/* A member that must be a boolean, when it is there. Null counts as absent, as Varlink has it. */
static int flag_read(const json_t *value, bool *out) {
        if (json_is_null(value))
                return 0;
        if (!json_is_boolean(value))
                return -1;
        *out = json_is_true(value);
        return 0;
}

static bool parameter_read(struct control_request *out, const char *name, const json_t *value) {
        if (out->method == CONTROL_ROTATE && strcmp(name, "force") == 0)
                return flag_read(value, &out->is_forced) == 0;
        if (out->method == CONTROL_ROTATE && strcmp(name, "emergency") == 0)
                return flag_read(value, &out->is_emergency) == 0;
        if ((out->method == CONTROL_ROTATE || out->method == CONTROL_ROLLBACK) && strcmp(name, "wait") == 0)
                return flag_read(value, &out->waits) == 0;
        if (out->method == CONTROL_GET_INTERFACE && strcmp(name, "interface") == 0 && json_is_string(value)) {
                name_copy(out->name, json_string_value(value));
                return true;
        }
        return false;
}

static void parameters_read(struct control_request *out, json_t *parameters) {
        const char *name;
        json_t *value;

        json_object_foreach(parameters, name, value) {
                if (parameter_read(out, name, value))
                        continue;
                request_refuse(out, CONTROL_NO_PARAMETER, name);
                return;
        }
        if (out->method == CONTROL_GET_INTERFACE && !*out->name)
                request_refuse(out, CONTROL_NO_PARAMETER, "interface");
}

/* Say what is wrong with INTERFACE.Method: the method of an interface of ours, or the interface. */
static void method_refuse(struct control_request *out, const char *name) {
        const char *dot = strrchr(name, '.');

        for (size_t i = 0; dot && i < sizeof methods / sizeof *methods; i++)
                if (strncmp(methods[i].name, name, (size_t)(dot - name) + 1) == 0) {
                        request_refuse(out, CONTROL_NO_METHOD, name);
                        return;
                }
        request_refuse(out, CONTROL_NO_INTERFACE, name);
        dot = strrchr(out->name, '.');
        if (dot)
                out->name[dot - out->name] = '\0';
}

static void method_read(struct control_request *out, const char *name) {
        for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
                if (strcmp(methods[i].name, name) == 0) {
                        out->method = methods[i].method;
                        return;
                }
        method_refuse(out, name);
}

/* Read the members of a call. Returns -1 when one is unknown or of a wrong type. */
static int members_read(
        json_t *call, const char **out_method, json_t **out_parameters, struct control_request *out) {
        bool is_upgrade = false;
        const char *name;
        json_t *value;

        json_object_foreach(call, name, value) {
                if (strcmp(name, "method") == 0 && json_is_string(value))
                        *out_method = json_string_value(value);
                else if (strcmp(name, "parameters") == 0 && (json_is_object(value) || json_is_null(value)))
                        *out_parameters = json_is_object(value) ? value : NULL;
                else if (strcmp(name, "more") == 0 && flag_read(value, &out->is_more) == 0)
                        continue;
                else if (strcmp(name, "oneway") == 0 && flag_read(value, &out->is_oneway) == 0)
                        continue;
                else if (strcmp(name, "upgrade") != 0 || flag_read(value, &is_upgrade) < 0 || is_upgrade)
                        return -1;
        }
        return *out_method ? 0 : -1;
}

int control_request_parse(const char *text, size_t length, struct control_request *out) {
        CLEANUP_JSON json_t *call = NULL;
        const char *method = NULL;
        json_t *parameters = NULL;

        *out = (struct control_request){0};
        if (length >= CONTROL_REQUEST_BYTES_MAX)
                return -1;
        call = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
        if (!json_is_object(call) || members_read(call, &method, &parameters, out) < 0)
                return -1;
        method_read(out, method);
        if (out->method == CONTROL_NO_METHOD || out->method == CONTROL_NO_INTERFACE)
                return 0;
        parameters_read(out, parameters);
        return 0;
}
