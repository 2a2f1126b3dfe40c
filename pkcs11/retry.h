/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trying again, with patience.
 *
 * What a new session, login or handle mends is mended at once, by who has the
 * session (key.c, object.c).  What only time mends, a token that is busy, away
 * or dead, is for here: the work is given up, its session given back, and
 * after a pause that grows and is never the same for two threads all of it is
 * done again, until the deadline (hsmsign-deadline) is over.
 *
 *     struct p11_retry retry = p11_retry_begin(module);
 *
 *     do {
 *         borrow a session, work, give it back: rv
 *     } while (p11_retry(&retry, module, rv, err));
 */
#ifndef HSMSIGN_RETRY_H
#define HSMSIGN_RETRY_H

#include "module.h"

/* One piece of work. */
struct p11_retry {
    unsigned tries;               /* so far, that failed */
    unsigned long generation;     /* of the module, when this one began */
    struct timespec begin, until; /* CLOCK_MONOTONIC */
};

struct p11_retry p11_retry_begin(struct p11_module *module);

/*
 * Whether work that ended with rv is to be done again.  CKR_OK and what
 * waiting does not mend are not.  Waits before it says yes; restarts a module
 * that has died (p11_module_restart()).  When the time is over, err, which the
 * work has filled, says how long it was tried.  The caller has no session.
 */
bool p11_retry(struct p11_retry *retry, struct p11_module *module, CK_RV rv,
               struct p11_error *err);

#endif
