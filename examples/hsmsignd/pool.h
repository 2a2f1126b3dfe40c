/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that do what may block on the token, and the queue before them,
 * first come, first served.
 */
#ifndef HSMSIGND_POOL_H
#define HSMSIGND_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct job {
    struct job *next;
    /* By one of the threads, or by pool_expire(); late: after the deadline. */
    void (*run)(struct job *job, bool late);
    uint64_t deadline; /* by pool_now() */
};

struct pool;

/* Milliseconds, monotonic. */
uint64_t pool_now(void);

/* n threads and room for max waiting jobs; NULL when there are no threads. */
struct pool *pool_new(size_t n, size_t max);
/* Whether the job, which stays the caller's, found room. */
bool pool_submit(struct pool *pool, struct job *job);
/*
 * Run those waiting jobs, in the caller's thread, that are late already: while
 * the token holds up all threads nobody else would tell them.  Does not block,
 * unless they do; not during pool_free().
 */
void pool_expire(struct pool *pool);
/* Run all jobs that wait, end the threads and free the pool; NULL is fine. */
void pool_free(struct pool *pool);

#endif
