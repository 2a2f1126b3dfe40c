/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The numbers of a token that has something of the standard's under numbers of
 * its own.  Everything else in this project speaks the standard's: they are
 * translated where a call to the token is made.
 */
#ifndef HSMSIGN_VENDOR_H
#define HSMSIGN_VENDOR_H

#include <stdbool.h>
#include <stddef.h>
#include "cryptoki.h"

/* Each is 0 where the standard's number is meant. */
#define P11_VENDOR_NUMBERS 10
struct p11_vendor {
    CK_ULONG number[P11_VENDOR_NUMBERS];
    bool any; /* of the numbers is not 0: asked for with each signature */
};

/* What a number is of. */
enum p11_number { P11_CKA, P11_CKK, P11_CKM, P11_CKP };

/*
 * Take one, as it stands in the configuration: "CKM_EDDSA:0x80000010", of len
 * bytes.  Returns false for an unknown name, what is no hexadecimal number
 * from 1, a name given twice, and a number that two names have.
 */
bool p11_vendor_set(struct p11_vendor *vendor, const char *text, size_t len);

/* The token's number for the standard's, and the reverse. */
CK_ULONG p11_vendor_number(const struct p11_vendor *vendor, enum p11_number of,
                           CK_ULONG standard);
CK_ULONG p11_standard_number(const struct p11_vendor *vendor,
                             enum p11_number of, CK_ULONG number);

#endif
