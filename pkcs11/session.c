/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool is a mutex, a stack of idle sessions and a queue of waiters, each
 * with a condition variable of its own.  What is free goes to the queue
 * first: pool_serve() is called wherever something became free.
 *
 * Counting: open_count is what the token has open for us, or is about to;
 * lent_count is what threads hold, a permission to open included.
 */
#include <errno.h>
#include <stdlib.h>
#include "calls.h"
#include "log.h"
#include "session.h"

#define WAIT_SECONDS  10 /* for a session that another thread holds */
#define PROBE_SECONDS 1  /* between tries to open more than the limit */

/* Lives on the stack of the thread that waits. */
struct p11_waiter {
    struct p11_waiter *next;
    pthread_cond_t cond;
    bool granted;                /* by pool_serve(), which unlinked it */
    struct p11_session *session; /* NULL when granted: open one */
};

void p11_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;

    /* No clock that an administrator sets. */
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

static void free_idle(struct p11_slot *slot, bool close)
{
    while (slot->idle != NULL) {
        struct p11_session *session = slot->idle;

        slot->idle = session->next;
        if (close)
            P11_CALL(slot->module->fl, C_CloseSession, session->handle);
        free(session);
    }
}

void p11_session_pool_init(struct p11_slot *slot)
{
    p11_cond_init(&slot->quiet);
    p11_cond_init(&slot->replaced);
    free_idle(slot, false);
    slot->idle_count = slot->open_count = slot->lent_count = 0;
    slot->limit = 0;
    slot->waiters = NULL;
    slot->paused = 0;
    slot->replacing = false;
}

void p11_session_pool_forget(struct p11_slot *slot)
{
    free_idle(slot, false);
    slot->idle_count = slot->open_count = 0;
    slot->limit = 0;
}

void p11_session_pool_deinit(struct p11_slot *slot, bool close_sessions)
{
    free_idle(slot, close_sessions);
    pthread_cond_destroy(&slot->quiet);
    pthread_cond_destroy(&slot->replaced);
    pthread_mutex_destroy(&slot->lock);
}

/* All static functions named pool_ are called with the slot's lock held. */

static void pool_learn_limit(struct p11_slot *slot)
{
    slot->limit = slot->open_count;
    clock_gettime(CLOCK_MONOTONIC, &slot->limit_at);
    p11_log(P11_LOG_INFO, "%s allows %lu sessions", slot->where, slot->limit);
}

static bool pool_may_open(struct p11_slot *slot)
{
    struct timespec now;

    if (slot->open_count >= slot->module->max_sessions)
        return false;
    if (slot->limit == 0 || slot->open_count < slot->limit)
        return true;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec - slot->limit_at.tv_sec <= PROBE_SECONDS)
        return false;
    slot->limit_at = now;
    return true;
}

/* An idle session, or NULL with true for the permission to open one. */
static bool pool_pick(struct p11_slot *slot, struct p11_session **session)
{
    *session = slot->idle;
    if (slot->idle != NULL) {
        slot->idle = slot->idle->next;
        slot->idle_count--;
    } else if (pool_may_open(slot)) {
        slot->open_count++;
    } else {
        return false;
    }
    slot->lent_count++;
    return true;
}

static void pool_serve(struct p11_slot *slot)
{
    if (slot->paused > 0) {
        if (slot->lent_count == 0)
            pthread_cond_broadcast(&slot->quiet);
        return;
    }
    while (slot->waiters != NULL) {
        struct p11_waiter *waiter = slot->waiters;

        if (!pool_pick(slot, &waiter->session))
            return;
        slot->waiters = waiter->next;
        waiter->granted = true;
        pthread_cond_signal(&waiter->cond);
    }
}

static CK_RV pool_wait(struct p11_slot *slot, struct p11_session **session)
{
    struct p11_waiter self = { 0 }, **at = &slot->waiters;
    struct timespec deadline;
    int timed_out = 0;

    p11_cond_init(&self.cond);
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += WAIT_SECONDS;
    while (*at != NULL)
        at = &(*at)->next;
    *at = &self;
    while (!self.granted && timed_out != ETIMEDOUT)
        timed_out = pthread_cond_timedwait(&self.cond, &slot->lock, &deadline);
    if (!self.granted) {
        for (at = &slot->waiters; *at != &self; at = &(*at)->next)
            ;
        *at = self.next;
    }
    pthread_cond_destroy(&self.cond);
    *session = self.session;
    return self.granted ? CKR_OK : P11_SESSION_WAIT;
}

/* A session, or NULL with CKR_OK for the permission to open one. */
static CK_RV pool_take(struct p11_slot *slot, struct p11_session **session)
{
    while (slot->paused > 0) {
        if (p11_module_exiting())
            return P11_EXITING;
        pthread_cond_wait(&slot->quiet, &slot->lock);
    }
    if (slot->waiters == NULL && pool_pick(slot, session))
        return CKR_OK;
    return pool_wait(slot, session);
}

static void pool_opened(struct p11_slot *slot, CK_RV rv)
{
    if (rv == CKR_OK) {
        /* A probe that went well. */
        if (slot->limit != 0 && slot->open_count > slot->limit)
            slot->limit = slot->open_count;
        return;
    }
    slot->open_count--;
    slot->lent_count--;
    if (rv == CKR_SESSION_COUNT && slot->open_count > 0)
        pool_learn_limit(slot);
    pool_serve(slot);
}

/* Always read-write: CloudHSM refuses others, and a callback too. */
static CK_RV call_open(const struct p11_slot *slot, CK_SESSION_HANDLE *handle)
{
    return P11_CALL(slot->module->fl, C_OpenSession, slot->id,
                    CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, handle);
}

static CK_RV session_open(struct p11_slot *slot, struct p11_session **session,
                          struct p11_error *err)
{
    struct p11_session *s = calloc(1, sizeof(*s));
    CK_RV rv = CKR_HOST_MEMORY;

    if (s == NULL)
        p11_error_set(err, rv, "no memory for a session");
    else
        rv = call_open(slot, &s->handle);
    pthread_mutex_lock(&slot->lock);
    if (rv == CKR_OK)
        s->epoch = slot->epoch;
    pool_opened(slot, rv);
    /* None of ours is open that could be waited for. */
    if (rv == CKR_SESSION_COUNT && slot->open_count > 0)
        rv = P11_SESSION_WAIT;
    pthread_mutex_unlock(&slot->lock);
    if (rv == CKR_OK) {
        *session = s;
        return CKR_OK;
    }
    if (s != NULL && rv != P11_SESSION_WAIT)
        p11_error_call(err, rv, "C_OpenSession", slot->where);
    free(s);
    return rv;
}

/*
 * Whether the module was started anew, without success, since it was ready; the
 * permission to open is given back.  While that is held nobody can do it.
 */
static bool pool_is_too_late(struct p11_slot *slot)
{
    if (!slot->module->needs_initialise)
        return false;
    slot->open_count--;
    slot->lent_count--;
    pool_serve(slot);
    return true;
}

CK_RV p11_session_borrow(struct p11_slot *slot, struct p11_session **session,
                         struct p11_error *err)
{
    bool again;
    CK_RV rv;

    do {
        rv = p11_module_ready(slot->module, err);
        if (rv != CKR_OK)
            return rv;
        pthread_mutex_lock(&slot->lock);
        rv = pool_take(slot, session);
        again = rv == CKR_OK && *session == NULL && pool_is_too_late(slot);
        pthread_mutex_unlock(&slot->lock);
        if (again)
            continue;
        if (rv == P11_SESSION_WAIT)
            return p11_error_set(err, rv,
                                 "%s: all sessions were in use for %d "
                                 "seconds; raise hsmsign-max-sessions or the "
                                 "token's limit",
                                 slot->where, WAIT_SECONDS);
        if (rv != CKR_OK)
            return p11_error_set(err, rv, "%s: the process is exiting",
                                 slot->where);
        if (*session != NULL)
            return CKR_OK;
        rv = session_open(slot, session, err);
        /* The limit was learned just now: wait with the others. */
    } while (again || rv == P11_SESSION_WAIT);
    return rv;
}

/*
 * One thread at a time, or another would take the place that a session which
 * had to be closed first has left.  Returns whether there is room for one
 * session more, which is then counted.
 */
static bool replace_begin(struct p11_slot *slot)
{
    bool spare;

    pthread_mutex_lock(&slot->lock);
    while (slot->replacing)
        pthread_cond_wait(&slot->replaced, &slot->lock);
    slot->replacing = true;
    spare = pool_may_open(slot);
    if (spare)
        slot->open_count++;
    pthread_mutex_unlock(&slot->lock);
    return spare;
}

static void replace_end(struct p11_slot *slot, struct p11_session *session,
                        bool spare, bool full)
{
    pthread_mutex_lock(&slot->lock);
    session->epoch = slot->epoch;
    slot->replacing = false;
    pthread_cond_signal(&slot->replaced);
    if (spare)
        slot->open_count--;
    if (full)
        pool_learn_limit(slot);
    pool_serve(slot);
    pthread_mutex_unlock(&slot->lock);
}

CK_RV p11_session_replace(struct p11_slot *slot, struct p11_session *session,
                          struct p11_error *err)
{
    CK_SESSION_HANDLE fresh = CK_INVALID_HANDLE, old = session->handle;
    bool spare = replace_begin(slot);
    CK_RV rv = spare ? call_open(slot, &fresh) : CKR_SESSION_COUNT;
    bool full = rv == CKR_SESSION_COUNT;

    /* May well fail: it is the one that went bad.  Never closed twice. */
    if ((rv == CKR_OK || full) && old != CK_INVALID_HANDLE) {
        /* A token that was reset may give the same number again. */
        if (old != fresh)
            P11_CALL(slot->module->fl, C_CloseSession, old);
        session->handle = CK_INVALID_HANDLE;
    }
    if (full)
        rv = call_open(slot, &fresh);
    replace_end(slot, session, spare, spare && full);
    if (rv != CKR_OK)
        return p11_error_call(err, rv, "C_OpenSession", slot->where);
    session->handle = fresh;
    return CKR_OK;
}

bool p11_session_renewed(struct p11_slot *slot, struct p11_session *session,
                         CK_RV rv)
{
    /* After a lost session the handles may be those of other objects. */
    return p11_rv_info(rv)->class == P11_CLASS_BUSY &&
           p11_session_replace(slot, session, NULL) == CKR_OK;
}

void p11_session_give_back(struct p11_slot *slot, struct p11_session *session,
                           CK_RV rv)
{
    /* What we found out ourselves leaves a session intact. */
    bool keep = rv == CKR_OK || P11_RV_IS_OURS(rv) ||
                p11_session_replace(slot, session, NULL) == CKR_OK;

    pthread_mutex_lock(&slot->lock);
    /* One is always kept: closing the last would log out. */
    keep = keep && (slot->idle_count < slot->module->max_idle ||
                    slot->waiters != NULL || slot->idle_count == 0);
    if (keep) {
        session->next = slot->idle;
        slot->idle = session;
        slot->idle_count++;
        slot->lent_count--;
        pool_serve(slot);
    }
    pthread_mutex_unlock(&slot->lock);
    if (keep)
        return;
    /* It counts until it is closed. */
    if (session->handle != CK_INVALID_HANDLE)
        P11_CALL(slot->module->fl, C_CloseSession, session->handle);
    free(session);
    pthread_mutex_lock(&slot->lock);
    slot->open_count--;
    slot->lent_count--;
    pool_serve(slot);
    pthread_mutex_unlock(&slot->lock);
}

bool p11_session_pool_pause(struct p11_slot *slot,
                            const struct timespec *deadline)
{
    int timed_out = 0;
    bool quiet;

    pthread_mutex_lock(&slot->lock);
    slot->paused++;
    while (slot->lent_count > 0 && timed_out != ETIMEDOUT)
        timed_out = pthread_cond_timedwait(&slot->quiet, &slot->lock, deadline);
    quiet = slot->lent_count == 0;
    pthread_mutex_unlock(&slot->lock);
    return quiet;
}

void p11_session_pool_resume(struct p11_slot *slot)
{
    pthread_mutex_lock(&slot->lock);
    /* For good, once the process exits. */
    if (!p11_module_exiting())
        slot->paused--;
    pthread_cond_broadcast(&slot->quiet);
    pool_serve(slot);
    pthread_mutex_unlock(&slot->lock);
}
