#pragma once

/* The control socket's file: accessible only to its owner, replaced when no process serves it, removed at the
 * end if it is still ours. */

#include <sys/stat.h>
#include <sys/un.h>

#include "lib/error.h"

struct control_socket {
        int fd; /* listens; non-blocking */
        char path[sizeof((struct sockaddr_un *)0)->sun_path];
        dev_t device; /* of the socket that was bound, to remove no other */
        ino_t inode;
};

/* Bind and listen at `path`. Returns 0, or -1 with error: something that is no socket is there, another
 * supervisor answers, the path is too long (108 bytes: unix(7)), or its directory cannot be written to. */
int control_socket_open(struct control_socket *socket, const char *path, struct error *error);

/* Close it and remove its file, unless that is another one by now. */
void control_socket_close(struct control_socket *socket);
