/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logging in: once per token and process (PKCS #11 v2.40, 5.6), by one thread
 * at a time, so that two threads never spend two tries of a PIN.
 */
#ifndef HSMSIGN_LOGIN_H
#define HSMSIGN_LOGIN_H

#include "slot.h"

/*
 * Log in, if the token wants that and nobody did so before in this process.
 * One thread at a time asks for the PIN and calls C_Login; others wait.  A PIN
 * that was refused once is not sent again.
 *
 * session  any open session of the slot
 * request  where the PIN comes from; NULL: log in again, with the PIN that was
 *          good before
 * seen     for that, the epoch of a failure that looks as if the token had
 *          forgotten us: if it is still the slot's, a new epoch begins and we
 *          log in again.  With an older one, another thread did that already,
 *          or a fork did; then C_Login is called only if nobody has done so
 *          since.
 *
 * Returns CKR_OK; P11_NO_PIN, P11_PIN_SOURCE; CKR_PIN_INCORRECT,
 * CKR_PIN_LOCKED or what else C_Login answered.  Blocks, for a person if the
 * PIN is asked for.
 */
CK_RV p11_slot_login(struct p11_slot *slot, const struct p11_session *session,
                     const struct p11_pin_request *request, unsigned long seen,
                     struct p11_error *err);

/*
 * C_Login(CKU_CONTEXT_SPECIFIC), for CKA_ALWAYS_AUTHENTICATE, with the PIN
 * that logged in.  Returns as p11_slot_login() does; a PIN that is refused
 * here is not sent again either.
 */
CK_RV p11_slot_login_context(struct p11_slot *slot,
                             const struct p11_session *session,
                             const char *where, struct p11_error *err);

/*
 * Whether the token says that nobody is logged in, where it wants that: why
 * an object may not be seen.  Costs C_GetSessionInfo.
 */
bool p11_slot_forgot_us(struct p11_slot *slot,
                        const struct p11_session *session);

/* The slot's epoch, once a login that is under way has ended. */
unsigned long p11_slot_epoch(struct p11_slot *slot);

#endif
