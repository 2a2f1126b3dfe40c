/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time for a fuzz target (-Wl,--wrap): waiting takes none, and no two runs of
 * one input differ by it.
 */
#include <sys/random.h>
#include <time.h>

int __real_clock_gettime(clockid_t clock, struct timespec *t);
int __wrap_clock_gettime(clockid_t clock, struct timespec *t);
int __wrap_nanosleep(const struct timespec *length, struct timespec *left);
ssize_t __wrap_getrandom(void *buf, size_t size, unsigned flags);

/* Early, so that who waits for a condition with the real clock is late. */
static struct timespec now = { 1, 0 };

int __wrap_clock_gettime(clockid_t clock, struct timespec *t)
{
    if (clock != CLOCK_MONOTONIC)
        return __real_clock_gettime(clock, t);
    *t = now;
    return 0;
}

int __wrap_nanosleep(const struct timespec *length, struct timespec *left)
{
    (void)left;
    now.tv_sec += length->tv_sec;
    now.tv_nsec += length->tv_nsec;
    if (now.tv_nsec >= 1000000000) {
        now.tv_sec++;
        now.tv_nsec -= 1000000000;
    }
    return 0;
}

ssize_t __wrap_getrandom(void *buf, size_t size, unsigned flags)
{
    (void)flags;
    for (size_t i = 0; i < size; i++)
        ((unsigned char *)buf)[i] = 0;
    return (ssize_t)size;
}
