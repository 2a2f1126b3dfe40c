/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One signature with a key: two calls, and what has to be done again if the
 * token has lost something meanwhile.
 */
#include <string.h>
#include "calls.h"
#include "key.h"
#include "login.h"
#include "retry.h"
#include "session.h"

struct signing {
    CK_MECHANISM *mechanism;
    const unsigned char *in;
    size_t len;
    unsigned char *sig;
    CK_ULONG sig_len; /* the buffer's size, then the signature's */
    unsigned retries;
};

static CK_RV sign_once(struct p11_key *key, struct p11_session *session,
                       CK_OBJECT_HANDLE handle, unsigned long epoch,
                       struct signing *op, struct p11_error *err)
{
    CK_FUNCTION_LIST *fl = key->slot->module->fl;
    CK_ULONG sig_len = op->sig_len;
    CK_RV rv;

    rv = P11_CALL(fl, C_SignInit, session->handle, op->mechanism, handle);
    if (rv != CKR_OK)
        return p11_error_call(err, rv, "C_SignInit", key->where);
    /*
     * Another thread logged in meanwhile: it may be for that alone that the
     * call succeeded, with a handle of before, which may be another key's.
     */
    if (key->slot->epoch != epoch)
        return p11_error_call(err, P11_OVERTAKEN, "C_SignInit", key->where);
    if (key->always_authenticate) {
        rv = p11_slot_login_context(key->slot, session, key->where, err);
        if (rv != CKR_OK)
            return rv;
    }
    /* What was there must not be published if the token writes less. */
    memset(op->sig, 0, op->sig_len);
    rv = P11_CALL(fl, C_Sign, session->handle, (CK_BYTE *)op->in,
                  (CK_ULONG)op->len, op->sig, &sig_len);
    if (rv != CKR_OK)
        return p11_error_call(err, rv, "C_Sign", key->where);
    if (sig_len > op->sig_len)
        return p11_error_call(err, CKR_GENERAL_ERROR, "C_Sign", key->where);
    op->sig_len = sig_len;
    return CKR_OK;
}

/* SoftHSM answers CKR_GENERAL_ERROR while another thread logs out. */
static CK_RV understand(const struct p11_key *key, struct p11_session *session,
                        unsigned long epoch, CK_RV rv)
{
    return rv == CKR_GENERAL_ERROR &&
                   !p11_slot_was_logged_in(key->slot, session, epoch)
               ? CKR_USER_NOT_LOGGED_IN
               : rv;
}

static CK_RV sign_with(struct p11_key *key, struct p11_session *session,
                       struct signing *op, struct p11_error *err)
{
    CK_OBJECT_HANDLE handle;
    unsigned long epoch;
    CK_RV rv, lost;

    for (int tries = 0;; tries++) {
        rv = CKR_OK;
        if (!p11_key_handle(key, &handle, &epoch)) {
            rv = p11_key_find_again(key, session, epoch, err);
            p11_key_handle(key, &handle, &epoch);
        }
        lost = rv;
        if (rv == CKR_OK) {
            rv = sign_once(key, session, handle, epoch, op, err);
            lost = understand(key, session, epoch, rv);
        }
        if (rv == CKR_OK || tries >= p11_key_mends_max(lost))
            return rv;
        rv = p11_key_mend(key, session, lost, epoch, err);
        if (rv != CKR_OK)
            return rv;
        op->retries++;
    }
}

CK_MECHANISM_TYPE p11_key_mechanism(const struct p11_key *key,
                                    CK_MECHANISM_TYPE standard)
{
    return p11_vendor_number(&key->slot->module->vendor, P11_CKM, standard);
}

CK_RV p11_key_sign(struct p11_key *key, const CK_MECHANISM *mechanism,
                   const unsigned char *in, size_t len, unsigned char *sig,
                   size_t *sig_len, struct p11_error *err)
{
    CK_MECHANISM own = *mechanism;
    struct signing op = { &own, in, len, sig, (CK_ULONG)*sig_len, 0 };
    struct p11_retry retry = p11_retry_begin(key->slot->module);
    struct p11_session *session;
    CK_RV rv;

    own.mechanism = p11_key_mechanism(key, mechanism->mechanism);
    do {
        rv = p11_session_borrow(key->slot, &session, err);
        if (rv != CKR_OK)
            continue;
        rv = sign_with(key, session, &op, err);
        p11_session_give_back(key->slot, session, rv);
    } while (rv != CKR_OK && p11_retry(&retry, key->slot->module, rv, err) &&
             ++op.retries > 0);
    if (err != NULL)
        err->retries = op.retries;
    if (rv == CKR_OK)
        *sig_len = op.sig_len;
    return rv;
}
