/* SPDX-License-Identifier: Apache-2.0 */
#include "generate.h"

#include <stdio.h>
#include <string.h>
#include "attr.h"
#include "calls.h"
#include "key.h"
#include "log.h"
#include "session.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* PKCS #11 v2.40 mechanisms, 2.1.4: as AWS CloudHSM calls its RSA keys. */
#ifndef CKM_RSA_X9_31_KEY_PAIR_GEN
#define CKM_RSA_X9_31_KEY_PAIR_GEN 0xaUL
#endif

/*
 * How to ask for a key; those for one type are tried in turn when the token
 * does not know the mechanism or the curve.  An Edwards curve is named by its
 * object identifier, or by a PrintableString (PKCS #11 v3.0, 2.3.5).
 */
static const struct way {
    CK_KEY_TYPE type;
    CK_MECHANISM_TYPE mechanism;
    const char *curve, *other; /* for that curve alone: its other name */
} ways[] = {
    { CKK_RSA, CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, NULL },
    { CKK_RSA, CKM_RSA_X9_31_KEY_PAIR_GEN, NULL, NULL },
    { CKK_EC, CKM_EC_KEY_PAIR_GEN, NULL, NULL },
    { CKK_EC_EDWARDS, CKM_EC_EDWARDS_KEY_PAIR_GEN, NULL, NULL },
    /* In octal, as 'e' is a hexadecimal digit too. */
    { CKK_EC_EDWARDS, CKM_EC_EDWARDS_KEY_PAIR_GEN, "\x06\x03\x2b\x65\x70",
      "\023\014edwards25519" },
    { CKK_ML_DSA, CKM_ML_DSA_KEY_PAIR_GEN, NULL, NULL },
};

/* What to ask for, by how much it matters. */
enum demand {
    MUST,   /* no key without it */
    SHOULD, /* tokens without such uses may not know the attribute */
    COULD,  /* AWS CloudHSM: the same as CKA_SIGN, or not at all */
    DEMANDS
};

struct use {
    CK_ATTRIBUTE_TYPE type;
    CK_BBOOL value;
    enum demand demand;
};

static const struct use private_uses[] = {
    { CKA_TOKEN, CK_TRUE, MUST },          { CKA_PRIVATE, CK_TRUE, MUST },
    { CKA_SENSITIVE, CK_TRUE, MUST },      { CKA_EXTRACTABLE, CK_FALSE, MUST },
    { CKA_SIGN, CK_TRUE, MUST },           { CKA_DECRYPT, CK_FALSE, SHOULD },
    { CKA_DERIVE, CK_FALSE, SHOULD },      { CKA_UNWRAP, CK_FALSE, SHOULD },
    { CKA_SIGN_RECOVER, CK_FALSE, COULD },
};

/* CKA_PRIVATE is the token's choice: CloudHSM has none but private objects. */
static const struct use public_uses[] = {
    { CKA_TOKEN, CK_TRUE, MUST },      { CKA_VERIFY, CK_TRUE, MUST },
    { CKA_ENCRYPT, CK_FALSE, SHOULD }, { CKA_WRAP, CK_FALSE, SHOULD },
    { CKA_DERIVE, CK_FALSE, SHOULD },  { CKA_VERIFY_RECOVER, CK_FALSE, COULD },
};

CK_RV p11_generate_is_free(struct p11_slot *slot, struct p11_session *session,
                           const struct p11_uri_value *label,
                           const struct p11_uri_value *id,
                           struct p11_taken *taken, struct p11_error *err)
{
    for (int i = 0; i < 4; i++) {
        CK_OBJECT_CLASS class = i < 2 ? CKO_PRIVATE_KEY : CKO_PUBLIC_KEY;
        bool by_id = i % 2 != 0;
        const struct p11_uri_value *name = by_id ? id : label;
        CK_ATTRIBUTE tmpl[] = { { CKA_CLASS, &class, sizeof(class) },
                                { by_id ? CKA_ID : CKA_LABEL, name->bytes,
                                  (CK_ULONG)name->len } };
        CK_OBJECT_HANDLE found;
        CK_ULONG count = 0;
        CK_RV rv = CKR_OK;

        if (name->present)
            rv = p11_objects_find(slot->module->fl, session->handle, tmpl, 2,
                                  &found, 1, &count, slot->where, err);
        if (rv != CKR_OK)
            return rv;
        *taken = (struct p11_taken){ class, tmpl[1].type };
        if (count > 0)
            return p11_error_set(err, P11_KEY_EXISTS,
                                 "%s: a %s key with this %s exists",
                                 slot->where, i < 2 ? "private" : "public",
                                 by_id ? "CKA_ID" : "CKA_LABEL");
    }
    return CKR_OK;
}

/* Room for all uses, label, id, and two of the type's own. */
#define TEMPLATE_MAX 16

struct template
{
    CK_ATTRIBUTE attr[TEMPLATE_MAX];
    CK_ULONG n;
};

static void put(struct template *to, CK_ATTRIBUTE_TYPE type, const void *value,
                size_t len)
{
    to->attr[to->n++] = (CK_ATTRIBUTE){ type, (void *)value, (CK_ULONG)len };
}

static void put_common(struct template *to, const struct p11_new_key *new,
                       const struct use *uses, size_t n, enum demand demand)
{
    to->n = 0;
    if (new->label.present)
        put(to, CKA_LABEL, new->label.bytes, new->label.len);
    if (new->id.present)
        put(to, CKA_ID, new->id.bytes, new->id.len);
    for (size_t i = 0; i < n; i++) {
        if (uses[i].demand <= demand)
            put(to, uses[i].type, &uses[i].value, sizeof(uses[i].value));
    }
}

static CK_RV ask(struct p11_slot *slot, struct p11_session *session,
                 const struct p11_new_key *new, const struct way *way,
                 enum demand demand, CK_OBJECT_HANDLE *private_key)
{
    static const unsigned char exponent[] = { 1, 0, 1 };
    const struct p11_vendor *vendor = &slot->module->vendor;
    CK_MECHANISM mechanism = {
        p11_vendor_number(vendor, P11_CKM, way->mechanism), NULL, 0
    };
    CK_ULONG set = p11_vendor_number(vendor, P11_CKP, new->parameter_set);
    CK_OBJECT_HANDLE public_key = 0;
    struct template public, private;

    put_common(&private, new, private_uses, COUNT(private_uses), demand);
    put_common(&public, new, public_uses, COUNT(public_uses), demand);
    if (new->type == CKK_RSA) {
        put(&public, CKA_MODULUS_BITS, &new->bits, sizeof(new->bits));
        put(&public, CKA_PUBLIC_EXPONENT, exponent, sizeof(exponent));
    } else if (new->type == CKK_ML_DSA) {
        put(&public, p11_vendor_number(vendor, P11_CKA, CKA_PARAMETER_SET),
            &set, sizeof(set));
    } else if (way->other != NULL) {
        put(&public, CKA_EC_PARAMS, way->other, strlen(way->other));
    } else {
        put(&public, CKA_EC_PARAMS, new->params, new->params_len);
    }
    return P11_CALL(slot->module->fl, C_GenerateKeyPair, session->handle,
                    &mechanism, public.attr, public.n, private.attr, private.n,
                    &public_key, private_key);
}

bool p11_generate_is_unknown(CK_RV rv)
{
    return rv == CKR_MECHANISM_INVALID || rv == CKR_DOMAIN_PARAMS_INVALID ||
           rv == CKR_CURVE_NOT_SUPPORTED;
}

/*
 * Fewer attributes may be understood.  After CKR_GENERAL_ERROR a pair may have
 * been made all the same, except where it is known for what it is.
 */
static bool is_unknown_attribute(const struct p11_module *module, CK_RV rv)
{
    if (rv == CKR_GENERAL_ERROR)
        return (module->quirks & P11_QUIRK_REFUSES_GENERALLY) != 0;
    return rv == CKR_TEMPLATE_INCONSISTENT || rv == CKR_ATTRIBUTE_READ_ONLY ||
           rv == CKR_ATTRIBUTE_TYPE_INVALID ||
           rv == CKR_ATTRIBUTE_VALUE_INVALID;
}

static bool is_way_for(const struct way *way, const struct p11_new_key *new)
{
    return way->type == new->type &&
           (way->curve == NULL ||
            (strlen(way->curve) ==
             new->params_len &&memcmp(way->curve, new->params,
                                      new->params_len) == 0));
}

CK_RV p11_generate_pair(struct p11_slot *slot, struct p11_session *session,
                        const struct p11_new_key *new,
                        CK_OBJECT_HANDLE *private_key, struct p11_error *err)
{
    CK_RV rv = CKR_MECHANISM_INVALID;
    bool again = true;
    char where[160];

    for (size_t i = 0; i < COUNT(ways) && again; i++) {
        int demand = (slot->module->quirks & P11_QUIRK_NO_RECOVER) != 0
                         ? COULD
                         : DEMANDS;

        if (!is_way_for(&ways[i], new))
            continue;
        do {
            demand--;
            rv = ask(slot, session, new, &ways[i], (enum demand)demand,
                     private_key);
        } while (demand > MUST && is_unknown_attribute(slot->module, rv));
        /* It may be the value of CKA_EC_PARAMS that is not understood. */
        again =
            p11_generate_is_unknown(rv) ||
            (is_unknown_attribute(slot->module, rv) && new->type != CKK_RSA);
    }
    if (rv == CKR_OK)
        return CKR_OK;
    (void)snprintf(where, sizeof(where), "%s, a key of type %s", slot->where,
                   new->name);
    if (p11_generate_is_unknown(rv))
        return p11_error_set(err, rv,
                             "C_GenerateKeyPair: %s (%s): this token makes no "
                             "such keys; choose another type",
                             p11_rv_info(rv)->name, where);
    return p11_error_call(err, rv, "C_GenerateKeyPair", where);
}

CK_RV p11_generate_read(struct p11_slot *slot, struct p11_session *session,
                        CK_OBJECT_HANDLE private_key, struct p11_made *made,
                        struct p11_error *err)
{
    static const struct p11_attr_spec specs[] = {
        { CKA_SENSITIVE, sizeof(CK_BBOOL) },
        { CKA_EXTRACTABLE, sizeof(CK_BBOOL) },
        { CKA_DECRYPT, sizeof(CK_BBOOL) },
        { CKA_UNWRAP, sizeof(CK_BBOOL) },
        { CKA_DERIVE, sizeof(CK_BBOOL) },
    };
    struct p11_attrs attrs = { 0 };
    CK_RV rv = p11_attrs_read(slot->module, session->handle, private_key, specs,
                              COUNT(specs), &attrs);

    if (rv != CKR_OK)
        return p11_error_call(err, rv, "C_GetAttributeValue", slot->where);
    made->sensitive = p11_attrs_bool(&attrs, CKA_SENSITIVE, false);
    made->extractable = p11_attrs_bool(&attrs, CKA_EXTRACTABLE, true);
    made->more_uses = p11_attrs_bool(&attrs, CKA_DECRYPT, false) ||
                      p11_attrs_bool(&attrs, CKA_UNWRAP, false) ||
                      p11_attrs_bool(&attrs, CKA_DERIVE, false);
    p11_attrs_clear(&attrs);
    return CKR_OK;
}

/* In a session that is known to be good and logged in. */
static CK_RV make(struct p11_slot *slot, struct p11_session *session,
                  const struct p11_uri *uri, const struct p11_new_key *new,
                  struct p11_error *err)
{
    struct p11_taken taken = { 0 };
    struct p11_made made = { 0 };
    struct p11_error why = { 0 };
    CK_OBJECT_HANDLE key = 0;
    char asked[160];
    CK_RV rv = p11_generate_is_free(slot, session, &uri->object, &uri->id,
                                    &taken, &why);

    if (rv != CKR_OK)
        return p11_error_set(err, rv, "%s%s", why.text,
                             rv != P11_KEY_EXISTS ? ""
                             : taken.by == CKA_ID ? "; choose another id="
                                                  : "; choose another object=");
    rv = p11_generate_pair(slot, session, new, &key, err);
    if (rv != CKR_OK)
        return rv;
    p11_uri_describe(uri, asked, sizeof(asked));
    rv = p11_generate_read(slot, session, key, &made, &why);
    if (rv != CKR_OK)
        return p11_error_set(err, rv, "the key was made (%s), but: %s", asked,
                             why.text);
    if (!made.sensitive || made.extractable)
        return p11_error_set(err, P11_KEY_EXPOSED,
                             "%s: the token says that what it made is %s; "
                             "delete it (%s)",
                             slot->where,
                             made.extractable ? "extractable" : "not sensitive",
                             asked);
    if (made.more_uses)
        p11_log(P11_LOG_WARNING, "%s: the new key (%s) can do more than sign",
                slot->where, asked);
    return CKR_OK;
}

CK_RV p11_generate(struct p11_module *module, const struct p11_uri *uri,
                   const struct p11_pin_request *request,
                   const struct p11_new_key *new, struct p11_error *err)
{
    struct p11_session *session;
    struct p11_slot *slot;
    struct p11_key *key = NULL;
    /* That finds the token, logs in, and mends what was lost since. */
    CK_RV rv = p11_key_load(module, uri, request, &key, err);

    if (rv == CKR_OK)
        p11_key_free(key);
    else if (rv != P11_NO_KEY && rv != P11_MANY_KEYS)
        return rv;
    rv = p11_slot_find(module, uri, &slot, err);
    if (rv == CKR_OK)
        rv = p11_session_borrow(slot, &session, err);
    if (rv != CKR_OK)
        return rv;
    rv = make(slot, session, uri, new, err);
    p11_session_give_back(slot, session, rv);
    return rv;
}
