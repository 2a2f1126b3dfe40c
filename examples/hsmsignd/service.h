/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service: HTTP in front, a pool of threads that sign behind it.
 */
#ifndef HSMSIGND_SERVICE_H
#define HSMSIGND_SERVICE_H

#include <stdbool.h>
#include "audit.h"
#include "generation.h"
#include "loader.h"
#include "options.h"

struct service;

/*
 * Start to serve what comes from the socket fd, with the newest generation, and
 * 503 as long as there is none; audit is NULL or where signatures are written
 * down.  NULL after the reason was logged.
 */
struct service *service_start(const struct options *options,
                              struct generations *generations,
                              struct audit *audit, const struct loader *loader,
                              int fd);
/*
 * To be called every second: hang up on connections whose time is over, and
 * answer requests that have waited too long.  Does not block.
 */
void service_tick(struct service *service);
/*
 * Take no more connections, answer what was begun, but for no longer than
 * options->drain, and free everything.  False: something was cut off.
 */
bool service_stop(struct service *service);

#endif
