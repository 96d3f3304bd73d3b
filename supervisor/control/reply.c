/* Building replies: see reply.h. Runs in the supervisor, for peers that may ask; jansson escapes what has to
 * be. docs/PROTOCOL.md describes them for readers, the text of the interface below for Varlink clients. */

#include "supervisor/control/reply.h"

#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "lib/duration.h"
#include "supervisor/sockets/listeners.h"
#include "supervisor/notify/notify.h"
#include "supervisor/control/server.h"

static const char interface_tacet[] =
        "# The control socket of a tacet supervisor. No method returns a secret or the name of one.\n"
        "interface io.tacet\n"
        "\n"
        "# state: spawning, booting, ready, available, emptying, stopping, killed, clearing; status: the "
        "app's "
        "own words\n"
        "# leftovers: while clearing, how many processes it left behind that have not ended yet\n"
        "type Instance (slot: int, state: string, generation: int, pid: ?int, age_ms: int, status: ?string,\n"
        "  leftovers: ?int)\n"
        "\n"
        "# A listening socket. reason: why all instances share it; else each has a member of its own.\n"
        "type Member (generation: ?int, slot: ?int, weight: int, waiting: ?int)\n"
        "type Listener (name: string, address: string, reason: ?string, members: []Member)\n"
        "\n"
        "# Load the secrets and move the service to them. With `wait` the reply comes at the end; called "
        "with\n"
        "# `more` as well, there is a reply for each step before it. Without `wait` it only asks.\n"
        "# result: committed, unchanged, reverted, load_failed, refused, superseded, halted, stopped\n"
        "# ended: in an emergency, how many processes that held the old values were ended; cut: how many\n"
        "# requests were cut meanwhile\n"
        "method Rotate(force: ?bool, emergency: ?bool, wait: ?bool) ->\n"
        "  (result: ?string, step: ?string, generation: ?int, elapsed_ms: ?int, ended: ?int, cut: ?int)\n"
        "\n"
        "# Go back to the generation before. What is left is refused until the sources change, or by force.\n"
        "# result: as above, and no_previous, or not_kept: keep_previous is 0\n"
        "method Rollback(wait: ?bool) ->\n"
        "  (result: ?string, step: ?string, generation: ?int, elapsed_ms: ?int, cut: ?int)\n"
        "\n"
        "# left: a newer generation that was left for the one that runs, and how long ago\n"
        "# generation: the one known to work; target: the one that shall run everywhere\n"
        "# phase: starting, idle, rolling, reverting, halted, stopping, over (exit_when = all waits)\n"
        "# leftovers: in an emergency, how many processes of former instances have not ended yet\n"
        "# cut: requests that instances which were told to stop have left without an answer, since the "
        "start\n"
        "method Status() -> (version: string, pid: int, phase: string, loading: bool, generation: ?int,\n"
        "  target: ?int, previous: ?int, left: ?int, left_ms: ?int, replicas: int, live: int, ready: int, "
        "available: int,\n"
        "  failures: int, leftovers: ?int, cut: int, secret_memory: ?string, adopting: ?bool, instances: "
        "[]Instance,\n"
        "  listeners: []Listener)\n"
        "\n"
        "error NoSource ()\n"
        "error TooManyClients ()\n";

static const char interface_service[] =
        "interface org.varlink.service\n"
        "method GetInfo() -> (vendor: string, product: string, version: string, url: string,\n"
        "  interfaces: []string)\n"
        "method GetInterfaceDescription(interface: string) -> (description: string)\n"
        "error InterfaceNotFound (interface: string)\n"
        "error MethodNotFound (method: string)\n"
        "error InvalidParameter (parameter: string)\n"
        "error PermissionDenied ()\n";

/* Consumes `reply`, which is NULL when there was no memory for it. */
static size_t reply_write(char *out, size_t room, json_t *reply) {
        size_t length = reply ? json_dumpb(reply, out, room, JSON_COMPACT) : 0;

        json_decref(reply);
        if (length == 0 || length >= room)
                return 0;
        out[length] = '\0';
        return length + 1;
}

size_t control_reply_error(char *out, size_t room, const char *name, const char *key, const char *value) {
        return reply_write(out, room,
                key ? json_pack("{s:s, s:{s:s}}", "error", name, "parameters", key, value)
                    : json_pack("{s:s, s:{}}", "error", name, "parameters"));
}

static json_int_t milliseconds(int64_t ns) {
        return (json_int_t)(ns / NS_PER_MS);
}

static json_t *number_or_null(uint64_t number, bool is_there) {
        return is_there ? json_integer((json_int_t)number) : json_null();
}

size_t control_reply_step(char *out, size_t room, const char *line, uint64_t generation, int64_t elapsed_ns,
        bool has_generation) {
        return reply_write(out, room,
                json_pack("{s:{s:s, s:o, s:I}, s:b}", "parameters", "step", line, "generation",
                        number_or_null(generation, has_generation), "elapsed_ms", milliseconds(elapsed_ns),
                        "continues", 1));
}

size_t control_reply_result(char *out, size_t room, const struct control_outcome *outcome) {
        json_t *parameters = json_pack("{s:s, s:o, s:I, s:I}", "result", outcome->result, "generation",
                number_or_null(outcome->generation, outcome->generation != 0), "elapsed_ms",
                milliseconds(outcome->elapsed_ns), "cut", (json_int_t)outcome->cut);

        if (parameters && outcome->has_ended)
                (void)json_object_set_new(parameters, "ended", json_integer((json_int_t)outcome->ended));
        return reply_write(out, room, json_pack("{s:o}", "parameters", parameters));
}

size_t control_reply_done(char *out, size_t room) {
        return reply_write(out, room, json_pack("{s:{}}", "parameters"));
}

/* ---- status ---- */

static json_t *text_or_null(const char *text) {
        json_t *string = text && *text ? json_string(text) : NULL;

        return string ? string : json_null();
}

static json_t *instance_json(
        const struct control_rooms *rooms, uint32_t slot, const struct fleet_instance *known) {
        const struct instance *instance = instance_by_number(rooms->instances, known->number);

        const long leftovers = tree_rest_count(rooms->trees, known->number);

        return json_pack("{s:I, s:s, s:I, s:o, s:I, s:o, s:o}", "slot", (json_int_t)slot, "state",
                instance_state_name(known->state), "generation", (json_int_t)known->generation, "pid",
                number_or_null(instance ? (uint64_t)instance->pid : 0, instance != NULL), "age_ms",
                milliseconds(time_now_ns() - known->started_ns), "status",
                text_or_null(instance ? notify_status(rooms->notify, instance) : NULL), "leftovers",
                number_or_null((uint64_t)leftovers, leftovers > 0));
}

static json_t *instances_json(const struct control_rooms *rooms) {
        const struct fleet_instance *known;
        struct fleet_cursor cursor = {0};
        json_t *list = json_array();

        while (list && (known = fleet_instance_next(rooms->fleet, &cursor)))
                (void)json_array_append_new(list, instance_json(rooms, cursor.slot, known));
        return list;
}

static json_t *members_json(const struct listener_view *view) {
        json_t *list = json_array();

        for (size_t i = 0; list && i < view->member_count; i++) {
                const struct seat *seat = &view->members[i].seat;
                const bool has_seat = !view->members[i].is_spare && seat->generation != 0;

                (void)json_array_append_new(list, json_pack("{s:o, s:o, s:I, s:o}", "generation",
                                                          number_or_null(seat->generation, has_seat), "slot",
                                                          number_or_null(seat->slot, has_seat), "weight",
                                                          (json_int_t)view->members[i].weight, "waiting",
                                                          number_or_null((uint64_t)view->members[i].waiting,
                                                                  view->members[i].waiting >= 0)));
        }
        return list;
}

static json_t *listeners_json(const struct control_rooms *rooms) {
        json_t *list = json_array();
        struct listener_view view;

        for (size_t i = 0; list && listeners_look(rooms->listeners, i, &view); i++)
                (void)json_array_append_new(
                        list, json_pack("{s:o, s:o, s:o, s:o}", "name", text_or_null(view.name), "address",
                                      text_or_null(view.address), "reason", text_or_null(view.why_shared),
                                      "members", members_json(&view)));
        return list;
}

/* null: nothing is to be adopted; false: adopting does not work here. */
static json_t *adopting_json(const struct control_rooms *rooms) {
        return rooms->rules->adopt_count ? json_boolean(rooms->rules->is_adopting) : json_null();
}

/* How the generation that runs is held. */
static json_t *memory_json(const struct control_rooms *rooms, uint64_t generation) {
        const struct bundle *bundle = generations_bundle(rooms->generations, generation);

        return bundle ? json_string(bundle->is_encrypted ? "encrypted" : "memfd_secret") : json_null();
}

size_t control_reply_status(char *out, size_t room, const struct control_rooms *rooms) {
        const long swept = tree_sweep_count(rooms->trees);
        struct fleet_view view;

        fleet_look(rooms->fleet, &view);
        return reply_write(out, room,
                json_pack("{s:{s:s, s:I, s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:o, "
                          "s:I, s:o, s:o, s:o, s:o}}",
                        "parameters", "version", TACET_VERSION, "pid", (json_int_t)getpid(), "phase",
                        fleet_phase_name(view.phase), "loading", view.is_loading, "generation",
                        number_or_null(view.stable, view.has_stable), "target",
                        number_or_null(view.target, view.has_target), "previous",
                        number_or_null(view.previous, view.has_previous), "left",
                        number_or_null(view.left, view.left != 0), "left_ms",
                        view.left ? json_integer(milliseconds(time_now_ns() - view.left_ns)) : json_null(),
                        "replicas", (json_int_t)rooms->fleet->settings.replicas, "live",
                        (json_int_t)view.live, "ready", (json_int_t)view.ready, "available",
                        (json_int_t)view.available, "failures", (json_int_t)view.failures, "leftovers",
                        number_or_null((uint64_t)swept, swept > 0), "cut",
                        (json_int_t)listeners_cut(rooms->listeners), "secret_memory",
                        memory_json(rooms, view.target), "adopting", adopting_json(rooms), "instances",
                        instances_json(rooms), "listeners", listeners_json(rooms)));
}

/* ---- org.varlink.service ---- */

size_t control_reply_info(char *out, size_t room) {
        return reply_write(out, room,
                json_pack("{s:{s:s, s:s, s:s, s:s, s:[s, s]}}", "parameters", "vendor", "tacet", "product",
                        "tacet", "version", TACET_VERSION, "url", "https://varlink.org", "interfaces",
                        "io.tacet", "org.varlink.service"));
}

size_t control_reply_interface(char *out, size_t room, const char *interface) {
        const char *text = strcmp(interface, "io.tacet") == 0              ? interface_tacet
                           : strcmp(interface, "org.varlink.service") == 0 ? interface_service
                                                                           : NULL;

        if (!text)
                return control_reply_error(
                        out, room, "org.varlink.service.InterfaceNotFound", "interface", interface);
        return reply_write(out, room, json_pack("{s:{s:s}}", "parameters", "description", text));
}
