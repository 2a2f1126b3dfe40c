/* SPDX-License-Identifier: Apache-2.0 */
/* hsmsignd/pool: order, room, lateness, and the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "examples/hsmsignd/pool.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct note {
    struct job job;
    int number;
};

/* How many threads there are to be had yet. */
static int threads_left = INT_MAX;

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*start)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*start)(void *), void *arg);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*start)(void *), void *arg)
{
    if (threads_left == 0)
        return EAGAIN;
    threads_left--;
    return __real_pthread_create(thread, attr, start, arg);
}

static sem_t begun, go_on;
static int order[64];
static atomic_int done, late_ones;

static void note(struct job *job, bool late)
{
    int i = atomic_fetch_add(&done, 1);

    if ((size_t)i < COUNT(order))
        order[i] = ((struct note *)job)->number;
    late_ones += late;
}

/* Holds a thread up until the test lets it go. */
static void hold(struct job *job, bool late)
{
    (void)job;
    (void)late;
    sem_post(&begun);
    sem_wait(&go_on);
}

static int setup(void **state)
{
    (void)state;
    done = late_ones = 0;
    return sem_init(&begun, 0, 0) != 0 || sem_init(&go_on, 0, 0) != 0;
}

static struct pool *held_pool(size_t max, struct job *holder)
{
    struct pool *pool = pool_new(1, max);

    *holder = (struct job){ .run = hold, .deadline = UINT64_MAX };
    assert_non_null(pool);
    assert_true(pool_submit(pool, holder));
    sem_wait(&begun);
    return pool;
}

static void test_jobs_run_in_their_order_and_all_before_the_end(void **state)
{
    struct note notes[8];
    struct job holder;
    struct pool *pool = held_pool(COUNT(notes), &holder);

    (void)state;
    for (int i = 0; i < (int)COUNT(notes); i++) {
        notes[i] = (struct note){ { .run = note, .deadline = UINT64_MAX }, i };
        assert_true(pool_submit(pool, &notes[i].job));
    }
    assert_int_equal(done, 0);
    sem_post(&go_on);
    pool_free(pool);
    assert_int_equal(done, COUNT(notes));
    assert_int_equal(late_ones, 0);
    for (int i = 0; i < (int)COUNT(notes); i++)
        assert_int_equal(order[i], i);
}

static void test_more_than_there_is_room_for_is_refused(void **state)
{
    struct note notes[3];
    struct job holder;
    struct pool *pool = held_pool(2, &holder);

    (void)state;
    for (int i = 0; i < 3; i++) {
        notes[i] = (struct note){ { .run = note, .deadline = UINT64_MAX }, i };
        assert_int_equal(pool_submit(pool, &notes[i].job), i < 2);
    }
    sem_post(&go_on);
    pool_free(pool);
    assert_int_equal(done, 2);
}

/* A queue that was full, and one that was empty, take the next in order. */
static void test_there_is_room_again(void **state)
{
    struct note notes[40];
    struct job holder, again;
    struct pool *pool = held_pool(2, &holder);
    int n = 0;

    (void)state;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 2; i++) {
            notes[n] =
                (struct note){ { .run = note, .deadline = UINT64_MAX }, n };
            assert_true(pool_submit(pool, &notes[n].job));
            n++;
        }
        again = holder;
        assert_false(pool_submit(pool, &again));
        /* The thread is held again as soon as there is room for that. */
        sem_post(&go_on);
        while (!pool_submit(pool, &again))
            sched_yield();
        sem_wait(&begun);
        holder = again;
    }
    sem_post(&go_on);
    pool_free(pool);
    assert_int_equal(done, n);
    for (int i = 0; i < n; i++)
        assert_int_equal(order[i], i);
}

/* A job with a deadline to come is not late, and one whose time has gone is. */
static void test_deadline_is_milliseconds_of_pool_now(void **state)
{
    uint64_t now = pool_now();
    struct note soon = { { .run = note, .deadline = now + 60000 }, 1 };
    struct note gone = { { .run = note, .deadline = now + 20 }, 2 };
    struct job holder;
    struct pool *pool = held_pool(2, &holder);
    struct timespec seconds;

    (void)state;
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &seconds), 0);
    assert_in_range(now, 0, (uint64_t)(seconds.tv_sec + 1) * 1000);
    assert_in_range((uint64_t)seconds.tv_sec * 1000, 0, now + 60000);
    assert_true(pool_submit(pool, &soon.job));
    assert_true(pool_submit(pool, &gone.job));
    while (pool_now() <= now + 20)
        usleep(5000);
    sem_post(&go_on);
    pool_free(pool);
    assert_int_equal(done, 2);
    assert_int_equal(late_ones, 1);
}

static void test_job_after_its_deadline_is_late(void **state)
{
    struct note one = { { .run = note, .deadline = 0 }, 1 };
    struct note two = { { .run = note, .deadline = UINT64_MAX }, 2 };
    struct job holder;
    struct pool *pool = held_pool(2, &holder);

    (void)state;
    assert_true(pool_submit(pool, &one.job));
    assert_true(pool_submit(pool, &two.job));
    sem_post(&go_on);
    pool_free(pool);
    assert_int_equal(done, 2);
    assert_int_equal(late_ones, 1);
}

/* In front of the others, between and behind them; the thread is stuck. */
static void test_expire_runs_those_that_are_late(void **state)
{
    static const int expected[] = { 0, 2, 4, 1, 3, 5 };
    uint64_t soon = pool_now() + 60000;
    const uint64_t deadlines[] = { 0, UINT64_MAX, 0, soon, 0, soon };
    struct note notes[COUNT(deadlines)];
    struct job holder;
    struct pool *pool = held_pool(COUNT(notes) - 1, &holder);

    (void)state;
    pool_expire(pool);
    for (int i = 0; i < (int)COUNT(notes); i++) {
        notes[i] =
            (struct note){ { .run = note, .deadline = deadlines[i] }, i };
        assert_int_equal(pool_submit(pool, &notes[i].job),
                         i < (int)COUNT(notes) - 1);
    }
    assert_int_equal(done, 0);
    pool_expire(pool);
    assert_int_equal(done, 3);
    assert_int_equal(late_ones, 3);
    pool_expire(pool);
    assert_int_equal(done, 3);
    /* There is room again, behind those that stayed. */
    assert_true(pool_submit(pool, &notes[COUNT(notes) - 1].job));
    sem_post(&go_on);
    pool_free(pool);
    assert_int_equal(done, COUNT(notes));
    assert_int_equal(late_ones, 3);
    for (size_t i = 0; i < COUNT(notes); i++)
        assert_int_equal(order[i], expected[i]);
}

static struct pool *shared;

static void *submit_many(void *arg)
{
    struct note *notes = arg;

    for (int i = 0; i < 500; i++) {
        notes[i] = (struct note){ { .run = note, .deadline = UINT64_MAX }, i };
        while (!pool_submit(shared, &notes[i].job))
            sched_yield();
    }
    return NULL;
}

/* Written by the pool's only thread, read after its end. */
static struct note *log_of[2000];
static size_t log_len;

static void log_note(struct job *job, bool late)
{
    (void)late;
    if (log_len < COUNT(log_of))
        log_of[log_len++] = (struct note *)job;
}

static void *submit_logged(void *arg)
{
    struct note *notes = arg;

    for (int i = 0; i < 500; i++) {
        notes[i] =
            (struct note){ { .run = log_note, .deadline = UINT64_MAX }, i };
        while (!pool_submit(shared, &notes[i].job))
            sched_yield();
    }
    return NULL;
}

static void test_many_threads_lose_nothing(void **state)
{
    static struct note notes[4][500];
    pthread_t threads[4];

    (void)state;
    shared = pool_new(3, 16);
    assert_non_null(shared);
    for (size_t i = 0; i < COUNT(threads); i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, submit_many, notes[i]), 0);
    for (size_t i = 0; i < COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    pool_free(shared);
    assert_int_equal(done, 2000);
}

/* Of one thread: each job once, and each submitter's in its order. */
static void test_each_job_runs_once_in_its_submitters_order(void **state)
{
    static struct note notes[4][500];
    pthread_t threads[4];

    (void)state;
    shared = pool_new(1, 8);
    assert_non_null(shared);
    log_len = 0;
    for (size_t i = 0; i < COUNT(threads); i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, submit_logged, notes[i]), 0);
    for (size_t i = 0; i < COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    pool_free(shared);
    assert_int_equal(log_len, 2000);
    for (size_t i = 0; i < COUNT(threads); i++) {
        int next = 0;

        for (size_t k = 0; k < log_len; k++) {
            if (log_of[k] >= notes[i] && log_of[k] < notes[i] + 500)
                assert_int_equal(log_of[k]->number, next++);
        }
        assert_int_equal(next, 500);
    }
}

static atomic_int runs[500];

static void count_run(struct job *job, bool late)
{
    atomic_fetch_add(&runs[((struct note *)job)->number], 1);
    note(job, late);
}

static void *submit_mixed(void *arg)
{
    struct note *notes = arg;

    for (int i = 0; i < 500; i++) {
        notes[i] = (struct note){
            { .run = count_run, .deadline = i % 2 != 0 ? UINT64_MAX : 0 }, i
        };
        while (!pool_submit(shared, &notes[i].job))
            sched_yield();
    }
    return NULL;
}

/* By the pool's threads or by pool_expire(), beside one another. */
static void test_expire_runs_nothing_twice(void **state)
{
    static struct note notes[500];
    pthread_t thread;

    (void)state;
    shared = pool_new(2, 16);
    assert_non_null(shared);
    assert_int_equal(pthread_create(&thread, NULL, submit_mixed, notes), 0);
    while (done < 400)
        pool_expire(shared);
    pthread_join(thread, NULL);
    pool_free(shared);
    assert_int_equal(late_ones, 250);
    for (size_t i = 0; i < COUNT(runs); i++)
        assert_int_equal(runs[i], 1);
}

/* The third thread cannot be had: the first two end, and there is no pool. */
static void test_without_its_threads_there_is_no_pool(void **state)
{
    (void)state;
    threads_left = 2;
    assert_null(pool_new(4, 1));
    threads_left = 0;
    assert_null(pool_new(1, 1));
    threads_left = INT_MAX;
}

static void test_nothing_is_a_pool_as_well(void **state)
{
    struct pool *pool = pool_new(4, 1);

    (void)state;
    pool_free(NULL);
    assert_non_null(pool);
    pool_free(pool);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(
            test_jobs_run_in_their_order_and_all_before_the_end, setup),
        cmocka_unit_test_setup(test_more_than_there_is_room_for_is_refused,
                               setup),
        cmocka_unit_test_setup(test_job_after_its_deadline_is_late, setup),
        cmocka_unit_test_setup(test_many_threads_lose_nothing, setup),
        cmocka_unit_test_setup(test_there_is_room_again, setup),
        cmocka_unit_test_setup(test_deadline_is_milliseconds_of_pool_now,
                               setup),
        cmocka_unit_test_setup(test_each_job_runs_once_in_its_submitters_order,
                               setup),
        cmocka_unit_test_setup(test_expire_runs_those_that_are_late, setup),
        cmocka_unit_test_setup(test_expire_runs_nothing_twice, setup),
        cmocka_unit_test_setup(test_without_its_threads_there_is_no_pool,
                               setup),
        cmocka_unit_test_setup(test_nothing_is_a_pool_as_well, setup),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
