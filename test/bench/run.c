/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that sign for a while.  A thread reads the clock once per signature:
 * what ends one begins the next.  Durations are counted in classes that are
 * 1/64 of a power of two wide, so that counting costs nothing.
 */
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include "bench.h"

enum { CLASSES = 64 * 40 };

struct worker {
    const struct contender *who;
    pthread_t thread;
    uint64_t until, ended; /* ns */
    unsigned long max, signatures, failures;
    uint64_t longest;
    unsigned counts[CLASSES];
};

static struct worker workers[BENCH_THREADS];
static pthread_barrier_t barrier;
static uint64_t began;
static double run_seconds;

static uint64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Of this process, in user and system mode. */
static double cpu_seconds(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static size_t class_of(uint64_t ns)
{
    unsigned shift = 0;

    while (ns >> shift >= 128)
        shift++;
    return 64 * (size_t)shift + (ns >> shift);
}

/* The largest duration of a class. */
static double class_end(size_t class)
{
    size_t shift = class < 128 ? 0 : class / 64 - 1;

    return ldexp((double)(class - 64 * shift + 1), (int)shift);
}

static void sign_for_a_while(struct worker *w, void *thread)
{
    unsigned char sig[BENCH_SIGNATURE_MAX];
    uint64_t last = began;
    size_t len;

    while (last < w->until && (w->max == 0 || w->signatures < w->max)) {
        bool made = w->who->sign(thread, sig, &len);
        uint64_t t = now(), took = t - last;
        size_t class = class_of(took);

        last = t;
        if (!made) {
            w->failures++;
            break;
        }
        w->signatures++;
        w->counts[class < CLASSES ? class : CLASSES - 1]++;
        if (took > w->longest)
            w->longest = took;
    }
    w->ended = last;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    void *thread = w->who->begin();

    /* Once all are ready, the first sets the time; then all begin. */
    if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
        began = now();
    pthread_barrier_wait(&barrier);
    w->until = began + (uint64_t)(run_seconds * 1e9);
    if (thread != NULL)
        sign_for_a_while(w, thread);
    else
        w->failures++;
    pthread_barrier_wait(&barrier);
    if (thread != NULL)
        w->who->end(thread);
    return NULL;
}

/* In ms: so many of all signatures took no longer. */
static double quantile(int threads, unsigned long signatures, double q)
{
    unsigned long wanted = (unsigned long)ceil(q * (double)signatures);
    unsigned long seen = 0;

    for (size_t class = 0; class < CLASSES; class ++) {
        for (int i = 0; i < threads; i++)
            seen += workers[i].counts[class];
        if (seen >= wanted)
            return class_end(class) / 1e6;
    }
    return 0;
}

static void print(int threads, double cpu)
{
    unsigned long signatures = 0, failures = 0;
    uint64_t ended = 0, longest = 0;
    double seconds;

    for (int i = 0; i < threads; i++) {
        signatures += workers[i].signatures;
        failures += workers[i].failures;
        if (workers[i].ended > ended)
            ended = workers[i].ended;
        if (workers[i].longest > longest)
            longest = workers[i].longest;
    }
    seconds = (double)(ended - began) / 1e9;
    printf("{\"signatures\": %lu, \"failures\": %lu, \"rate\": %.1f, "
           "\"p50\": %.4f, \"p99\": %.4f, \"longest\": %.4f, "
           "\"cpu_us\": %.3f}\n",
           signatures, failures, (double)signatures / seconds,
           quantile(threads, signatures, 0.5),
           quantile(threads, signatures, 0.99), (double)longest / 1e6,
           signatures == 0 ? 0 : cpu * 1e6 / (double)signatures);
}

bool bench_run(const struct contender *who, int threads, double seconds,
               unsigned long max)
{
    double cpu;

    if (threads < 1 || threads > BENCH_THREADS)
        return false;
    run_seconds = seconds;
    cpu = cpu_seconds();
    pthread_barrier_init(&barrier, NULL, (unsigned)threads);
    for (int i = 0; i < threads; i++) {
        memset(&workers[i], 0, sizeof(workers[i]));
        workers[i].who = who;
        workers[i].max = max;
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            return false;
    }
    for (int i = 0; i < threads; i++)
        pthread_join(workers[i].thread, NULL);
    pthread_barrier_destroy(&barrier);
    print(threads, cpu_seconds() - cpu);
    return true;
}
