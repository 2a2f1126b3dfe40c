/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "calls.h"
#include "log.h"
#include "login.h"

/* PKCS #11 v2.40, 5.6: a NULL PIN asks at the token's own PIN pad. */
static bool has_pin_pad(const struct p11_slot *slot)
{
    return (slot->token.flags & CKF_PROTECTED_AUTHENTICATION_PATH) != 0;
}

static CK_RV call_login(struct p11_slot *slot,
                        const struct p11_session *session, CK_USER_TYPE user,
                        const struct p11_pin *pin)
{
    size_t len = 0;
    const unsigned char *bytes = NULL;

    if (pin != NULL)
        bytes = p11_pin_bytes(pin, &len);
    return p11_C_Login(slot->module->fl, session->handle, user, bytes, len);
}

/* A failed login counts on the token: what is plainly wrong is not sent. */
static CK_RV check_pin(struct p11_slot *slot, const struct p11_pin *pin,
                       struct p11_error *err)
{
    const unsigned char *bytes;
    size_t len;

    if (slot->bad_pin != NULL && p11_pin_equal(pin, slot->bad_pin))
        return p11_error_call(err, slot->bad_pin_rv,
                              "C_Login (not repeated with the same PIN)",
                              slot->where);
    bytes = p11_pin_bytes(pin, &len);
    if ((slot->module->quirks & P11_QUIRK_PIN_USER) != 0 &&
        memchr(bytes, ':', len) == NULL)
        return p11_error_set(err, CKR_PIN_INVALID,
                             "%s: not sent, because a CloudHSM PIN has the "
                             "form USER:PASSWORD; correct "
                             "pkcs11-module-token-pin or HSM_PIN",
                             slot->where);
    return CKR_OK;
}

/*
 * The PIN to try: the one that was good before, else what request gives.
 * request is NULL when there is nobody to ask any more.
 */
static CK_RV choose_pin(struct p11_slot *slot,
                        const struct p11_pin_request *request,
                        struct p11_pin **pin, struct p11_error *err)
{
    static const struct p11_pin_request nothing;
    CK_RV rv;

    if (slot->pin != NULL) {
        *pin = slot->pin;
        slot->pin = NULL;
        return CKR_OK;
    }
    if (request == NULL && slot->bad_pin != NULL)
        return p11_error_call(err, slot->bad_pin_rv,
                              "C_Login (not repeated with the same PIN)",
                              slot->where);
    rv = p11_pin_get(request != NULL ? request : &nothing, slot->label, pin,
                     err);
    return rv != CKR_OK ? rv : check_pin(slot, *pin, err);
}

/* By the only thread in P11_LOGIN_BUSY: pin and bad_pin are its own. */
static CK_RV login_now(struct p11_slot *slot, const struct p11_session *session,
                       const struct p11_pin_request *request,
                       struct p11_error *err)
{
    struct p11_pin *pin = NULL;
    CK_RV rv;

    if ((slot->token.flags & CKF_USER_PIN_LOCKED) != 0)
        return p11_error_call(err, CKR_PIN_LOCKED, "C_GetTokenInfo",
                              slot->where);
    if (!has_pin_pad(slot)) {
        rv = choose_pin(slot, request, &pin, err);
        if (rv != CKR_OK) {
            p11_pin_free(pin);
            return rv;
        }
    }
    rv = call_login(slot, session, CKU_USER, pin);
    if (rv == CKR_USER_ALREADY_LOGGED_IN)
        rv = CKR_OK;
    if (rv == CKR_OK) {
        slot->pin = pin;
        return CKR_OK;
    }
    p11_error_call(err, rv, "C_Login", slot->where);
    if (p11_rv_info(rv)->class == P11_CLASS_PIN) {
        p11_pin_free(slot->bad_pin);
        slot->bad_pin = pin;
        slot->bad_pin_rv = rv;
    } else {
        /* The token's fault, not the PIN's: good for the next try. */
        slot->pin = pin;
    }
    return rv;
}

static void login_wait(struct p11_slot *slot)
{
    while (slot->login == P11_LOGIN_BUSY)
        pthread_cond_wait(&slot->login_done, &slot->lock);
}

/* The state is P11_LOGIN_BUSY, and ours. */
static CK_RV login_run(struct p11_slot *slot, const struct p11_session *session,
                       const struct p11_pin_request *request,
                       struct p11_error *err)
{
    CK_RV rv = login_now(slot, session, request, err);

    pthread_mutex_lock(&slot->lock);
    slot->login = rv == CKR_OK ? P11_LOGGED_IN : P11_LOGGED_OUT;
    pthread_cond_broadcast(&slot->login_done);
    pthread_mutex_unlock(&slot->lock);
    return rv;
}

CK_RV p11_slot_login(struct p11_slot *slot, const struct p11_session *session,
                     const struct p11_pin_request *request,
                     struct p11_error *err)
{
    bool done;

    if ((slot->token.flags & CKF_LOGIN_REQUIRED) == 0)
        return CKR_OK;
    pthread_mutex_lock(&slot->lock);
    login_wait(slot);
    done = slot->login == P11_LOGGED_IN;
    if (!done)
        slot->login = P11_LOGIN_BUSY;
    pthread_mutex_unlock(&slot->lock);
    return done ? CKR_OK : login_run(slot, session, request, err);
}

CK_RV p11_slot_login_again(struct p11_slot *slot,
                           const struct p11_session *session,
                           unsigned long seen, struct p11_error *err)
{
    bool done;

    pthread_mutex_lock(&slot->lock);
    login_wait(slot);
    if (slot->epoch == seen) {
        slot->epoch++;
        slot->login = P11_LOGGED_OUT;
    }
    done = slot->login == P11_LOGGED_IN ||
           (slot->token.flags & CKF_LOGIN_REQUIRED) == 0;
    if (!done)
        slot->login = P11_LOGIN_BUSY;
    pthread_mutex_unlock(&slot->lock);
    if (done)
        return CKR_OK;
    p11_log(P11_LOG_INFO, "%s: logging in again", slot->where);
    return login_run(slot, session, NULL, err);
}

CK_RV p11_slot_login_context(struct p11_slot *slot,
                             const struct p11_session *session)
{
    return call_login(slot, session, CKU_CONTEXT_SPECIFIC, slot->pin);
}

unsigned long p11_slot_epoch(struct p11_slot *slot)
{
    unsigned long epoch;

    pthread_mutex_lock(&slot->lock);
    epoch = slot->epoch;
    pthread_mutex_unlock(&slot->lock);
    return epoch;
}
