/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fake token's objects: reading their attributes, finding them, signing
 * with them.
 */
#include <string.h>
#include "fake_internal.h"

/* What a token must not give away of a private or secret key. */
static const CK_ATTRIBUTE_TYPE private_components[] = {
    CKA_VALUE,       CKA_PRIVATE_EXPONENT,
    CKA_PRIME_1,     CKA_PRIME_2,
    CKA_EXPONENT_1,  CKA_EXPONENT_2,
    CKA_COEFFICIENT, CK_UNAVAILABLE_INFORMATION
};

/* A mechanism that is not here goes with any key (a vendor's, say). */
static const struct {
    CK_MECHANISM_TYPE mechanism;
    CK_KEY_TYPE key_type;
} mechanism_keys[] = {
    { CKM_RSA_PKCS, CKK_RSA },     { CKM_RSA_PKCS_PSS, CKK_RSA },
    { CKM_RSA_X_509, CKK_RSA },    { CKM_ECDSA, CKK_EC },
    { CKM_EDDSA, CKK_EC_EDWARDS }, { CKM_ML_DSA, CKK_ML_DSA },
};

bool fake_listed(const CK_ULONG *list, CK_ULONG type)
{
    while (*list != type && *list != CK_UNAVAILABLE_INFORMATION)
        list++;
    return *list == type;
}

const CK_ATTRIBUTE *fake_attribute(const struct fake_object *object,
                                   CK_ATTRIBUTE_TYPE type)
{
    size_t i = 0;

    for (i = 0; i < object->n; i++) {
        if (object->attributes[i].type == type)
            return &object->attributes[i];
    }
    return NULL;
}

bool fake_is_true(const struct fake_object *object, CK_ATTRIBUTE_TYPE type)
{
    const CK_ATTRIBUTE *attribute = fake_attribute(object, type);

    return attribute != NULL && attribute->ulValueLen == sizeof(CK_BBOOL) &&
           *(const CK_BBOOL *)attribute->pValue != CK_FALSE;
}

CK_ULONG fake_number(const struct fake_object *object, CK_ATTRIBUTE_TYPE type,
                     CK_ULONG absent)
{
    const CK_ATTRIBUTE *attribute = fake_attribute(object, type);
    CK_ULONG number = absent;

    if (attribute != NULL && attribute->ulValueLen == sizeof(number))
        memcpy(&number, attribute->pValue, sizeof(number));
    return number;
}

/* Private and secret keys, whose components are not for reading. */
static bool is_secret(const struct fake_object *object)
{
    CK_OBJECT_CLASS class = fake_number(object, CKA_CLASS, CKO_DATA);

    return class == CKO_PRIVATE_KEY || class == CKO_SECRET_KEY;
}

static bool is_key(const struct fake_object *object)
{
    return is_secret(object) ||
           fake_number(object, CKA_CLASS, CKO_DATA) == CKO_PUBLIC_KEY;
}

bool fake_needs_login(const struct fake *fake, const struct fake_object *object)
{
    const struct fake_slot *slot = &fake->slots[object->slot];

    if ((slot->flags & CKF_LOGIN_REQUIRED) == 0)
        return false;
    if (fake->profile->hidden_before_login)
        return true;
    if (fake_attribute(object, CKA_PRIVATE) == NULL)
        return is_secret(object);
    return fake_is_true(object, CKA_PRIVATE);
}

bool fake_wants_pin(const struct fake *fake, const struct fake_object *key)
{
    return fake_is_true(key, CKA_ALWAYS_AUTHENTICATE) &&
           !fake_listed(fake->profile->unsupported, CKA_ALWAYS_AUTHENTICATE);
}

struct fake_object *fake_object(struct fake *fake,
                                const struct fake_session *session,
                                CK_OBJECT_HANDLE handle, CK_RV none, CK_RV *rv)
{
    size_t i = 0;

    *rv = none;
    for (i = 0; i < FAKE_MAX_OBJECTS; i++) {
        struct fake_object *object = &fake->objects[i];

        if (!object->present || object->handle != handle ||
            object->slot != session->slot)
            continue;
        if (fake_needs_login(fake, object) &&
            !fake->slots[object->slot].logged_in) {
            *rv = CKR_USER_NOT_LOGGED_IN;
            return NULL;
        }
        *rv = CKR_OK;
        return object;
    }
    return NULL;
}

void fake_template(struct fake_call *call, const CK_ATTRIBUTE *templ,
                   CK_ULONG n)
{
    CK_ULONG i = 0;

    call->n_types = n;
    for (i = 0; templ != NULL && i < n && i < FAKE_MAX_TYPES; i++)
        call->types[i] = templ[i].type;
}

/* One attribute into the caller's template (v2.40, 5.7). */
static CK_RV read_attribute(const struct fake *fake,
                            const struct fake_object *object, CK_ATTRIBUTE *out)
{
    const CK_ATTRIBUTE *attribute = fake_attribute(object, out->type);
    const struct fake_profile *profile = fake->profile;
    bool hidden =
        is_key(object) && fake_listed(profile->unsupported, out->type);
    CK_RV rv = CKR_OK;

    if (is_secret(object) && fake_listed(profile->not_private, out->type))
        hidden = true;
    if (is_secret(object) && fake_is_true(object, CKA_SENSITIVE) &&
        fake_listed(private_components, out->type))
        rv = CKR_ATTRIBUTE_SENSITIVE;
    else if (attribute == NULL || hidden)
        rv = CKR_ATTRIBUTE_TYPE_INVALID;
    else if (out->pValue != NULL && out->ulValueLen < attribute->ulValueLen)
        rv = CKR_BUFFER_TOO_SMALL;
    if (rv != CKR_OK) {
        out->ulValueLen = CK_UNAVAILABLE_INFORMATION;
        return rv;
    }
    if (out->pValue != NULL && attribute->ulValueLen != 0)
        memcpy(out->pValue, attribute->pValue, attribute->ulValueLen);
    out->ulValueLen = attribute->ulValueLen;
    return CKR_OK;
}

CK_RV fake_C_GetAttributeValue(CK_SESSION_HANDLE handle,
                               CK_OBJECT_HANDLE object_handle,
                               CK_ATTRIBUTE *templ, CK_ULONG count)
{
    struct fake_call call = { .function = "C_GetAttributeValue",
                              .session = handle,
                              .object = object_handle };
    struct fake *fake = fake_get();
    CK_RV rv = fake_enter(fake, &call);
    const struct fake_session *session = NULL;
    const struct fake_object *object = NULL;
    CK_ULONG i = 0;

    fake_template(&call, templ, count);
    if (rv == CKR_OK)
        session = fake_session(fake, handle, &rv);
    if (rv == CKR_OK && (templ == NULL || count == 0))
        rv = CKR_ARGUMENTS_BAD;
    if (rv == CKR_OK)
        object = fake_object(fake, session, object_handle,
                             CKR_OBJECT_HANDLE_INVALID, &rv);
    /* One that is not there does not keep the others from being filled. */
    for (i = 0; object != NULL && i < count; i++) {
        CK_RV one = read_attribute(fake, object, &templ[i]);

        rv = rv == CKR_OK ? one : rv;
        if (is_secret(object) && fake_listed(private_components, templ[i].type))
            call.asked_private = true;
    }
    return fake_leave(fake, &call, rv);
}

static bool matches(const struct fake_object *object, const CK_ATTRIBUTE *templ,
                    CK_ULONG count)
{
    CK_ULONG i = 0;

    for (i = 0; i < count; i++) {
        const CK_ATTRIBUTE *attribute = fake_attribute(object, templ[i].type);

        if (attribute == NULL || attribute->ulValueLen != templ[i].ulValueLen ||
            (attribute->ulValueLen != 0 &&
             memcmp(attribute->pValue, templ[i].pValue,
                    attribute->ulValueLen) != 0))
            return false;
    }
    return true;
}

/* A search for keys by what the profile's keys do not have. */
static bool is_inconsistent(const struct fake *fake, const CK_ATTRIBUTE *templ,
                            CK_ULONG count)
{
    CK_OBJECT_CLASS class = CKO_CERTIFICATE;
    bool unsupported = false;
    CK_ULONG i = 0;

    for (i = 0; i < count; i++) {
        if (templ[i].type == CKA_CLASS && templ[i].ulValueLen == sizeof(class))
            memcpy(&class, templ[i].pValue, sizeof(class));
        else if (fake_listed(fake->profile->unsupported, templ[i].type))
            unsupported = true;
    }
    return unsupported && class != CKO_CERTIFICATE;
}

static CK_RV find_init(const struct fake *fake, struct fake_session *session,
                       const CK_ATTRIBUTE *templ, CK_ULONG count)
{
    const struct fake_slot *slot = &fake->slots[session->slot];
    size_t i = 0;

    if (templ == NULL && count != 0)
        return CKR_ARGUMENTS_BAD;
    if (session->finding)
        return CKR_OPERATION_ACTIVE;
    if (is_inconsistent(fake, templ, count))
        return CKR_TEMPLATE_INCONSISTENT;
    session->finding = true;
    session->n_found = 0;
    session->next_found = 0;
    for (i = 0; i < FAKE_MAX_OBJECTS; i++) {
        const struct fake_object *object = &fake->objects[i];

        if (object->present && object->slot == session->slot &&
            (slot->logged_in || !fake_needs_login(fake, object)) &&
            matches(object, templ, count))
            session->found[session->n_found++] = object->handle;
    }
    return CKR_OK;
}

CK_RV fake_C_FindObjectsInit(CK_SESSION_HANDLE handle, CK_ATTRIBUTE *templ,
                             CK_ULONG count)
{
    struct fake_call call = { .function = "C_FindObjectsInit",
                              .session = handle };
    struct fake *fake = fake_get();
    CK_RV rv = fake_enter(fake, &call);
    struct fake_session *session = NULL;

    fake_template(&call, templ, count);
    if (rv == CKR_OK)
        session = fake_session(fake, handle, &rv);
    if (rv == CKR_OK)
        rv = find_init(fake, session, templ, count);
    return fake_leave(fake, &call, rv);
}

CK_RV fake_C_FindObjects(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE *objects,
                         CK_ULONG max, CK_ULONG *count)
{
    struct fake_call call = { .function = "C_FindObjects", .session = handle };
    struct fake *fake = fake_get();
    CK_RV rv = fake_enter(fake, &call);
    struct fake_session *session = NULL;

    if (rv == CKR_OK)
        session = fake_session(fake, handle, &rv);
    if (rv == CKR_OK && (objects == NULL || count == NULL))
        rv = CKR_ARGUMENTS_BAD;
    if (rv == CKR_OK && !session->finding)
        rv = CKR_OPERATION_NOT_INITIALIZED;
    if (rv == CKR_OK) {
        *count = 0;
        while (*count < max && session->next_found < session->n_found)
            objects[(*count)++] = session->found[session->next_found++];
    }
    return fake_leave(fake, &call, rv);
}

CK_RV fake_C_FindObjectsFinal(CK_SESSION_HANDLE handle)
{
    struct fake_call call = { .function = "C_FindObjectsFinal",
                              .session = handle };
    struct fake *fake = fake_get();
    CK_RV rv = fake_enter(fake, &call);
    struct fake_session *session = NULL;

    if (rv == CKR_OK)
        session = fake_session(fake, handle, &rv);
    if (rv == CKR_OK && !session->finding)
        rv = CKR_OPERATION_NOT_INITIALIZED;
    if (rv == CKR_OK)
        session->finding = false;
    return fake_leave(fake, &call, rv);
}

static CK_RV check_mechanism(const struct fake *fake,
                             const CK_MECHANISM *mechanism,
                             const struct fake_object *key)
{
    const size_t n = sizeof(mechanism_keys) / sizeof(mechanism_keys[0]);
    size_t i = 0;

    while (i < fake->n_mechanisms &&
           fake->mechanisms[i] != mechanism->mechanism)
        i++;
    if (i == fake->n_mechanisms)
        return CKR_MECHANISM_INVALID;
    if (mechanism->ulParameterLen > FAKE_MAX_PARAMETER ||
        (mechanism->ulParameterLen != 0 && mechanism->pParameter == NULL))
        return CKR_MECHANISM_PARAM_INVALID;
    for (i = 0; i < n; i++) {
        if (mechanism_keys[i].mechanism == mechanism->mechanism &&
            mechanism_keys[i].key_type !=
                fake_number(key, CKA_KEY_TYPE, CK_UNAVAILABLE_INFORMATION))
            return CKR_KEY_TYPE_INCONSISTENT;
    }
    return CKR_OK;
}

static CK_RV sign_init(struct fake *fake, struct fake_session *session,
                       const CK_MECHANISM *mechanism, CK_OBJECT_HANDLE handle)
{
    CK_RV rv = CKR_OK;
    const struct fake_object *key =
        fake_object(fake, session, handle, CKR_KEY_HANDLE_INVALID, &rv);

    if (rv != CKR_OK)
        return rv;
    if (mechanism == NULL)
        return CKR_ARGUMENTS_BAD;
    if (session->signing)
        return CKR_OPERATION_ACTIVE;
    if (fake_number(key, CKA_CLASS, CKO_DATA) != CKO_PRIVATE_KEY)
        return CKR_KEY_TYPE_INCONSISTENT;
    rv = check_mechanism(fake, mechanism, key);
    if (rv != CKR_OK)
        return rv;
    if (!fake_is_true(key, CKA_SIGN))
        return CKR_KEY_FUNCTION_NOT_PERMITTED;
    session->signing = true;
    session->authenticated = false;
    session->key = handle;
    session->mechanism = *mechanism;
    if (mechanism->ulParameterLen != 0) {
        memcpy(session->parameter, mechanism->pParameter,
               mechanism->ulParameterLen);
        session->mechanism.pParameter = session->parameter;
    }
    return CKR_OK;
}

CK_RV fake_C_SignInit(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism,
                      CK_OBJECT_HANDLE key)
{
    struct fake_call call = { .function = "C_SignInit",
                              .session = handle,
                              .object = key };
    struct fake *fake = fake_get();
    CK_RV rv = fake_enter(fake, &call);
    struct fake_session *session = NULL;

    if (mechanism != NULL)
        call.mechanism = mechanism->mechanism;
    if (rv == CKR_OK)
        session = fake_session(fake, handle, &rv);
    if (rv == CKR_OK)
        rv = sign_init(fake, session, mechanism, key);
    return fake_leave(fake, &call, rv);
}

/*
 * The callback, without the mutex, so that signatures of several sessions
 * overlap as on a real token.  It gets copies of key and mechanism, since the
 * session may be lost meanwhile.
 */
static CK_RV call_back(struct fake *fake, const struct fake_session *session,
                       const struct fake_object *key, const CK_BYTE *data,
                       CK_ULONG len, CK_BYTE *sig, size_t *siglen)
{
    struct fake_object key_copy = *key;
    CK_MECHANISM mechanism = session->mechanism;
    unsigned char parameter[FAKE_MAX_PARAMETER];
    CK_RV rv = CKR_OK;

    memcpy(parameter, session->parameter, sizeof(parameter));
    if (mechanism.ulParameterLen != 0)
        mechanism.pParameter = parameter;
    pthread_mutex_unlock(&fake->lock);
    rv = fake->sign(fake, &key_copy, &mechanism, data, len, sig, siglen);
    pthread_mutex_lock(&fake->lock);
    return rv;
}

/* C_Sign, up to the end of the operation, of which *ends tells. */
static CK_RV sign(struct fake *fake, struct fake_session *session,
                  const CK_BYTE *data, CK_ULONG len, CK_BYTE *out,
                  CK_ULONG *outlen, bool *ends)
{
    CK_SESSION_HANDLE handle = session->handle;
    unsigned char sig[FAKE_MAX_SIGNATURE];
    size_t siglen = 0;
    CK_RV rv = CKR_OK;
    const struct fake_object *key =
        fake_object(fake, session, session->key, CKR_KEY_HANDLE_INVALID, &rv);

    *ends = true;
    if (rv != CKR_OK)
        return rv;
    if (outlen == NULL || (data == NULL && len != 0))
        return CKR_ARGUMENTS_BAD;
    if (fake_wants_pin(fake, key) && !session->authenticated)
        return CKR_USER_NOT_LOGGED_IN;
    session->busy = true;
    rv = call_back(fake, session, key, data, len, sig, &siglen);
    if (session->handle != handle)
        return fake->lost_session;
    session->busy = false;
    if (rv != CKR_OK)
        return rv;
    /* v2.40, 5.2: a size query and too small a buffer end nothing. */
    *ends = out != NULL && *outlen >= siglen;
    if (*ends)
        memcpy(out, sig, siglen);
    rv = *ends || out == NULL ? CKR_OK : CKR_BUFFER_TOO_SMALL;
    *outlen = siglen;
    return rv;
}

CK_RV fake_C_Sign(CK_SESSION_HANDLE handle, CK_BYTE *data, CK_ULONG len,
                  CK_BYTE *sig, CK_ULONG *siglen)
{
    struct fake_call call = { .function = "C_Sign", .session = handle };
    struct fake *fake = fake_get();
    CK_RV scripted = fake_enter(fake, &call);
    CK_RV rv = CKR_OK;
    struct fake_session *session = fake_session(fake, handle, &rv);
    bool ends = !fake->failed_sign_keeps_operation;

    if (rv == CKR_OK && scripted == CKR_OK && !session->signing)
        rv = CKR_OPERATION_NOT_INITIALIZED;
    else if (rv == CKR_OK && scripted == CKR_OK)
        rv = sign(fake, session, data, len, sig, siglen, &ends);
    if (session != NULL && session->handle == handle && ends) {
        session->signing = false;
        session->authenticated = false;
    }
    return fake_leave(fake, &call, scripted != CKR_OK ? scripted : rv);
}
