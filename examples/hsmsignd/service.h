/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service: HTTP in front, a pool of threads that sign behind it.
 */
#ifndef HSMSIGND_SERVICE_H
#define HSMSIGND_SERVICE_H

#include <stdbool.h>
#include "audit.h"
#include "generation.h"
#include "options.h"

struct service;

/*
 * Start to serve what comes from the socket fd, with the newest generation;
 * audit is NULL or where signatures are written down;
 * away: its HSM is, and it is to be loaded when that is back.  NULL after the
 * reason was logged.
 */
struct service *service_start(const struct options *options,
                              struct generations *generations,
                              struct audit *audit, bool away, int fd);
/*
 * To be called every second: hang up on connections whose time is over, answer
 * requests that have waited too long, and in a thread of its own load a new
 * generation, if reload or if a file of it has changed.  Does not block.
 */
void service_tick(struct service *service, bool reload);
/*
 * Take no more connections, answer what was begun, but for no longer than
 * options->drain, and free everything.  False: something was cut off.
 */
bool service_stop(struct service *service);

#endif
