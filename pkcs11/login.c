/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "calls.h"
#include "log.h"
#include "login.h"

/*
 * Nobody knows whether the token counts a login that failed for another reason
 * than the PIN.  Five lock a CloudHSM user.
 */
#define UNSURE_LOGINS_MAX 3

#define ASKS_MAX 5 /* in ask_token() */
static const struct timespec pause_between = { 0, 50000000 };

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

/* SoftHSM answers CKR_GENERAL_ERROR while another process writes the token. */
static CK_RV ask_token(struct p11_slot *slot, CK_TOKEN_INFO *info)
{
    CK_RV rv = CKR_GENERAL_ERROR;

    for (int i = 0; rv == CKR_GENERAL_ERROR && i < ASKS_MAX; i++) {
        if (i > 0)
            (void)nanosleep(&pause_between, NULL);
        rv = P11_CALL(slot->module->fl, C_GetTokenInfo, slot->id, info);
    }
    return rv;
}

/*
 * The token may have been unlocked, or another one be in its place, which
 * must not get this one's PIN.
 */
static CK_RV check_token(struct p11_slot *slot, struct p11_error *err)
{
    CK_TOKEN_INFO now = { 0 };
    CK_RV rv = ask_token(slot, &now);

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

/* A file or command may give another PIN the next time. */
static void remember_source(struct p11_slot *slot,
                            const struct p11_pin_request *request)
{
    const struct p11_pin_source *source = p11_pin_request_source(request);

    p11_pin_source_clear(&slot->source);
    if (source == NULL ||
        (source->kind != P11_PIN_FILE && source->kind != P11_PIN_COMMAND))
        return;
    /* Without memory, the PIN of now is used until it is refused. */
    (void)p11_pin_source_set(source->kind, source->name, source->origin,
                             &slot->source, NULL);
}

/* If the source has another PIN by now, and not a refused one, that. */
static bool renew(struct p11_slot *slot, struct p11_pin **pin)
{
    const struct p11_pin_request request = { .config = &slot->source };
    struct p11_pin *fresh;

    if (slot->source.kind == P11_PIN_NONE ||
        p11_pin_get(&request, slot->label, &fresh, NULL) != CKR_OK)
        return false;
    if (p11_pin_equal(fresh, *pin) || check_pin(slot, fresh, NULL) != CKR_OK) {
        p11_pin_free(fresh);
        return false;
    }
    p11_log(P11_LOG_INFO, "%s: %s has another PIN now", slot->where,
            slot->source.origin);
    *pin = fresh;
    return true;
}

/*
 * The PIN to try: the one that was good before, else what request gives: then
 * it is fresh, and the caller's.  request is NULL when there is nobody to ask
 * any more, but for the source.
 */
static CK_RV choose_pin(struct p11_slot *slot,
                        const struct p11_pin_request *request,
                        struct p11_pin **pin, bool *fresh,
                        struct p11_error *err)
{
    const struct p11_pin_request again = { .config = &slot->source };
    CK_RV rv;

    *pin = good_pin(slot);
    if (*pin != NULL) {
        *fresh = renew(slot, pin);
        return CKR_OK;
    }
    rv = refused_before(slot, NULL);
    if (request == NULL && rv != CKR_OK && slot->source.kind == P11_PIN_NONE)
        return not_repeated(rv, slot->where, err);
    rv = p11_pin_get(request != NULL ? request : &again, slot->label, pin, err);
    if (rv == CKR_OK) {
        rv = check_pin(slot, *pin, err);
        if (rv != CKR_OK)
            p11_pin_free(*pin);
    }
    *fresh = rv == CKR_OK;
    return rv;
}

/* The PIN is the list's now.  The slot's lock is held. */
static void remember(struct p11_slot *slot, struct p11_refused *refused,
                     struct p11_pin *pin, CK_RV rv)
{
    refused->pin = pin;
    refused->rv = rv;
    refused->next = slot->refused;
    slot->refused = refused;
}

/* It was refused with rv.  The slot's lock is held. */
static void remember_refused(struct p11_slot *slot, struct p11_refused *refused,
                             struct p11_pin *pin, CK_RV rv)
{
    if (slot->pin == pin) {
        /* The token's PIN has changed: what it refused may be that one. */
        p11_slot_forget_refused(slot);
        slot->pin = NULL;
    }
    remember(slot, refused, pin, rv);
}

/*
 * Call C_Login and remember what it says about the PIN: the slot's, or a fresh
 * one, which is the slot's or the list's afterwards, or freed.
 */
static CK_RV try_pin(struct p11_slot *slot, const struct p11_session *session,
                     CK_USER_TYPE user, struct p11_pin *pin, bool fresh,
                     const char *where, struct p11_error *err)
{
    /* Beforehand: a refusal that is not remembered costs another try. */
    struct p11_refused *refused = calloc(1, sizeof(*refused));
    const unsigned char *bytes = NULL;
    size_t len = 0;
    bool enough, tried;
    CK_RV rv;

    if (refused == NULL) {
        if (fresh)
            p11_pin_free(pin);
        return p11_error_set(err, CKR_HOST_MEMORY, "no memory for a login");
    }
    if (pin != NULL)
        bytes = p11_pin_bytes(pin, &len);
    rv = P11_CALL(slot->module->fl, C_Login, session->handle, user,
                  (CK_UTF8CHAR *)bytes, (CK_ULONG)len);
    tried = user != CKU_USER || rv != CKR_USER_ALREADY_LOGGED_IN;
    if (!tried)
        rv = CKR_OK;
    pthread_mutex_lock(&slot->lock);
    if (rv == CKR_OK && fresh && !tried && slot->pin != NULL) {
        /* The token has not looked at it: better the one that was good. */
        p11_pin_free(pin);
    } else if (rv == CKR_OK && fresh) {
        p11_pin_free(slot->pin);
        slot->pin = pin;
        slot->unsure_logins = 0;
    } else if (p11_rv_info(rv)->class == P11_CLASS_PIN && pin != NULL) {
        remember_refused(slot, refused, pin, rv);
        refused = NULL;
    } else if (rv != CKR_OK && fresh) {
        p11_pin_free(pin);
        slot->unsure_logins++;
    }
    enough = fresh && slot->unsure_logins >= UNSURE_LOGINS_MAX;
    pthread_mutex_unlock(&slot->lock);
    free(refused);
    if (rv == CKR_OK)
        return rv;
    p11_error_call(err, rv, "C_Login", where);
    /* Said as it is, but tried again by nobody. */
    return enough && p11_rv_info(rv)->class >= P11_CLASS_BUSY
               ? p11_error_set(err, P11_LOGIN, "%s",
                               err != NULL ? err->text : "")
               : rv;
}

/* Another PIN, after one was refused: that may have been the last but one. */
static CK_RV try_another(struct p11_slot *slot,
                         const struct p11_session *session, CK_USER_TYPE user,
                         struct p11_pin *pin, bool fresh, const char *where,
                         struct p11_error *err)
{
    CK_RV rv = check_token(slot, err);

    if (rv == CKR_OK)
        return try_pin(slot, session, user, pin, fresh, where, err);
    if (fresh)
        p11_pin_free(pin);
    return rv;
}

/*
 * The PIN was refused just now: who replaces it changes the token first, and
 * then the file.  Wait for that, but no longer than for anything else.
 */
static CK_RV wait_for_pin(struct p11_slot *slot,
                          const struct p11_session *session, CK_RV rv,
                          struct p11_error *err)
{
    const struct p11_pin_request again = { .config = &slot->source };
    const long end = p11_pin_now() + (long)slot->module->deadline;
    struct p11_pin *pin;

    while (p11_pin_now() < end) {
        (void)nanosleep(&pause_between, NULL);
        if (p11_pin_get(&again, slot->label, &pin, NULL) != CKR_OK)
            continue;
        if (check_pin(slot, pin, NULL) == CKR_OK)
            return try_another(slot, session, CKU_USER, pin, true, slot->where,
                               err);
        p11_pin_free(pin);
    }
    return rv;
}

/* By the only thread in P11_LOGIN_BUSY. */
static CK_RV login_now(struct p11_slot *slot, const struct p11_session *session,
                       const struct p11_pin_request *request,
                       struct p11_error *err)
{
    struct p11_pin *good = good_pin(slot), *pin = NULL;
    bool fresh = false;
    CK_RV rv = CKR_OK;

    if (request == NULL)
        p11_log(P11_LOG_INFO, "%s: logging in again", slot->where);
    if (request == NULL || !slot->fresh ||
        (slot->token.flags & (CKF_USER_PIN_LOCKED | CKF_USER_PIN_FINAL_TRY)) !=
            0)
        rv = check_token(slot, err);
    if (rv == CKR_OK && !has_pin_pad(slot))
        rv = choose_pin(slot, request, &pin, &fresh, err);
    if (rv != CKR_OK)
        return rv;
    rv = try_pin(slot, session, CKU_USER, pin, fresh, slot->where, err);
    /* A new PIN that is wrong does not cost the good one. */
    if (p11_rv_info(rv)->class == P11_CLASS_PIN && fresh && good != NULL)
        rv =
            try_another(slot, session, CKU_USER, good, false, slot->where, err);
    if (rv == CKR_PIN_INCORRECT && request == NULL &&
        slot->source.kind == P11_PIN_FILE)
        rv = wait_for_pin(slot, session, rv, err);
    if (rv == CKR_OK && request != NULL && good == NULL)
        remember_source(slot, request);
    return rv;
}

/* This and the next with the slot's lock held. */
static bool is_logged_in(const struct p11_slot *slot)
{
    return slot->login == P11_LOGGED_IN ||
           (slot->token.flags & CKF_LOGIN_REQUIRED) == 0;
}

static void login_wait(struct p11_slot *slot)
{
    while (slot->login == P11_LOGIN_BUSY)
        pthread_cond_wait(&slot->login_done, &slot->lock);
}

/* Be the only one with the slot's PINs; returns the state of before. */
static enum p11_login_state login_begin(struct p11_slot *slot)
{
    enum p11_login_state before;

    pthread_mutex_lock(&slot->lock);
    login_wait(slot);
    before = slot->login;
    slot->login = P11_LOGIN_BUSY;
    pthread_mutex_unlock(&slot->lock);
    return before;
}

static void login_end(struct p11_slot *slot, enum p11_login_state state)
{
    pthread_mutex_lock(&slot->lock);
    slot->login = state;
    pthread_cond_broadcast(&slot->login_done);
    pthread_mutex_unlock(&slot->lock);
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
    done = is_logged_in(slot);
    if (!done)
        slot->login = P11_LOGIN_BUSY;
    pthread_mutex_unlock(&slot->lock);
    if (done)
        return CKR_OK;
    rv = login_now(slot, session, request, err);
    login_end(slot, rv == CKR_OK ? P11_LOGGED_IN : P11_LOGGED_OUT);
    return rv;
}

CK_RV p11_slot_change_pin(struct p11_slot *slot,
                          const struct p11_session *session,
                          const struct p11_pin *pin,
                          const struct p11_pin_request *request,
                          struct p11_error *err)
{
    const struct p11_pin_source *source = p11_pin_request_source(request);
    struct p11_pin *copy = p11_pin_copy(pin);
    CK_RV rv;

    if (copy == NULL)
        return p11_error_set(err, CKR_HOST_MEMORY, "no memory for a PIN");
    (void)login_begin(slot);
    pthread_mutex_lock(&slot->lock);
    slot->epoch++;
    p11_slot_forget_refused(slot);
    pthread_mutex_unlock(&slot->lock);
    remember_source(slot, request);
    if (slot->source.kind == P11_PIN_NONE) {
        slot->source.kind = P11_PIN_LITERAL;
        slot->source.literal = copy;
        slot->source.origin = source != NULL ? source->origin : "it";
    } else {
        p11_pin_free(copy);
    }
    rv = P11_CALL(slot->module->fl, C_Logout, session->handle);
    login_end(slot, P11_LOGGED_OUT);
    return rv == CKR_OK || rv == CKR_USER_NOT_LOGGED_IN
               ? CKR_OK
               : p11_error_call(err, rv, "C_Logout", slot->where);
}

void p11_slot_refuse_pin(struct p11_slot *slot, const struct p11_pin *pin)
{
    struct p11_refused *refused = calloc(1, sizeof(*refused));
    struct p11_pin *copy = p11_pin_copy(pin);

    if (refused == NULL || copy == NULL ||
        refused_before(slot, pin) != CKR_OK) {
        free(refused);
        p11_pin_free(copy);
        return;
    }
    pthread_mutex_lock(&slot->lock);
    remember(slot, refused, copy, CKR_PIN_INCORRECT);
    pthread_mutex_unlock(&slot->lock);
}

CK_RV p11_slot_login_context(struct p11_slot *slot,
                             const struct p11_session *session,
                             const char *where, struct p11_error *err)
{
    /* One at a time: else many threads send a PIN that is refused. */
    enum p11_login_state before = login_begin(slot);
    struct p11_pin *pin = good_pin(slot);
    bool fresh = false;
    CK_RV rv;

    if (pin != NULL || has_pin_pad(slot)) {
        rv = try_pin(slot, session, CKU_CONTEXT_SPECIFIC, pin, false, where,
                     err);
    } else {
        rv = choose_pin(slot, NULL, &pin, &fresh, err);
        if (rv == CKR_OK)
            rv = try_another(slot, session, CKU_CONTEXT_SPECIFIC, pin, fresh,
                             where, err);
    }
    /* After a refusal the next load asks for another one. */
    login_end(slot, p11_rv_info(rv)->class == P11_CLASS_PIN ? P11_LOGGED_OUT
                                                            : before);
    return rv;
}

/* A session that is lost may have been so when it found nothing. */
static bool says_logged_in(const struct p11_slot *slot,
                           const struct p11_session *session)
{
    CK_SESSION_INFO info = { 0 };
    CK_RV rv =
        P11_CALL(slot->module->fl, C_GetSessionInfo, session->handle, &info);

    return rv == CKR_OK && (info.state == CKS_RW_USER_FUNCTIONS ||
                            info.state == CKS_RO_USER_FUNCTIONS);
}

bool p11_slot_was_logged_in(struct p11_slot *slot,
                            const struct p11_session *session,
                            unsigned long epoch)
{
    bool in = (slot->token.flags & CKF_LOGIN_REQUIRED) == 0 ||
              says_logged_in(slot, session);

    /* After that: a thread that logs in again begins an epoch before. */
    return in && p11_slot_epoch(slot) == epoch;
}

bool p11_slot_is_logged_in(struct p11_slot *slot)
{
    bool in;

    pthread_mutex_lock(&slot->lock);
    in = is_logged_in(slot);
    pthread_mutex_unlock(&slot->lock);
    return in;
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
