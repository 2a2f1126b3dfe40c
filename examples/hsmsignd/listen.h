/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where requests come from: an address, a socket in the file system, or the
 * socket that the service manager has opened.
 */
#ifndef HSMSIGND_LISTEN_H
#define HSMSIGND_LISTEN_H

#include <stdbool.h>
#include "options.h"

/*
 * A socket that is bound, of options->listen or the service manager's; nobody
 * can connect before listen_begin().  -1 after the reason was logged.
 */
int listen_open(const struct options *options);
/* Take connections, and log where; false after the reason was logged. */
bool listen_begin(int fd, const struct options *options);
/* At the end: remove the file that listen_open() has made. */
void listen_end(void);

/*
 * Go on as that user, with no rights besides: true if user is NULL; false after
 * the reason was logged.
 */
bool listen_drop(const char *user);

#endif
