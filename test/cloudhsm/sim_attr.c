/* SPDX-License-Identifier: Apache-2.0 */
/* Which attributes the objects have: a table, as in AWS's documentation. */
#include <string.h>
#include "sim.h"

/*
 * One letter for each kind of object, in the order of enum sim_object_kind:
 *   w  told, and may be given when the object is made
 *   r  told, and not to be given: CKR_ATTRIBUTE_READ_ONLY
 *   s  may be given, and is never told: CKR_ATTRIBUTE_SENSITIVE
 *   -  there is none: CKR_ATTRIBUTE_TYPE_INVALID, CKR_TEMPLATE_INCONSISTENT
 */
static const struct {
    CK_ATTRIBUTE_TYPE type;
    char kinds[SIM_KINDS + 1];
} attributes[] = {
    { CKA_CLASS, "wwwwww" },
    { CKA_TOKEN, "wwwwww" },
    { CKA_PRIVATE, "wwwwww" },
    { CKA_LABEL, "wwwwww" },
    { CKA_ID, "wwwwww" },
    { CKA_MODIFIABLE, "wwwwww" },
    { CKA_DESTROYABLE, "wwwwww" },
    { CKA_KEY_TYPE, "wwwww-" },
    { CKA_LOCAL, "rrrrr-" },
    { CKA_CHECK_VALUE, "rrrrr-" },
    { CKA_SENSITIVE, "w-w-w-" },
    { CKA_EXTRACTABLE, "w-w-w-" },
    { CKA_ALWAYS_SENSITIVE, "r-r-r-" },
    { CKA_NEVER_EXTRACTABLE, "r-r-r-" },
    { CKA_SIGN, "w-w-w-" },
    { CKA_VERIFY, "-w-ww-" },
    { CKA_DECRYPT, "w-w-w-" },
    { CKA_ENCRYPT, "-w-ww-" },
    { CKA_UNWRAP, "w-w-w-" },
    { CKA_WRAP, "-w-ww-" },
    { CKA_DERIVE, "wwwww-" },
    { CKA_WRAP_WITH_TRUSTED, "w-w-w-" },
    { CKA_TRUSTED, "-w-ww-" },
    { CKA_MODULUS, "ww----" },
    { CKA_MODULUS_BITS, "-w----" },
    { CKA_PUBLIC_EXPONENT, "ww----" },
    { CKA_PRIVATE_EXPONENT, "s-----" },
    { CKA_PRIME_1, "s-----" },
    { CKA_PRIME_2, "s-----" },
    { CKA_EXPONENT_1, "s-----" },
    { CKA_EXPONENT_2, "s-----" },
    { CKA_COEFFICIENT, "s-----" },
    { CKA_EC_PARAMS, "--ww--" },
    { CKA_EC_POINT, "---w--" },
    { CKA_VALUE, "--s-sw" },
    { CKA_VALUE_LEN, "----w-" },
    { CKA_CERTIFICATE_TYPE, "-----w" },
    { CKA_SUBJECT, "-----w" },
    { CKA_ISSUER, "-----w" },
    { CKA_SERIAL_NUMBER, "-----w" },
};

/* The letter of an attribute; '-' for those not in the table. */
static char letter(enum sim_object_kind kind, CK_ATTRIBUTE_TYPE type)
{
    for (size_t i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++) {
        if (attributes[i].type == type)
            return attributes[i].kinds[kind];
    }
    return '-';
}

bool sim_attribute_is_known(CK_ATTRIBUTE_TYPE type)
{
    for (int kind = 0; kind < SIM_KINDS; kind++) {
        if (letter((enum sim_object_kind)kind, type) != '-')
            return true;
    }
    return false;
}

enum sim_object_kind sim_kind(CK_OBJECT_CLASS class, CK_KEY_TYPE type)
{
    bool ec = type == CKK_EC || type == CKK_EC_EDWARDS;

    if (class == CKO_CERTIFICATE)
        return SIM_CERTIFICATE;
    if (class == CKO_SECRET_KEY)
        return SIM_SECRET;
    if (!ec && type != CKK_RSA)
        return SIM_KINDS;
    if (class == CKO_PRIVATE_KEY)
        return ec ? SIM_EC_PRIVATE : SIM_RSA_PRIVATE;
    if (class == CKO_PUBLIC_KEY)
        return ec ? SIM_EC_PUBLIC : SIM_RSA_PUBLIC;
    return SIM_KINDS;
}

CK_RV sim_object_look(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE behind,
                      struct sim_object *object)
{
    CK_OBJECT_CLASS class = CK_UNAVAILABLE_INFORMATION;
    CK_KEY_TYPE type = CK_UNAVAILABLE_INFORMATION;
    CK_BBOOL token = CK_FALSE;
    CK_ATTRIBUTE templ[] = { { CKA_CLASS, &class, sizeof(class) },
                             { CKA_TOKEN, &token, sizeof(token) },
                             { CKA_KEY_TYPE, &type, sizeof(type) } };
    CK_RV rv = sim_behind->C_GetAttributeValue(session, behind, templ, 3);

    if (rv != CKR_OK && rv != CKR_ATTRIBUTE_TYPE_INVALID)
        return rv;
    *object = (struct sim_object){ session, behind, sim_kind(class, type),
                                   token != CK_FALSE };
    return object->kind == SIM_KINDS ? CKR_OBJECT_HANDLE_INVALID : CKR_OK;
}

/* ---- check values ---- */

/* FNV-1a; AWS says that there are three bytes, not what they are. */
static void hash(CK_BYTE value[3], const CK_BYTE *data, CK_ULONG len)
{
    unsigned h = 0x811c9dc5U;

    for (CK_ULONG i = 0; i < len; i++)
        h = (h ^ data[i]) * 0x1000193U;
    for (int i = 0; i < 3; i++)
        value[i] = (CK_BYTE)(h >> (8 * i));
}

/* The bytes of an attribute behind; 0 if it is empty or there is none. */
static CK_ULONG read(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                     CK_ATTRIBUTE_TYPE type, CK_BYTE *data, CK_ULONG size)
{
    CK_ATTRIBUTE templ = { type, data, size };

    if (sim_behind->C_GetAttributeValue(session, object, &templ, 1) != CKR_OK)
        return 0;
    return templ.ulValueLen;
}

/* The public half of a pair that was not made here: by CKA_ID. */
static CK_OBJECT_HANDLE public_half(const struct sim_object *object)
{
    CK_OBJECT_CLASS class = CKO_PUBLIC_KEY;
    CK_BYTE id[256];
    CK_ULONG n = read(object->session, object->behind, CKA_ID, id, sizeof(id));
    CK_ATTRIBUTE templ[] = { { CKA_CLASS, &class, sizeof(class) },
                             { CKA_ID, id, n } };
    CK_OBJECT_HANDLE found = CK_INVALID_HANDLE;
    CK_ULONG count = 0;

    if (n == 0 ||
        sim_behind->C_FindObjectsInit(object->session, templ, 2) != CKR_OK)
        return CK_INVALID_HANDLE;
    (void)sim_behind->C_FindObjects(object->session, &found, 1, &count);
    (void)sim_behind->C_FindObjectsFinal(object->session);
    return count == 1 ? found : CK_INVALID_HANDLE;
}

/*
 * Pairs made here have it in CKA_SUBJECT, which CloudHSM's keys do not show;
 * for others it is made of the public half, or else of the label.
 */
void sim_check_value(const struct sim_object *object, CK_BYTE value[3])
{
    CK_SESSION_HANDLE session = object->session;
    CK_BYTE data[1024];
    CK_ULONG n = read(session, object->behind, CKA_SUBJECT, data, sizeof(data));
    CK_OBJECT_HANDLE half = CK_INVALID_HANDLE;

    if (n == 3) {
        memcpy(value, data, 3);
        return;
    }
    n = read(session, object->behind, CKA_MODULUS, data, sizeof(data));
    if (n == 0 && object->kind == SIM_EC_PRIVATE)
        half = public_half(object);
    if (n == 0)
        n = read(session, half != CK_INVALID_HANDLE ? half : object->behind,
                 CKA_EC_POINT, data, sizeof(data));
    if (n == 0)
        n = read(session, object->behind, CKA_LABEL, data, sizeof(data));
    hash(value, data, n);
}

bool sim_answer(CK_ATTRIBUTE_TYPE type, struct front_answer *answer,
                const void *arg)
{
    const struct sim_object *object = arg;
    char how = letter(object->kind, type);

    *answer = (struct front_answer){ .rv = CKR_OK };
    if (how == '-') {
        answer->rv = CKR_ATTRIBUTE_TYPE_INVALID;
    } else if (how == 's') {
        answer->rv = CKR_ATTRIBUTE_SENSITIVE;
    } else if (type == CKA_CHECK_VALUE) {
        answer->len = 3;
        sim_check_value(object, answer->value);
    } else if (type == CKA_PRIVATE) {
        answer->len = sizeof(CK_BBOOL);
        answer->value[0] = object->kind != SIM_CERTIFICATE;
    } else {
        return false;
    }
    return true;
}

/* ---- templates ---- */

const CK_ATTRIBUTE *sim_template_get(const CK_ATTRIBUTE *templ, CK_ULONG count,
                                     CK_ATTRIBUTE_TYPE type)
{
    for (CK_ULONG i = 0; templ != NULL && i < count; i++) {
        if (templ[i].type == type)
            return &templ[i];
    }
    return NULL;
}

CK_ULONG sim_template_number(const CK_ATTRIBUTE *templ, CK_ULONG count,
                             CK_ATTRIBUTE_TYPE type, CK_ULONG other)
{
    const CK_ATTRIBUTE *attribute = sim_template_get(templ, count, type);
    CK_ULONG n = other;

    if (attribute == NULL || attribute->pValue == NULL)
        return other;
    if (attribute->ulValueLen == sizeof(CK_BBOOL))
        n = *(const CK_BBOOL *)attribute->pValue;
    else if (attribute->ulValueLen == sizeof(n))
        memcpy(&n, attribute->pValue, sizeof(n));
    return n;
}

CK_RV sim_template_check(enum sim_object_kind kind, const CK_ATTRIBUTE *templ,
                         CK_ULONG count)
{
    bool private = kind != SIM_CERTIFICATE;

    if (kind == SIM_KINDS)
        return CKR_ATTRIBUTE_VALUE_INVALID;
    for (CK_ULONG i = 0; i < count; i++) {
        char how = letter(kind, templ[i].type);

        if (how == '-')
            return CKR_TEMPLATE_INCONSISTENT;
        if (how == 'r')
            return CKR_ATTRIBUTE_READ_ONLY;
    }
    if (sim_template_number(templ, count, CKA_PRIVATE, private) == private)
        return CKR_OK;
    return private ? sim_config.private_false : CKR_ATTRIBUTE_VALUE_INVALID;
}
