/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sessions that are open through the shim: to count them against a limit
 * and to know, for a key that is made to want CKA_ALWAYS_AUTHENTICATE, how far
 * each session's signature has come.
 *
 * A place is taken before C_OpenSession is forwarded, so that threads cannot
 * pass the limit together.  A forked child is a new application (PKCS #11
 * v2.40, 2.6): it begins with none.
 */
#include <pthread.h>
#include "shim.h"

/* Far more than any token has; more than these would not be followed. */
enum { MAX_SESSIONS = 8192 };

struct session {
    CK_SLOT_ID slot;
    CK_SESSION_HANDLE handle; /* CK_INVALID_HANDLE while it is being opened */
    enum shim_auth auth;
    bool taken;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct session sessions[MAX_SESSIONS];
static size_t used; /* no place is taken from here on */

static void before_fork(void)
{
    pthread_mutex_lock(&lock);
}

static void after_fork_in_parent(void)
{
    pthread_mutex_unlock(&lock);
}

static void after_fork_in_child(void)
{
    used = 0;
    pthread_mutex_unlock(&lock);
}

void shim_sessions_init(void)
{
    if (pthread_atfork(before_fork, after_fork_in_parent,
                       after_fork_in_child) != 0)
        shim_die("pthread_atfork failed");
}

/* The place of a handle, or of a session of slot that is being opened. */
static struct session *find(const CK_SLOT_ID *slot, CK_SESSION_HANDLE handle)
{
    size_t i = 0;

    for (i = 0; i < used; i++) {
        if (sessions[i].taken && sessions[i].handle == handle &&
            (slot == NULL || sessions[i].slot == *slot))
            return &sessions[i];
    }
    return NULL;
}

bool shim_session_reserve(CK_SLOT_ID slot, unsigned long max)
{
    unsigned long of_slot = 0;
    size_t place = MAX_SESSIONS;
    bool ok = false;
    size_t i = 0;

    pthread_mutex_lock(&lock);
    for (i = 0; i < used; i++) {
        if (!sessions[i].taken && place == MAX_SESSIONS)
            place = i;
        if (sessions[i].taken && sessions[i].slot == slot)
            of_slot++;
    }
    if (place == MAX_SESSIONS)
        place = used;
    if (max != 0 && of_slot >= max)
        goto out;
    if (place == MAX_SESSIONS)
        shim_die("more than %d sessions", MAX_SESSIONS);
    if (place == used)
        used++;
    sessions[place] = (struct session){ .taken = true, .slot = slot };
    ok = true;
out:
    pthread_mutex_unlock(&lock);
    return ok;
}

void shim_session_opened(CK_SLOT_ID slot, CK_SESSION_HANDLE session)
{
    struct session *place = NULL;

    pthread_mutex_lock(&lock);
    place = find(&slot, CK_INVALID_HANDLE);
    if (place != NULL)
        place->handle = session;
    pthread_mutex_unlock(&lock);
}

void shim_session_unreserve(CK_SLOT_ID slot)
{
    struct session *place = NULL;

    pthread_mutex_lock(&lock);
    place = find(&slot, CK_INVALID_HANDLE);
    if (place != NULL)
        place->taken = false;
    pthread_mutex_unlock(&lock);
}

void shim_session_closed(CK_SESSION_HANDLE session)
{
    struct session *place = NULL;

    pthread_mutex_lock(&lock);
    place = find(NULL, session);
    if (place != NULL)
        place->taken = false;
    pthread_mutex_unlock(&lock);
}

void shim_sessions_closed(const CK_SLOT_ID *slot)
{
    size_t i = 0;

    pthread_mutex_lock(&lock);
    for (i = 0; i < used; i++) {
        if (sessions[i].handle != CK_INVALID_HANDLE &&
            (slot == NULL || sessions[i].slot == *slot))
            sessions[i].taken = false;
    }
    pthread_mutex_unlock(&lock);
}

enum shim_auth shim_session_auth(CK_SESSION_HANDLE session)
{
    enum shim_auth auth = SHIM_AUTH_NONE;
    const struct session *place = NULL;

    pthread_mutex_lock(&lock);
    place = find(NULL, session);
    if (place != NULL)
        auth = place->auth;
    pthread_mutex_unlock(&lock);
    return auth;
}

void shim_session_set_auth(CK_SESSION_HANDLE session, enum shim_auth auth)
{
    struct session *place = NULL;

    pthread_mutex_lock(&lock);
    place = find(NULL, session);
    if (place != NULL)
        place->auth = auth;
    pthread_mutex_unlock(&lock);
}
