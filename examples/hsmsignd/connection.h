/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connections, and how long they may take: whoever connects and says
 * nothing, or says it a byte at a time, is hung up on.
 */
#ifndef HSMSIGND_CONNECTION_H
#define HSMSIGND_CONNECTION_H

#include <stddef.h>
#include <microhttpd.h>

struct connections;

enum connection_phase {
    CONNECTION_HEAD, /* the next request's head is not complete */
    CONNECTION_BODY, /* it is, the body is not */
    CONNECTION_BUSY, /* we are to answer */
};

/*
 * When max is nearly reached, the one that has been in CONNECTION_HEAD the
 * longest goes.  The times are in milliseconds.
 */
struct connections *connections_new(size_t max, unsigned long head,
                                    unsigned long body);
void connections_free(struct connections *cs);

/* For MHD_OPTION_NOTIFY_CONNECTION. */
void connections_notify(void *cs, struct MHD_Connection *connection,
                        void **context,
                        enum MHD_ConnectionNotificationCode what);
/* It is in that phase from now on. */
void connections_phase(struct connections *cs,
                       struct MHD_Connection *connection,
                       enum connection_phase phase);
/* Hang up on those whose time is over: to be called every second. */
void connections_sweep(struct connections *cs);

#endif
