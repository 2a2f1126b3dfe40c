/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include "calls.h"
#include "log.h"
#include "login.h"

/*
 * Nobody knows whether the token counts a login that failed for another reason
 * than the PIN.  Five lock a CloudHSM user.
 */
#define UNSURE_LOGINS_MAX 3

/* PKCS #11 v2.40, 5.6: a NULL PIN asks at the token's own PIN pad. */
static bool has_pin_pad(const struct p11_slot *slot)
{
    return (slot->token.flags & CKF_PROTECTED_AUTHENTICATION_PATH) != 0;
}

static CK_RV not_repeated(CK_RV rv, const char *where, struct p11_error *err)
{
    return p11_error_call(err, rv, "C_Login (not repeated with the same PIN)",
                          where);
}

/* CKR_OK, or how the token refused this PIN (NULL: the latest). */
static CK_RV refused_before(struct p11_slot *slot, const struct p11_pin *pin)
{
    const struct p11_refused *r;
    CK_RV rv;

    pthread_mutex_lock(&slot->lock);
    r = slot->refused;
    while (r != NULL && pin != NULL && !p11_pin_equal(pin, r->pin))
        r = r->next;
    rv = r != NULL ? r->rv : CKR_OK;
    pthread_mutex_unlock(&slot->lock);
    return rv;
}

/* A failed login counts on the token: what is plainly wrong is not sent. */
static CK_RV check_pin(struct p11_slot *slot, const struct p11_pin *pin,
                       struct p11_error *err)
{
    CK_RV rv = refused_before(slot, pin);
    const unsigned char *bytes;
    size_t len;

    if (rv != CKR_OK)
        return not_repeated(rv, slot->where, err);
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
 * The token may have been unlocked, or another one be in its place, which
 * must not get this one's PIN.
 */
static CK_RV check_token(struct p11_slot *slot, struct p11_error *err)
{
    CK_TOKEN_INFO now = { 0 };
    CK_RV rv = P11_CALL(slot->module->fl, C_GetTokenInfo, slot->id, &now);

    if (rv != CKR_OK)
        return p11_error_call(err, rv, "C_GetTokenInfo", slot->where);
    if (!p11_token_is_same(&now, &slot->token)) {
        slot->present = false;
        return p11_error_set(err, P11_NO_TOKEN,
                             "%s: another token is in its slot now",
                             slot->where);
    }
    if ((now.flags & CKF_USER_PIN_LOCKED) != 0)
        return p11_error_call(err, CKR_PIN_LOCKED, "C_GetTokenInfo",
                              slot->where);
    if ((now.flags & CKF_USER_PIN_FINAL_TRY) != 0)
        return p11_error_call(err, P11_LAST_TRY, "C_GetTokenInfo", slot->where);
    return CKR_OK;
}

static struct p11_pin *good_pin(struct p11_slot *slot)
{
    struct p11_pin *pin;

    pthread_mutex_lock(&slot->lock);
    pin = slot->pin;
    pthread_mutex_unlock(&slot->lock);
    return pin;
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

    *pin = good_pin(slot);
    if (*pin != NULL)
        return CKR_OK;
    rv = refused_before(slot, NULL);
    if (request == NULL && rv != CKR_OK)
        return not_repeated(rv, slot->where, err);
    rv = p11_pin_get(request != NULL ? request : &nothing, slot->label, pin,
                     err);
    if (rv == CKR_OK) {
        rv = check_pin(slot, *pin, err);
        if (rv != CKR_OK)
            p11_pin_free(*pin);
    }
    return rv;
}

/* The PIN, now the list's, was refused with rv.  The slot's lock is held. */
static void remember_refused(struct p11_slot *slot, struct p11_refused *refused,
                             struct p11_pin *pin, CK_RV rv)
{
    refused->pin = pin;
    refused->rv = rv;
    refused->next = slot->refused;
    slot->refused = refused;
    slot->pin = NULL;
    /* So that the next load asks for another one. */
    if (slot->login == P11_LOGGED_IN)
        slot->login = P11_LOGGED_OUT;
}

/*
 * Call C_Login and remember what it says about the PIN: the slot's, or one
 * that is ours and for CKU_USER.
 */
static CK_RV try_pin(struct p11_slot *slot, const struct p11_session *session,
                     CK_USER_TYPE user, struct p11_pin *pin, const char *where,
                     struct p11_error *err)
{
    /* Beforehand: a refusal that is not remembered costs another try. */
    struct p11_refused *refused = calloc(1, sizeof(*refused));
    const unsigned char *bytes = NULL;
    size_t len = 0;
    bool ours, enough;
    CK_RV rv;

    if (refused == NULL) {
        if (pin != good_pin(slot))
            p11_pin_free(pin);
        return p11_error_set(err, CKR_HOST_MEMORY, "no memory for a login");
    }
    if (pin != NULL)
        bytes = p11_pin_bytes(pin, &len);
    rv = P11_CALL(slot->module->fl, C_Login, session->handle, user,
                  (CK_UTF8CHAR *)bytes, (CK_ULONG)len);
    if (user == CKU_USER && rv == CKR_USER_ALREADY_LOGGED_IN)
        rv = CKR_OK;
    pthread_mutex_lock(&slot->lock);
    ours = user == CKU_USER && slot->pin != pin;
    if (rv == CKR_OK && ours) {
        slot->pin = pin;
        slot->unsure_logins = 0;
    } else if (p11_rv_info(rv)->class == P11_CLASS_PIN && pin != NULL &&
               (ours || slot->pin == pin)) {
        remember_refused(slot, refused, pin, rv);
        refused = NULL;
    } else if (rv != CKR_OK && ours) {
        p11_pin_free(pin);
        slot->unsure_logins++;
    }
    enough = slot->unsure_logins >= UNSURE_LOGINS_MAX;
    pthread_mutex_unlock(&slot->lock);
    free(refused);
    if (rv == CKR_OK)
        return rv;
    p11_error_call(err, rv, "C_Login", where);
    /* Said as it is, but tried again by nobody. */
    return ours && enough && p11_rv_info(rv)->class >= P11_CLASS_BUSY
               ? p11_error_set(err, P11_LOGIN, "%s",
                               err != NULL ? err->text : "")
               : rv;
}

/* By the only thread in P11_LOGIN_BUSY. */
static CK_RV login_now(struct p11_slot *slot, const struct p11_session *session,
                       const struct p11_pin_request *request,
                       struct p11_error *err)
{
    struct p11_pin *pin = NULL;
    CK_RV rv = CKR_OK;

    if (request == NULL)
        p11_log(P11_LOG_INFO, "%s: logging in again", slot->where);
    if (request == NULL || !slot->fresh ||
        (slot->token.flags & (CKF_USER_PIN_LOCKED | CKF_USER_PIN_FINAL_TRY)) !=
            0)
        rv = check_token(slot, err);
    if (rv == CKR_OK && !has_pin_pad(slot))
        rv = choose_pin(slot, request, &pin, err);
    if (rv != CKR_OK)
        return rv;
    return try_pin(slot, session, CKU_USER, pin, slot->where, err);
}

static void login_wait(struct p11_slot *slot)
{
    while (slot->login == P11_LOGIN_BUSY)
        pthread_cond_wait(&slot->login_done, &slot->lock);
}

CK_RV p11_slot_login(struct p11_slot *slot, const struct p11_session *session,
                     const struct p11_pin_request *request, unsigned long seen,
                     struct p11_error *err)
{
    bool done;
    CK_RV rv;

    pthread_mutex_lock(&slot->lock);
    login_wait(slot);
    if (request == NULL && slot->epoch == seen) {
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
    rv = login_now(slot, session, request, err);
    pthread_mutex_lock(&slot->lock);
    slot->login = rv == CKR_OK ? P11_LOGGED_IN : P11_LOGGED_OUT;
    pthread_cond_broadcast(&slot->login_done);
    pthread_mutex_unlock(&slot->lock);
    return rv;
}

CK_RV p11_slot_login_context(struct p11_slot *slot,
                             const struct p11_session *session,
                             const char *where, struct p11_error *err)
{
    struct p11_pin *pin = good_pin(slot);
    CK_RV rv = refused_before(slot, NULL);

    if (pin == NULL && !has_pin_pad(slot))
        return rv != CKR_OK ? not_repeated(rv, where, err)
                            : p11_error_set(err, P11_NO_PIN, "%s: %s", where,
                                            p11_rv_info(P11_NO_PIN)->fix);
    return try_pin(slot, session, CKU_CONTEXT_SPECIFIC, pin, where, err);
}

bool p11_slot_forgot_us(struct p11_slot *slot,
                        const struct p11_session *session)
{
    CK_SESSION_INFO info = { 0 };

    return (slot->token.flags & CKF_LOGIN_REQUIRED) != 0 &&
           P11_CALL(slot->module->fl, C_GetSessionInfo, session->handle,
                    &info) == CKR_OK &&
           info.state != CKS_RW_USER_FUNCTIONS &&
           info.state != CKS_RO_USER_FUNCTIONS;
}

unsigned long p11_slot_epoch(struct p11_slot *slot)
{
    unsigned long epoch;

    pthread_mutex_lock(&slot->lock);
    login_wait(slot);
    epoch = slot->epoch;
    pthread_mutex_unlock(&slot->lock);
    return epoch;
}
