#pragma once

/* What the load generator is asked for: see tests/tools/load.c for the words. */

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

union server_address {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
};

struct options {
        long rate, seconds, slow, deadline_ms, every_ms, window_ms;
        int signal;
        pid_t pid;
        const char *command, *progress;
        union server_address server;
        socklen_t server_length;
};

/* Over the defaults that are there. Returns NULL, or the word that is refused. */
const char *options_parse(struct options *options, int argc, char **argv);
