/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A private key on a token: found once, signs, and is found again when the
 * token has lost our session, login or handles.
 */
#ifndef HSMSIGN_KEY_H
#define HSMSIGN_KEY_H

#include "attr.h"
#include "pin.h"
#include "rv.h"
#include "slot.h"
#include "uri.h"

/* Fields are for key.c, key_sign.c, public.c and this file. */
struct p11_key {
    struct p11_slot *slot;
    /* What the URI asks for or the key has, owned; finds it again. */
    struct p11_uri_value label, id;
    struct p11_attrs attrs;
    bool always_authenticate, may_sign; /* of attrs */
    char where[192];
    atomic_ulong times_found;
    /* Written under the slot's lock; see p11_key_handle(). */
    _Atomic(CK_OBJECT_HANDLE) handle;
    atomic_ulong epoch; /* of the slot, for which the handle is good */
};

/*
 * Find the one private key that uri names, logging in if the token wants it.
 * *key is to be given back with p11_key_free(); it must not outlive the
 * module.  Returns CKR_OK, P11_NO_KEY, P11_MANY_KEYS, P11_UNSUPPORTED (type=
 * names something else than a private key), what p11_slot_find() and
 * p11_slot_login() return, or what a call answered.
 *
 * Costs, beyond finding the token and logging in once in a process, four
 * calls: C_FindObjectsInit, C_FindObjects, C_FindObjectsFinal,
 * C_GetAttributeValue; and C_OpenSession if no session is idle.  Blocks.
 */
CK_RV p11_key_load(struct p11_module *module, const struct p11_uri *uri,
                   const struct p11_pin_request *request, struct p11_key **key,
                   struct p11_error *err);
/*
 * The private key with that handle, which a search found in that epoch of the
 * slot; it is found again by its own label and id.  Returns CKR_OK,
 * CKR_HOST_MEMORY, or what a call answered.  Blocks for one call.
 */
CK_RV p11_key_open(struct p11_slot *slot, CK_OBJECT_HANDLE handle,
                   unsigned long epoch, struct p11_key **key,
                   struct p11_error *err);
void p11_key_free(struct p11_key *key);

/* CKK_RSA, CKK_EC, CKK_EC_EDWARDS, CKK_ML_DSA, or another. */
CK_KEY_TYPE p11_key_type(const struct p11_key *key);

/*
 * The attributes that were read from the private object; those which a token
 * does not have are absent: CKA_LABEL, CKA_ID, CKA_SIGN, CKA_MODULUS,
 * CKA_PUBLIC_EXPONENT, CKA_EC_PARAMS, CKA_EC_POINT, CKA_PUBLIC_KEY_INFO,
 * CKA_CHECK_VALUE, CKA_PARAMETER_SET, CKA_ALLOWED_MECHANISMS.
 */
const struct p11_attrs *p11_key_attrs(const struct p11_key *key);

/* token "demo", object "signer": for messages; no PIN. */
const char *p11_key_where(const struct p11_key *key);

/*
 * The URI that names this key alone, by all that it and its token go by; no
 * PIN.  As p11_uri_describe().
 */
void p11_key_uri(const struct p11_key *key, char *buf, size_t size);

/* Whether CKA_SIGN allows signing (true if the token does not say). */
static inline bool p11_key_may_sign(const struct p11_key *key)
{
    return key->may_sign;
}

/*
 * The handle and the epoch it is good for; returns whether that is still the
 * slot's.
 */
bool p11_key_handle(struct p11_key *key, CK_OBJECT_HANDLE *handle,
                    unsigned long *epoch);

/* The token's own number of a mechanism, or the standard's if it has none. */
CK_MECHANISM_TYPE p11_key_mechanism(const struct p11_key *key,
                                    CK_MECHANISM_TYPE standard);

/*
 * Sign in one part: C_SignInit, C_Sign (PKCS #11 v2.40, 5.11), and between
 * them C_Login if the key has CKA_ALWAYS_AUTHENTICATE.
 *
 * mechanism by the standard's number
 * in, len   what the mechanism takes, in bytes
 * sig       buffer for the signature, apart from in: it is cleared first
 * sig_len   its size in bytes; receives the signature's
 *
 * If the token has lost session, login or handle since, each is made anew and
 * the same signature is tried again; how often, err->retries tells, also when
 * it succeeds.  Returns CKR_OK, P11_KEY_CHANGED if the
 * URI meanwhile names another key, what p11_session_borrow() returns, or what
 * a call answered.  Blocks; any number of threads may sign with one key.
 */
CK_RV p11_key_sign(struct p11_key *key, const CK_MECHANISM *mechanism,
                   const unsigned char *in, size_t len, unsigned char *sig,
                   size_t *sig_len, struct p11_error *err);

/*
 * After a call for this key failed with rv: if a new session or login mends
 * that, make it, and return CKR_OK: try again.  seen is the epoch in which
 * the call was made.  Otherwise returns rv, or why it could not be mended.
 */
CK_RV p11_key_mend(struct p11_key *key, struct p11_session *session, CK_RV rv,
                   unsigned long seen, struct p11_error *err);

/* For key_sign.c: how often a call that ended with rv is made again at once. */
int p11_key_mends_max(CK_RV rv);
/*
 * The same: log in if needed, find the key, and see that it is still the same
 * one.  seen is p11_slot_login()'s.  Returns as p11_key_sign().
 */
CK_RV p11_key_find_again(struct p11_key *key, struct p11_session *session,
                         unsigned long seen, struct p11_error *err);

/*
 * How often the key was looked up again since it was loaded.  What is compared
 * then is what the token tells of the private object, which may be little;
 * who knows more (the public key) should look again when this changes.
 */
static inline unsigned long p11_key_times_found(struct p11_key *key)
{
    return atomic_load_explicit(&key->times_found, memory_order_acquire);
}

/* What ties a public object or certificate to a private key. */
enum p11_public_by {
    P11_BY_ID,          /* the same CKA_ID: PKCS #11's own way */
    P11_BY_CHECK_VALUE, /* public keys with the same CKA_CHECK_VALUE */
    P11_BY_LABEL        /* the same CKA_LABEL */
};

/*
 * A public key or certificate object: CKA_CLASS, CKA_KEY_TYPE, CKA_MODULUS,
 * CKA_PUBLIC_EXPONENT, CKA_EC_PARAMS, CKA_EC_POINT; CKA_PARAMETER_SET and
 * CKA_VALUE of an ML-DSA public key; CKA_VALUE, a DER certificate, without
 * CKA_KEY_TYPE of a certificate.  Returns true to end the search.
 */
typedef bool p11_public_visit(void *arg, const struct p11_attrs *attrs);

/*
 * Visit what may be the key's public half, until visit returns true.  Private
 * and secret keys are passed over by class; their values are never asked for.
 * Nothing is searched for when the private key lacks the attribute.  Returns
 * CKR_OK or what a call answered.  Blocks: three calls for the search, one
 * for each object, two for a certificate or an ML-DSA key.
 */
CK_RV p11_key_find_public(struct p11_key *key, enum p11_public_by by,
                          p11_public_visit *visit, void *arg,
                          struct p11_error *err);

#endif
