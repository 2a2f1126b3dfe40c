/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sessions of a slot: opened when needed, kept, lent to one thread at a
 * time, last in first out.
 *
 * When the token (CKR_SESSION_COUNT) or hsmsign-max-sessions allows no more,
 * threads wait, first come first served: a returned session is handed to the
 * one that waits longest.  The token's limit is learned, and probed again at
 * most once a second, since other processes share it.
 */
#ifndef HSMSIGN_SESSION_H
#define HSMSIGN_SESSION_H

#include "slot.h"

/*
 * Borrow a session; give it back with
 * p11_session_give_back().  Costs C_OpenSession when none is idle, no call
 * otherwise.  Returns CKR_OK, CKR_HOST_MEMORY, P11_SESSION_WAIT when none
 * became free in ten seconds, P11_EXITING, or what C_OpenSession answered.
 */
CK_RV p11_session_borrow(struct p11_slot *slot, struct p11_session **session,
                         struct p11_error *err);

/*
 * Put a fresh session in the place of one whose operation failed: it may be
 * invalid, or have an operation active.  The new one is opened before the old
 * one is closed, because closing the last one logs out (PKCS #11 v2.40,
 * 5.6); only where the limit forbids that the other way round.  Returns
 * CKR_OK, or what C_OpenSession answered, and then the session is good for
 * nothing but p11_session_give_back() with that answer.
 */
CK_RV p11_session_replace(struct p11_slot *slot, struct p11_session *session,
                          struct p11_error *err);

/*
 * After a call that ended with rv: whether a fresh session, which is made in
 * the place of this one, is worth another try, with the handles of before.
 */
bool p11_session_renewed(struct p11_slot *slot, struct p11_session *session,
                         CK_RV rv);

/*
 * Give a session back after work that ended with rv: as it is if the session
 * is sound, replaced if a call on it failed, which may have left it invalid
 * or with an operation active.
 */
void p11_session_give_back(struct p11_slot *slot, struct p11_session *session,
                           CK_RV rv);

/*
 * For module.c: stop lending and wait until deadline (CLOCK_MONOTONIC) for what
 * is lent; returns whether nothing is any more.  With resume, lend again; each
 * pause wants its own.
 */
bool p11_session_pool_pause(struct p11_slot *slot,
                            const struct timespec *deadline);
void p11_session_pool_resume(struct p11_slot *slot);

/*
 * For slot.c: make the pool's conditions and counters as new, in a new slot or
 * in a fork's child, where the sessions of before are forgotten, not closed.
 * The lock stays as it is.
 */
void p11_session_pool_init(struct p11_slot *slot);
/* For slot.c, under the lock, when nothing is lent: the sessions are gone. */
void p11_session_pool_forget(struct p11_slot *slot);
/* A condition that is waited for on CLOCK_MONOTONIC. */
void p11_cond_init(pthread_cond_t *cond);
/* Close all idle sessions (if asked to) and free them. */
void p11_session_pool_deinit(struct p11_slot *slot, bool close_sessions);

#endif
