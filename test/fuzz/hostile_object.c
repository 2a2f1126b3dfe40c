/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "hostile_object.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define BYTES(array) array, sizeof(array)

/* P-256 (SEC 2, 2.4.2): its base point, and the order of that. */
#define BASE_X                                                                 \
    0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5,    \
        0x63, 0xa4, 0x40, 0xf2, 0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33,      \
        0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96
#define BASE_Y                                                                 \
    0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a,    \
        0x7c, 0x0f, 0x9e, 0x16, 0x2b, 0xce, 0x33, 0x57, 0x6b, 0x31, 0x5e,      \
        0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5

static const unsigned char base_x[32] = { BASE_X };
static const unsigned char order[32] = {
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17,
    0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51
};

static unsigned char label[] = { 's', 'i', 'g', 'n', 'e', 'r' };
static unsigned char id[] = { 1 };
static unsigned char exponent[] = { 1, 0, 1 };
static unsigned char modulus[256] = { 0xc5, [255] = 0x77 };
static unsigned char p256[] = { 0x06, 0x08, 0x2a, 0x86, 0x48,
                                0xce, 0x3d, 0x03, 0x01, 0x07 };
static unsigned char p256_point[] = { 0x04, 0x41, 0x04, BASE_X, BASE_Y };
static unsigned char ed25519[] = { 0x06, 0x03, 0x2b, 0x65, 0x70 };
static unsigned char ed25519_point[34] = { 0x04, 0x20, 0x58, [33] = 0x66 };
static unsigned char ml_dsa[1312] = { 0x55 };

static const struct {
    CK_KEY_TYPE type;
    CK_ULONG signature; /* in bytes */
} kinds[HOSTILE_KINDS] = {
    [HOSTILE_RSA] = { CKK_RSA, sizeof(modulus) },
    [HOSTILE_EC] = { CKK_EC, 64 },
    [HOSTILE_ED25519] = { CKK_EC_EDWARDS, 64 },
    [HOSTILE_ML_DSA] = { CKK_ML_DSA, 2420 },
};

#define ANY (-1)
static const struct {
    int kind; /* of key; ANY */
    CK_ATTRIBUTE_TYPE type;
    unsigned char *value;
    CK_ULONG len;
} values[] = {
    { ANY, CKA_LABEL, BYTES(label) },
    { ANY, CKA_ID, BYTES(id) },
    { HOSTILE_RSA, CKA_MODULUS, BYTES(modulus) },
    { HOSTILE_RSA, CKA_PUBLIC_EXPONENT, BYTES(exponent) },
    { HOSTILE_EC, CKA_EC_PARAMS, BYTES(p256) },
    { HOSTILE_EC, CKA_EC_POINT, BYTES(p256_point) },
    { HOSTILE_ED25519, CKA_EC_PARAMS, BYTES(ed25519) },
    { HOSTILE_ED25519, CKA_EC_POINT, BYTES(ed25519_point) },
    { HOSTILE_ML_DSA, CKA_VALUE, BYTES(ml_dsa) },
};

static CK_OBJECT_CLASS class_of(CK_OBJECT_HANDLE object)
{
    return object == HOSTILE_PUBLIC        ? CKO_PUBLIC_KEY
           : object == HOSTILE_CERTIFICATE ? CKO_CERTIFICATE
                                           : CKO_PRIVATE_KEY;
}

static bool has(CK_OBJECT_HANDLE object, const CK_ATTRIBUTE *attr)
{
    CK_OBJECT_CLASS class = class_of(object);
    const void *value = attr->type == CKA_CLASS   ? (const void *)&class
                        : attr->type == CKA_LABEL ? label
                                                  : id;
    size_t len = attr->type == CKA_CLASS   ? sizeof(class)
                 : attr->type == CKA_LABEL ? sizeof(label)
                                           : sizeof(id);

    return attr->ulValueLen == len && memcmp(attr->pValue, value, len) == 0;
}

void hostile_search(struct hostile_search *search, const CK_ATTRIBUTE *tmpl,
                    CK_ULONG n)
{
    search->n = search->next = 0;
    for (CK_OBJECT_HANDLE object = HOSTILE_PRIVATE;
         object <= HOSTILE_CERTIFICATE; object++) {
        bool all = true;

        for (CK_ULONG i = 0; i < n; i++)
            all = all && has(object, &tmpl[i]);
        if (all)
            search->found[search->n++] = object;
    }
}

CK_ULONG hostile_found(struct hostile_search *search, CK_OBJECT_HANDLE *objects,
                       CK_ULONG max)
{
    CK_ULONG count = 0;

    while (search->next < search->n && count < max)
        objects[count++] = search->found[search->next++];
    return count;
}

static CK_RV give(CK_ATTRIBUTE *attr, const void *value, CK_ULONG len)
{
    bool fits = attr->ulValueLen >= len;

    if (fits)
        memcpy(attr->pValue, value, len);
    attr->ulValueLen = fits ? len : CK_UNAVAILABLE_INFORMATION;
    return fits ? CKR_OK : CKR_BUFFER_TOO_SMALL;
}

CK_RV hostile_attribute(enum hostile_kind kind, bool always_authenticate,
                        CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attr)
{
    CK_OBJECT_CLASS class = class_of(object);
    CK_KEY_TYPE key = kinds[kind].type;
    CK_ULONG set = CKP_ML_DSA_44;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE, always = always_authenticate;

    if (attr->type == CKA_CLASS)
        return give(attr, &class, sizeof(class));
    if (attr->type == CKA_KEY_TYPE && class != CKO_CERTIFICATE)
        return give(attr, &key, sizeof(key));
    if (attr->type == CKA_PARAMETER_SET && kind == HOSTILE_ML_DSA)
        return give(attr, &set, sizeof(set));
    if (attr->type == CKA_SIGN || attr->type == CKA_SENSITIVE)
        return give(attr, &yes, sizeof(yes));
    if (attr->type == CKA_EXTRACTABLE)
        return give(attr, &no, sizeof(no));
    if (attr->type == CKA_ALWAYS_AUTHENTICATE)
        return give(attr, &always, sizeof(always));
    for (size_t i = 0; i < COUNT(values); i++) {
        if (attr->type == values[i].type &&
            (values[i].kind == ANY || values[i].kind == (int)kind) &&
            (attr->type != CKA_VALUE || class == CKO_PUBLIC_KEY))
            return give(attr, values[i].value, values[i].len);
    }
    attr->ulValueLen = CK_UNAVAILABLE_INFORMATION;
    return CKR_ATTRIBUTE_TYPE_INVALID;
}

/* a - b, both of 32 bytes, the highest first; what is left to borrow. */
static unsigned subtract(unsigned char *a, const unsigned char *b)
{
    unsigned borrow = 0;

    for (int i = 31; i >= 0; i--) {
        unsigned difference = a[i] - b[i] - borrow;

        a[i] = (unsigned char)difference;
        borrow = difference >> 8 & 1;
    }
    return borrow;
}

/*
 * FIPS 186-5, 6.4.1, with the private key 1 and the random number 1: r is the
 * base point's x, and s = e + r.
 */
static void ecdsa(const unsigned char *digest, CK_ULONG len, unsigned char *sig)
{
    unsigned char *s = sig + 32, reduced[32];
    unsigned carry = 0;

    memcpy(sig, base_x, 32);
    memset(s, 0, 32);
    memcpy(len < 32 ? s + 32 - len : s, digest, len < 32 ? len : 32);
    for (int i = 31; i >= 0; i--) {
        carry += s[i] + (unsigned)base_x[i];
        s[i] = (unsigned char)carry;
        carry >>= 8;
    }
    for (int i = 0; i < 2; i++) {
        unsigned borrow;

        memcpy(reduced, s, 32);
        borrow = subtract(reduced, order);
        if (borrow > carry)
            break;
        carry -= borrow;
        memcpy(s, reduced, 32);
    }
}

CK_RV hostile_signature(enum hostile_kind kind, const unsigned char *data,
                        CK_ULONG len, unsigned char *sig, CK_ULONG *sig_len)
{
    CK_ULONG size = kinds[kind].signature;

    if (*sig_len < size)
        return CKR_BUFFER_TOO_SMALL;
    *sig_len = size;
    memset(sig, 0x11, size);
    if (kind == HOSTILE_EC)
        ecdsa(data, len, sig);
    return CKR_OK;
}
