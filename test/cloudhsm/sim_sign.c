/* SPDX-License-Identifier: Apache-2.0 */
/* Mechanisms: a table.  Signing, and what else begins with one. */
#include <string.h>
#include "sim.h"

#ifndef CKM_ML_DSA
#define CKM_ML_DSA 0x1dUL /* PKCS #11 v3.2 */
#endif
#ifndef CKM_RSA_X9_31_KEY_PAIR_GEN
#define CKM_RSA_X9_31_KEY_PAIR_GEN 0xaUL
#endif

/* A session's state: what kind of signature is under way. */
enum {
    SINGLE = 1, /* C_SignUpdate is refused */
    HASHES = 2, /* C_SignInit asks the HSM for the key */
    RSA = 4     /* of RSA's rate */
};

#define SAME(type, flags)                                                      \
    {                                                                          \
        type, type, flags                                                      \
    }
static const struct mechanism {
    CK_MECHANISM_TYPE type;
    CK_MECHANISM_TYPE behind; /* what it is there */
    int flags;
} mechanisms[] = {
    SAME(CKM_RSA_PKCS, SINGLE | RSA),
    SAME(CKM_RSA_PKCS_PSS, SINGLE | RSA),
    SAME(CKM_RSA_X_509, RSA),
    SAME(CKM_SHA1_RSA_PKCS, HASHES | RSA),
    SAME(CKM_SHA224_RSA_PKCS, HASHES | RSA),
    SAME(CKM_SHA256_RSA_PKCS, HASHES | RSA),
    SAME(CKM_SHA384_RSA_PKCS, HASHES | RSA),
    SAME(CKM_SHA512_RSA_PKCS, HASHES | RSA),
    SAME(CKM_SHA1_RSA_PKCS_PSS, HASHES | RSA),
    SAME(CKM_SHA224_RSA_PKCS_PSS, HASHES | RSA),
    SAME(CKM_SHA256_RSA_PKCS_PSS, HASHES | RSA),
    SAME(CKM_SHA384_RSA_PKCS_PSS, HASHES | RSA),
    SAME(CKM_SHA512_RSA_PKCS_PSS, HASHES | RSA),
    SAME(CKM_ECDSA, SINGLE),
    SAME(CKM_RSA_PKCS_KEY_PAIR_GEN, 0),
    { CKM_RSA_X9_31_KEY_PAIR_GEN, CKM_RSA_PKCS_KEY_PAIR_GEN, 0 },
    SAME(CKM_EC_KEY_PAIR_GEN, 0),
    SAME(CKM_RSA_PKCS_OAEP, 0),
    SAME(CKM_ECDH1_DERIVE, 0),
    SAME(CKM_GENERIC_SECRET_KEY_GEN, 0),
    SAME(CKM_AES_KEY_GEN, 0),
    SAME(CKM_AES_ECB, 0),
    SAME(CKM_AES_CBC, 0),
    SAME(CKM_AES_CBC_PAD, 0),
    SAME(CKM_AES_CTR, 0),
    SAME(CKM_AES_GCM, 0),
    SAME(CKM_SHA_1, 0),
    SAME(CKM_SHA224, 0),
    SAME(CKM_SHA256, 0),
    SAME(CKM_SHA384, 0),
    SAME(CKM_SHA512, 0),
};
enum { LISTED = sizeof(mechanisms) / sizeof(mechanisms[0]), VENDOR = 3 };

/* The i-th of those that the cluster has, the vendor's own at the end. */
static bool nth(size_t i, struct mechanism *mechanism)
{
    const struct mechanism vendor[VENDOR] = {
        { sim_config.eddsa, CKM_EDDSA, 0 },
        { sim_config.eddsa == 0 ? 0 : CKM_EC_EDWARDS_KEY_PAIR_GEN,
          CKM_EC_EDWARDS_KEY_PAIR_GEN, 0 },
        { sim_config.ml_dsa, CKM_ML_DSA, 0 },
    };

    *mechanism = i < LISTED ? mechanisms[i] : vendor[i - LISTED];
    return mechanism->type != 0 || i < LISTED;
}

static CK_RV find(CK_MECHANISM_TYPE type, struct mechanism *mechanism)
{
    for (size_t i = 0; i < LISTED + VENDOR; i++) {
        if (nth(i, mechanism) && mechanism->type == type)
            return CKR_OK;
    }
    *mechanism = (struct mechanism){ type, type, 0 };
    return sim_config.unlisted_mechanism;
}

CK_RV sim_mechanism(const CK_MECHANISM *mechanism, CK_MECHANISM *behind)
{
    struct mechanism found;
    CK_RV rv = CKR_ARGUMENTS_BAD;

    if (mechanism == NULL)
        return rv;
    rv = find(mechanism->mechanism, &found);
    *behind = *mechanism;
    behind->mechanism = found.behind;
    return rv;
}

CK_RV sim_C_GetMechanismInfo(CK_SLOT_ID slot, CK_MECHANISM_TYPE type,
                             CK_MECHANISM_INFO *info)
{
    struct mechanism found;
    CK_SLOT_ID behind = 0;
    CK_RV rv = sim_slot_behind(slot, &behind);

    if (rv == CKR_OK)
        rv = find(type, &found);
    return rv == CKR_OK
               ? sim_behind->C_GetMechanismInfo(behind, found.behind, info)
               : rv;
}

CK_RV sim_C_GetMechanismList(CK_SLOT_ID slot, CK_MECHANISM_TYPE *list,
                             CK_ULONG *count)
{
    struct mechanism mechanism;
    CK_MECHANISM_INFO info;
    CK_SLOT_ID behind = 0;
    CK_RV rv = sim_slot_behind(slot, &behind);
    CK_ULONG n = 0;

    if (rv != CKR_OK || count == NULL)
        return rv != CKR_OK ? rv : CKR_ARGUMENTS_BAD;
    for (size_t i = 0; i < LISTED + VENDOR; i++) {
        if (!nth(i, &mechanism) ||
            sim_C_GetMechanismInfo(slot, mechanism.type, &info) != CKR_OK)
            continue;
        if (list != NULL && n < *count)
            list[n] = mechanism.type;
        n++;
    }
    rv = list != NULL && n > *count ? CKR_BUFFER_TOO_SMALL : CKR_OK;
    *count = n;
    return rv;
}

/* A key's handle as the module behind knows it, if the user may use it. */
static CK_RV key_behind(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE handle,
                        struct sim_object *key)
{
    CK_OBJECT_HANDLE behind = CK_INVALID_HANDLE;

    if (!sim_logged_in(front_session(session)->slot))
        return CKR_USER_NOT_LOGGED_IN;
    if (!sim_handle_behind(handle, &behind) ||
        sim_object_look(session, behind, key) != CKR_OK)
        return CKR_KEY_HANDLE_INVALID;
    return CKR_OK;
}

static CK_RV use(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                 CK_OBJECT_HANDLE key, CK_MECHANISM *mechanism_behind,
                 struct sim_object *object)
{
    CK_RV rv = sim_mechanism(mechanism, mechanism_behind);

    return rv == CKR_OK ? key_behind(session, key, object) : rv;
}

CK_RV sim_C_SignInit(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                     CK_OBJECT_HANDLE key)
{
    CK_MECHANISM behind;
    struct mechanism found = { 0 };
    struct sim_object object;
    CK_RV rv = use(session, mechanism, key, &behind, &object);

    if (rv != CKR_OK)
        return rv;
    (void)find(mechanism->mechanism, &found);
    if ((found.flags & HASHES) != 0 && sim_config.validate_key)
        rv = sim_trip(1);
    if (rv == CKR_OK && object.token && sim_key_is_unavailable(object.behind))
        rv = CKR_FUNCTION_FAILED;
    if (rv == CKR_OK)
        rv = sim_behind->C_SignInit(session, &behind, object.behind);
    if (rv == CKR_OK)
        front_session(session)->state = found.flags;
    return rv;
}

/* A failed call ends the operation (5.11), behind too. */
static void end_signing(CK_SESSION_HANDLE session)
{
    CK_BYTE thrown_away[4096] = { 0 };
    CK_ULONG n = sizeof(thrown_away);

    (void)sim_behind->C_Sign(session, thrown_away, 1, thrown_away, &n);
}

/* Before the module behind signs: the way to the HSM. */
static CK_RV request(CK_SESSION_HANDLE session, const CK_BYTE *sig)
{
    CK_RV rv = CKR_OK;

    if (sig == NULL) /* the length is known here */
        return CKR_OK;
    rv = sim_trip(1);
    if (rv == CKR_OK)
        rv = sim_sign_rate((front_session(session)->state & RSA) != 0);
    if (rv != CKR_OK)
        end_signing(session);
    return rv;
}

CK_RV sim_C_Sign(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG len,
                 CK_BYTE *sig, CK_ULONG *siglen)
{
    CK_RV rv = request(session, sig);

    return rv == CKR_OK ? sim_behind->C_Sign(session, data, len, sig, siglen)
                        : rv;
}

static CK_RV sign_final(CK_SESSION_HANDLE session, CK_BYTE *sig,
                        CK_ULONG *siglen)
{
    CK_RV rv = request(session, sig);

    return rv == CKR_OK ? sim_behind->C_SignFinal(session, sig, siglen) : rv;
}

static CK_RV sign_update(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG len)
{
    if ((front_session(session)->state & SINGLE) != 0 &&
        sim_config.single_part != CKR_OK) {
        end_signing(session);
        return sim_config.single_part;
    }
    return sim_behind->C_SignUpdate(session, data, len);
}

#define INIT(name)                                                             \
    static CK_RV init_##name(CK_SESSION_HANDLE session,                        \
                             CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)    \
    {                                                                          \
        CK_MECHANISM behind;                                                   \
        struct sim_object object;                                              \
        CK_RV rv = use(session, mechanism, key, &behind, &object);             \
                                                                               \
        return rv == CKR_OK                                                    \
                   ? sim_behind->name(session, &behind, object.behind)         \
                   : rv;                                                       \
    }
INIT(C_VerifyInit)
INIT(C_EncryptInit)
INIT(C_DecryptInit)

static CK_RV digest_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism)
{
    CK_MECHANISM behind;
    CK_RV rv = sim_mechanism(mechanism, &behind);

    return rv == CKR_OK ? sim_behind->C_DigestInit(session, &behind) : rv;
}

static CK_RV wrap(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                  CK_OBJECT_HANDLE wrapping_key, CK_OBJECT_HANDLE key,
                  CK_BYTE *wrapped, CK_ULONG *len)
{
    CK_MECHANISM behind;
    struct sim_object wrapping;
    struct sim_object wrapped_key;
    CK_RV rv = use(session, mechanism, wrapping_key, &behind, &wrapping);

    if (rv == CKR_OK)
        rv = key_behind(session, key, &wrapped_key);
    return rv == CKR_OK
               ? sim_behind->C_WrapKey(session, &behind, wrapping.behind,
                                       wrapped_key.behind, wrapped, len)
               : rv;
}

static CK_RV unwrap(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                    CK_OBJECT_HANDLE unwrapping_key, CK_BYTE *wrapped,
                    CK_ULONG len, CK_ATTRIBUTE *templ, CK_ULONG count,
                    CK_OBJECT_HANDLE *key)
{
    CK_MECHANISM behind;
    struct sim_object unwrapping;
    CK_RV rv = use(session, mechanism, unwrapping_key, &behind, &unwrapping);

    if (rv == CKR_OK)
        rv = sim_behind->C_UnwrapKey(session, &behind, unwrapping.behind,
                                     wrapped, len, templ, count, key);
    if (rv == CKR_OK)
        *key = sim_handle(*key);
    return rv;
}

static CK_RV derive(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                    CK_OBJECT_HANDLE base_key, CK_ATTRIBUTE *templ,
                    CK_ULONG count, CK_OBJECT_HANDLE *key)
{
    CK_MECHANISM behind;
    struct sim_object base;
    CK_RV rv = use(session, mechanism, base_key, &behind, &base);

    if (rv == CKR_OK)
        rv = sim_behind->C_DeriveKey(session, &behind, base.behind, templ,
                                     count, key);
    if (rv == CKR_OK)
        *key = sim_handle(*key);
    return rv;
}

void sim_sign_functions(CK_FUNCTION_LIST *list)
{
    list->C_SignUpdate = sign_update;
    list->C_SignFinal = sign_final;
    list->C_VerifyInit = init_C_VerifyInit;
    list->C_EncryptInit = init_C_EncryptInit;
    list->C_DecryptInit = init_C_DecryptInit;
    list->C_DigestInit = digest_init;
    list->C_WrapKey = wrap;
    list->C_UnwrapKey = unwrap;
    list->C_DeriveKey = derive;
}
