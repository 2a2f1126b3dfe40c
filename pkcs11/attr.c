/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include "attr.h"
#include "calls.h"

/* How much larger than expected a value may be. */
#define ATTR_GROWTH 8

CK_RV p11_objects_find(CK_FUNCTION_LIST *fl, CK_SESSION_HANDLE session,
                       CK_ATTRIBUTE *tmpl, CK_ULONG n,
                       CK_OBJECT_HANDLE *objects, CK_ULONG max, CK_ULONG *count,
                       const char *where, struct p11_error *err)
{
    CK_RV rv;

    /* For a token that counts what it does not give: CK_INVALID_HANDLE. */
    memset(objects, 0, max * sizeof(*objects));
    *count = 0;
    rv = P11_CALL(fl, C_FindObjectsInit, session, tmpl, n);
    if (rv != CKR_OK)
        return p11_error_call(err, rv, "C_FindObjectsInit", where);
    rv = P11_CALL(fl, C_FindObjects, session, objects, max, count);
    if (rv != CKR_OK)
        return p11_error_call(err, rv, "C_FindObjects", where);
    if (*count > max)
        *count = max;
    rv = P11_CALL(fl, C_FindObjectsFinal, session);
    if (rv != CKR_OK)
        return p11_error_call(err, rv, "C_FindObjectsFinal", where);
    return CKR_OK;
}

static bool is_number(CK_ATTRIBUTE_TYPE type)
{
    return type == CKA_CLASS || type == CKA_KEY_TYPE ||
           type == CKA_PARAMETER_SET;
}

/*
 * One byte larger than asked for, so that a length that is still exactly the
 * buffer's after a failed call was not written by the token; and a multiple
 * of what must be aligned (PKCS #11 v2.40, 3.4: CK_ATTRIBUTE).  A number has
 * its own size, since NSS fills no larger buffer.
 */
static CK_ULONG buffer_size(const struct p11_attr_spec *spec, CK_ULONG growth)
{
    if (is_number(spec->type))
        return sizeof(CK_ULONG);
    return (spec->size * growth / sizeof(CK_ULONG) + 1) * sizeof(CK_ULONG);
}

static bool attrs_layout(struct p11_attrs *attrs,
                         const struct p11_vendor *vendor,
                         const struct p11_attr_spec *specs, size_t n,
                         CK_ULONG growth)
{
    size_t total = 0;
    unsigned char *next;

    if (n == 0 || n > P11_ATTRS_MAX)
        return false;
    for (size_t i = 0; i < n; i++)
        total += buffer_size(&specs[i], growth);
    free(attrs->block);
    attrs->count = 0;
    attrs->block = calloc(1, total);
    if (attrs->block == NULL)
        return false;
    next = attrs->block;
    for (size_t i = 0; i < n; i++) {
        CK_ATTRIBUTE *attr = &attrs->attr[i];

        attr->type = p11_vendor_number(vendor, P11_CKA, specs[i].type);
        attr->pValue = next;
        attr->ulValueLen = buffer_size(&specs[i], growth);
        if (is_number(specs[i].type))
            memset(next, 0xff, sizeof(CK_ULONG));
        next += attr->ulValueLen;
    }
    attrs->count = n;
    return true;
}

/* Whether the token wrote nothing: no number is CK_UNAVAILABLE_INFORMATION. */
static bool is_untouched(const CK_ATTRIBUTE *attr,
                         const struct p11_attr_spec *spec, CK_ULONG size)
{
    static const CK_ULONG none = CK_UNAVAILABLE_INFORMATION;

    return attr->ulValueLen == size &&
           (!is_number(spec->type) ||
            memcmp(attr->pValue, &none, sizeof(none)) == 0);
}

/*
 * Some tokens stop at the first attribute that they do not know and leave
 * the rest untouched: ask for those one by one.
 */
static CK_RV attrs_settle(CK_FUNCTION_LIST *fl, CK_SESSION_HANDLE session,
                          CK_OBJECT_HANDLE object, struct p11_attrs *attrs,
                          const struct p11_attr_spec *specs, CK_ULONG growth,
                          bool partial)
{
    for (size_t i = 0; i < attrs->count; i++) {
        CK_ATTRIBUTE *attr = &attrs->attr[i];
        CK_ULONG size = buffer_size(&specs[i], growth);
        CK_RV rv = CKR_OK;

        if (partial && is_untouched(attr, &specs[i], size))
            rv = P11_CALL(fl, C_GetAttributeValue, session, object, attr, 1);
        if (rv != CKR_OK && !p11_rv_is_partial(rv))
            return rv;
        /* A length beyond the buffer is "unavailable", or a lie. */
        if (rv != CKR_OK || attr->ulValueLen > size) {
            attr->pValue = NULL;
            attr->ulValueLen = 0;
        }
    }
    return CKR_OK;
}

/* From the token's numbers to the standard's. */
static void to_standard(CK_ATTRIBUTE *attr, CK_ATTRIBUTE_TYPE type,
                        const struct p11_vendor *vendor)
{
    CK_ULONG number;

    attr->type = type;
    if ((type != CKA_KEY_TYPE && type != CKA_PARAMETER_SET) ||
        attr->ulValueLen != sizeof(number))
        return;
    memcpy(&number, attr->pValue, sizeof(number));
    number = p11_standard_number(
        vendor, type == CKA_KEY_TYPE ? P11_CKK : P11_CKP, number);
    memcpy(attr->pValue, &number, sizeof(number));
}

CK_RV p11_attrs_read(const struct p11_module *module, CK_SESSION_HANDLE session,
                     CK_OBJECT_HANDLE object, const struct p11_attr_spec *specs,
                     size_t n, struct p11_attrs *attrs)
{
    static const CK_ULONG growths[] = { 1, ATTR_GROWTH };
    CK_FUNCTION_LIST *fl = module->fl;
    CK_ULONG growth = 1;
    CK_RV rv = CKR_BUFFER_TOO_SMALL;

    for (size_t i = 0; i < 2 && rv == CKR_BUFFER_TOO_SMALL; i++) {
        growth = growths[i];
        if (!attrs_layout(attrs, &module->vendor, specs, n, growth))
            return CKR_HOST_MEMORY;
        rv = P11_CALL(fl, C_GetAttributeValue, session, object, attrs->attr,
                      (CK_ULONG)n);
    }
    /* Still too small: absent, since nothing we can use is that large. */
    if (rv == CKR_OK || p11_rv_is_partial(rv))
        rv = attrs_settle(fl, session, object, attrs, specs, growth,
                          rv != CKR_OK);
    if (rv != CKR_OK)
        p11_attrs_clear(attrs);
    for (size_t i = 0; i < attrs->count; i++)
        to_standard(&attrs->attr[i], specs[i].type, &module->vendor);
    return rv;
}

void p11_attrs_clear(struct p11_attrs *attrs)
{
    free(attrs->block);
    memset(attrs, 0, sizeof(*attrs));
}

const CK_ATTRIBUTE *p11_attrs_get(const struct p11_attrs *attrs,
                                  CK_ATTRIBUTE_TYPE type)
{
    for (size_t i = 0; i < attrs->count; i++) {
        const CK_ATTRIBUTE *attr = &attrs->attr[i];

        if (attr->type == type && attr->ulValueLen > 0)
            return attr;
    }
    return NULL;
}

CK_ULONG p11_attrs_ulong(const struct p11_attrs *attrs, CK_ATTRIBUTE_TYPE type,
                         CK_ULONG absent)
{
    const CK_ATTRIBUTE *attr = p11_attrs_get(attrs, type);
    CK_ULONG value;

    if (attr == NULL || attr->ulValueLen != sizeof(value))
        return absent;
    memcpy(&value, attr->pValue, sizeof(value));
    return value;
}

bool p11_attrs_bool(const struct p11_attrs *attrs, CK_ATTRIBUTE_TYPE type,
                    bool absent)
{
    const CK_ATTRIBUTE *attr = p11_attrs_get(attrs, type);

    if (attr == NULL || attr->ulValueLen != sizeof(CK_BBOOL))
        return absent;
    return *(const CK_BBOOL *)attr->pValue != CK_FALSE;
}

bool p11_attrs_same(const struct p11_attrs *a, const struct p11_attrs *b,
                    CK_ATTRIBUTE_TYPE type)
{
    const CK_ATTRIBUTE *x = p11_attrs_get(a, type);
    const CK_ATTRIBUTE *y = p11_attrs_get(b, type);

    if (x == NULL || y == NULL)
        return x == y;
    return x->ulValueLen == y->ulValueLen &&
           memcmp(x->pValue, y->pValue, x->ulValueLen) == 0;
}
