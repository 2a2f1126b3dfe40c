/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that loads generations: the first one at the start, another one
 * when it is told to, when a file has changed, or when an HSM that was away may
 * be back.  It also says when a certificate comes near its end.
 */
#ifndef HSMSIGND_LOADER_H
#define HSMSIGND_LOADER_H

#include <stdbool.h>
#include "audit.h"
#include "generation.h"
#include "options.h"

struct loader;

/*
 * Begin to load the first generation.  What is passed stays the caller's, and
 * has to stay; audit, the log to be opened anew with each reload, may be NULL.
 * NULL: there is no memory, or no thread.
 */
struct loader *loader_new(const struct options *options,
                          struct generations *generations, struct audit *audit);
/* Waits for the load that runs.  NULL is allowed. */
void loader_free(struct loader *loader);

/* Whether the first load has ended, and how.  Does not block. */
bool loader_first(const struct loader *loader, enum profile_state *state);
/*
 * To be called every second, when the first has ended or not: look whether
 * there is anything to load; reload: there is.  Does not block.
 */
void loader_tick(struct loader *loader, bool reload);
/* How many generations were loaded. */
unsigned long long loader_count(const struct loader *loader);
/* Whether it is in the middle of something, as loads that an HSM holds up. */
bool loader_is_busy(const struct loader *loader);

/* The audit log's last line goes to the log.  NULL: there is none. */
void loader_log_mark(struct audit *audit, const char *file);

#endif
