/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding what may be the public half of a private key.
 *
 * One search without CKA_CLASS finds public keys and certificates together.
 * It also finds private and secret keys, whose CKA_VALUE is the secret
 * itself: that attribute is therefore asked for only once the class is known
 * to be a certificate's, or a public key's that has nothing else, in a call of
 * its own.
 */
#include "calls.h"
#include "key.h"
#include "login.h"
#include "retry.h"
#include "session.h"

/* Beyond this many objects with one id the id says nothing. */
#define CANDIDATES_MAX 16

static const struct p11_attr_spec public_specs[] = {
    { CKA_CLASS, sizeof(CK_OBJECT_CLASS) },
    { CKA_KEY_TYPE, sizeof(CK_KEY_TYPE) },
    { CKA_MODULUS, 1024 },
    { CKA_PUBLIC_EXPONENT, 16 },
    { CKA_EC_PARAMS, 64 },
    { CKA_EC_POINT, 160 },
};

static const struct p11_attr_spec ml_dsa_specs[] = {
    { CKA_CLASS, sizeof(CK_OBJECT_CLASS) },
    { CKA_KEY_TYPE, sizeof(CK_KEY_TYPE) },
    { CKA_PARAMETER_SET, sizeof(CK_ULONG) },
    { CKA_VALUE, 2592 },
};

static const struct p11_attr_spec certificate_specs[] = {
    { CKA_CLASS, sizeof(CK_OBJECT_CLASS) },
    { CKA_VALUE, 8192 },
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static const struct {
    CK_ATTRIBUTE_TYPE type;
    bool public_keys_only;
} searches[] = {
    [P11_BY_ID] = { CKA_ID, false },
    [P11_BY_CHECK_VALUE] = { CKA_CHECK_VALUE, true },
    [P11_BY_LABEL] = { CKA_LABEL, false },
};

/* The attributes of a public key or certificate; empty for anything else. */
static CK_RV read_candidate(const struct p11_module *module,
                            struct p11_session *session,
                            CK_OBJECT_HANDLE object, struct p11_attrs *attrs)
{
    CK_OBJECT_CLASS class;
    CK_KEY_TYPE type;
    CK_RV rv = p11_attrs_read(module, session->handle, object, public_specs,
                              COUNT(public_specs), attrs);

    if (rv != CKR_OK)
        return rv;
    class = p11_attrs_ulong(attrs, CKA_CLASS, CK_UNAVAILABLE_INFORMATION);
    type = p11_attrs_ulong(attrs, CKA_KEY_TYPE, CK_UNAVAILABLE_INFORMATION);
    if (class == CKO_PUBLIC_KEY && type != CKK_ML_DSA)
        return CKR_OK;
    p11_attrs_clear(attrs);
    if (class == CKO_PUBLIC_KEY)
        return p11_attrs_read(module, session->handle, object, ml_dsa_specs,
                              COUNT(ml_dsa_specs), attrs);
    if (class != CKO_CERTIFICATE)
        return CKR_OK;
    return p11_attrs_read(module, session->handle, object, certificate_specs,
                          COUNT(certificate_specs), attrs);
}

static CK_RV search(struct p11_key *key, struct p11_session *session,
                    enum p11_public_by by, p11_public_visit *visit, void *arg,
                    bool *visited, struct p11_error *err)
{
    const CK_ATTRIBUTE *tie = p11_attrs_get(&key->attrs, searches[by].type);
    CK_OBJECT_CLASS class = CKO_PUBLIC_KEY;
    CK_ATTRIBUTE tmpl[] = { *tie, { CKA_CLASS, &class, sizeof(class) } };
    CK_OBJECT_HANDLE own, found[CANDIDATES_MAX];
    CK_ULONG count;
    unsigned long epoch;
    bool done = false;
    CK_RV rv;

    *visited = false;
    p11_key_handle(key, &own, &epoch);
    rv = p11_objects_find(key->slot->module->fl, session->handle, tmpl,
                          searches[by].public_keys_only ? 2 : 1, found,
                          CANDIDATES_MAX, &count, key->where, err);
    for (CK_ULONG i = 0; rv == CKR_OK && !done && i < count; i++) {
        struct p11_attrs attrs = { 0 };

        if (found[i] == own)
            continue;
        rv = read_candidate(key->slot->module, session, found[i], &attrs);
        if (rv != CKR_OK)
            p11_error_call(err, rv, "C_GetAttributeValue", key->where);
        else if (attrs.count > 0) {
            *visited = true;
            done = visit(arg, &attrs);
        }
        p11_attrs_clear(&attrs);
    }
    return rv;
}

CK_RV p11_key_find_public(struct p11_key *key, enum p11_public_by by,
                          p11_public_visit *visit, void *arg,
                          struct p11_error *err)
{
    struct p11_retry retry = p11_retry_begin(key->slot->module);
    struct p11_session *session;
    unsigned long seen;
    bool visited = false;
    CK_RV rv;

    if (p11_attrs_get(&key->attrs, searches[by].type) == NULL)
        return CKR_OK;
    /* Not again if something would be seen twice. */
    do {
        rv = p11_session_borrow(key->slot, &session, err);
        if (rv != CKR_OK)
            continue;
        seen = p11_slot_epoch(key->slot);
        rv = search(key, session, by, visit, arg, &visited, err);
        if (rv != CKR_OK && !visited) {
            rv = p11_key_mend(key, session, rv, seen, err);
            if (rv == CKR_OK)
                rv = search(key, session, by, visit, arg, &visited, err);
        }
        p11_session_give_back(key->slot, session, rv);
    } while (!visited && p11_retry(&retry, key->slot->module, rv, err));
    return rv;
}
