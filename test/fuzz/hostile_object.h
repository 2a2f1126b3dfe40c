/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The objects of the hostile token, as it shows them when it does not lie: a
 * private key, its public key, a certificate, of one label and id.
 */
#ifndef HSMSIGN_TEST_HOSTILE_OBJECT_H
#define HSMSIGN_TEST_HOSTILE_OBJECT_H

#include "hostile_token.h"

enum { HOSTILE_PRIVATE = 101, HOSTILE_PUBLIC, HOSTILE_CERTIFICATE };

struct hostile_search {
    size_t n, next;
    CK_OBJECT_HANDLE found[3];
};

/* Begin a search for what has the n attributes of tmpl. */
void hostile_search(struct hostile_search *search, const CK_ATTRIBUTE *tmpl,
                    CK_ULONG n);

/* Give the next, max at most; their number. */
CK_ULONG hostile_found(struct hostile_search *search, CK_OBJECT_HANDLE *objects,
                       CK_ULONG max);

/* Give one attribute of an object (PKCS #11 v2.40, 5.7). */
CK_RV hostile_attribute(enum hostile_kind kind, bool always_authenticate,
                        CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attr);

/* A signature of the key's length, as C_Sign. */
CK_RV hostile_signature(enum hostile_kind kind, const unsigned char *data,
                        CK_ULONG len, unsigned char *sig, CK_ULONG *sig_len);

#endif
