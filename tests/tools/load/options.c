/* The words on the load generator's command line, which stand at the top of tests/tools/load.c: read once at
 * its start. Unknown words, numbers out of range and addresses that are none are refused. */

#include "options.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUESTS_MAX 2000000

static bool address_parse(struct options *options, const char *text) {
        union server_address *server = &options->server;
        char host[128];
        const char *colon = strrchr(text, ':');
        if (text[0] == '/' && strlen(text) < sizeof server->local.sun_path) {
                server->local = (struct sockaddr_un){.sun_family = AF_UNIX};
                memcpy(server->local.sun_path, text, strlen(text));
                options->server_length = sizeof server->local;
                return true;
        }
        bool is_v6 = text[0] == '[' && colon && colon[-1] == ']';
        if (!colon || (size_t)(colon - text) >= sizeof host)
                return false;
        snprintf(host, sizeof host, "%.*s", (int)(colon - text) - 2 * is_v6, text + is_v6);
        uint16_t port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
        server->v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port};
        options->server_length = sizeof server->v4;
        if (is_v6) {
                server->v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = port};
                options->server_length = sizeof server->v6;
        }
        void *into = is_v6 ? (void *)&server->v6.sin6_addr : (void *)&server->v4.sin_addr;
        return inet_pton(server->any.sa_family, host, into) == 1;
}

static bool kill_parse(struct options *options, const char *text) {
        static const struct {
                const char *name;
                int number;
        } names[] = {
                {"HUP", SIGHUP}, {"TERM", SIGTERM}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"QUIT", SIGQUIT}};
        const char *colon = strchr(text, ':');
        if (!colon)
                return false;
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
                if (strncmp(text, names[i].name, (size_t)(colon - text)) == 0)
                        options->signal = names[i].number;
        if (!options->signal)
                options->signal = (int)strtol(text, NULL, 10);
        options->pid = (pid_t)strtol(colon + 1, NULL, 10);
        return options->signal > 0 && options->pid > 1;
}

const char *options_parse(struct options *options, int argc, char **argv) {
        const struct {
                const char *name;
                long *into;
        } numbers[] = {{"--rate", &options->rate}, {"--seconds", &options->seconds},
                {"--slow", &options->slow}, {"--deadline", &options->deadline_ms},
                {"--every", &options->every_ms}, {"--window", &options->window_ms}};
        for (int i = 1; i + 1 < argc; i += 2) {
                bool is_known = false;
                for (size_t n = 0; n < sizeof numbers / sizeof numbers[0]; n++)
                        if (strcmp(argv[i], numbers[n].name) == 0) {
                                *numbers[n].into = strtol(argv[i + 1], NULL, 10);
                                is_known = true;
                        }
                bool is_kill = strcmp(argv[i], "--kill") == 0;
                if (is_kill && !kill_parse(options, argv[i + 1]))
                        return argv[i + 1];
                if (strcmp(argv[i], "--run") == 0)
                        options->command = argv[i + 1];
                else if (strcmp(argv[i], "--progress") == 0)
                        options->progress = argv[i + 1];
                else if (!is_known && !is_kill)
                        return argv[i];
        }
        if (argc % 2 != 0 || options->rate < 1 || options->seconds < 1 ||
                options->rate * options->seconds > REQUESTS_MAX)
                return "usage: load [--rate N] [--seconds N] [--slow N] [--every MS --kill SIG:PID | --run "
                       "COMMAND] ADDRESS";
        return address_parse(options, argv[argc - 1]) ? NULL : argv[argc - 1];
}
