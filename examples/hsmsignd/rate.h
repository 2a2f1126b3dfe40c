/* SPDX-License-Identifier: Apache-2.0 */
/*
 * So many a second, and as many at once: the generic cell rate algorithm.
 */
#ifndef HSMSIGND_RATE_H
#define HSMSIGND_RATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* All zero is the beginning. */
struct rate {
    atomic_ullong next; /* when the next one would come, evenly; ns */
};

/*
 * Whether one more may be had at the time now, in nanoseconds of a clock that
 * does not go back.
 */
bool rate_take(struct rate *rate, unsigned long per_second, uint64_t now);
/* The same by CLOCK_MONOTONIC; 0 a second: any number. */
bool rate_take_now(struct rate *rate, unsigned long per_second);

#endif
