/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fork: a child that was forked while a thread was inside the module may
 * hang in it, so that the parent stops lending sessions for the moment of
 * the fork, and waits a little for those that are out.  The child forgets
 * everything and starts again at its first use.
 *
 * Exit: the destructors of a module run while other threads may still sign.
 * The handler here runs before them, since it is registered later: it stops
 * lending sessions and waits a little for those that are out.
 */
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include "fork.h"
#include "module.h"
#include "session.h"

#define FORK_WAIT_SECONDS 1
#define EXIT_WAIT_SECONDS 2

static struct timespec seconds_from_now(int seconds)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += seconds;
    return at;
}

static void pause_slot(struct p11_slot *slot, void *arg)
{
    p11_session_pool_pause(slot, arg);
}

/* Held over fork(), so that the child finds the pool in a whole state. */
static void hold_slot(struct p11_slot *slot, void *arg)
{
    (void)arg;
    pthread_mutex_lock(&slot->lock);
}

static void release_slot(struct p11_slot *slot, void *arg)
{
    (void)arg;
    pthread_mutex_unlock(&slot->lock);
}

static void resume_slot(struct p11_slot *slot, void *arg)
{
    (void)arg;
    p11_session_pool_resume(slot);
}

static void forget_slot(struct p11_slot *slot, void *arg)
{
    (void)arg;
    p11_slot_forget(slot);
    pthread_mutex_unlock(&slot->lock);
}

static void before_fork(void)
{
    struct timespec deadline = seconds_from_now(FORK_WAIT_SECONDS);

    p11_module_lock_registry();
    p11_module_visit_slots(pause_slot, &deadline);
    p11_module_visit_slots(hold_slot, NULL);
}

static void after_fork_in_parent(void)
{
    p11_module_visit_slots(release_slot, NULL);
    p11_module_visit_slots(resume_slot, NULL);
    p11_module_unlock_registry();
}

static void after_fork_in_child(void)
{
    p11_module_after_fork_in_child();
    p11_module_visit_slots(forget_slot, NULL);
    p11_module_unlock_registry();
}

static void at_exit(void)
{
    struct timespec deadline = seconds_from_now(EXIT_WAIT_SECONDS);

    p11_module_set_exiting();
    p11_module_lock_registry();
    p11_module_visit_slots(pause_slot, &deadline);
    p11_module_unlock_registry();
}

static int atfork_result;

static void register_atfork(void)
{
    atfork_result =
        pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

CK_RV p11_fork_register(struct p11_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, register_atfork);
    /* For each module anew: the handler has to run before its destructors. */
    if (atfork_result != 0 || atexit(at_exit) != 0)
        return p11_error_set(err, CKR_HOST_MEMORY,
                             "no memory for the fork and exit handlers");
    return CKR_OK;
}
