/* SPDX-License-Identifier: Apache-2.0 */
#include "vendor.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What tokens were seen or are said to number themselves (AWS CloudHSM). */
#define ROW(of, name)                                                          \
    {                                                                          \
        of, #name, name                                                        \
    }
static const struct {
    enum p11_number of;
    const char *name;
    CK_ULONG standard;
} rows[P11_VENDOR_NUMBERS] = {
    ROW(P11_CKK, CKK_EC_EDWARDS),
    ROW(P11_CKM, CKM_EDDSA),
    ROW(P11_CKM, CKM_EC_EDWARDS_KEY_PAIR_GEN),
    ROW(P11_CKK, CKK_ML_DSA),
    ROW(P11_CKM, CKM_ML_DSA),
    ROW(P11_CKM, CKM_ML_DSA_KEY_PAIR_GEN),
    ROW(P11_CKA, CKA_PARAMETER_SET),
    ROW(P11_CKP, CKP_ML_DSA_44),
    ROW(P11_CKP, CKP_ML_DSA_65),
    ROW(P11_CKP, CKP_ML_DSA_87),
};

bool p11_vendor_set(struct p11_vendor *vendor, const char *text, size_t len)
{
    const char *digits = memchr(text, ':', len);
    size_t name_len, row = 0;
    CK_ULONG number;
    char *end;

    if (digits == NULL)
        return false;
    name_len = (size_t)(digits - text);
    while (row < P11_VENDOR_NUMBERS &&
           (strlen(rows[row].name) != name_len ||
            memcmp(rows[row].name, text, name_len) != 0))
        row++;
    /* strtoul() would take blanks and signs. */
    if (row == P11_VENDOR_NUMBERS || len < name_len + 4 ||
        memcmp(digits, ":0x", 3) != 0 || !isxdigit((unsigned char)digits[3]))
        return false;
    errno = 0;
    number = strtoul(digits + 1, &end, 16);
    if (end != text + len || errno != 0 || number == 0 ||
        vendor->number[row] != 0)
        return false;
    for (size_t i = 0; i < P11_VENDOR_NUMBERS; i++) {
        if (rows[i].of == rows[row].of && vendor->number[i] == number)
            return false;
    }
    vendor->number[row] = number;
    vendor->any = true;
    return true;
}

CK_ULONG p11_vendor_number(const struct p11_vendor *vendor, enum p11_number of,
                           CK_ULONG standard)
{
    for (size_t i = 0; vendor->any && i < P11_VENDOR_NUMBERS; i++) {
        if (rows[i].of == of && rows[i].standard == standard &&
            vendor->number[i] != 0)
            return vendor->number[i];
    }
    return standard;
}

CK_ULONG p11_standard_number(const struct p11_vendor *vendor,
                             enum p11_number of, CK_ULONG number)
{
    for (size_t i = 0; i < P11_VENDOR_NUMBERS; i++) {
        /* 0, which is CKK_RSA, is nobody's own. */
        if (rows[i].of == of && number != 0 && vendor->number[i] == number)
            return rows[i].standard;
    }
    return number;
}
