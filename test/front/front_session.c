/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sessions that are open through a front: to count them against a limit
 * and to keep something with each.
 *
 * A place is taken before C_OpenSession is forwarded, so that threads cannot
 * pass the limit together.  A forked child is a new application (PKCS #11
 * v2.40, 2.6): it begins with none.
 */
#include <pthread.h>
#include <stdlib.h>
#include "front.h"

/* Far more than any token has; more than these would not be followed. */
enum { MAX_SESSIONS = 8192 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct front_session sessions[MAX_SESSIONS];
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

void front_sessions_init(void)
{
    if (pthread_atfork(before_fork, after_fork_in_parent,
                       after_fork_in_child) != 0)
        front_die("pthread_atfork failed");
}

/* The place of a handle, or of a session of slot that is being opened. */
static struct front_session *find(const CK_SLOT_ID *slot,
                                  CK_SESSION_HANDLE handle)
{
    size_t i = 0;

    for (i = 0; i < used; i++) {
        if (sessions[i].taken && sessions[i].handle == handle &&
            (slot == NULL || sessions[i].slot == *slot))
            return &sessions[i];
    }
    return NULL;
}

static void give_back(struct front_session *place)
{
    if (place == NULL)
        return;
    place->taken = false;
    free(place->data);
    place->data = NULL;
}

bool front_session_reserve(CK_SLOT_ID slot, unsigned long max_of_slot,
                           unsigned long max)
{
    unsigned long of_slot = 0;
    unsigned long all = 0;
    size_t place = MAX_SESSIONS;
    bool ok = false;
    size_t i = 0;

    pthread_mutex_lock(&lock);
    for (i = 0; i < used; i++) {
        if (!sessions[i].taken && place == MAX_SESSIONS)
            place = i;
        all += sessions[i].taken;
        of_slot += sessions[i].taken && sessions[i].slot == slot;
    }
    if (place == MAX_SESSIONS)
        place = used;
    if ((max_of_slot != 0 && of_slot >= max_of_slot) ||
        (max != 0 && all >= max))
        goto out;
    if (place == MAX_SESSIONS)
        front_die("more than %d sessions", MAX_SESSIONS);
    if (place == used)
        used++;
    give_back(&sessions[place]); /* the parent's, in a child */
    sessions[place] = (struct front_session){ .taken = true, .slot = slot };
    ok = true;
out:
    pthread_mutex_unlock(&lock);
    return ok;
}

void front_session_opened(CK_SLOT_ID slot, CK_SESSION_HANDLE session)
{
    struct front_session *place = NULL;

    pthread_mutex_lock(&lock);
    place = find(&slot, CK_INVALID_HANDLE);
    if (place != NULL)
        place->handle = session;
    pthread_mutex_unlock(&lock);
}

void front_session_unreserve(CK_SLOT_ID slot)
{
    pthread_mutex_lock(&lock);
    give_back(find(&slot, CK_INVALID_HANDLE));
    pthread_mutex_unlock(&lock);
}

void front_session_closed(CK_SESSION_HANDLE session)
{
    pthread_mutex_lock(&lock);
    give_back(find(NULL, session));
    pthread_mutex_unlock(&lock);
}

void front_sessions_closed(const CK_SLOT_ID *slot)
{
    size_t i = 0;

    pthread_mutex_lock(&lock);
    for (i = 0; i < used; i++) {
        if (sessions[i].taken && sessions[i].handle != CK_INVALID_HANDLE &&
            (slot == NULL || sessions[i].slot == *slot))
            give_back(&sessions[i]);
    }
    pthread_mutex_unlock(&lock);
}

struct front_session *front_session(CK_SESSION_HANDLE session)
{
    struct front_session *place = NULL;

    if (session == CK_INVALID_HANDLE)
        return NULL;
    pthread_mutex_lock(&lock);
    place = find(NULL, session);
    pthread_mutex_unlock(&lock);
    return place;
}

CK_SESSION_HANDLE front_session_of(CK_SLOT_ID slot)
{
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    size_t i = 0;

    pthread_mutex_lock(&lock);
    for (i = 0; i < used && session == CK_INVALID_HANDLE; i++) {
        if (sessions[i].taken && sessions[i].slot == slot)
            session = sessions[i].handle;
    }
    pthread_mutex_unlock(&lock);
    return session;
}
