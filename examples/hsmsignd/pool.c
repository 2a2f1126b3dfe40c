/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include "pool.h"

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct job *first, **last; /* the queue; under lock */
    size_t waiting, max;
    bool ending;
    size_t n_threads;
    pthread_t threads[];
};

uint64_t pool_now(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Blocks; NULL at the end. */
static struct job *take(struct pool *pool)
{
    struct job *job;

    (void)pthread_mutex_lock(&pool->lock);
    while (pool->first == NULL && !pool->ending)
        (void)pthread_cond_wait(&pool->wake, &pool->lock);
    job = pool->first;
    if (job != NULL) {
        pool->first = job->next;
        if (pool->first == NULL)
            pool->last = &pool->first;
        pool->waiting--;
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return job;
}

static void *work(void *arg)
{
    struct job *job;

    while ((job = take(arg)) != NULL)
        job->run(job, pool_now() > job->deadline);
    return NULL;
}

struct pool *pool_new(size_t n, size_t max)
{
    struct pool *pool = calloc(1, sizeof(*pool) + n * sizeof(pthread_t));

    if (pool == NULL)
        return NULL;
    (void)pthread_mutex_init(&pool->lock, NULL);
    (void)pthread_cond_init(&pool->wake, NULL);
    pool->last = &pool->first;
    pool->max = max;
    while (pool->n_threads < n &&
           pthread_create(&pool->threads[pool->n_threads], NULL, work, pool) ==
               0)
        pool->n_threads++;
    if (pool->n_threads == n)
        return pool;
    pool_free(pool);
    return NULL;
}

bool pool_submit(struct pool *pool, struct job *job)
{
    bool room;

    (void)pthread_mutex_lock(&pool->lock);
    room = pool->waiting < pool->max;
    if (room) {
        job->next = NULL;
        *pool->last = job;
        pool->last = &job->next;
        pool->waiting++;
        (void)pthread_cond_signal(&pool->wake);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return room;
}

/* Out of the queue with those that are late; they stay in their order. */
static struct job *take_late(struct pool *pool)
{
    struct job *late = NULL, **last = &late, **at = &pool->first;
    uint64_t now = pool_now();

    (void)pthread_mutex_lock(&pool->lock);
    while (*at != NULL) {
        struct job *job = *at;

        if (now <= job->deadline) {
            at = &job->next;
            continue;
        }
        *at = job->next;
        job->next = NULL;
        *last = job;
        last = &job->next;
        pool->waiting--;
    }
    pool->last = at;
    (void)pthread_mutex_unlock(&pool->lock);
    return late;
}

void pool_expire(struct pool *pool)
{
    struct job *job = take_late(pool), *next;

    for (; job != NULL; job = next) {
        next = job->next; /* the job is gone when it has run */
        job->run(job, true);
    }
}

void pool_free(struct pool *pool)
{
    if (pool == NULL)
        return;
    (void)pthread_mutex_lock(&pool->lock);
    pool->ending = true;
    (void)pthread_cond_broadcast(&pool->wake);
    (void)pthread_mutex_unlock(&pool->lock);
    for (size_t i = 0; i < pool->n_threads; i++)
        (void)pthread_join(pool->threads[i], NULL);
    (void)pthread_cond_destroy(&pool->wake);
    (void)pthread_mutex_destroy(&pool->lock);
    free(pool);
}
