#pragma once

/* Every process below this one, by /proc. For a supervisor that is not PID 1 and so cannot say kill(-1). */

#include <stdbool.h>

/* Send `number` to every descendant. A number that could have become another process's in between is checked again behind a
 * pidfd. Returns false when /proc cannot be read: nothing was sent. */
bool descendants_signal(int number);
