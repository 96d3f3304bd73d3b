#pragma once

/* The status line of an HTTP/1 answer. Pure. */

#include <stddef.h>

#define HTTP_STATUS_BYTES_MAX 4096 /* of answers before the final one, and its status line */

enum { HTTP_STATUS_WRONG = -1, HTTP_STATUS_MORE = 0 };

/* Read the status (200..599) of the final answer in the first `length` bytes of a reply, behind those of 1xx.
 * Returns it; HTTP_STATUS_MORE when it has not come yet, HTTP_STATUS_WRONG when this is not HTTP/1. */
int http_status_read(const char *text, size_t length);
