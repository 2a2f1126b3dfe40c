/* SPDX-License-Identifier: Apache-2.0 */
#include <time.h>
#include "calls.h"
#include "stats.h"

struct p11_stats p11_stats;

/* A thread is in one call at a time. */
static _Thread_local struct timespec begin;

void p11_call_clock(void)
{
    clock_gettime(CLOCK_MONOTONIC, &begin);
}

void p11_call_failed(CK_RV rv)
{
    /* What is no failure: some of what was asked for is not there, or done. */
    if (p11_rv_is_partial(rv) || rv == CKR_USER_ALREADY_LOGGED_IN ||
        rv == CKR_CRYPTOKI_ALREADY_INITIALIZED)
        return;
    atomic_fetch_add_explicit(&p11_stats.failed[p11_rv_info(rv)->class], 1,
                              memory_order_relaxed);
}

void p11_call_log(const char *function, CK_RV rv)
{
    struct timespec now;
    double ms;

    clock_gettime(CLOCK_MONOTONIC, &now);
    ms = (double)(now.tv_sec - begin.tv_sec) * 1e3 +
         (double)(now.tv_nsec - begin.tv_nsec) / 1e6;
    p11_log(P11_LOG_DEBUG, "%s %.3f ms %s (0x%lx)", function, ms,
            p11_rv_info(rv)->name, rv);
}
