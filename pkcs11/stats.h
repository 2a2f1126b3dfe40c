/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happened so far in this process, for whoever watches it.
 */
#ifndef HSMSIGN_STATS_H
#define HSMSIGN_STATS_H

#include <stdatomic.h>
#include "rv.h"

struct p11_stats {
    atomic_ulong failed[P11_CLASS_DEVICE + 1]; /* calls, by class */
    atomic_ulong retries;                      /* after a pause */
};

extern struct p11_stats p11_stats;

#endif
