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
 *          good before, or what the file or command that gave it has now
 * seen     for that, the epoch of a failure that looks as if the token had
 *          forgotten us: if it is still the slot's, a new epoch begins and we
 *          log in again.  With an older one, another thread did that already,
 *          or a fork did; then C_Login is called only if nobody has done so
 *          since.
 *
 * Returns CKR_OK; P11_NO_PIN, P11_PIN_SOURCE; P11_LAST_TRY, CKR_PIN_INCORRECT,
 * CKR_PIN_LOCKED or what else C_Login answered.  Blocks, for a person if the
 * PIN is asked for.
 */
CK_RV p11_slot_login(struct p11_slot *slot, const struct p11_session *session,
                     const struct p11_pin_request *request, unsigned long seen,
                     struct p11_error *err);

/*
 * C_Login(CKU_CONTEXT_SPECIFIC), for CKA_ALWAYS_AUTHENTICATE, with the PIN
 * that logged in, or after that was refused, with what the file or command
 * that gave it has now.  Returns as p11_slot_login() does; a PIN that is
 * refused here is not sent again either, and one thread at a time calls this.
 */
CK_RV p11_slot_login_context(struct p11_slot *slot,
                             const struct p11_session *session,
                             const char *where, struct p11_error *err);

/*
 * The slot's PIN comes from where request says now, which may have no source
 * any more, and is pin, which another process has found good.  Who is logged
 * in is logged out, so that the next login, of whoever signs then, sends it,
 * and the one of before only if this process is refused all the same: SoftHSM
 * does not see what another one has changed.  session as above.  Returns
 * CKR_OK, CKR_HOST_MEMORY when nothing has changed, or what C_Logout answered,
 * after which the source has changed nevertheless.  Blocks.
 */
CK_RV p11_slot_change_pin(struct p11_slot *slot,
                          const struct p11_session *session,
                          const struct p11_pin *pin,
                          const struct p11_pin_request *request,
                          struct p11_error *err);

/*
 * Another process found out that pin is refused: it is not sent by this one,
 * unless memory is short now.
 */
void p11_slot_refuse_pin(struct p11_slot *slot, const struct p11_pin *pin);

/*
 * Whether who used session in that epoch was logged in all the while, where the
 * token wants that; or else an object may not have been seen.  False if the
 * token says nothing, too.  Costs C_GetSessionInfo.
 */
bool p11_slot_was_logged_in(struct p11_slot *slot,
                            const struct p11_session *session,
                            unsigned long epoch);

/* Whether nothing is hidden from us that a login would show.  Never blocks. */
bool p11_slot_is_logged_in(struct p11_slot *slot);

/* The slot's epoch, once a login that is under way has ended. */
unsigned long p11_slot_epoch(struct p11_slot *slot);

#endif
