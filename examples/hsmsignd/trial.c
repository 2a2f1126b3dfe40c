/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "pool.h"
#include "trial.h"

#define TIME_MAX 60000 /* ms */

static char *const *arguments;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards these */
static pid_t child; /* 0: none that was not waited for */
static bool abandoned;

void trial_init(char *const *argv)
{
    arguments = argv;
}

/*
 * Signals are blocked here, which is inherited.  SIGHUP stays so: it may be for
 * all of the process group, and one that ends a trial condemns the PIN.
 */
static bool start(char **argv)
{
    posix_spawnattr_t attr;
    sigset_t blocked;
    bool ok;

    (void)sigemptyset(&blocked);
    (void)sigaddset(&blocked, SIGHUP);
    if (posix_spawnattr_init(&attr) != 0)
        return false;
    (void)pthread_mutex_lock(&lock);
    ok = !abandoned && posix_spawnattr_setsigmask(&attr, &blocked) == 0 &&
         posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK) == 0 &&
         posix_spawn(&child, "/proc/self/exe", NULL, &attr, argv, environ) == 0;
    (void)pthread_mutex_unlock(&lock);
    (void)posix_spawnattr_destroy(&attr);
    return ok;
}

/* Whether it has ended, or is not there; not so that its number is reused. */
static bool has_ended(int *status)
{
    pid_t done;

    (void)pthread_mutex_lock(&lock);
    done = waitpid(child, status, WNOHANG);
    if (done != 0)
        child = 0;
    (void)pthread_mutex_unlock(&lock);
    if (done < 0)
        *status = -1;
    return done != 0;
}

static void end_child(void)
{
    (void)pthread_mutex_lock(&lock);
    if (child > 0)
        (void)kill(child, SIGKILL);
    (void)pthread_mutex_unlock(&lock);
}

static enum trial wait_for_end(size_t *profile)
{
    const struct timespec pause = { 0, 10000000 };
    uint64_t begin = pool_now();
    int status = 0;

    while (!has_ended(&status)) {
        if (pool_now() - begin >= TIME_MAX)
            end_child();
        (void)nanosleep(&pause, NULL);
    }
    if (!WIFEXITED(status))
        return TRIAL_REFUSED;
    status = WEXITSTATUS(status);
    if (status >= TRIAL_EXIT_PROFILE &&
        status < TRIAL_EXIT_PROFILE + TRIAL_EXIT_PROFILES)
        *profile = (size_t)(status - TRIAL_EXIT_PROFILE);
    if (status == TRIAL_EXIT_REFUSED || status >= TRIAL_EXIT_PROFILE)
        return TRIAL_REFUSED;
    if (status == TRIAL_EXIT_AWAY)
        return TRIAL_AWAY;
    return status == 0 ? TRIAL_GOOD : TRIAL_BAD;
}

void trial_abandon(void)
{
    (void)pthread_mutex_lock(&lock);
    abandoned = true;
    (void)pthread_mutex_unlock(&lock);
    end_child();
}

enum trial trial_run(size_t *profile)
{
    static char check[] = "--check=2"; /* TRIAL_CHECK */
    size_t n = 0;
    char **argv;
    enum trial found;

    while (arguments[n] != NULL)
        n++;
    argv = calloc(n + 2, sizeof(*argv));
    *profile = SIZE_MAX;
    if (argv == NULL)
        return TRIAL_AWAY;
    for (size_t i = 0; i < n; i++)
        argv[i] = arguments[i];
    argv[n] = check;
    found = start(argv) ? wait_for_end(profile) : TRIAL_AWAY;
    free(argv);
    return found;
}
