/* SPDX-License-Identifier: Apache-2.0 */
/* From a token's object to its pkcs11: URI (RFC 7512, 2.3). */
#ifndef HSMSIGN_URI_FORMAT_H
#define HSMSIGN_URI_FORMAT_H

#include "attr.h"
#include "cryptoki.h"

/*
 * Write the URI by which an object is found again: token and serial, and of
 * the object id, label and type, as far as it has them; nothing secret.
 *
 * token       the token's information
 * attrs       the object's CKA_ID and CKA_LABEL
 * class       CKO_PRIVATE_KEY, CKO_PUBLIC_KEY or CKO_CERTIFICATE
 * buf, size   receives the URI, with a NUL; size is in bytes
 *
 * Returns its length without the NUL, or 0 if buf is too small.
 */
size_t p11_uri_format(const CK_TOKEN_INFO *token, const struct p11_attrs *attrs,
                      CK_OBJECT_CLASS class, char *buf, size_t size);

#endif
