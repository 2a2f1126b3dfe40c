/* SPDX-License-Identifier: Apache-2.0 */
#include <time.h>
#include "rate.h"

#define SECOND 1000000000ULL

bool rate_take(struct rate *rate, unsigned long per_second, uint64_t now)
{
    unsigned long long next = atomic_load(&rate->next), later;

    do {
        later = (next > now ? next : now) + SECOND / per_second;
        if (later - now > SECOND)
            return false;
    } while (!atomic_compare_exchange_weak(&rate->next, &next, later));
    return true;
}

bool rate_take_now(struct rate *rate, unsigned long per_second)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return per_second == 0 ||
           rate_take(rate, per_second,
                     (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec);
}
