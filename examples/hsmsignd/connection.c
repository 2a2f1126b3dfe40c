/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include "connection.h"
#include "pool.h"

/* In a list; a connection's own, until libmicrohttpd closes it. */
struct link {
    struct link *next, **back;
    int fd;
    enum connection_phase phase;
    uint64_t since; /* pool_now() */
};

struct connections {
    size_t max, count;
    uint64_t limits[CONNECTION_BUSY];
    pthread_mutex_t lock;      /* guards count, and the links */
    struct link *first, **end; /* as they came */
};

struct connections *connections_new(size_t max, unsigned long head,
                                    unsigned long body)
{
    struct connections *cs = calloc(1, sizeof(*cs));

    if (cs == NULL)
        return NULL;
    cs->max = max;
    cs->limits[CONNECTION_HEAD] = head;
    cs->limits[CONNECTION_BODY] = body;
    cs->end = &cs->first;
    (void)pthread_mutex_init(&cs->lock, NULL);
    return cs;
}

void connections_free(struct connections *cs)
{
    if (cs != NULL)
        (void)pthread_mutex_destroy(&cs->lock);
    free(cs);
}

/* libmicrohttpd notices, and closes it: not before connections_notify(). */
static void hang_up(struct link *link)
{
    (void)shutdown(link->fd, SHUT_RDWR);
    link->phase = CONNECTION_BUSY; /* once is enough */
}

/* The lock is held. */
static void make_room(struct connections *cs)
{
    struct link *oldest = NULL;

    for (struct link *l = cs->first; l != NULL; l = l->next) {
        if (l->phase == CONNECTION_HEAD &&
            (oldest == NULL || l->since < oldest->since))
            oldest = l;
    }
    if (oldest != NULL)
        hang_up(oldest);
}

static void add(struct connections *cs, struct MHD_Connection *connection,
                void **context)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct link *link = info != NULL ? calloc(1, sizeof(*link)) : NULL;

    *context = link;
    if (link == NULL)
        return;
    link->fd = info->connect_fd;
    link->since = pool_now();
    (void)pthread_mutex_lock(&cs->lock);
    if (++cs->count > cs->max - cs->max / 16)
        make_room(cs);
    link->back = cs->end;
    *cs->end = link;
    cs->end = &link->next;
    (void)pthread_mutex_unlock(&cs->lock);
}

void connections_notify(void *cls, struct MHD_Connection *connection,
                        void **context,
                        enum MHD_ConnectionNotificationCode what)
{
    struct connections *cs = cls;
    struct link *link = *context;

    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        add(cs, connection, context);
        return;
    }
    if (link == NULL)
        return;
    (void)pthread_mutex_lock(&cs->lock);
    cs->count--;
    *link->back = link->next;
    if (link->next != NULL)
        link->next->back = link->back;
    else
        cs->end = link->back;
    (void)pthread_mutex_unlock(&cs->lock);
    free(link);
    *context = NULL;
}

void connections_phase(struct connections *cs,
                       struct MHD_Connection *connection,
                       enum connection_phase phase)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct link *link = info != NULL ? info->socket_context : NULL;

    if (link == NULL)
        return;
    (void)pthread_mutex_lock(&cs->lock);
    link->phase = phase;
    link->since = pool_now();
    (void)pthread_mutex_unlock(&cs->lock);
}

void connections_sweep(struct connections *cs)
{
    uint64_t now;

    (void)pthread_mutex_lock(&cs->lock);
    /* Behind the lock: no phase has begun later. */
    now = pool_now();
    for (struct link *l = cs->first; l != NULL; l = l->next) {
        if (l->phase < CONNECTION_BUSY && now - l->since > cs->limits[l->phase])
            hang_up(l);
    }
    (void)pthread_mutex_unlock(&cs->lock);
}
